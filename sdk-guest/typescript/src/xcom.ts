/** Small JSON values between tasks of one run. Needs no grant. */

import * as host from "#host/xcom";
import type { Json } from "./config.ts";
import { calling } from "./errors.ts";

/** Upserts; durable and visible to others when it returns. At most 48 KiB of JSON. */
export function push(key: string, value: Json): void {
  calling(() => host.push(key, JSON.stringify(value)));
}

/** What `taskId` pushed in this run, or `null`. A mapped task yields the list of all its values, or with `mapIndex` one of them. */
export function pull(taskId: string, key = "return_value", mapIndex: number | null = null): Json {
  const found = calling(() => host.pull(taskId, key, mapIndex));
  return found === null || found === undefined ? null : JSON.parse(found);
}
