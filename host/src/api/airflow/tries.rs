//! The tries of a task instance, and why one does not run.

use super::dag_runs::{Known, seconds};
use super::task_instances::{Shared, inside, named};
use super::{About, ApiError, Call, JsonSchema, MAP_INDEX, Reply, Route};
use crate::app::Role::Viewer;
use crate::app::{AttemptEnd, AttemptFact, InstanceName, InstanceRow, RunInside};
use airlock_core::ids::TaskInstanceKey;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;

pub(super) const ROUTES: &[Route] = &[
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries",
        Viewer,
        list,
        About::new("List the tries of a task instance")
            .query(&[MAP_INDEX])
            .answers::<Tries>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries",
        Viewer,
        list,
        About::new("List the tries of a task instance of a mapped task").answers::<Tries>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/tries/{task_try_number}",
        Viewer,
        get,
        About::new("A try of a task instance")
            .query(&[MAP_INDEX])
            .answers::<Try>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/tries/{task_try_number}",
        Viewer,
        get,
        About::new("A try of a task instance of a mapped task").answers::<Try>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/dependencies",
        Viewer,
        dependencies,
        About::new("What keeps a task instance from running")
            .query(&[MAP_INDEX])
            .answers::<Dependencies>(),
    ),
    Route::airflow(
        "GET",
        "/api/v2/dags/{dag_id}/dagRuns/{dag_run_id}/taskInstances/{task_id}/{map_index}/dependencies",
        Viewer,
        dependencies,
        About::new("What keeps a task instance of a mapped task from running")
            .answers::<Dependencies>(),
    ),
];

/// A try of a task instance, with the fields of the task instance.
#[derive(Serialize, JsonSchema)]
struct Try {
    #[serde(flatten)]
    members: BTreeMap<String, Value>,
}

/// Tries of a task instance.
#[derive(Serialize, JsonSchema)]
struct Tries {
    task_instances: Vec<Try>,
    total_entries: usize,
}

/// The fields of a task instance that a try has too.
const SHARED: [&str; 19] = [
    "task_id",
    "dag_id",
    "dag_run_id",
    "map_index",
    "max_tries",
    "task_display_name",
    "dag_display_name",
    "hostname",
    "unixname",
    "pool",
    "pool_slots",
    "queue",
    "priority_weight",
    "operator",
    "operator_name",
    "pid",
    "executor",
    "executor_config",
    "dag_version",
];

struct Ends {
    start: Timestamp,
    end: Option<Timestamp>,
    state: Option<&'static str>,
}

/// Attempts of one task instance by try: a sensor has many, and a restart one more. The last try has the state of the task
/// instance, as in Airflow.
fn by_try(attempts: &[AttemptFact], instance: &InstanceRow) -> BTreeMap<u32, Ends> {
    let mut tries: BTreeMap<u32, Ends> = BTreeMap::new();
    for attempt in attempts {
        let state = attempt
            .end
            .as_ref()
            .map_or("running", AttemptEnd::as_airflow);
        let known = tries.entry(attempt.try_number).or_insert(Ends {
            start: attempt.start_date,
            end: None,
            state: None,
        });
        known.end = attempt.end_date;
        known.state = Some(state);
    }
    if let Some(last) = tries.get_mut(&instance.row.try_number) {
        last.state = Some(instance.row.state.as_str()).filter(|state| *state != "none");
    }
    tries
}

fn tries(call: &Call<'_>) -> Result<Vec<(u32, Try)>, ApiError> {
    let inside: RunInside = inside(call)?;
    let instance = named(call, &inside, call.map_index()?)?;
    let ti = TaskInstanceKey {
        task: instance.task,
        map_index: instance.row.map_index,
    };
    let mut attempts = call
        .app
        .attempt_facts(&inside.run.dag_id, &inside.run.run_id)?;
    attempts.retain(|attempt| attempt.ti == ti);
    let shared = Shared::new(&inside, &mut Known::new(call.app))?;
    let whole = serde_json::to_value(shared.instance(&instance));
    let whole = whole.map_err(|error| ApiError::internal(&error))?;
    let one = |(number, ends): (u32, Ends)| {
        let member = |name: &&str| {
            let value = whole.get(*name).cloned().unwrap_or_default();
            ((*name).to_owned(), value)
        };
        let mut members: BTreeMap<String, Value> = SHARED.iter().map(member).collect();
        let own = [
            ("try_number", Value::from(number)),
            ("state", Value::from(ends.state)),
            ("start_date", Value::from(ends.start.to_string())),
            (
                "end_date",
                Value::from(ends.end.as_ref().map(ToString::to_string)),
            ),
            ("duration", Value::from(seconds(Some(ends.start), ends.end))),
        ];
        members.extend(own.map(|(name, value)| (name.to_owned(), value)));
        (number, Try { members })
    };
    Ok(by_try(&attempts, &instance).into_iter().map(one).collect())
}

fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let tries: Vec<Try> = tries(call)?.into_iter().map(|(_, one)| one).collect();
    Reply::ok(&Tries {
        total_entries: tries.len(),
        task_instances: tries,
    })
}

fn get(call: &Call<'_>) -> Result<Reply, ApiError> {
    let wanted = call.fields.need_integer("task_try_number")?;
    let mut tries = tries(call)?.into_iter();
    let found = tries.find(|(number, _)| i64::from(*number) == wanted);
    let (_, found) =
        found.ok_or_else(|| ApiError::missing(format!("the task instance has no try {wanted}")))?;
    Reply::ok(&found)
}

/// A thing that keeps a task instance from running.
#[derive(Serialize, JsonSchema)]
struct Dependency {
    name: &'static str,
    reason: String,
    /// What to do.
    hint: String,
}

/// Everything that does.
#[derive(Serialize, JsonSchema)]
struct Dependencies {
    dependencies: Vec<Dependency>,
}

fn dependencies(call: &Call<'_>) -> Result<Reply, ApiError> {
    let inside = inside(call)?;
    let instance = named(call, &inside, call.map_index()?)?;
    let name = InstanceName {
        dag_id: inside.run.dag_id.clone(),
        run_id: inside.run.run_id.clone(),
        task_id: instance.row.task_id.clone(),
        map_index: instance.row.map_index,
    };
    let failed = call.wait(call.app.failed_deps(&name))?.into_iter();
    Reply::ok(&Dependencies {
        dependencies: failed
            .map(|dep| Dependency {
                name: dep.dep,
                reason: dep.reason,
                hint: dep.hint,
            })
            .collect(),
    })
}
