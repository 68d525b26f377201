//! Task instances: listed and shown. What changes them is `changes`' affair.

use super::dag_runs::{DATES, Dates, Known, batch_fields, seconds};
use super::dag_versions::DagVersionResponse;
use super::query::{By, PAGED, Page, Pattern, Range, is_wanted, order};
use super::{
    ALL, About, ApiError, Call, Fields, JsonSchema, Kind, Query, Reply, Route, ids, object,
};
use crate::app::Role::Viewer;
use crate::app::{InstanceRow, RunInside, RunRow, task_instance_name};
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

pub(super) const TASK: &str = "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}";
pub(super) const MAPPED: &str =
    "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}";

/// The most runs that a list over several runs reads: a run is folded from its events.
const RUNS_MAX: usize = 1_000;

const FILTERS: &[Query] = &[
    ("task_id", Kind::Text),
    ("state", Kind::Texts),
    ("pool", Kind::Texts),
    ("queue", Kind::Texts),
    ("operator", Kind::Texts),
    ("try_number", Kind::Texts),
    ("map_index", Kind::Texts),
    ("task_display_name_pattern", Kind::Text),
    ("task_display_name_prefix_pattern", Kind::Text),
    ("dag_id_pattern", Kind::Text),
    ("dag_id_prefix_pattern", Kind::Text),
    ("run_id_pattern", Kind::Text),
    ("run_id_prefix_pattern", Kind::Text),
    ("duration_gte", Kind::Number),
    ("duration_gt", Kind::Number),
    ("duration_lte", Kind::Number),
    ("duration_lt", Kind::Number),
];

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances",
        Viewer,
        list,
        About::new("List the task instances of a run, or with `~` of every run or DAG")
            .query(&[PAGED, FILTERS, DATES])
            .answers::<TaskInstances>(),
    )
    .filtered(),
    Route::airflow(
        "POST",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/list",
        Viewer,
        list_batch,
        About::new("List task instances by a body; the path names `~` twice")
            .takes::<Map<String, Value>>()
            .answers::<TaskInstances>(),
    )
    .filtered(),
    Route::airflow(
        "GET",
        TASK,
        Viewer,
        get,
        About::new("A task instance that is not mapped").answers::<TaskInstanceResponse>(),
    ),
    Route::airflow(
        "GET",
        MAPPED,
        Viewer,
        get,
        About::new("A task instance of a mapped task").answers::<TaskInstanceResponse>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/listMapped",
        Viewer,
        list_mapped,
        About::new("List the task instances of a mapped task")
            .query(&[PAGED, FILTERS, DATES])
            .answers::<TaskInstances>(),
    ),
];

/// A task instance as Airflow's clients read it.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub(super) struct TaskInstanceResponse {
    id: String,
    task_id: String,
    dag_id: String,
    dag_run_id: String,
    map_index: i32,
    logical_date: Option<Timestamp>,
    run_after: Timestamp,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    /// Seconds.
    duration: Option<f64>,
    /// Null is Airflow's `none`.
    state: Option<&'static str>,
    try_number: u32,
    max_tries: u32,
    task_display_name: String,
    dag_display_name: String,
    hostname: Option<String>,
    unixname: Option<String>,
    pool: String,
    pool_slots: u32,
    queue: Option<String>,
    priority_weight: Option<i32>,
    operator: Option<String>,
    operator_name: Option<String>,
    queued_when: Option<Timestamp>,
    scheduled_when: Option<Timestamp>,
    pid: Option<i64>,
    executor: Option<String>,
    executor_config: String,
    /// Why it has its state, where an error says it.
    note: Option<String>,
    rendered_map_index: Option<String>,
    rendered_fields: Map<String, Value>,
    trigger: Option<Value>,
    triggerer_job: Option<Value>,
    dag_version: Option<DagVersionResponse>,
}

/// Task instances of a page, and how many there are in all.
#[derive(Serialize, JsonSchema)]
pub(super) struct TaskInstances {
    pub(super) task_instances: Vec<TaskInstanceResponse>,
    pub(super) total_entries: usize,
}

/// What all task instances of a run share.
pub(super) struct Shared<'a> {
    inside: &'a RunInside,
    version: Option<DagVersionResponse>,
    dag_display_name: String,
}

impl<'a> Shared<'a> {
    pub(super) fn new(inside: &'a RunInside, known: &mut Known<'_>) -> Result<Self, ApiError> {
        let (version, dag_display_name) = known.version(&inside.run)?;
        Ok(Self {
            inside,
            version,
            dag_display_name,
        })
    }

    pub(super) fn instance(&self, instance: &InstanceRow) -> TaskInstanceResponse {
        let (run, dag, row) = (&self.inside.run, &self.inside.dag, &instance.row);
        let task = dag.task(instance.task);
        let name = task_instance_name(&run.dag_id, &run.run_id, &row.task_id, row.map_index);
        let retries = task.map_or(0, |task| task.retries);
        TaskInstanceResponse {
            id: ids::uuid(&name),
            task_id: row.task_id.clone(),
            dag_id: run.dag_id.to_string(),
            dag_run_id: run.run_id.to_string(),
            map_index: row.map_index,
            logical_date: run.logical_date,
            run_after: run.run_after,
            start_date: instance.start_date,
            end_date: instance.end_date,
            duration: seconds(instance.start_date, instance.end_date),
            state: Some(row.state.as_str()).filter(|state| *state != "none"),
            try_number: row.try_number,
            // Airflow counts the tries after the first.
            max_tries: instance.max_tries.saturating_sub(1).max(retries),
            task_display_name: task
                .and_then(|task| task.task_display_name.clone())
                .unwrap_or_else(|| row.task_id.clone()),
            dag_display_name: self.dag_display_name.clone(),
            hostname: None,
            unixname: None,
            pool: task.map_or(String::new(), |task| task.pool.to_string()),
            pool_slots: task.map_or(1, |task| task.pool_slots),
            queue: task.map(|task| task.queue.clone()),
            priority_weight: task.map(|task| task.priority_weight),
            operator: task.map(|task| task.operator.to_string()),
            operator_name: task.map(|task| task.operator.to_string()),
            queued_when: None,
            scheduled_when: None,
            pid: None,
            executor: None,
            executor_config: "{}".to_owned(),
            note: row.error.clone(),
            rendered_map_index: None,
            rendered_fields: Map::new(),
            trigger: None,
            triggerer_job: None,
            dag_version: self.version.clone(),
        }
    }
}

/// Which task instances a list holds.
struct Filter {
    states: Vec<String>,
    pools: Vec<String>,
    queues: Vec<String>,
    operators: Vec<String>,
    tries: Vec<String>,
    map_indexes: Vec<String>,
    task_ids: Vec<String>,
    names: Pattern,
    dag_ids: Pattern,
    run_ids: Pattern,
    durations: Range<f64>,
    dates: Dates,
}

impl Filter {
    fn of(fields: &Fields, task_ids: Vec<String>) -> Result<Self, ApiError> {
        Ok(Self {
            states: fields.texts("state")?,
            pools: fields.texts("pool")?,
            queues: fields.texts("queue")?,
            operators: fields.texts("operator")?,
            tries: fields.texts("try_number")?,
            map_indexes: fields.texts("map_index")?,
            task_ids,
            names: Pattern::of(fields, "task_display_name")?,
            dag_ids: Pattern::of(fields, "dag_id")?,
            run_ids: Pattern::of(fields, "run_id")?,
            durations: Range::<f64>::of(fields, "duration")?,
            dates: Dates::of(fields)?,
        })
    }

    fn lets_run(&self, run: &RunRow) -> bool {
        self.dag_ids.fits(run.dag_id.as_str())
            && self.run_ids.fits(run.run_id.as_str())
            && self.dates.hold_run(run)
    }

    fn lets(&self, one: &TaskInstanceResponse) -> bool {
        // Airflow's clients say null or `none` for no state.
        let state = one.state.unwrap_or("none");
        is_wanted(&self.states, state)
            && is_wanted(&self.pools, &one.pool)
            && is_wanted(&self.queues, one.queue.as_deref().unwrap_or_default())
            && is_wanted(&self.operators, one.operator.as_deref().unwrap_or_default())
            && (self.tries.is_empty() || is_wanted(&self.tries, &one.try_number.to_string()))
            && (self.map_indexes.is_empty()
                || is_wanted(&self.map_indexes, &one.map_index.to_string()))
            && is_wanted(&self.task_ids, &one.task_id)
            && self.names.fits(&one.task_display_name)
            && self.durations.holds(one.duration)
            && self.dates.hold(one.start_date, one.end_date)
    }
}

const ORDERS: &[By<TaskInstanceResponse>] = &[
    ("id", |one, other| one.id.cmp(&other.id)),
    ("state", |one, other| one.state.cmp(&other.state)),
    ("task_id", |one, other| one.task_id.cmp(&other.task_id)),
    ("duration", |one, other| {
        let (one, other) = (one.duration.unwrap_or(-1.0), other.duration.unwrap_or(-1.0));
        one.total_cmp(&other)
    }),
    ("start_date", |one, other| {
        one.start_date.cmp(&other.start_date)
    }),
    ("end_date", |one, other| one.end_date.cmp(&other.end_date)),
    ("map_index", |one, other| {
        one.map_index.cmp(&other.map_index)
    }),
    ("try_number", |one, other| {
        one.try_number.cmp(&other.try_number)
    }),
    ("logical_date", |one, other| {
        one.logical_date.cmp(&other.logical_date)
    }),
    ("run_after", |one, other| {
        one.run_after.cmp(&other.run_after)
    }),
    ("data_interval_start", |one, other| {
        one.logical_date.cmp(&other.logical_date)
    }),
];

/// The runs that a path means.
fn runs(call: &Call<'_>, filter: &Filter) -> Result<Vec<RunRow>, ApiError> {
    let dag_id = call.any_dag_id()?;
    let run_id = call.fields.need_text("dag_run_id")?;
    if run_id != ALL {
        let run_id = RunId::parse(run_id).map_err(super::invalid)?;
        let dag_id = dag_id.ok_or_else(|| {
            ApiError::invalid("a run is one of a DAG: with `~` for the DAG, the run is `~` too")
        })?;
        return Ok(vec![call.app.run(&dag_id, &run_id)?]);
    }
    if let Some(dag_id) = &dag_id {
        call.app.dag(dag_id.as_str())?;
    }
    let mut runs = call.app.runs(dag_id.as_ref())?;
    runs.retain(|run| call.reaches(&run.dag_id) && filter.lets_run(run));
    if runs.len() > RUNS_MAX {
        return Err(ApiError::invalid(format!(
            "this would read {} runs; a list over several runs reads at most {RUNS_MAX}",
            runs.len()
        ))
        .hint("narrow it with run_after_gte, logical_date_gte or run_id_pattern"));
    }
    runs.sort_by_key(|run| run.queued_at);
    Ok(runs)
}

fn page(
    call: &Call<'_>,
    fields: &Fields,
    runs: &[RunRow],
    filter: &Filter,
    cut: Page,
) -> Result<Reply, ApiError> {
    let mut known = Known::new(call.app);
    let mut found = Vec::new();
    for run in runs {
        let inside = call.app.run_inside(&run.dag_id, &run.run_id)?;
        let shared = Shared::new(&inside, &mut known)?;
        let instances = inside.instances.iter().map(|one| shared.instance(one));
        found.extend(instances.filter(|one| filter.lets(one)));
    }
    order(&mut found, fields, ORDERS)?;
    Reply::ok(&TaskInstances {
        total_entries: found.len(),
        task_instances: cut.cut(found),
    })
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let filter = Filter::of(&call.fields, call.fields.texts("task_id")?)?;
    let runs = runs(call, &filter)?;
    page(call, &call.fields, &runs, &filter, Page::of(&call.fields)?)
}

fn list_mapped(call: &Call<'_>) -> Result<Reply, ApiError> {
    let task_id = call.task_id()?.to_string();
    let filter = Filter::of(&call.fields, vec![task_id])?;
    let run = call.app.run(&call.dag_id()?, &call.run_id()?)?;
    page(call, &call.fields, &[run], &filter, Page::of(&call.fields)?)
}

fn list_batch(call: &Call<'_>) -> Result<Reply, ApiError> {
    let fields = batch_fields(
        call,
        &[
            "dag_ids",
            "dag_run_ids",
            "task_ids",
            "state",
            "pool",
            "queue",
            "order_by",
            "page_limit",
            "page_offset",
            "duration_gte",
            "duration_gt",
            "duration_lte",
            "duration_lt",
        ],
    )?;
    let filter = Filter::of(&fields, fields.texts("task_ids")?)?;
    let (dag_ids, run_ids) = (fields.texts("dag_ids")?, fields.texts("dag_run_ids")?);
    let mut runs = runs(call, &filter)?;
    runs.retain(|run| {
        is_wanted(&dag_ids, run.dag_id.as_str()) && is_wanted(&run_ids, run.run_id.as_str())
    });
    let cut = Page::named(&fields, "page_limit", "page_offset")?;
    page(call, &fields, &runs, &filter, cut)
}

/// The task instance that a path names.
pub(super) fn named(
    call: &Call<'_>,
    inside: &RunInside,
    map_index: i32,
) -> Result<InstanceRow, ApiError> {
    let task_id = call.task_id()?;
    let mut of_task = inside
        .instances
        .iter()
        .filter(|one| one.row.task_id == task_id.as_str());
    let found = of_task.clone().find(|one| one.row.map_index == map_index);
    found.cloned().ok_or_else(|| {
        let run = &inside.run;
        let message = format!(
            "run {} of dag {} has no task instance {task_id} with map_index {map_index}",
            run.run_id, run.dag_id
        );
        let told = ApiError::missing(message);
        match (map_index, of_task.next()) {
            (super::UNMAPPED, Some(_)) => told.hint("the task is mapped: name a map_index"),
            _ => told,
        }
    })
}

/// The run that a path names, with all that is in it.
pub(super) fn inside(call: &Call<'_>) -> Result<RunInside, ApiError> {
    let (dag_id, run_id): (DagId, RunId) = (call.dag_id()?, call.run_id()?);
    Ok(call.app.run_inside(&dag_id, &run_id)?)
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let inside = inside(call)?;
    let instance = named(call, &inside, call.map_index()?)?;
    let shared = Shared::new(&inside, &mut Known::new(call.app))?;
    let ti = TaskInstanceKey {
        task: instance.task,
        map_index: instance.row.map_index,
    };
    let run = &inside.run;
    let fields = call.app.rendered_fields(&run.dag_id, &run.run_id, ti)?;
    Reply::ok(&TaskInstanceResponse {
        rendered_fields: fields.as_ref().and_then(object).unwrap_or_default(),
        ..shared.instance(&instance)
    })
}
