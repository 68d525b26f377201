/** Lines for the task's log. Needs no grant. */

import * as host from "#host/log";

/** Writes one line. */
export const debug = (message: string): void => host.log("debug", message);
/** Writes one line. */
export const info = (message: string): void => host.log("info", message);
/** Writes one line. */
export const warn = (message: string): void => host.log("warn", message);
/** Writes one line. */
export const error = (message: string): void => host.log("error", message);
