import { refusal, state } from "./state.ts";

const BYTES_MAX = 48 << 10;

export function push(key: string, value: string): void {
  if (value.length > BYTES_MAX) throw refusal("too-large", BYTES_MAX);
  state().xcoms.set(`${state().taskId}/${key}`, value);
}

export function pull(taskId: string, key: string, mapIndex: number | null): string | null {
  return state().xcoms.get(`${taskId}/${key}`) ?? (mapIndex === null ? null : (state().xcoms.get(`${taskId}[${mapIndex}]/${key}`) ?? null));
}
