/** The contract's interfaces that the SDK uses, as the engine shows them to JavaScript. A `result` throws its error. */

declare module "airlock:operator/log@0.1.0" {
  export function log(level: "debug" | "info" | "warn" | "error", message: string): void;
}

declare module "airlock:operator/progress@0.1.0" {
  export function report(fraction: number | null, message: string): void;
  export function isCancelled(): boolean;
}

declare module "airlock:operator/xcom@0.1.0" {
  export function push(key: string, value: string): void;
  export function pull(taskId: string, key: string, mapIndex: number | null): string | null;
}

declare module "airlock:operator/http@0.1.0" {
  export interface Request {
    method: string;
    url: string;
    headers: [string, Uint8Array][];
    body: Uint8Array;
    timeoutMs: number | null;
  }
  export interface Response {
    status: number;
    headers: [string, Uint8Array | number[]][];
    body: Uint8Array | number[];
  }
  export function send(request: Request): Response;
}

declare module "airlock:operator/storage@0.1.0" {
  export interface Reader {
    read(max: number): Uint8Array | number[];
  }
  export interface Writer {
    write(bytes: Uint8Array): void;
    finish(): string;
  }
  export interface Info {
    uri: string;
    size: number;
  }
  export function open(uri: string): Reader;
  export function create(uri: string): Writer;
  export function head(uri: string): Info | null;
  export function list(prefix: string, after: string | null): Info[];
  function del(uri: string): void;
  export { del as delete };
}

declare module "airlock:operator/tracking@0.1.0" {
  export interface Metric {
    key: string;
    value: number;
    step: number;
  }
  export function startRun(experiment: string, name: string): string;
  export function logParams(runId: string, params: [string, string][]): void;
  export function logMetrics(runId: string, metrics: Metric[]): void;
  export function setTags(runId: string, tags: [string, string][]): void;
  export function logArtifact(runId: string, path: string, artifact: string): void;
  export function endRun(runId: string, status: "running" | "finished" | "failed" | "killed"): void;
}
