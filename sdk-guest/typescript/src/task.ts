/** What an attempt is told about itself. */

import type { Json } from "./config.ts";

/** The contract's record `task-context`. */
export interface WitContext {
  operator: string;
  config: string;
  dagId: string;
  runId: string;
  runType: string;
  taskId: string;
  mapIndex: number;
  tryNumber: number;
  maxTries: number;
  pokeNumber: number;
  logicalDate: string | null;
  dataIntervalStart: string | null;
  dataIntervalEnd: string | null;
  params: string;
  inputs: { name: string; value: string }[];
}

/** The attempt that runs. Instants are RFC 3339 texts in UTC. */
export interface Task {
  readonly dagId: string;
  readonly runId: string;
  /** `scheduled`, `manual`, `backfill` or `asset_triggered`. */
  readonly runType: string;
  readonly taskId: string;
  /** -1 when the task is not mapped. */
  readonly mapIndex: number;
  /** From 1. */
  readonly tryNumber: number;
  /** The last try. */
  readonly maxTries: number;
  /** Counts the pokes of a sensor, from 1. */
  readonly pokeNumber: number;
  /** `null` in a run that belongs to no date. */
  readonly logicalDate: string | null;
  readonly dataIntervalStart: string | null;
  readonly dataIntervalEnd: string | null;
  /** The run's params. */
  readonly params: { readonly [name: string]: Json };
  /** XComs that the task asked for, by name. */
  readonly inputs: { readonly [name: string]: Json };
}

/** The task of a context. */
export function taskOf(context: WitContext): Task {
  const { operator: _operator, config: _config, params, inputs, ...rest } = context;
  return {
    ...rest,
    params: JSON.parse(params),
    inputs: Object.fromEntries(inputs.map(({ name, value }) => [name, JSON.parse(value)])),
  };
}
