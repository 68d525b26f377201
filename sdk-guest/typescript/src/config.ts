/** Configs: one description gives the type, the JSON Schema and the check. */

import { InvalidInput } from "./errors.ts";

/** A JSON value. */
export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** What a member of a config may be. */
export class Field<T> {
  constructor(
    /** Its JSON Schema. */
    readonly schema: { [key: string]: Json },
    /** The value as `T`; throws `InvalidInput` with `path` where it is none. */
    readonly read: (value: Json, path: string) => T,
    /** What a member that is left out is; absent for one that must be there. */
    readonly fallback?: { value: T },
  ) {}

  /** The same, but it may be left out: then it is `value`. */
  or<D extends T | undefined | null>(value: D): Field<T | D> {
    const schema = value === undefined ? this.schema : { ...this.schema, default: value as Json };
    return new Field<T | D>(schema, this.read, { value });
  }
}

/** Fields by name. */
export type Shape = { [name: string]: Field<any> };

/** The type of a config with these fields. */
export type Config<S extends Shape> = { [K in keyof S]: S[K] extends Field<infer T> ? T : never };

function plain<T extends Json>(type: string, description: string, fits: (value: Json) => boolean): Field<T> {
  return new Field<T>({ type, description }, (value, path) => {
    if (!fits(value)) throw new InvalidInput(path, `expected ${type}, got ${JSON.stringify(value)}`);
    return value as T;
  });
}

/** A text. */
export const text = (description: string): Field<string> => plain("string", description, (value) => typeof value === "string");
/** A number. */
export const number = (description: string): Field<number> => plain("number", description, (value) => typeof value === "number");
/** A whole number, at most 2^53. */
export const integer = (description: string): Field<number> => plain("integer", description, Number.isSafeInteger);
/** True or false. */
export const boolean = (description: string): Field<boolean> => plain("boolean", description, (value) => typeof value === "boolean");

/** Anything. */
export function json(description: string): Field<Json> {
  return new Field<Json>({ description }, (value) => value);
}

/** One of these texts. */
export function oneOf<T extends string>(description: string, ...values: T[]): Field<T> {
  return new Field<T>({ enum: values, description }, (value, path) => {
    if (!values.includes(value as T)) throw new InvalidInput(path, `expected one of ${values.join(", ")}, got ${JSON.stringify(value)}`);
    return value as T;
  });
}

/** A list. */
export function list<T>(description: string, items: Field<T>): Field<T[]> {
  return new Field<T[]>({ type: "array", items: items.schema, description }, (value, path) => {
    if (!Array.isArray(value)) throw new InvalidInput(path, `expected a list, got ${JSON.stringify(value)}`);
    return value.map((item, index) => items.read(item, `${path}[${index}]`));
  });
}

/** An object with these members and no others. */
export function object<S extends Shape>(description: string, shape: S): Field<Config<S>> {
  const properties: { [key: string]: Json } = {};
  const required: string[] = [];
  for (const [name, field] of Object.entries(shape)) {
    properties[name] = field.schema;
    if (!field.fallback) required.push(name);
  }
  const schema = { type: "object", description, properties, required, additionalProperties: false };
  return new Field<Config<S>>(schema, (value, path) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) throw new InvalidInput(path || "config", "expected an object");
    const at = (name: string) => (path ? `${path}.${name}` : name);
    for (const name of Object.keys(value)) {
      if (!Object.hasOwn(shape, name)) throw new InvalidInput(at(name), `there is no such member; there are: ${Object.keys(shape).join(", ")}`);
    }
    const config: { [name: string]: unknown } = {};
    for (const [name, field] of Object.entries(shape)) {
      const member = value[name];
      if (member !== undefined) config[name] = field.read(member, at(name));
      else if (field.fallback) config[name] = field.fallback.value;
      else throw new InvalidInput(at(name), "it is missing");
    }
    return config as Config<S>;
  });
}
