import { refusal, state } from "./state.ts";

function run(runId: string) {
  state().needs("tracking");
  const found = state().runs.get(runId);
  if (!found) throw refusal("not-found", runId);
  return found;
}

export function startRun(experiment: string, name: string): string {
  state().needs("tracking");
  const id = `${experiment}/${name}`;
  if (!state().runs.has(id)) state().runs.set(id, { params: new Map(), metrics: [], tags: new Map(), status: "running" });
  return id;
}

export function logParams(runId: string, params: [string, string][]): void {
  const { params: known } = run(runId);
  for (const [key, value] of params) {
    if (known.has(key) && known.get(key) !== value) throw refusal("conflict", `param ${key} has another value`);
    known.set(key, value);
  }
}

export function logMetrics(runId: string, metrics: { key: string; value: number; step: number }[]): void {
  run(runId).metrics.push(...metrics);
}

export function setTags(runId: string, tags: [string, string][]): void {
  for (const [key, value] of tags) run(runId).tags.set(key, value);
}

export function logArtifact(runId: string, path: string, artifact: string): void {
  run(runId).tags.set(`artifact:${path}`, artifact);
}

export function endRun(runId: string, status: string): void {
  run(runId).status = status;
}
