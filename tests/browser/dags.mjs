// DAGs that hold what pages show: groups, mapped tasks, branches, failures, waits, questions, params, and hostile text wherever text is free.

import { PAYLOADS } from "./payloads.mjs";

/** The same in a field that is a template, where braces would be code. */
const WRITTEN = PAYLOADS.map((text) => (text.includes("{{") ? `{% raw %}${text}{% endraw %}` : text));

const json = (value) => JSON.stringify(value);

/** The text of every DAG file, by name. */
export function dags() {
  const tags = PAYLOADS.slice(0, 4);
  const config = { value: Object.fromEntries(WRITTEN.map((text, place) => [`p${place}`, text])) };
  const big = Array.from({ length: 200 }, (_, place) => ({ task_id: `t${String(place).padStart(3, "0")}`, operator: "probe", depends_on: place < 10 ? [] : [`t${String(place - 10).padStart(3, "0")}`] }));
  return {
    hello: json({
      dag_id: "hello", description: "Counts, decides and says hello", tags: ["example"], default_args: { owner: "ana" },
      params: { name: { type: "string", default: "world", description: "Who is greeted" }, times: { type: "integer", default: 1, minimum: 1, maximum: 5 }, loud: { type: "boolean", default: false }, tone: { type: "string", enum: ["kind", "curt"], default: "kind" } },
      tasks: [
        { task_id: "numbers", operator: "probe", config: { value: [1, 2, 3] } },
        { task_id: "decide", operator: "probe", depends_on: ["work"], config: { branch: ["say_hello"] } },
        { task_id: "say_hello", operator: "probe", depends_on: ["decide"], config: { value: "hello {{ params.name }}" } },
        { task_id: "say_nothing", operator: "probe", depends_on: ["decide"] },
        { task_id: "done", operator: "probe", depends_on: ["say_hello", "say_nothing"], trigger_rule: "none_failed_min_one_success" },
      ],
      task_groups: [{ group_id: "work", depends_on: ["numbers"], tasks: [
        { task_id: "square", operator: "probe", expand: { value: "{{ xcom_pull('numbers') }}" } },
        { task_id: "sum", operator: "probe", depends_on: ["square"], config: { value: 14 } },
      ] }],
    }),
    hostile: json({ dag_id: "hostile", dag_display_name: PAYLOADS[0], description: PAYLOADS.join(" "), doc_md: PAYLOADS.join("\n"), tags, default_args: { owner: PAYLOADS[2] },
      params: Object.fromEntries(PAYLOADS.map((text, place) => [`q${place}`, { type: "string", default: text, title: text, description: text }])),
      tasks: [
        { task_id: "push", operator: "probe", config, doc_md: PAYLOADS.join("\n") },
        { task_id: "each", operator: "probe", depends_on: ["push"], expand: { value: WRITTEN } },
        { task_id: "logs", operator: "branch", config: { choose: [...WRITTEN, "\u001b[31mred\u001b[0m", "\u202eturned"] } },
        { task_id: "wrong", operator: "probe", depends_on: ["push"], config: { result: PAYLOADS[1] } },
      ] }),
    failing: json({ dag_id: "failing", tags: ["example"], tasks: [
      { task_id: "works", operator: "probe" },
      { task_id: "fails", operator: "probe", depends_on: ["works"], config: { result: "fail" } },
      { task_id: "never", operator: "probe", depends_on: ["fails"] },
    ] }),
    holding: json({ dag_id: "holding", tasks: [{ task_id: "holds", operator: "probe", pool: "narrow", config: { sleep: "6h" } }] }),
    waiting: json({ dag_id: "waiting", tasks: [{ task_id: "first", operator: "probe" }, { task_id: "waits", operator: "probe", depends_on: ["first"], pool: "narrow" }] }),
    asking: json({ dag_id: "asking", tasks: [{ task_id: "ask", operator: "human.approval", config: { subject: `Deploy? ${PAYLOADS[0]}`, body: WRITTEN.join("\n") } }] }),
    talks: json({ dag_id: "talks", tasks: [{ task_id: "say", operator: "branch", config: { choose: ["a log has a first line"] } }] }),
    big: json({ dag_id: "big", max_active_tasks: 16, tasks: big }),
  };
}

/** A file with mistakes. */
export function broken() {
  return `dag_id: broken\ntags: [${json(PAYLOADS[0])}]\nshedule: "@daily"\ntasks:\n  - {task_id: ${json(PAYLOADS[1])}, operator: probe}\n`;
}
