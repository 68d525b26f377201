/** What the fake host of native tests holds. There is one at a time: the newest. */

/** A thrown variant of the contract. */
export const refusal = (tag: string, val: string | number) => ({ tag, val });

export class State {
  log: { level: string; message: string }[] = [];
  progress: { fraction: number | null; message: string }[] = [];
  cancelled = false;
  /** By task and key, as JSON text. */
  xcoms = new Map<string, string>();
  objects = new Map<string, Uint8Array>();
  runs = new Map<string, { params: Map<string, string>; metrics: { key: string; value: number; step: number }[]; tags: Map<string, string>; status: string }>();
  /** By method and URL. */
  answers = new Map<string, { status: number; text: string }>();
  requests: { method: string; url: string; headers: [string, Uint8Array][]; body: Uint8Array }[] = [];
  denied = new Set<string>();
  taskId = "test_task";

  /** Throws what the real host answers where an interface was denied. */
  needs(grant: string): void {
    if (this.denied.has(grant)) throw refusal("denied", `${grant} is not granted`);
  }
}

let current = new State();

export const state = (): State => current;
export const setState = (next: State): void => {
  current = next;
};
