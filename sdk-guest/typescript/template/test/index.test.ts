import assert from "node:assert/strict";
import { test } from "node:test";
import { Host } from "airlock-sdk/testing";
import { hello } from "../src/index.ts";

test("greets", () => {
  const host = new Host();
  assert.deepEqual(host.run(hello, { name: "Ada" }), { end: "success", value: "Hello, Ada!" });
  assert.deepEqual(host.log, ["info try 1 of 1"]);
});

test("nobody is refused", () => {
  const ended = new Host().run(hello, { name: "" });
  assert.deepEqual(ended, { end: "invalid-input", field: "name", message: "nobody is there to greet" });
});

test("another type is refused", () => {
  const ended = new Host().run(hello, { name: 7 });
  assert.deepEqual(ended, { end: "invalid-input", field: "name", message: "expected string, got 7" });
});
