import { state } from "./state.ts";

export const log = (level: "debug" | "info" | "warn" | "error", message: string): void => {
  state().log.push({ level, message });
};
