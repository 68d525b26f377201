/** Operators and plugins, and the way from the contract's call to a typed function and back. */

import { type Config, type Field, type Json, object, type Shape } from "./config.ts";
import type { Dag } from "./dag.ts";
import { CapabilityError, InvalidInput, Permanent } from "./errors.ts";
import { Outcome, type WitOutcome } from "./outcome.ts";
import { type Task, taskOf, type WitContext } from "./task.ts";

/** The contract's variant `task-error`. */
export type WitError =
  | { tag: "transient"; val: string }
  | { tag: "permanent"; val: string }
  | { tag: "invalid-input"; val: { field: string; message: string } };

/** An operator, its types erased. */
export interface Operator {
  readonly name: string;
  readonly summary: string;
  readonly isSensor: boolean;
  /** JSON Schema of the config. */
  readonly schema: { [key: string]: Json };
  /** Runs one attempt on a config as it came. */
  readonly call: (config: Json, task: Task) => Outcome;
}

/** What an operator is made of. */
export interface OperatorSettings<S extends Shape> {
  /** Unique in the plugin. */
  name: string;
  /** One line. */
  summary: string;
  /** Fields of the config; none by default. */
  config?: S;
  /** Runs one attempt. What it returns becomes the XCom `return_value`, unless it is an `Outcome`. */
  run: (config: Config<S>, task: Task) => unknown;
}

function make<S extends Shape>(settings: OperatorSettings<S>, isSensor: boolean): Operator {
  const config: Field<Config<S>> = object(settings.summary, settings.config ?? ({} as S));
  return {
    name: settings.name,
    summary: settings.summary,
    isSensor,
    schema: { $schema: "https://json-schema.org/draft/2020-12/schema", ...config.schema },
    call: (value, task) => Outcome.of(settings.run(config.read(value, ""), task)),
  };
}

/** Makes an operator. */
export const operator = <S extends Shape = {}>(settings: OperatorSettings<S>): Operator => make(settings, false);
/** Makes an operator that may answer `notYet()`. */
export const sensor = <S extends Shape = {}>(settings: OperatorSettings<S>): Operator => make(settings, true);

/** Operators and DAGs of one component. */
export class Plugin {
  constructor(
    readonly operators: readonly Operator[],
    readonly dags: readonly Dag[],
  ) {}
}

/** Says what a component has: its default export. Tasks of its DAGs are operators too. */
export function plugin(parts: { operators?: readonly Operator[]; dags?: readonly Dag[] } | readonly Operator[]): Plugin {
  const { operators = [], dags = [] } = Array.isArray(parts) ? { operators: parts as readonly Operator[] } : (parts as { operators?: readonly Operator[]; dags?: readonly Dag[] });
  const all = new Set([...operators, ...dags.flatMap((dag) => dag.operators)]);
  return new Plugin([...all], dags);
}

/** What the component's export `run` answers: the outcome, or the error that it throws. */
export function run(operators: readonly Operator[], context: WitContext): WitOutcome {
  const wanted = operators.find((one) => one.name === context.operator);
  if (!wanted) {
    throw { tag: "permanent", val: `no operator ${context.operator} in this plugin; there are: ${operators.map((one) => one.name).join(", ")}` } satisfies WitError;
  }
  try {
    return wanted.call(JSON.parse(context.config), taskOf(context)).wit;
  } catch (error) {
    throw errorOf(error);
  }
}

/** The contract's error that a thrown one means. */
export function errorOf(error: unknown): WitError {
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof InvalidInput) return { tag: "invalid-input", val: { field: error.field, message } };
  if (error instanceof Permanent) return { tag: "permanent", val: message };
  if (error instanceof CapabilityError && error.kind !== "unavailable") return { tag: "permanent", val: message };
  return { tag: "transient", val: error instanceof Error && !error.name.match(/^(Transient|CapabilityError)$/) ? `${error.name}: ${message}` : message };
}
