//! Waits for runs, tasks or task groups of another DAG with exactly the same logical date, or for one run by its id.

use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp};
use airlock_sdk::{dag_runs, dag_state};
use std::collections::BTreeSet;

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "Airflow's names")]
pub(crate) struct ExternalTask {
    /// The other DAG.
    external_dag_id: String,
    /// One of its tasks; neither this, nor several tasks, nor a task group: the whole run.
    external_task_id: Option<String>,
    /// Several of its tasks.
    #[serde(default)]
    external_task_ids: Vec<String>,
    /// All tasks of one of its task groups.
    external_task_group_id: Option<String>,
    /// States that end the wait.
    #[serde(default = "success")]
    allowed_states: Vec<String>,
    /// States that fail the sensor, or skip it under `soft_fail`. Empty: it waits on until its timeout.
    #[serde(default)]
    failed_states: Vec<String>,
    /// States that skip the sensor.
    #[serde(default)]
    skipped_states: Vec<String>,
    /// The other run's logical date is earlier by this.
    execution_delta: Option<Span>,
    /// The other run's logical date, or several; absent: the own one. Airflow's `execution_date_fn` as a template.
    logical_date: Option<Dates>,
    /// Whether the sensor fails where the DAG, a task or the task group does not exist.
    #[serde(default)]
    check_existence: bool,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Dates {
    One(Timestamp),
    Many(Vec<Timestamp>),
}

fn success() -> Vec<String> {
    vec!["success".into()]
}

fn failed() -> Vec<String> {
    vec!["failed".into()]
}

/// What is waited for at each date: a run, or each of these tasks.
enum Seen {
    Runs(Vec<Option<String>>),
    /// One entry for each date and task: the states of its instances.
    Tasks(Vec<BTreeSet<String>>),
}

impl Seen {
    fn find(&self, wanted: &[String]) -> Option<&String> {
        let is_wanted = |state: &&String| wanted.contains(state);
        match self {
            Self::Runs(states) => states.iter().flatten().find(is_wanted),
            Self::Tasks(tasks) => tasks.iter().flatten().find(is_wanted),
        }
    }

    /// Each date has its run, or all instances of its tasks, in an allowed state.
    fn all_in(&self, allowed: &[String]) -> bool {
        match self {
            Self::Runs(states) => states
                .iter()
                .all(|state| state.as_ref().is_some_and(|state| allowed.contains(state))),
            Self::Tasks(tasks) => {
                let done = |states: &BTreeSet<String>| {
                    !states.is_empty() && states.iter().all(|state| allowed.contains(state))
                };
                !tasks.is_empty() && tasks.iter().all(done)
            }
        }
    }
}

/// Waits for a run, tasks or a task group of another DAG with the same logical date.
#[operator(sensor)]
pub(crate) fn external_task(config: ExternalTask, task: &Task) -> Result<Outcome, TaskError> {
    let task_ids = task_ids(&config)?;
    check_states(&config, &task_ids)?;
    let dates = dates(&config, task)?;
    if config.check_existence {
        let group = config.external_task_group_id.as_deref();
        dag_state::check_existence(&config.external_dag_id, &task_ids, group)?;
    }
    let seen = look(&config, &task_ids, &dates)?;
    // Failed beats skipped beats allowed, in one poke.
    let dag_id = &config.external_dag_id;
    if let Some(state) = seen.find(&config.failed_states) {
        return Err(TaskError::permanent(format!("{dag_id} ended in `{state}`")));
    }
    if let Some(state) = seen.find(&config.skipped_states) {
        return Ok(Outcome::Skip(format!("{dag_id} ended in `{state}`")));
    }
    if seen.all_in(&config.allowed_states) {
        info!("{dag_id} is done");
        return Ok(Outcome::Success(Value::Null));
    }
    Ok(Outcome::NotYet)
}

fn task_ids(config: &ExternalTask) -> Result<Vec<String>, TaskError> {
    let named = [
        config.external_task_id.is_some(),
        !config.external_task_ids.is_empty(),
        config.external_task_group_id.is_some(),
    ];
    if named.into_iter().filter(|named| *named).count() > 1 {
        return Err(TaskError::invalid(
            "external_task_id",
            "give one of external_task_id, external_task_ids and external_task_group_id",
        ));
    }
    let mut task_ids = config.external_task_ids.clone();
    task_ids.extend(config.external_task_id.clone());
    let unique: BTreeSet<&String> = task_ids.iter().collect();
    if unique.len() < task_ids.len() {
        return Err(TaskError::invalid(
            "external_task_ids",
            "a task is there twice",
        ));
    }
    Ok(task_ids)
}

const RUN_STATES: [&str; 4] = ["queued", "running", "success", "failed"];

/// A state in two lists would have two meanings, and one that cannot be would wait for ever.
fn check_states(config: &ExternalTask, task_ids: &[String]) -> Result<(), TaskError> {
    let lists = [
        ("allowed_states", &config.allowed_states),
        ("skipped_states", &config.skipped_states),
        ("failed_states", &config.failed_states),
    ];
    let of_runs = task_ids.is_empty() && config.external_task_group_id.is_none();
    let mut known = BTreeSet::new();
    for (field, states) in lists {
        for state in states {
            if of_runs && !RUN_STATES.contains(&state.as_str()) {
                let states = RUN_STATES.join(", ");
                return Err(TaskError::invalid(
                    field,
                    format!("`{state}` is no state of a run: there are {states}"),
                ));
            }
            if !known.insert(state) {
                return Err(TaskError::invalid(
                    field,
                    format!("`{state}` is in more than one list of states"),
                ));
            }
        }
    }
    Ok(())
}

fn dates(config: &ExternalTask, task: &Task) -> Result<Vec<Timestamp>, TaskError> {
    if config.execution_delta.is_some() && config.logical_date.is_some() {
        return Err(TaskError::invalid(
            "execution_delta",
            "give either execution_delta or logical_date",
        ));
    }
    let own = || {
        task.logical_date.ok_or_else(|| {
            TaskError::invalid("logical_date", "this run has none of its own: name one")
        })
    };
    let mut dates = match (&config.logical_date, config.execution_delta) {
        (Some(Dates::One(date)), _) => vec![*date],
        (Some(Dates::Many(dates)), _) => dates.clone(),
        (None, Some(Span(delta))) => vec![own()?.minus(delta)?],
        (None, None) => vec![own()?],
    };
    if dates.is_empty() {
        return Err(TaskError::invalid(
            "logical_date",
            "an empty list waits for nothing",
        ));
    }
    dates.sort_unstable();
    dates.dedup();
    Ok(dates)
}

fn look(
    config: &ExternalTask,
    task_ids: &[String],
    dates: &[Timestamp],
) -> Result<Seen, TaskError> {
    let dag_id = &config.external_dag_id;
    let counts = match &config.external_task_group_id {
        Some(group_id) => dag_state::group_state_counts(dag_id, group_id, dates)?,
        None if task_ids.is_empty() => {
            return Ok(Seen::Runs(dag_state::run_states_of(dag_id, dates)?));
        }
        None => dag_state::task_state_counts(dag_id, task_ids, dates)?,
    };
    let mut wanted: BTreeSet<&str> = task_ids.iter().map(String::as_str).collect();
    // Of a group the run says which tasks it has; a date whose run is not there has none and is not done.
    wanted.extend(counts.iter().map(|count| count.task_id.as_str()));
    let mut tasks = Vec::new();
    for date in dates.iter().map(ToString::to_string) {
        let at_date = counts.iter().filter(|count| count.logical_date == date);
        let mut all: Vec<BTreeSet<String>> = Vec::new();
        for task_id in &wanted {
            let of_task = at_date.clone().filter(|count| count.task_id == *task_id);
            all.push(of_task.map(|count| count.state.clone()).collect());
        }
        if all.is_empty() {
            all.push(BTreeSet::new());
        }
        tasks.extend(all);
    }
    Ok(Seen::Tasks(tasks))
}

/// Which run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DagRun {
    /// The run's DAG.
    dag_id: String,
    /// The run's id, for example what `trigger_dag_run` yields.
    run_id: String,
    /// States that end the wait.
    #[serde(default = "success")]
    allowed_states: Vec<String>,
    /// States that fail the sensor.
    #[serde(default = "failed")]
    failed_states: Vec<String>,
}

/// Waits for a run, by its id, to reach a state.
#[operator(sensor)]
pub(crate) fn dag_run(config: DagRun) -> Result<Outcome, TaskError> {
    let Some(state) = dag_runs::state(&config.dag_id, &config.run_id)? else {
        return Ok(Outcome::NotYet);
    };
    if config.failed_states.contains(&state) {
        return Err(TaskError::permanent(format!(
            "run {} of {} ended in `{state}`",
            config.run_id, config.dag_id
        )));
    }
    if config.allowed_states.contains(&state) {
        return Ok(Outcome::Success(Value::Null));
    }
    Ok(Outcome::NotYet)
}

#[cfg(test)]
#[path = "dags_tests.rs"]
mod tests;
