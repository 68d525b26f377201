/** How an operator fails, and what a host call answers when it does not do what was asked. */

/** May work later: retried. Every error that is none of these counts as this one. */
export class Transient extends Error {
  override name = "Transient";
}

/** Will not work: never retried. */
export class Permanent extends Error {
  override name = "Permanent";
}

/** A config member cannot be used: never retried. */
export class InvalidInput extends Error {
  override name = "InvalidInput";
  constructor(
    /** Path of the member, for example `checks[0].min_rows`. */
    readonly field: string,
    message: string,
  ) {
    super(message);
  }
}

/** The kinds of a host's refusal; see the WIT type `capability-error`. */
export type CapabilityKind = "denied" | "not-found" | "invalid" | "too-large" | "conflict" | "unavailable";

/** Why a host call did not do what was asked. Left alone, `unavailable` is retried, the rest is not. */
export class CapabilityError extends Error {
  override name = "CapabilityError";
  constructor(
    readonly kind: CapabilityKind,
    detail: string | number,
  ) {
    super(kind === "too-large" ? `too large: the limit is ${detail}` : `${kind.replace("-", " ")}: ${detail}`);
  }
}

/** Calls the host; what it throws is a variant of the contract. */
export function calling<T>(call: () => T): T {
  try {
    return call();
  } catch (thrown) {
    // The engine may put the variant into an error of its own.
    const variant = (thrown as { payload?: unknown })?.payload ?? thrown;
    const { tag, val } = (variant ?? {}) as { tag?: CapabilityKind; val?: string | number };
    if (tag === undefined || val === undefined) throw thrown;
    throw new CapabilityError(tag, val);
  }
}
