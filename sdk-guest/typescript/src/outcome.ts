/** How an operator ends when it neither fails nor simply returns its value. */

import type { Json } from "./config.ts";

/** The contract's variant `outcome`. */
export type WitOutcome =
  | { tag: "success"; val: string | null }
  | { tag: "skip"; val: string }
  | { tag: "branch"; val: string[] }
  | { tag: "short-circuit"; val: boolean }
  | { tag: "not-yet" }
  | { tag: "defer"; val: string };

/** Made by the functions below; an operator returns it. */
export class Outcome {
  constructor(readonly wit: WitOutcome) {}

  /** The outcome that a returned value means: nothing for `undefined` and `null`, else an XCom `return_value`. */
  static of(value: unknown): Outcome {
    if (value instanceof Outcome) return value;
    if (typeof (value as { then?: unknown } | null | undefined)?.then === "function") {
      throw new TypeError("an operator is no async function: the host's calls are synchronous");
    }
    return new Outcome({ tag: "success", val: value === undefined || value === null ? null : JSON.stringify(value as Json) });
  }
}

/** The task instance becomes `skipped`, for this reason. */
export const skip = (reason: string): Outcome => new Outcome({ tag: "skip", val: reason });
/** Only these of its direct downstream tasks go on. */
export const branch = (...taskIds: string[]): Outcome => new Outcome({ tag: "branch", val: taskIds });
/** The condition does not hold: downstream is skipped; with `true` all of it, whatever its trigger rules. */
export const shortCircuit = (ignoreDownstreamTriggerRules = true): Outcome =>
  new Outcome({ tag: "short-circuit", val: ignoreDownstreamTriggerRules });
/** A sensor whose condition does not hold yet. */
export const notYet = (): Outcome => new Outcome({ tag: "not-yet" });
/** Call again at this time: a `Date`, or RFC 3339 text. */
export const defer = (until: string | { toISOString(): string }): Outcome =>
  new Outcome({ tag: "defer", val: typeof until === "string" ? until : until.toISOString() });
