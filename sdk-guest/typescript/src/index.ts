/** Airlock operators in TypeScript: a typed config in, an outcome out, one module for each interface of the host. */

export { boolean, integer, json, list, number, object, oneOf, text } from "./config.ts";
export type { Config, Field, Json, Shape } from "./config.ts";
export { CapabilityError, InvalidInput, Permanent, Transient } from "./errors.ts";
export { operator, plugin, sensor } from "./operator.ts";
export type { Operator, Plugin } from "./operator.ts";
export { branch, defer, notYet, Outcome, shortCircuit, skip } from "./outcome.ts";
export { dag, task } from "./dag.ts";
export type { Dag, DagSettings, TaskSettings } from "./dag.ts";
export type { Task } from "./task.ts";
export * as http from "./http.ts";
export * as log from "./log.ts";
export * as progress from "./progress.ts";
export * as storage from "./storage.ts";
export * as tracking from "./tracking.ts";
export * as xcom from "./xcom.ts";
