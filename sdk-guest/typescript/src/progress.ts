/** How far the attempt is, and whether it was told to stop. Needs no grant. */

import * as host from "#host/progress";

/** `fraction`, 0.0 to 1.0, of the work is done; `null` where nobody knows how much there is. */
export const report = (fraction: number | null, message: string): void => host.report(fraction, message);
/** Whether the attempt was told to stop; it has its grace period left to save what it has. */
export const isCancelled = (): boolean => host.isCancelled();
