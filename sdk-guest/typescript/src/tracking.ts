/** Experiment tracking: a run by its name, found again by a retry. Needs the grant `tracking`. */

import * as host from "#host/tracking";
import { calling } from "./errors.ts";

/** How a tracking run ended. */
export type RunStatus = "running" | "finished" | "failed" | "killed";

type Values = { readonly [key: string]: string | number | boolean };

const pairs = (values: Values): [string, string][] => Object.entries(values).map(([key, value]) => [key, String(value)]);

/** A tracking run. */
export class Run {
  private constructor(readonly id: string) {}

  /** Finds or makes the run called `name` in `experiment`. */
  static start(experiment: string, name: string): Run {
    return new Run(calling(() => host.startRun(experiment, name)));
  }

  /** Params are set once: another value for the same key is a conflict. */
  params(params: Values): void {
    calling(() => host.logParams(this.id, pairs(params)));
  }

  /** Adds one point of each metric. */
  metrics(metrics: { readonly [key: string]: number }, step = 0): void {
    const points = Object.entries(metrics).map(([key, value]) => ({ key, value, step }));
    calling(() => host.logMetrics(this.id, points));
  }

  /** Upserts tags. */
  tags(tags: Values): void {
    calling(() => host.setTags(this.id, pairs(tags)));
  }

  /** Names an artifact, given by its SHA-256. */
  artifact(path: string, sha256: string): void {
    calling(() => host.logArtifact(this.id, path, sha256));
  }

  /** Sets the end state. */
  end(status: RunStatus = "finished"): void {
    calling(() => host.endRun(this.id, status));
  }
}
