import { state } from "./state.ts";

export const report = (fraction: number | null, message: string): void => {
  state().progress.push({ fraction, message });
};
export const isCancelled = (): boolean => state().cancelled;
