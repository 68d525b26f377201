//! Verbs of `airlock tasks` about one task instance: what keeps it from running, its question, its XComs.

use super::args::{Global, RunArgs};
use super::args_service::{AnswerArgs, InstanceArgs};
use super::output::{duration, print, print_json, say, table};
use super::session;
use super::settings::{Need, block_on, open, open_idle};
use crate::app::{App, InstanceName};
use crate::capability::Response;
use crate::error::{ErrorKind, UserError};
use serde_json::{Value, json};

/// What the operator `human.approval` offers.
const APPROVE: &str = "Approve";
const REJECT: &str = "Reject";

fn usage(error: impl std::fmt::Display) -> UserError {
    UserError::new(ErrorKind::Usage, error)
}

fn name(app: &App, args: &InstanceArgs) -> Result<InstanceName, UserError> {
    let (dag_id, run_id) = super::runs::find(app, &args.run)?;
    Ok(InstanceName {
        dag_id,
        run_id,
        task_id: args.task_id.clone(),
        map_index: args.map_index,
    })
}

/// `airlock tasks failed-deps`.
pub(super) fn failed_deps(global: &Global, args: &InstanceArgs) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let name = name(&app, args)?;
    let deps = block_on(app.failed_deps(&name))??;
    if global.json {
        let rows = deps
            .iter()
            .map(|dep| json!({"dep": dep.dep, "reason": dep.reason, "hint": dep.hint}));
        return print_json(&rows.collect::<Vec<_>>());
    }
    if deps.is_empty() {
        return print("nothing keeps it from running\n");
    }
    deps.iter().try_for_each(|dep| {
        print(&format!(
            "{}: {}\n  hint: {}\n",
            dep.dep, dep.reason, dep.hint
        ))
    })
}

/// `airlock tasks states-for-dag-run`.
pub(super) fn states(global: &Global, args: &RunArgs) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    let (dag_id, run_id) = super::runs::find(&app, args)?;
    let rows = app.run_detail(&dag_id, &run_id)?.task_instances;
    if global.json {
        return print_json(&rows);
    }
    let row = |row: &crate::scheduler::TaskInstanceRow| {
        vec![
            row.task_id.clone(),
            row.map_index.to_string(),
            row.state.to_string(),
            row.try_number.to_string(),
            duration(row.duration_ms),
        ]
    };
    print(&table(
        &["task_id", "map_index", "state", "tries", "took"],
        &rows.iter().map(row).collect::<Vec<_>>(),
    ))
}

/// `airlock tasks pending-inputs`.
pub(super) fn pending_inputs(global: &Global) -> Result<(), UserError> {
    let pending = open(global, Need::State)?.pending_inputs()?;
    if global.json {
        return print_json(&pending);
    }
    let rows = pending.iter().map(|asked| {
        let question = &asked.question;
        vec![
            asked.dag_id.to_string(),
            asked.run_id.to_string(),
            asked.task_id.clone(),
            asked.map_index.to_string(),
            question.subject.clone(),
            question.options.join(", "),
        ]
    });
    print(&table(
        &[
            "dag_id",
            "run_id",
            "task_id",
            "map_index",
            "subject",
            "options",
        ],
        &rows.collect::<Vec<_>>(),
    ))
}

/// `airlock tasks answer`.
pub(super) fn answer(global: &Global, args: AnswerArgs) -> Result<(), UserError> {
    let response = match args.json_answer {
        Some(text) => {
            let text = super::admin::text_or_stdin(text)?;
            serde_json::from_str(&text).map_err(|error| {
                usage(format!("the answer is not well-formed: {error}")).hint(
                    r#"for example --json-answer '{"chosen_options": ["left"], "params_input": {"n": 1}}'"#,
                )
            })?
        }
        None => Response {
            chosen_options: vec![if args.approve { APPROVE } else { REJECT }.to_owned()],
            ..Response::default()
        },
    };
    let app = open_idle(global)?;
    let name = name(&app, &args.instance)?;
    block_on(app.answer(&name, response, &session::user()))??;
    say(&format!("task {}: answered", name.task_id));
    Ok(())
}

/// `airlock tasks set-xcom`; without a value, `delete-xcom`.
pub(super) fn edit_xcom(
    global: &Global,
    args: &InstanceArgs,
    key: &str,
    value: Option<String>,
) -> Result<(), UserError> {
    let value: Option<Value> = match value {
        None => None,
        Some(text) => {
            let text = super::admin::text_or_stdin(text)?;
            let parsed = serde_json::from_str(&text).map_err(|error| {
                usage(format!("the value is no JSON: {error}"))
                    .hint(r#"a text is written with its quotes: '"text"'"#)
            })?;
            Some(parsed)
        }
    };
    let app = open_idle(global)?;
    let name = name(&app, args)?;
    block_on(app.edit_xcom(&name, key, value.as_ref(), &session::user()))??;
    let done = if value.is_some() { "set" } else { "deleted" };
    say(&format!("task {}: XCom {key} is {done}", name.task_id));
    Ok(())
}
