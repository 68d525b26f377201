import assert from "node:assert/strict";
import { test } from "node:test";
import { branch, CapabilityError, dag, defer, http, integer, list, notYet, object, oneOf, operator, Permanent, plugin, sensor, shortCircuit, skip, storage, task, text, tracking, Transient, xcom } from "../src/index.ts";
import { guestOf } from "../src/component.ts";
import { Host } from "../src/testing.ts";
import { decode, encode } from "../src/utf8.ts";

const one = (run: () => unknown) => operator({ name: "one", summary: "One.", run });

test("every outcome comes out as it went in", () => {
  const host = new Host();
  assert.deepEqual(host.run(one(() => undefined)), { end: "success", value: null });
  assert.deepEqual(host.run(one(() => [1])), { end: "success", value: [1] });
  assert.deepEqual(host.run(one(() => skip("no need"))), { end: "skip", reason: "no need" });
  assert.deepEqual(host.run(one(() => branch("a", "b"))), { end: "branch", taskIds: ["a", "b"] });
  assert.deepEqual(host.run(one(() => shortCircuit(false))), { end: "short-circuit", ignoreDownstreamTriggerRules: false });
  assert.deepEqual(host.run(sensor({ name: "s", summary: "S.", run: notYet })), { end: "not-yet" });
  assert.deepEqual(host.run(one(() => defer(new Date(0)))), { end: "defer", until: "1970-01-01T00:00:00.000Z" });
});

test("an error says whether it is retried", () => {
  const host = new Host();
  const failing = (error: unknown) => host.run(one(() => { throw error; }));
  assert.deepEqual(failing(new Permanent("never")), { end: "permanent", message: "never" });
  assert.deepEqual(failing(new Transient("later")), { end: "transient", message: "later" });
  assert.deepEqual(failing(new TypeError("a bug")), { end: "transient", message: "TypeError: a bug" });
  assert.deepEqual(failing(new CapabilityError("unavailable", "disk")), { end: "transient", message: "unavailable: disk" });
  assert.deepEqual(failing(new CapabilityError("not-found", "x")), { end: "permanent", message: "not found: x" });
  assert.match((host.run(one(async () => 1)) as { message: string }).message, /no async function/);
});

test("a config that does not fit names its member", () => {
  const typed = operator({
    name: "typed",
    summary: "Typed.",
    config: { mode: oneOf("Mode.", "a", "b").or("a"), rows: list("Rows.", object("Row.", { n: integer("N.") })) },
    run: ({ mode, rows }) => ({ mode, sum: rows.reduce((sum, { n }) => sum + n, 0) }),
  });
  const host = new Host();
  assert.deepEqual(host.run(typed, { rows: [{ n: 1 }, { n: 2 }] }), { end: "success", value: { mode: "a", sum: 3 } });
  const field = (config: { [name: string]: any }) => (host.run(typed, config) as { field?: string }).field;
  assert.equal(field({}), "rows");
  assert.equal(field({ rows: [{ n: 1.5 }] }), "rows[0].n");
  assert.equal(field({ rows: [{}] }), "rows[0].n");
  assert.equal(field({ rows: [], mode: "c" }), "mode");
  assert.equal(field({ rows: [], toString: 1 }), "toString");
  assert.deepEqual(typed.schema.required, ["rows"]);
});

test("the fake host keeps what is written and denies what it is told to deny", () => {
  const host = new Host();
  host.putObject("file://./in", "grün");
  host.putXcom("before", { rows: 3 });
  const ended = host.run(one(() => {
    storage.write("file://./out", storage.readText("file://./in") + "!");
    xcom.push("rows", xcom.pull("before"));
    const run = tracking.Run.start("nightly", "one");
    run.params({ rate: 0.5 });
    run.metrics({ loss: 1 }, 2);
    run.end();
    return [...storage.list("file://./")].map(({ uri }) => uri);
  }));
  assert.deepEqual(ended, { end: "success", value: ["file://./in", "file://./out"] });
  assert.equal(host.objectText("file://./out"), "grün!");
  assert.deepEqual(host.pushed("rows"), { rows: 3 });
  assert.deepEqual(host.trackingRun("nightly", "one"), { params: { rate: "0.5" }, metrics: [{ key: "loss", value: 1, step: 2 }], tags: {}, status: "finished" });
  host.deny("storage");
  assert.deepEqual(host.run(one(() => storage.head("file://./in"))), { end: "permanent", message: "denied: storage is not granted" });
});

test("requests go to the host and say what they are; a status is an error only where it is asked", () => {
  const host = new Host();
  host.putAnswer("POST", "https://a.example/in", '{"ok": true}');
  host.putAnswer("GET", "https://a.example/busy", "later", 503);
  host.putAnswer("GET", "https://a.example/gone", "no", 404);
  assert.deepEqual(host.run(one(() => http.post("https://a.example/in", { json: { n: 1 } }).orThrow().json())), { end: "success", value: { ok: true } });
  assert.deepEqual(host.requests, [{ method: "POST", url: "https://a.example/in", headers: { "content-type": "application/json" }, body: '{"n":1}' }]);
  assert.deepEqual(host.run(one(() => http.get("https://a.example/busy").status)), { end: "success", value: 503 });
  assert.deepEqual(host.run(one(() => http.get("https://a.example/busy").orThrow().status)), { end: "transient", message: "the server answered 503: later" });
  assert.equal(host.run(one(() => http.get("https://a.example/gone").orThrow().status)).end, "permanent");
  assert.equal(host.run(one(() => http.get("https://b.example/").status)).end, "transient", "no answer is retried");
  host.deny("http");
  assert.deepEqual(host.run(one(() => http.get("https://a.example/busy").status)), { end: "permanent", message: "denied: http is not granted" });
});

test("UTF-8 is that of the platform, broken bytes too", () => {
  for (const sample of ["", "a", "grün", "€", "😀", "a\u0000b"]) {
    assert.deepEqual(encode(sample), new TextEncoder().encode(sample));
    assert.equal(decode(encode(sample)), sample);
  }
  assert.equal(decode(Uint8Array.of(0x61, 0xff, 0x62, 0xc3)), "a\ufffdb\ufffd");
});

test("calls of tasks are the dependencies of a DAG", () => {
  const extract = task("extract", ({ limit }: { limit: number }) => Array.from({ length: limit }, (_, n) => n));
  const total = task("total", ({ rows }: { rows: number[] }) => rows.reduce((sum, n) => sum + n, 0), { retries: 2 });
  const nightly = dag({ dag_id: "nightly", schedule: "@daily" }, () => {
    const rows = extract({ limit: 3 });
    total({ rows }).before(total({ rows }, { retries: 0 }));
  });
  const guest = guestOf(plugin({ dags: [nightly] }), "sums", "1.0.0");
  const described = guest.describe();
  assert.deepEqual(described.operators.map(({ name }) => name), ["extract", "total"]);
  const rows = '{{ xcom_pull("extract") }}';
  assert.deepEqual(JSON.parse(described.dags[0] ?? ""), {
    dag_id: "nightly",
    schedule: "@daily",
    tasks: [
      { task_id: "extract", depends_on: [], config: { args: { limit: 3 } }, operator: "sums.extract" },
      { task_id: "total", depends_on: ["extract"], config: { args: { rows } }, operator: "sums.total", retries: 2 },
      { task_id: "total__1", depends_on: ["extract", "total"], config: { args: { rows } }, operator: "sums.total", retries: 0 },
    ],
  });
  assert.throws(() => extract({ limit: 1 }), /inside the function of a dag/);
  assert.throws(() => guestOf(7, "n", "1"), /no plugin/);
});
