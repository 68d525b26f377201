/** Requests over HTTP to granted hosts; a redirect is an answer like any other. Needs the grant `http`. */

import * as host from "#host/http";
import type { Json } from "./config.ts";
import { calling, Permanent, Transient } from "./errors.ts";
import { decode, encode } from "./utf8.ts";

/** What is sent besides method and URL. Of `body` and `json` one at most is given; 8 MiB at most. */
export interface RequestOptions {
  readonly headers?: { readonly [name: string]: string };
  readonly body?: string | Uint8Array;
  readonly json?: Json;
  /** From resolving the name to the last byte: 60,000 where it is not said, 600,000 at most. */
  readonly timeoutMs?: number;
}

/** An answer, whole. */
export class Response {
  constructor(
    readonly status: number,
    /** In order, names in small letters. */
    readonly headers: readonly (readonly [string, string])[],
    readonly body: Uint8Array,
  ) {}

  /** Whether the status is under 400. */
  get ok(): boolean {
    return this.status < 400;
  }

  /** The first header of this name. */
  header(name: string): string | undefined {
    return this.headers.find(([known]) => known === name.toLowerCase())?.[1];
  }

  /** The body as UTF-8. */
  text(): string {
    return decode(this.body);
  }

  /** The body as JSON. */
  json(): Json {
    return JSON.parse(this.text());
  }

  /** Itself, or an error: `Transient` (retried) for 408, 425, 429 and 5xx, `Permanent` for the other 4xx. */
  orThrow(): this {
    if (this.ok) return this;
    const isRetried = this.status >= 500 || [408, 425, 429].includes(this.status);
    throw new (isRetried ? Transient : Permanent)(`the server answered ${this.status}: ${this.text().slice(0, 200)}`);
  }
}

const latin1 = (bytes: Uint8Array | number[]): string => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");

/** One exchange. A `CapabilityError` is `denied` where no grant covers the host, `unavailable` where there is no answer in time. */
export function request(method: string, url: string, options: RequestOptions = {}): Response {
  if (options.body !== undefined && options.json !== undefined) throw new Permanent("a request has one of `body` and `json`");
  const content = options.json === undefined ? (options.body ?? "") : JSON.stringify(options.json);
  const headers = Object.entries(options.headers ?? {});
  if (options.json !== undefined && !headers.some(([name]) => name.toLowerCase() === "content-type")) headers.push(["content-type", "application/json"]);
  const answer = calling(() =>
    host.send({
      method,
      url,
      headers: headers.map(([name, value]) => [name, encode(value)]),
      body: typeof content === "string" ? encode(content) : content,
      timeoutMs: options.timeoutMs ?? null,
    }),
  );
  const answered = answer.headers.map(([name, value]) => [name.toLowerCase(), latin1(value)] as const);
  return new Response(answer.status, answered, Uint8Array.from(answer.body));
}

/** `request("GET", url, options)`. */
export const get = (url: string, options?: RequestOptions): Response => request("GET", url, options);

/** `request("POST", url, options)`. */
export const post = (url: string, options?: RequestOptions): Response => request("POST", url, options);
