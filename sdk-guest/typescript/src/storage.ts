/** Objects named by URI: `file://`, `s3://`, `gs://` and `az://`. Needs the grant `storage` or `storage_read`. */

import * as host from "#host/storage";
import { calling } from "./errors.ts";
import { decode, encode } from "./utf8.ts";

/** The most bytes that one host call moves. */
const CHUNK = 1 << 20;

/** An object and its size in bytes. */
export interface ObjectInfo {
  readonly uri: string;
  readonly size: number;
}

/** The bytes of an object, chunk by chunk: at most 1 MiB each. */
export function* chunks(uri: string): Generator<Uint8Array> {
  const reader = calling(() => host.open(uri));
  for (;;) {
    const bytes = Uint8Array.from(calling(() => reader.read(CHUNK)));
    if (bytes.length === 0) return;
    yield bytes;
  }
}

/** All bytes of an object; they must fit into the attempt's memory. */
export function read(uri: string): Uint8Array {
  const parts = [...chunks(uri)];
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/** The object as UTF-8 text. */
export const readText = (uri: string): string => decode(read(uri));

/** Writes a whole object, visible all at once, durably; yields its SHA-256 in hex. */
export function write(uri: string, parts: string | Uint8Array | Iterable<Uint8Array>): string {
  const writer = calling(() => host.create(uri));
  const list = typeof parts === "string" ? [encode(parts)] : parts instanceof Uint8Array ? [parts] : parts;
  for (const part of list) {
    for (let at = 0; at < part.length; at += CHUNK) calling(() => writer.write(part.subarray(at, at + CHUNK)));
  }
  return calling(() => writer.finish());
}

/** Size of an object, or `null` where there is nothing. */
export function head(uri: string): ObjectInfo | null {
  const found = calling(() => host.head(uri));
  return found ? { uri: found.uri, size: Number(found.size) } : null;
}

/** All objects under `prefix`, in order of URI. */
export function* list(prefix: string): Generator<ObjectInfo> {
  let after: string | null = null;
  for (;;) {
    const page: { uri: string; size: number }[] = calling(() => host.list(prefix, after));
    for (const { uri, size } of page) yield { uri, size: Number(size) };
    const last = page.at(-1);
    if (!last) return;
    after = last.uri;
  }
}

/** Removes an object; nothing there is no error. */
export const remove = (uri: string): void => calling(() => host.del(uri));
