use super::*;
use airlock_sdk::testing::Host;

const DATE: &str = "2026-01-05T02:00:00Z";
const EARLIER: &str = "2026-01-05T01:00:00Z";
const DONE: Result<Outcome, TaskError> = Ok(Outcome::Success(Value::Null));
const WAITS: Result<Outcome, TaskError> = Ok(Outcome::NotYet);

fn poke(host: &Host, more: Value) -> Result<Outcome, TaskError> {
    let mut config = json!({"external_dag_id": "daily"});
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    host.run::<external_task>(config)
}

fn refused(ended: &Result<Outcome, TaskError>, member: &str) {
    assert!(
        matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == member),
        "{ended:?}"
    );
}

#[test]
fn d8_it_waits_until_the_run_succeeded_and_a_failed_run_does_not_fail_it() {
    let host = Host::new();
    assert_eq!(poke(&host, json!({})), WAITS);
    for (state, expected) in [("running", WAITS), ("failed", WAITS), ("success", DONE)] {
        host.put_run_states("daily", DATE, &[state]);
        assert_eq!(poke(&host, json!({})), expected, "{state}");
    }
}

#[test]
fn d8_failed_beats_skipped_beats_allowed() {
    let host = Host::new();
    let config = json!({"external_task_ids": ["a", "b", "c"], "failed_states": ["failed"], "skipped_states": ["skipped"]});
    host.put_task_states("daily", "a", DATE, &["success"]);
    host.put_task_states("daily", "b", DATE, &["skipped"]);
    assert!(matches!(poke(&host, config.clone()), Ok(Outcome::Skip(_))));
    host.put_task_states("daily", "c", DATE, &["failed"]);
    assert!(matches!(poke(&host, config), Err(TaskError::Permanent(_))));
}

#[test]
fn d8_all_tasks_and_all_their_instances_must_be_done() {
    let host = Host::new();
    let config = json!({"external_task_ids": ["a", "b"]});
    host.put_task_states("daily", "a", DATE, &["success", "running"]);
    assert_eq!(poke(&host, config.clone()), WAITS);
    host.put_task_states("daily", "b", DATE, &["success"]);
    assert_eq!(poke(&host, config.clone()), WAITS);
    host.put_task_states("daily", "a", DATE, &["success", "success"]);
    assert_eq!(poke(&host, config), DONE);
}

#[test]
fn d8_a_task_group_is_done_when_all_its_tasks_are() {
    let host = Host::new();
    let config = json!({"external_task_group_id": "g", "failed_states": ["failed"]});
    assert_eq!(poke(&host, config.clone()), WAITS);
    host.put_group("daily", "g", &["g.a", "g.b"]);
    host.put_task_states("daily", "g.a", DATE, &["success"]);
    host.put_task_states("daily", "g.b", DATE, &["none"]);
    assert_eq!(poke(&host, config.clone()), WAITS);
    host.put_task_states("daily", "g.b", DATE, &["success", "success"]);
    assert_eq!(poke(&host, config.clone()), DONE);
    host.put_task_states("daily", "g.b", DATE, &["success", "failed"]);
    assert!(matches!(poke(&host, config), Err(TaskError::Permanent(_))));
}

#[test]
fn d8_dates_can_be_shifted_and_named_and_each_must_be_done() {
    let mut host = Host::new();
    host.put_run_states("daily", EARLIER, &["success"]);
    assert_eq!(poke(&host, json!({"execution_delta": "1h"})), DONE);
    let two = || json!({"logical_date": [EARLIER, DATE, EARLIER]});
    assert_eq!(poke(&host, two()), WAITS);
    host.put_run_states("daily", DATE, &["success"]);
    assert_eq!(poke(&host, two()), DONE);
    let tasks = || json!({"logical_date": [EARLIER, DATE], "external_task_id": "a"});
    host.put_task_states("daily", "a", DATE, &["success"]);
    assert_eq!(poke(&host, tasks()), WAITS);
    host.put_task_states("daily", "a", EARLIER, &["success"]);
    assert_eq!(poke(&host, tasks()), DONE);
    host.task.logical_date = None;
    refused(&poke(&host, json!({})), "logical_date");
    refused(&poke(&host, json!({"logical_date": []})), "logical_date");
    let both = json!({"logical_date": DATE, "execution_delta": "1h"});
    refused(&poke(&host, both), "execution_delta");
}

#[test]
fn d8_what_does_not_exist_fails_where_existence_is_checked() {
    let host = Host::new();
    host.only_these_exist(&["daily", "daily.a"]);
    let config =
        |task_id: &str, check: bool| json!({"external_task_id": task_id, "check_existence": check});
    assert_eq!(poke(&host, config("b", false)), WAITS);
    assert_eq!(poke(&host, config("a", true)), WAITS);
    let missing = poke(&host, config("b", true));
    assert!(matches!(missing, Err(TaskError::Permanent(text)) if text.contains("daily.b")));
}

#[test]
fn d8_states_that_cannot_be_or_mean_two_things_are_refused() {
    let host = Host::new();
    let config = json!({"allowed_states": ["skipped"]});
    refused(&poke(&host, config), "allowed_states");
    let config = json!({"failed_states": ["success"]});
    refused(&poke(&host, config), "failed_states");
    let config = json!({"external_task_id": "a", "external_task_group_id": "g"});
    refused(&poke(&host, config), "external_task_id");
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

#[test]
fn a_run_is_awaited_by_its_id() {
    let host = Host::new();
    let config = || json!({"dag_id": "child", "run_id": "r"});
    assert_eq!(host.run::<dag_run>(config()), WAITS);
    for (state, expected) in [("running", WAITS), ("success", DONE)] {
        host.put_dag_run("child", "r", state);
        assert_eq!(host.run::<dag_run>(config()), expected);
    }
    host.put_dag_run("child", "r", "failed");
    let failed = host.run::<dag_run>(config());
    assert!(matches!(failed, Err(TaskError::Permanent(_))));
}
