//! States of other DAGs' runs, for sensors.

use crate::CapabilityError;
use crate::sys::dag_state as host;
use crate::time::Timestamp;

/// The state, in Airflow's word, of each run of `dag_id` with exactly this logical date.
pub fn run_states(dag_id: &str, logical_date: Timestamp) -> Result<Vec<String>, CapabilityError> {
    host::run_states(dag_id, &logical_date.to_string())
}

/// The state of each instance of a task in the run with exactly this logical date.
pub fn task_states(
    dag_id: &str,
    task_id: &str,
    logical_date: Timestamp,
) -> Result<Vec<String>, CapabilityError> {
    host::task_states(dag_id, task_id, &logical_date.to_string())
}

pub use crate::bindings::airlock::operator::dag_state::StateCount;

/// For each of the logical dates, in their order, the state of its run. At most 1,000 dates.
pub fn run_states_of(
    dag_id: &str,
    logical_dates: &[Timestamp],
) -> Result<Vec<Option<String>>, CapabilityError> {
    host::run_states_of(dag_id, &texts(logical_dates))
}

/// States of tasks' instances, counted. At most 100 dates and 1,000 tasks.
pub fn task_state_counts(
    dag_id: &str,
    task_ids: &[String],
    logical_dates: &[Timestamp],
) -> Result<Vec<StateCount>, CapabilityError> {
    host::task_state_counts(dag_id, task_ids, &texts(logical_dates))
}

/// States of the instances of all tasks in a task group, counted.
pub fn group_state_counts(
    dag_id: &str,
    task_group_id: &str,
    logical_dates: &[Timestamp],
) -> Result<Vec<StateCount>, CapabilityError> {
    host::group_state_counts(dag_id, task_group_id, &texts(logical_dates))
}

/// `NotFound` names what the DAG's current version does not have, or the DAG.
pub fn check_existence(
    dag_id: &str,
    task_ids: &[String],
    task_group_id: Option<&str>,
) -> Result<(), CapabilityError> {
    host::check_existence(dag_id, task_ids, task_group_id)
}

fn texts(logical_dates: &[Timestamp]) -> Vec<String> {
    logical_dates.iter().map(ToString::to_string).collect()
}
