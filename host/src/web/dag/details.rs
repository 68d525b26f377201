//! What a DAG says of itself: settings, params, grants, tasks.

use super::Looked;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, show};
use airlock_core::dag::spec::{Dag, Task};
use maud::{Markup, html};

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let dag = &looked.registered.dag;
    let body = html! {
        div.columns {
            section.card { h2 { "Settings" } (settings(&looked, dag)) }
            section.card { h2 { "Params" } (params(dag)) }
        }
        section.card { h2 { "Grants" } (show::json(&serde_json::to_value(&dag.grants).unwrap_or_default())) }
        @if let Some(text) = &dag.doc_md { section.card { h2 { "Documentation" } pre.doc tabindex="0" { (text) } } }
        section.card { h2 { (show::count(dag.tasks.len(), "task")) } (tasks(dag)) }
    };
    Ok(looked.page(visit, "Details", &body).into())
}

fn settings(looked: &Looked, dag: &Dag) -> Markup {
    layout::facts(&[
        ("File", html! { span.id { (looked.registered.fileloc) } }),
        ("Start date", show::maybe_time(dag.start_date)),
        ("End date", show::maybe_time(dag.end_date)),
        ("Catchup", html! { (dag.catchup) }),
        ("max_active_runs", html! { (dag.max_active_runs) }),
        ("max_active_tasks", html! { (dag.max_active_tasks) }),
        (
            "dagrun_timeout",
            html! { @match dag.dagrun_timeout { Some(time) => (time), None => (show::nothing()) } },
        ),
        ("fail_fast", html! { (dag.fail_fast) }),
        ("Tags", html! { (dag.tags.join(", ")) }),
    ])
}

fn params(dag: &Dag) -> Markup {
    if dag.params.is_empty() {
        return html! { p.faint { "none" } };
    }
    html! {
        table.list {
            thead { tr { th { "Param" } th { "Default" } th { "Schema" } } }
            tbody {
                @for (name, param) in &dag.params {
                    tr {
                        td.id { (name) }
                        td.id { @match &param.default { Some(value) => (show::short(&value.to_string())), None => (show::nothing()) } }
                        td.id { (show::short(&param.schema.to_string())) }
                    }
                }
            }
        }
    }
}

fn tasks(dag: &Dag) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Tasks" {
            table.list.wide {
                thead { tr { th { "Task" } th { "Operator" } th { "Waits for" } th { "Trigger rule" } th.num { "Retries" } th { "Pool" } th { "Time limit" } } }
                tbody { @for task in &dag.tasks { (task_row(dag, task)) } }
            }
        }
    }
}

fn task_row(dag: &Dag, task: &Task) -> Markup {
    let upstream = task.depends_on.iter().filter_map(|index| dag.task(*index));
    let upstream: Vec<&str> = upstream.map(|task| task.task_id.as_str()).collect();
    let rule = serde_json::to_value(task.trigger_rule).unwrap_or_default();
    html! {
        tr id={"task-" (task.task_id)} {
            td { span.id { (task.task_id) } @if task.expand.is_some() { " mapped" } }
            td.id { (task.operator) }
            td.id { (show::short(&upstream.join(", "))) }
            td { (rule.as_str().unwrap_or_default()) }
            td.num { (task.retries) }
            td { (task.pool) @if task.pool_slots > 1 { " × " (task.pool_slots) } }
            td { @match task.execution_timeout { Some(time) => (time), None => (show::nothing()) } }
        }
    }
}
