import { refusal, state } from "./state.ts";

export function open(uri: string) {
  state().needs("storage");
  const bytes = state().objects.get(uri);
  if (!bytes) throw refusal("not-found", uri);
  let at = 0;
  return {
    read(max: number): Uint8Array {
      const part = bytes.subarray(at, at + max);
      at += part.length;
      return part;
    },
  };
}

export function create(uri: string) {
  state().needs("storage");
  const parts: number[] = [];
  return {
    write(bytes: Uint8Array): void {
      parts.push(...bytes);
    },
    /** Tests compare bytes; the digest is the real host's. */
    finish(): string {
      state().objects.set(uri, Uint8Array.from(parts));
      return "0".repeat(64);
    },
  };
}

export function head(uri: string): { uri: string; size: number } | null {
  state().needs("storage");
  const bytes = state().objects.get(uri);
  return bytes ? { uri, size: bytes.length } : null;
}

export function list(prefix: string, after: string | null): { uri: string; size: number }[] {
  state().needs("storage");
  const uris = [...state().objects.keys()].sort().filter((uri) => uri.startsWith(prefix) && (after === null || uri > after));
  return uris.slice(0, 1000).map((uri) => ({ uri, size: state().objects.get(uri)?.length ?? 0 }));
}

export function del(uri: string): void {
  state().needs("storage");
  state().objects.delete(uri);
}
