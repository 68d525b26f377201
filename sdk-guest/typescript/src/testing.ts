/** A fake host for native unit tests: no WebAssembly, everything in memory. */

import type { Json } from "./config.ts";
import { type Operator, run, type WitError } from "./operator.ts";
import type { WitOutcome } from "./outcome.ts";
import type { WitContext } from "./task.ts";
import { setState, State } from "./fake/state.ts";
import { decode, encode } from "./utf8.ts";

/** How an operator ended: a value's JSON is parsed; an error has its kind as `end`. */
export type Ended =
  | { end: "success"; value: Json }
  | { end: "skip"; reason: string }
  | { end: "branch"; taskIds: string[] }
  | { end: "short-circuit"; ignoreDownstreamTriggerRules: boolean }
  | { end: "not-yet" }
  | { end: "defer"; until: string }
  | { end: "transient" | "permanent"; message: string }
  | { end: "invalid-input"; field: string; message: string };

function ended(outcome: WitOutcome): Ended {
  switch (outcome.tag) {
    case "success":
      return { end: "success", value: outcome.val === null ? null : JSON.parse(outcome.val) };
    case "skip":
      return { end: "skip", reason: outcome.val };
    case "branch":
      return { end: "branch", taskIds: outcome.val };
    case "short-circuit":
      return { end: "short-circuit", ignoreDownstreamTriggerRules: outcome.val };
    case "defer":
      return { end: "defer", until: outcome.val };
    case "not-yet":
      return { end: "not-yet" };
  }
}

/** The host that operators of a test talk to. The newest one is the one that they reach. */
export class Host {
  private readonly state = new State();

  constructor(
    /** What the task is told, where it differs from a first try of a manual run. */
    private readonly context: Partial<Omit<WitContext, "params" | "inputs">> & { params?: { [name: string]: Json }; inputs?: { [name: string]: Json } } = {},
  ) {
    setState(this.state);
  }

  /** Runs an operator as the real host would. */
  run(operator: Operator, config: { [name: string]: Json } = {}): Ended {
    const { params = {}, inputs = {}, ...rest } = this.context;
    const context: WitContext = {
      operator: operator.name,
      config: JSON.stringify(config),
      dagId: "test_dag",
      runId: "test_run",
      runType: "manual",
      taskId: "test_task",
      mapIndex: -1,
      tryNumber: 1,
      maxTries: 1,
      pokeNumber: 1,
      logicalDate: "2026-01-05T02:00:00Z",
      dataIntervalStart: null,
      dataIntervalEnd: null,
      ...rest,
      params: JSON.stringify(params),
      inputs: Object.entries(inputs).map(([name, value]) => ({ name, value: JSON.stringify(value) })),
    };
    this.state.taskId = context.taskId;
    setState(this.state);
    try {
      return ended(run([operator], context));
    } catch (thrown) {
      const error = thrown as WitError;
      if (error.tag === "invalid-input") return { end: "invalid-input", ...error.val };
      if (error.tag === "transient" || error.tag === "permanent") return { end: error.tag, message: error.val };
      throw thrown;
    }
  }

  /** Lines of the log: `info try 1 of 1`. */
  get log(): string[] {
    return this.state.log.map(({ level, message }) => `${level} ${message}`);
  }

  /** What the operator reported. */
  get progress(): readonly { fraction: number | null; message: string }[] {
    return this.state.progress;
  }

  /** What the operator pushed under `key`, or `undefined`. */
  pushed(key: string): Json | undefined {
    const value = this.state.xcoms.get(`${this.state.taskId}/${key}`);
    return value === undefined ? undefined : JSON.parse(value);
  }

  /** What another task pushed. */
  putXcom(taskId: string, value: Json, key = "return_value"): void {
    this.state.xcoms.set(`${taskId}/${key}`, JSON.stringify(value));
  }

  /** An object in the storage. */
  putObject(uri: string, bytes: string | Uint8Array): void {
    this.state.objects.set(uri, typeof bytes === "string" ? encode(bytes) : bytes);
  }

  /** An object as text, or `undefined`. */
  objectText(uri: string): string | undefined {
    const bytes = this.state.objects.get(uri);
    return bytes && decode(bytes);
  }

  /** A tracking run by experiment and name, or `undefined`. */
  trackingRun(experiment: string, name: string) {
    const run = this.state.runs.get(`${experiment}/${name}`);
    return run && { params: Object.fromEntries(run.params), metrics: run.metrics, tags: Object.fromEntries(run.tags), status: run.status };
  }

  /** What a server answers from now on. */
  putAnswer(method: string, url: string, text: string, status = 200): void {
    this.state.answers.set(`${method} ${url}`, { status, text });
  }

  /** What was sent, in order; headers and bodies as text. */
  get requests() {
    return this.state.requests.map(({ method, url, headers, body }) => ({
      method,
      url,
      headers: Object.fromEntries(headers.map(([name, value]) => [name, decode(value)])),
      body: decode(body),
    }));
  }

  /** Denies an interface from now on: "storage", "tracking" or "http". */
  deny(grant: string): void {
    this.state.denied.add(grant);
  }

  /** The attempt is told to stop. */
  cancel(): void {
    this.state.cancelled = true;
  }
}
