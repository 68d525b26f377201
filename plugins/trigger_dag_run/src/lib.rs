//! Triggers a run of a DAG and, where it is asked to, waits for its end without holding a slot. Which DAGs it may trigger is the
//! grant's to say; that a retry makes no second run is the host's promise.

use airlock_sdk::CapabilityError;
use airlock_sdk::dag_runs::{self, TriggerRequest};
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp, now};
use airlock_sdk::xcom;
use serde_json::Map;

/// Airflow's XCom key for the run that was triggered.
const RUN_ID_KEY: &str = "trigger_run_id";

/// Which run to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TriggerDagRun {
    /// The DAG. Needs it in the grant `trigger_dags`.
    trigger_dag_id: String,
    /// The run's id; absent: one made from this task instance, so that a retry finds its run again.
    trigger_run_id: Option<String>,
    /// The run's conf.
    #[serde(default)]
    conf: Map<String, Value>,
    /// The run's logical date; absent: none.
    logical_date: Option<Timestamp>,
    /// Whether a run that is there already is cleared and runs again.
    #[serde(default)]
    reset_dag_run: bool,
    /// Whether to be skipped where the run is there already.
    #[serde(default)]
    skip_when_already_exists: bool,
    /// Whether to wait until the run has ended.
    #[serde(default)]
    wait_for_completion: bool,
    /// Time between two looks at the run.
    #[serde(default = "minute")]
    poke_interval: Span,
    /// States that end the wait well.
    #[serde(default = "success")]
    allowed_states: Vec<String>,
    /// States that fail the task.
    #[serde(default = "failed")]
    failed_states: Vec<String>,
}

fn minute() -> Span {
    Span(std::time::Duration::from_mins(1))
}

fn success() -> Vec<String> {
    vec!["success".into()]
}

fn failed() -> Vec<String> {
    vec!["failed".into()]
}

/// Triggers a run of a DAG, and waits for its end where asked to.
#[operator]
fn trigger_dag_run(config: TriggerDagRun, task: &Task) -> Result<Outcome, TaskError> {
    let known = config.allowed_states.iter().chain(&config.failed_states);
    for state in known {
        if !["queued", "running", "success", "failed"].contains(&state.as_str()) {
            return Err(TaskError::invalid(
                "allowed_states",
                format!("`{state}` is no state of a run: write queued, running, success or failed"),
            ));
        }
    }
    // After a deferral the run is there: it must be neither made nor reset again.
    let mine = xcom::pull_mapped::<String>(&task.task_id, RUN_ID_KEY, task.map_index)?;
    let run_id = match mine {
        Some(run_id) => run_id,
        None => match trigger(&config)? {
            Some(run_id) => run_id,
            None => {
                let dag_id = &config.trigger_dag_id;
                return Ok(Outcome::Skip(format!("{dag_id} has this run already")));
            }
        },
    };
    if !config.wait_for_completion {
        return Ok(Outcome::Success(json!(run_id)));
    }
    wait(&config, &run_id)
}

/// The run's id, or none where the run is there already and the task is to be skipped then.
fn trigger(config: &TriggerDagRun) -> Result<Option<String>, TaskError> {
    let triggered = dag_runs::trigger(&TriggerRequest {
        dag_id: config.trigger_dag_id.clone(),
        conf: Value::Object(config.conf.clone()).to_string(),
        logical_date: config.logical_date.map(|date| date.to_string()),
        run_id: config.trigger_run_id.clone(),
        reset_dag_run: config.reset_dag_run,
    });
    match triggered {
        Ok(triggered) => {
            info!("Run {} of {}", triggered.run_id, config.trigger_dag_id);
            xcom::push(RUN_ID_KEY, &triggered.run_id)?;
            Ok(Some(triggered.run_id))
        }
        Err(CapabilityError::Conflict(_)) if config.skip_when_already_exists => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn wait(config: &TriggerDagRun, run_id: &str) -> Result<Outcome, TaskError> {
    let dag_id = &config.trigger_dag_id;
    let Some(state) = dag_runs::state(dag_id, run_id)? else {
        return Err(TaskError::permanent(format!(
            "run {run_id} of {dag_id} is not there any more"
        )));
    };
    if config.failed_states.contains(&state) {
        let message = format!("run {run_id} of {dag_id} ended in `{state}`");
        // A further try would find the same run in the same state, unless it runs it again.
        return Err(if config.reset_dag_run {
            TaskError::Transient(message)
        } else {
            TaskError::Permanent(message)
        });
    }
    if config.allowed_states.contains(&state) {
        return Ok(Outcome::Success(json!(run_id)));
    }
    Ok(Outcome::Defer(now()?.plus(config.poke_interval.0)?))
}

airlock_sdk::plugin!(operators: [trigger_dag_run]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    fn run(host: &Host, more: Value) -> Result<Outcome, TaskError> {
        let mut config = json!({"trigger_dag_id": "child"});
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        host.run::<trigger_dag_run>(config)
    }

    #[test]
    fn h6_it_triggers_with_conf_and_date_and_yields_the_run_id() {
        let host = Host::new();
        let config = json!({"conf": {"a": 1}, "logical_date": "2026-01-05", "trigger_run_id": "r"});
        assert_eq!(run(&host, config), Ok(Outcome::Success(json!("r"))));
        let triggered = host.triggered();
        let request = triggered.first().unwrap();
        assert_eq!(request.conf, r#"{"a":1}"#);
        assert_eq!(
            request.logical_date.as_deref(),
            Some("2026-01-05T00:00:00Z")
        );
        assert_eq!(host.pushed(RUN_ID_KEY), Some(json!("r")));
    }

    #[test]
    fn h6_it_defers_until_the_run_has_ended_and_triggers_once() {
        let host = Host::new();
        let config = || json!({"trigger_run_id": "r", "wait_for_completion": true, "poke_interval": "10s", "reset_dag_run": true});
        let next: Timestamp = "2026-01-05T02:00:10Z".parse().unwrap();
        assert_eq!(run(&host, config()), Ok(Outcome::Defer(next)));
        host.put_dag_run("child", "r", "running");
        host.set_now(next);
        assert!(matches!(run(&host, config()), Ok(Outcome::Defer(_))));
        host.put_dag_run("child", "r", "success");
        assert_eq!(run(&host, config()), Ok(Outcome::Success(json!("r"))));
        assert_eq!(host.triggered().len(), 1);
    }

    #[test]
    fn h6_failed_states_fail_and_allowed_states_may_hold_failed() {
        let host = Host::new();
        let waiting = json!({"wait_for_completion": true});
        run(&host, waiting.clone()).unwrap();
        let made = host.pushed(RUN_ID_KEY).unwrap();
        host.put_dag_run("child", made.as_str().unwrap(), "failed");
        assert!(matches!(run(&host, waiting), Err(TaskError::Permanent(_))));
        let all = json!({"wait_for_completion": true, "allowed_states": ["failed", "success"], "failed_states": []});
        assert_eq!(run(&host, all), Ok(Outcome::Success(made)));
        let wrong = json!({"allowed_states": ["skipped"]});
        assert!(matches!(
            run(&host, wrong),
            Err(TaskError::InvalidInput { .. })
        ));
    }

    #[test]
    fn h6_a_run_that_exists_fails_skips_or_is_reset() {
        let host = Host::new();
        host.put_dag_run("child", "r", "success");
        let refused = run(&host, json!({"trigger_run_id": "r"}));
        assert!(matches!(refused, Err(TaskError::Permanent(_))));
        let skipped = run(
            &host,
            json!({"trigger_run_id": "r", "skip_when_already_exists": true}),
        );
        assert!(matches!(skipped, Ok(Outcome::Skip(_))));
        let reset = run(&host, json!({"trigger_run_id": "r", "reset_dag_run": true}));
        assert_eq!(reset, Ok(Outcome::Success(json!("r"))));
    }

    #[test]
    fn h6_a_denial_is_permanent() {
        let host = Host::new();
        host.deny("dag_runs");
        assert!(matches!(
            run(&host, json!({})),
            Err(TaskError::Permanent(_))
        ));
    }
}
