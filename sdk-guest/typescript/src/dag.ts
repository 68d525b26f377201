/** DAGs as code: tasks are called, and the calls are the dependencies. The function of a DAG runs once, when the component is built. */

import { json, type Json } from "./config.ts";
import { operator, type Operator } from "./operator.ts";
import type { Task } from "./task.ts";

/** Settings of a DAG, in the words of a DAG file. */
export type DagSettings = { dag_id: string } & { [key: string]: Json };
/** Settings of a task, in the words of a DAG file: `retries`, `trigger_rule`, `pool`, ... */
export type TaskSettings = { task_id?: string } & { [key: string]: Json | undefined };

/** What a task will return, before it has run. It can be given to other tasks, and has an order to them. */
export class Result {
  constructor(
    /** The task. */
    readonly taskId: string,
    private readonly member: string[] = [],
  ) {}

  /** A member of the object, or an element of the list, that the task returns. */
  get(...path: string[]): Result {
    return new Result(this.taskId, [...this.member, ...path]);
  }

  /** Lets other tasks wait for this one; yields the last of them. */
  before(...others: Result[]): Result {
    for (const other of others) current().wait(other.taskId, this.taskId);
    return others.at(-1) ?? this;
  }

  /** As a template. */
  template(): string {
    const path = this.member.map((name) => `[${JSON.stringify(name)}]`).join("");
    return `{{ xcom_pull(${JSON.stringify(this.taskId)})${path} }}`;
  }
}

interface DocumentTask {
  task_id: string;
  operator: string;
  depends_on: string[];
  config: { [name: string]: Json };
  settings: { [key: string]: Json | undefined };
}

class Builder {
  readonly tasks: DocumentTask[] = [];
  readonly operators = new Set<Operator>();

  add(one: Operator, settings: TaskSettings, config: { [name: string]: Json }, after: string[]): Result {
    const { task_id: wanted = one.name, ...rest } = settings;
    let taskId = wanted;
    // The same task called again is another one, as in Airflow: name__1.
    for (let copy = 1; this.tasks.some((task) => task.task_id === taskId); copy += 1) taskId = `${wanted}__${copy}`;
    this.operators.add(one);
    this.tasks.push({ task_id: taskId, operator: one.name, depends_on: [...new Set(after)], config, settings: rest });
    return new Result(taskId);
  }

  wait(taskId: string, upstream: string): void {
    const task = this.tasks.find((one) => one.task_id === taskId);
    if (task && !task.depends_on.includes(upstream)) task.depends_on.push(upstream);
  }
}

let building: Builder | undefined;

function current(): Builder {
  if (!building) throw new TypeError("tasks are called inside the function of a dag");
  return building;
}

/** A DAG of the component. */
export class Dag {
  constructor(
    private readonly settings: DagSettings,
    private readonly builder: Builder,
  ) {}

  /** Operators that its tasks run. */
  get operators(): Operator[] {
    return [...this.builder.operators];
  }

  /** The document of the DAG schema, for a component called `plugin`. */
  document(plugin: string): Json {
    const tasks = this.builder.tasks.map(({ settings, operator: name, ...task }) => ({ ...task, operator: `${plugin}.${name}`, ...settings }));
    return { ...this.settings, tasks } as Json;
  }
}

/** Makes a DAG: `define` calls its tasks. */
export function dag(settings: DagSettings, define: () => void): Dag {
  const outer = building;
  const builder = new Builder();
  building = builder;
  try {
    define();
  } finally {
    building = outer;
  }
  return new Dag(settings, builder);
}

/** What may be given to a task in place of a value. */
type Given<T> = { [K in keyof T]: T[K] | Result };

/**
 * Makes a task of a function: `const total = task("total", (args: { rows: number[] }) => ...)`. Called inside a DAG with its
 * arguments it becomes a task of it; results of other tasks among them make it wait for those.
 */
export function task<A extends { [name: string]: unknown } = {}>(
  name: string,
  run: (args: A, task: Task) => unknown,
  settings: TaskSettings = {},
): (args?: Given<A>, more?: TaskSettings) => Result {
  const one = operator({
    name,
    summary: `Task ${name}.`,
    config: { args: json("Arguments of the function.").or({}) },
    run: ({ args }, attempt) => run(args as A, attempt),
  });
  return (args, more = {}) => {
    const after: string[] = [];
    const plain = value(args ?? {}, after);
    return current().add(one, { ...settings, ...more }, { args: plain }, after);
  };
}

/** An argument as a config has it: results become templates, and their tasks go into `after`. */
function value(given: unknown, after: string[]): Json {
  if (given instanceof Result) {
    after.push(given.taskId);
    return given.template();
  }
  if (Array.isArray(given)) return given.map((item) => value(item, after));
  if (typeof given === "object" && given !== null) {
    return Object.fromEntries(Object.entries(given).map(([name, item]) => [name, value(item, after)]));
  }
  return given as Json;
}
