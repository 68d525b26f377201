//! Tasks of a DAG's current version.

use super::query::{By, order};
use super::{About, ApiError, Call, JsonSchema, Kind, Reply, Route};
use crate::app::Role::Viewer;
use airlock_core::dag::spec::{Dag, Task};
use airlock_core::ids::TaskIndex;
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde_json::{Map, Value, json};

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/tasks",
        Viewer,
        list,
        About::new("List the tasks of a DAG")
            .query(&[&[("order_by", Kind::Texts)]])
            .answers::<Tasks>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/tasks/{task_id}",
        Viewer,
        get,
        About::new("A task of a DAG").answers::<TaskResponse>(),
    ),
];

/// A length of time as Airflow writes one.
#[derive(Serialize, JsonSchema)]
struct TimeDelta {
    #[serde(rename = "__type")]
    kind: &'static str,
    days: i64,
    seconds: i64,
    microseconds: i64,
}

const DAY_SECONDS: i64 = 86_400;

impl From<SignedDuration> for TimeDelta {
    fn from(span: SignedDuration) -> Self {
        Self {
            kind: "TimeDelta",
            days: span.as_secs().div_euclid(DAY_SECONDS),
            seconds: span.as_secs().rem_euclid(DAY_SECONDS),
            microseconds: i64::from(span.subsec_micros()),
        }
    }
}

/// A task as Airflow's clients read it.
#[derive(Serialize, JsonSchema)]
struct TaskResponse {
    task_id: String,
    task_display_name: String,
    owner: Option<String>,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    trigger_rule: Option<String>,
    depends_on_past: bool,
    wait_for_downstream: bool,
    retries: u32,
    queue: Option<String>,
    pool: Option<String>,
    pool_slots: u32,
    execution_timeout: Option<TimeDelta>,
    retry_delay: TimeDelta,
    retry_exponential_backoff: f64,
    priority_weight: i32,
    weight_rule: Option<String>,
    ui_color: Option<String>,
    ui_fgcolor: Option<String>,
    template_fields: Vec<String>,
    downstream_task_ids: Vec<String>,
    doc_md: Option<String>,
    operator_name: String,
    params: Map<String, Value>,
    class_ref: Value,
    is_mapped: bool,
    extra_links: Vec<String>,
}

/// The word under which an enum is stored, which is Airflow's.
fn word(value: &impl Serialize) -> Option<String> {
    let value = serde_json::to_value(value).ok()?;
    value.as_str().map(str::to_owned)
}

impl TaskResponse {
    fn new(dag: &Dag, index: TaskIndex, task: &Task) -> Self {
        let below = dag
            .tasks
            .iter()
            .filter(|one| one.depends_on.contains(&index));
        Self {
            task_id: task.task_id.to_string(),
            task_display_name: task
                .task_display_name
                .clone()
                .unwrap_or_else(|| task.task_id.to_string()),
            owner: task.owner.clone(),
            start_date: dag.start_date,
            end_date: dag.end_date,
            trigger_rule: word(&task.trigger_rule),
            depends_on_past: task.depends_on_past,
            wait_for_downstream: task.wait_for_downstream,
            retries: task.retries,
            queue: Some(task.queue.clone()),
            pool: Some(task.pool.to_string()),
            pool_slots: task.pool_slots,
            execution_timeout: task.execution_timeout.map(TimeDelta::from),
            retry_delay: task.retry_delay.into(),
            retry_exponential_backoff: task.retry_exponential_backoff,
            priority_weight: task.priority_weight,
            weight_rule: word(&task.weight_rule),
            ui_color: None,
            ui_fgcolor: None,
            template_fields: vec!["config".to_owned()],
            downstream_task_ids: below.map(|one| one.task_id.to_string()).collect(),
            doc_md: task.doc_md.clone(),
            operator_name: task.operator.to_string(),
            params: Map::new(),
            class_ref: json!({"module_path": null, "class_name": task.operator.to_string()}),
            is_mapped: task.expand.is_some() || dag.mapped_group(index).is_some(),
            extra_links: Vec::new(),
        }
    }
}

/// Tasks of a DAG.
#[derive(Serialize, JsonSchema)]
struct Tasks {
    tasks: Vec<TaskResponse>,
    total_entries: usize,
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag = call.app.dag(call.dag_id()?.as_str())?.dag;
    let numbered = (0_u32..).zip(&dag.tasks);
    let mut tasks: Vec<TaskResponse> = numbered
        .map(|(place, task)| TaskResponse::new(&dag, TaskIndex(place), task))
        .collect();
    let by: &[By<TaskResponse>] = &[
        ("task_id", |one, other| one.task_id.cmp(&other.task_id)),
        ("task_display_name", |one, other| {
            one.task_display_name.cmp(&other.task_display_name)
        }),
        ("owner", |one, other| one.owner.cmp(&other.owner)),
        ("operator_name", |one, other| {
            one.operator_name.cmp(&other.operator_name)
        }),
        ("priority_weight", |one, other| {
            one.priority_weight.cmp(&other.priority_weight)
        }),
    ];
    order(&mut tasks, &call.fields, by)?;
    Reply::ok(&Tasks {
        total_entries: tasks.len(),
        tasks,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let dag = call.app.dag(call.dag_id()?.as_str())?.dag;
    let task_id = call.task_id()?;
    let found = dag
        .find(task_id.as_str())
        .and_then(|index| Some((index, dag.task(index)?)));
    let (index, task) = found
        .ok_or_else(|| ApiError::missing(format!("dag {} has no task {task_id}", dag.dag_id)))?;
    Reply::ok(&TaskResponse::new(&dag, index, task))
}
