//! Waits for runs or tasks of another DAG with exactly the same logical date.

use airlock_sdk::dag_state;
use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp};

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "Airflow's names")]
pub(crate) struct ExternalTask {
    /// The other DAG.
    external_dag_id: String,
    /// One of its tasks; absent: the whole run.
    external_task_id: Option<String>,
    /// Several of its tasks.
    #[serde(default)]
    external_task_ids: Vec<String>,
    /// States that end the wait.
    #[serde(default = "success")]
    allowed_states: Vec<String>,
    /// States that fail the sensor. Empty: it waits on until its timeout.
    #[serde(default)]
    failed_states: Vec<String>,
    /// States that skip the sensor.
    #[serde(default)]
    skipped_states: Vec<String>,
    /// The other run's logical date is earlier by this.
    execution_delta: Option<Span>,
    /// The other run's logical date, or several; absent: the own one.
    logical_date: Option<Dates>,
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

/// Waits for a run, or for tasks, of another DAG with the same logical date.
#[operator(sensor)]
pub(crate) fn external_task(config: ExternalTask, task: &Task) -> Result<Outcome, TaskError> {
    let mut seen = Vec::new();
    for date in dates(&config, task)? {
        seen.extend(states(&config, date)?);
    }
    // Failed beats skipped beats allowed, in one poke.
    let any = |wanted: &[String]| seen.iter().flatten().find(|state| wanted.contains(state));
    if let Some(state) = any(&config.failed_states) {
        return Err(TaskError::permanent(format!(
            "{} ended in `{state}`",
            config.external_dag_id
        )));
    }
    if let Some(state) = any(&config.skipped_states) {
        return Ok(Outcome::Skip(format!(
            "{} ended in `{state}`",
            config.external_dag_id
        )));
    }
    let allowed = |states: &Vec<String>| {
        !states.is_empty()
            && states
                .iter()
                .all(|state| config.allowed_states.contains(state))
    };
    if seen.iter().all(allowed) {
        info!("{} is done", config.external_dag_id);
        return Ok(Outcome::Success(Value::Null));
    }
    Ok(Outcome::NotYet)
}

fn dates(config: &ExternalTask, task: &Task) -> Result<Vec<Timestamp>, TaskError> {
    let dates = match &config.logical_date {
        Some(Dates::One(date)) => vec![*date],
        Some(Dates::Many(dates)) if dates.is_empty() => {
            return Err(TaskError::invalid(
                "logical_date",
                "an empty list waits for nothing",
            ));
        }
        Some(Dates::Many(dates)) => dates.clone(),
        None => vec![task.logical_date.ok_or_else(|| {
            TaskError::invalid("logical_date", "this run has none of its own: name one")
        })?],
    };
    let Some(Span(delta)) = config.execution_delta else {
        return Ok(dates);
    };
    let earlier = dates.into_iter().map(|date| date.minus(delta));
    Ok(earlier.collect::<Result<_, _>>()?)
}

/// The states seen at one date: one list for the run, or one for each task.
fn states(config: &ExternalTask, date: Timestamp) -> Result<Vec<Vec<String>>, TaskError> {
    let dag_id = &config.external_dag_id;
    let mut task_ids: Vec<&String> = config.external_task_ids.iter().collect();
    task_ids.extend(&config.external_task_id);
    if task_ids.is_empty() {
        return Ok(vec![dag_state::run_states(dag_id, date)?]);
    }
    let all = task_ids
        .into_iter()
        .map(|task_id| dag_state::task_states(dag_id, task_id, date));
    Ok(all.collect::<Result<_, _>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::Host;

    const DATE: &str = "2026-01-05T02:00:00Z";
    const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));

    fn poke(host: &Host, more: Value) -> Result<Outcome, TaskError> {
        let mut config = json!({"external_dag_id": "daily"});
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        host.run::<external_task>(config)
    }

    #[test]
    fn it_waits_until_the_run_succeeded() {
        let host = Host::new();
        assert_eq!(poke(&host, json!({})), Ok(Outcome::NotYet));
        for (state, expected) in [
            ("running", Ok(Outcome::NotYet)),
            ("failed", Ok(Outcome::NotYet)),
            ("success", DONE),
        ] {
            host.put_run_states("daily", DATE, &[state]);
            assert_eq!(poke(&host, json!({})), expected, "{state}");
        }
    }

    #[test]
    fn failed_beats_skipped_beats_allowed() {
        let host = Host::new();
        let config = json!({"external_task_ids": ["a", "b", "c"], "failed_states": ["failed"], "skipped_states": ["skipped"]});
        host.put_task_states("daily", "a", DATE, &["success"]);
        host.put_task_states("daily", "b", DATE, &["skipped"]);
        assert!(matches!(poke(&host, config.clone()), Ok(Outcome::Skip(_))));
        host.put_task_states("daily", "c", DATE, &["failed"]);
        assert!(matches!(poke(&host, config), Err(TaskError::Permanent(_))));
    }

    #[test]
    fn all_tasks_and_all_their_instances_must_be_done() {
        let host = Host::new();
        let config = json!({"external_task_id": "a", "external_task_ids": ["b"]});
        host.put_task_states("daily", "a", DATE, &["success", "running"]);
        host.put_task_states("daily", "b", DATE, &["success"]);
        assert_eq!(poke(&host, config.clone()), Ok(Outcome::NotYet));
        host.put_task_states("daily", "a", DATE, &["success", "success"]);
        assert_eq!(poke(&host, config), DONE);
    }

    #[test]
    fn dates_can_be_shifted_and_named() {
        let mut host = Host::new();
        host.put_run_states("daily", "2026-01-05T01:00:00Z", &["success"]);
        assert_eq!(poke(&host, json!({"execution_delta": "1h"})), DONE);
        let two = json!({"logical_date": ["2026-01-05T01:00:00Z", DATE]});
        assert_eq!(poke(&host, two), Ok(Outcome::NotYet));
        host.task.logical_date = None;
        let ended = poke(&host, json!({}));
        assert!(
            matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == "logical_date")
        );
    }

    #[test]
    fn a_denied_dag_is_permanent() {
        let host = Host::new();
        host.deny("dag_state");
        assert!(matches!(
            poke(&host, json!({})),
            Err(TaskError::Permanent(_))
        ));
    }
}
