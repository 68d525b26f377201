// The service that the pages are of: an `airlock serve` of its own, with DAGs that hold everything a page can show.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { broken, dags } from "./dags.mjs";
import { NAMES, PAYLOADS } from "./payloads.mjs";

/** Nothing that is waited for takes longer, even on a busy machine. */
export const PATIENCE_MS = Number(process.env.AIRLOCK_PATIENCE_MS ?? 90_000);

export class Service {
  constructor(program) {
    this.program = program;
    this.folder = mkdtempSync(join(tmpdir(), "airlock-browser-"));
    mkdirSync(join(this.folder, "dags"));
    for (const [name, text] of Object.entries(dags())) writeFileSync(join(this.folder, "dags", `${name}.yaml`), text);
    writeFileSync(join(this.folder, "dags", "broken.yaml"), broken());
  }

  /** Starts it and waits until it says that it is ready. */
  async start(port = 0) {
    const environment = { ...process.env };
    for (const name of Object.keys(environment)) if (name.startsWith("AIRLOCK_")) delete environment[name];
    this.environment = environment;
    this.child = spawn(this.program, ["serve", "--quiet", "--dags", "dags", "--listen", `127.0.0.1:${port}`, "--data", "data"], { cwd: this.folder, env: environment, stdio: ["ignore", "ignore", "pipe"] });
    const told = [];
    await new Promise((ready, failed) => {
      const lines = createInterface({ input: this.child.stderr });
      lines.on("line", (line) => {
        told.push(line);
        const found = line.match(/http:\/\/127\.0\.0\.1:\d+/);
        if (found) this.url = found[0];
        if (line.includes("ready in")) ready();
      });
      this.child.once("exit", () => failed(new Error(`the service ended: ${told.join("\n")}`)));
    });
  }

  /** Ends it as a power cut would and starts it anew at the same address. */
  async restart() {
    const port = Number(new URL(this.url).port);
    const ended = new Promise((done) => this.child.once("exit", done));
    this.child.kill("SIGKILL");
    await ended;
    await this.start(port);
  }

  stop() {
    this.child?.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** A command, carried out by the service. */
  run(...words) {
    const done = spawnSync(this.program, [...words, "--data", "data"], { cwd: this.folder, env: this.environment, encoding: "utf8" });
    if (done.status !== 0) throw new Error(`airlock ${words.join(" ")}: ${done.stderr}`);
    return done.stdout.trim();
  }

  /** Asks until the answer is as wanted: a condition, not a time. */
  async until(words, wanted, patience = PATIENCE_MS) {
    const end = Date.now() + patience;
    let last;
    while (Date.now() < end) {
      last = JSON.parse(this.run(...words, "--json"));
      if (wanted(last)) return last;
      await new Promise((go) => setTimeout(go, 50));
    }
    throw new Error(`airlock ${words.join(" ")} never was as wanted; last: ${JSON.stringify(last).slice(0, 2000)}`);
  }

  /** A request of the tracking API. */
  async api(token, method, path, body) {
    const answer = await fetch(`${this.url}${path}`, { method, headers: { Authorization: `Bearer ${token}`, "Content-Type": "application/json" }, body: body && JSON.stringify(body) });
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
    return answer.json();
  }

  /** Experiments, runs and a model, with names that are hostile where names are free. */
  async track(token) {
    const post = (path, body) => this.api(token, "POST", `/api/2.0/mlflow/${path}`, body);
    const { experiment_id } = await post("experiments/create", { name: `churn ${PAYLOADS[0]}` });
    const runs = [];
    for (const [place, depth] of [4, 6].entries()) {
      const { run } = await post("runs/create", { experiment_id, run_name: `depth ${depth} ${PAYLOADS[1]}`, start_time: 1_767_600_000_000 + place });
      const run_id = run.info.run_id;
      const metrics = Array.from({ length: 30 }, (_, step) => ({ key: "val_auc", value: 0.7 + 0.005 * step + 0.01 * place, timestamp: 1_767_600_000_000 + step, step }));
      await post("runs/log-batch", { run_id, metrics, params: [{ key: "depth", value: String(depth) }, { key: "note", value: PAYLOADS[2] }], tags: PAYLOADS.map((value, tag) => ({ key: `t${tag}`, value })) });
      await post("runs/update", { run_id, status: "FINISHED", end_time: 1_767_600_060_000 });
      runs.push(run_id);
    }
    // A name of a model holds neither slash nor colon.
    const name = `churn ${PAYLOADS[1]}`;
    await post("registered-models/create", { name, description: PAYLOADS[5] });
    await post("registered-models/set-tag", { name, key: "note", value: PAYLOADS.join(" ") });
    for (const other of NAMES.slice(0, 30)) await post("registered-models/create", { name: other, description: other, tags: [{ key: "note", value: other }] });
    for (const run_id of runs) await post("model-versions/create", { name, source: `runs:/${run_id}/model`, run_id, description: PAYLOADS[6] });
    return { experiment_id, runs, model: name };
  }
}
