//! From a live run and an attempt to what templates see and what a guest is told.
//! It refuses to run anything; a config without templates is passed on untouched.

use crate::sandbox::bindings::airlock::operator::types::{Input, TaskContext};
use crate::scheduler::{Attempt, CallbackCall, RunView};
use crate::secrets::is_sensitive;
use airlock_core::dag::spec::{Callback, Task};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::template::{
    Context, DagValues, Lookup, RunHistory, RunValues, TaskValues, TemplateError, XComSource,
    is_plain, render, rendered_fields,
};
use jiff::Timestamp;
use serde_json::{Map, Value};
use std::sync::Arc;

/// The XComs of a run as one of its task instances pulls them.
struct Pulled {
    view: Arc<RunView>,
    of: TaskInstanceKey,
}

impl XComSource for Pulled {
    fn pull(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<Value> {
        let text = self.view.pull(self.of, task_id, key, map_index)?;
        // Every XCom was checked to be JSON when it was pushed.
        serde_json::from_str(&text).ok()
    }
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// No task instance: a template of the run itself.
pub const OF_THE_RUN: TaskInstanceKey = TaskInstanceKey {
    task: TaskIndex(u32::MAX),
    map_index: -1,
};

/// What a template of the run sees; `task` where it belongs to the task instance `of`.
pub fn context(view: &Arc<RunView>, task: Option<TaskValues>, of: TaskInstanceKey) -> Context {
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
        asset_events: header.asset_events.clone(),
        ..RunValues::default()
    };
    let pulled = Pulled {
        view: view.clone(),
        of,
    };
    Context::new(dag, run, task, Arc::new(pulled))
}

/// What templates read that the run itself does not hold.
pub struct Outside {
    /// Variables and connections.
    pub lookup: Arc<dyn Lookup>,
    /// Other runs of the DAG.
    pub history: Arc<dyn RunHistory>,
}

impl Outside {
    fn of(self, context: Context) -> Context {
        context.with_lookup(self.lookup).with_history(self.history)
    }
}

/// What rendering an attempt's config came to.
pub struct Rendered {
    /// For the guest.
    pub context: TaskContext,
    /// For people: what each template came to, as a JSON object; none without templates.
    pub fields: Option<String>,
}

/// What the guest of an attempt is told: the config with its templates rendered and the map index's element merged in.
pub fn task_context(
    attempt: &Attempt,
    task: &Task,
    operator: String,
    outside: Outside,
) -> Result<Rendered, TemplateError> {
    let view = &attempt.run;
    let header = &view.header;
    let inputs = task.inputs.iter().filter_map(|(name, input)| {
        let from = view.dag.task(input.task)?;
        let value = view.pull(attempt.ti, from.task_id.as_str(), &input.key, None)?;
        Some(Input {
            name: name.clone(),
            value,
        })
    });
    let (config, fields) = config(attempt, task, outside)?;
    let context = TaskContext {
        operator,
        config,
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
    };
    Ok(Rendered { context, fields })
}

/// What the guest of a callback is told. Its templates see the run, the task instance `of` that it is about, and the call's details.
pub fn callback_context(
    view: &Arc<RunView>,
    of: TaskInstanceKey,
    call: &CallbackCall,
    callback: &Callback,
    operator: String,
    outside: Outside,
) -> Result<TaskContext, TemplateError> {
    let header = &view.header;
    let task = view.dag.task(of.task);
    let values = task.map(|task| values(task, of.map_index, call.try_number, 1));
    let mut names = outside.of(context(view, values, of));
    if call.try_number > 0 {
        names = names.with("try_number", call.try_number.into());
    }
    for (name, value) in &call.details {
        names = names.with(name, value.clone());
    }
    let config = match &callback.config {
        Value::Null => "{}".to_owned(),
        config if is_plain(config) => config.to_string(),
        config => render(config, &names)?.to_string(),
    };
    let task_id = call.task_id.as_ref().map(ToString::to_string);
    Ok(TaskContext {
        operator,
        config,
        dag_id: call.dag_id.to_string(),
        run_id: call.run_id.to_string(),
        run_type: header.run_type.as_str().to_owned(),
        task_id: task_id.unwrap_or_default(),
        map_index: call.map_index,
        try_number: call.try_number.max(1),
        max_tries: task.map_or(1, |task| task.retries + 1),
        poke_number: 1,
        logical_date: date(header.logical_date),
        data_interval_start: date(header.data_interval_start),
        data_interval_end: date(header.data_interval_end),
        params: header.params.clone(),
        inputs: Vec::new(),
    })
}

fn date(at: Option<Timestamp>) -> Option<String> {
    at.map(|at| at.to_string())
}

/// The rendered config as JSON text. The element is data, never a template: it came from an XCom or was rendered when the task
/// was expanded.
fn config(
    attempt: &Attempt,
    task: &Task,
    outside: Outside,
) -> Result<(String, Option<String>), TemplateError> {
    let empty = matches!(&task.config, Value::Null);
    let (rendered, fields) = match &attempt.element {
        None if empty => return Ok(("{}".to_owned(), None)),
        None if is_plain(&task.config) => return Ok((task.config.to_string(), None)),
        Some(element) if empty => return Ok((element.clone(), None)),
        _ if is_plain(&task.config) => (task.config.clone(), None),
        _ => {
            let values = task_values(attempt, task);
            let context = outside.of(context(&attempt.run, Some(values), attempt.ti));
            let rendered = render(&task.config, &context)?;
            let fields = rendered_fields(&task.config, &rendered, &is_sensitive);
            (rendered, Some(Value::Object(fields).to_string()))
        }
    };
    let Some(element) = &attempt.element else {
        return Ok((rendered.to_string(), fields));
    };
    let mut members = match rendered {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    if let Value::Object(element) = json(element) {
        members.extend(element);
    }
    Ok((Value::Object(members).to_string(), fields))
}

fn task_values(attempt: &Attempt, task: &Task) -> TaskValues {
    let (map_index, try_number) = (attempt.ti.map_index, attempt.try_number);
    values(task, map_index, try_number, attempt.poke_number)
}

fn values(task: &Task, map_index: i32, try_number: u32, poke_number: u32) -> TaskValues {
    TaskValues {
        task_id: task.task_id.to_string(),
        operator: task.operator.to_string(),
        map_index,
        try_number,
        retries: task.retries,
        pool: task.pool.to_string(),
        queue: task.queue.clone(),
        inlets: task.inlets.clone(),
        outlets: task.outlets.clone(),
        map_index_template: task.map_index_template.clone(),
        task_reschedule_count: poke_number.saturating_sub(1),
    }
}
