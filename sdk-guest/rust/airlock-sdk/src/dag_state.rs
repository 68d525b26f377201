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
