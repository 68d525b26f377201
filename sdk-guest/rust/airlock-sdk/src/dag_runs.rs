//! Runs that a task makes, of its own or another DAG. Needs the grant `trigger_dags`.

use crate::CapabilityError;
pub use crate::bindings::airlock::operator::dag_runs::{TriggerRequest, Triggered};
use crate::sys::dag_runs as host;

/// Records a run durably. Without a run id the run is named after the task instance, so that a retry finds it again instead of
/// making a second.
pub fn trigger(request: &TriggerRequest) -> Result<Triggered, CapabilityError> {
    host::trigger(request)
}

/// The run's state in Airflow's word; none where there is no such run.
pub fn state(dag_id: &str, run_id: &str) -> Result<Option<String>, CapabilityError> {
    host::state(dag_id, run_id)
}
