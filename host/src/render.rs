//! From a live run and an attempt to what templates see and what a guest is told.
//! It refuses to run anything; a config without templates is passed on untouched.

use crate::sandbox::bindings::airlock::operator::types::{Input, TaskContext};
use crate::scheduler::{Attempt, RunView};
use airlock_core::dag::spec::Task;
use airlock_core::template::{
    Context, DagValues, RunValues, TaskValues, TemplateError, XComSource, is_plain, render,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

impl XComSource for RunView {
    fn pull(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<Value> {
        let text = Self::pull(self, task_id, key, map_index)?;
        // Every XCom was checked to be JSON when it was pushed.
        serde_json::from_str(&text).ok()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// What a template of the run sees; `task` where it belongs to a task instance.
pub fn context(view: &Arc<RunView>, task: Option<TaskValues>) -> Context {
    let header = &view.header;
    let dag = DagValues {
        dag_id: view.dag.dag_id.to_string(),
        description: view.dag.description.clone(),
        tags: view.dag.tags.clone(),
    };
    let run = RunValues {
        run_id: header.run_id.to_string(),
        run_type: header.run_type.as_str().to_owned(),
        logical_date: header.logical_date,
        data_interval_start: header.data_interval_start,
        data_interval_end: header.data_interval_end,
        run_after: header.run_after,
        conf: json(&header.conf),
        params: json(&header.params),
        ..RunValues::default()
    };
    Context::new(dag, run, task, view.clone())
}

/// What the guest of an attempt is told: the config with its templates rendered and the map index's element merged in.
pub fn task_context(
    attempt: &Attempt,
    task: &Task,
    operator: String,
) -> Result<TaskContext, TemplateError> {
    let view = &attempt.run;
    let header = &view.header;
    let inputs = task.inputs.iter().filter_map(|(name, input)| {
        let from = view.dag.task(input.task)?;
        let value = RunView::pull(view, from.task_id.as_str(), &input.key, None)?;
        Some(Input {
            name: name.clone(),
            value,
        })
    });
    Ok(TaskContext {
        operator,
        config: config(attempt, task)?,
        dag_id: view.dag.dag_id.to_string(),
        run_id: header.run_id.to_string(),
        run_type: header.run_type.as_str().to_owned(),
        task_id: task.task_id.to_string(),
        map_index: attempt.ti.map_index,
        try_number: attempt.try_number,
        max_tries: task.retries + 1,
        poke_number: attempt.poke_number,
        logical_date: date(header.logical_date),
        data_interval_start: date(header.data_interval_start),
        data_interval_end: date(header.data_interval_end),
        params: header.params.clone(),
        inputs: inputs.collect(),
    })
}

fn date(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// The rendered config as JSON text. The element is data, never a template: it came from an XCom or was rendered when the task
/// was expanded.
fn config(attempt: &Attempt, task: &Task) -> Result<String, TemplateError> {
    let empty = matches!(&task.config, Value::Null);
    let rendered = match &attempt.element {
        None if empty => return Ok("{}".to_owned()),
        None if is_plain(&task.config) => return Ok(task.config.to_string()),
        Some(element) if empty => return Ok(element.clone()),
        _ if is_plain(&task.config) => task.config.clone(),
        _ => render(
            &task.config,
            &context(&attempt.run, Some(task_values(attempt, task))),
        )?,
    };
    let Some(element) = &attempt.element else {
        return Ok(rendered.to_string());
    };
    let mut members = match rendered {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    if let Value::Object(element) = json(element) {
        members.extend(element);
    }
    Ok(Value::Object(members).to_string())
}

fn task_values(attempt: &Attempt, task: &Task) -> TaskValues {
    TaskValues {
        task_id: task.task_id.to_string(),
        operator: task.operator.to_string(),
        map_index: attempt.ti.map_index,
        try_number: attempt.try_number,
        retries: task.retries,
    }
}
