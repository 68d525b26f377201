//! Sensors, branches by the calendar, triggered runs and questions to a person through the whole program: DAG, grants, sandbox,
//! scheduler.

use airlock_tests::{Airlock, Done};
use serde_json::{Value, json};

/// No run may take longer.
const RUN_SECONDS_MAX: u32 = 60;

/// Plays a DAG on the data folder.
fn play(airlock: &Airlock, dag: &Value, more: &[&str]) -> Done {
    let name = format!("{}.yaml", dag["dag_id"].as_str().unwrap());
    let path = airlock.file(&name, &dag.to_string());
    let data = airlock.data();
    let mut arguments = vec!["dags", "test", path.to_str().unwrap(), "--json"];
    arguments.extend(["--data", data.to_str().unwrap()]);
    arguments.extend(more);
    airlock.run_within(RUN_SECONDS_MAX, &arguments)
}

fn state<'a>(answer: &'a Value, task_id: &str) -> &'a str {
    let rows = answer["task_instances"].as_array().unwrap();
    let row = rows.iter().find(|row| row["task_id"] == task_id).unwrap();
    row["state"].as_str().unwrap()
}

fn error(answer: &Value, task_id: &str) -> String {
    let rows = answer["task_instances"].as_array().unwrap();
    let row = rows.iter().find(|row| row["task_id"] == task_id).unwrap();
    row["error"].as_str().unwrap_or_default().to_owned()
}

fn states(done: &Done, expected: &[(&str, &str)]) {
    let answer = done.json();
    for (task_id, expected) in expected {
        assert_eq!(
            state(&answer, task_id),
            *expected,
            "{task_id}: {answer}\n{}",
            done.stderr
        );
    }
}

fn child() -> Value {
    json!({
        "dag_id": "child", "params": {"n": {"type": "integer", "default": 1}},
        "tasks": [{"task_id": "work", "operator": "probe", "config": {"value": "{{ params.n }}"}}],
    })
}

fn trigger(config: &Value, grants: &Value) -> Value {
    let mut whole =
        json!({"trigger_dag_id": "child", "wait_for_completion": true, "poke_interval": "200ms"});
    whole
        .as_object_mut()
        .unwrap()
        .extend(config.as_object().unwrap().clone());
    json!({
        "dag_id": "parent", "grants": grants,
        "tasks": [{"task_id": "start", "operator": "trigger_dag_run", "config": whole}],
    })
}

#[test]
fn h6_a_task_triggers_a_run_and_waits_for_its_end() {
    let airlock = Airlock::new();
    assert_eq!(play(&airlock, &child(), &[]).code, 0);
    let granted = json!({"trigger_dags": ["child"]});
    let conf = json!({"conf": {"n": 7}, "trigger_run_id": "made_by_parent"});
    let done = play(&airlock, &trigger(&conf, &granted), &[]);
    states(&done, &[("start", "success")]);
    let data = airlock.data();
    let shown = airlock.run(&["runs", "list", "child", "--json"]);
    assert!(
        shown.stdout.contains("made_by_parent"),
        "{} {}",
        shown.stdout,
        data.display()
    );
    // Another run of the parent meets a run that it did not make.
    let again = play(&airlock, &trigger(&conf, &granted), &[]);
    states(&again, &[("start", "failed")]);
    assert!(error(&again.json(), "start").contains("made_by_parent already"));
    let skips = json!({"trigger_run_id": "made_by_parent", "skip_when_already_exists": true});
    let skipped = play(&airlock, &trigger(&skips, &granted), &[]);
    states(&skipped, &[("start", "skipped")]);
    let resets = json!({"trigger_run_id": "made_by_parent", "reset_dag_run": true});
    let reset = play(&airlock, &trigger(&resets, &granted), &[]);
    states(&reset, &[("start", "success")]);
}

#[test]
fn h6_without_the_grant_nothing_is_triggered_and_the_error_names_it() {
    let airlock = Airlock::new();
    assert_eq!(play(&airlock, &child(), &[]).code, 0);
    for grants in [json!({}), json!({"trigger_dags": ["other"]})] {
        let done = play(&airlock, &trigger(&json!({}), &grants), &[]);
        states(&done, &[("start", "failed")]);
        let error = error(&done.json(), "start");
        assert!(error.contains("trigger_dags"), "{error}");
    }
    let shown = airlock.run(&["runs", "list", "child", "--json"]);
    assert_eq!(shown.json().as_array().map_or(0, Vec::len), 1);
}

#[test]
fn h6_a_conf_that_does_not_fit_and_a_dag_that_is_not_there_are_told() {
    let airlock = Airlock::new();
    assert_eq!(play(&airlock, &child(), &[]).code, 0);
    let any = || json!({"trigger_dags": ["*"]});
    let wrong = play(
        &airlock,
        &trigger(&json!({"conf": {"n": "x"}}), &any()),
        &[],
    );
    let told = error(&wrong.json(), "start");
    assert!(told.contains("does not fit"), "{told}");
    let missing = trigger(&json!({"trigger_dag_id": "nobody"}), &any());
    let told = error(&play(&airlock, &missing, &[]).json(), "start");
    assert!(told.contains("no DAG is called"), "{told}");
}

#[test]
fn c6_calendar_and_condition_choose_what_goes_on() {
    let airlock = Airlock::new();
    let dag = json!({
        "dag_id": "calendar", "timezone": "Europe/London",
        "tasks": [
            {"task_id": "latest", "operator": "branch.latest_only"},
            {"task_id": "after_latest", "operator": "probe", "depends_on": ["latest"]},
            {"task_id": "day", "operator": "branch.branch_day_of_week", "config": {
                "week_day": "Monday", "use_task_logical_date": true,
                "follow_task_ids_if_true": "monday", "follow_task_ids_if_false": "other_day"}},
            {"task_id": "monday", "operator": "probe", "depends_on": ["day"]},
            {"task_id": "other_day", "operator": "probe", "depends_on": ["day"]},
            {"task_id": "hour", "operator": "branch.branch_datetime", "config": {
                "target_lower": "22:00", "target_upper": "01:00", "use_task_logical_date": true,
                "follow_task_ids_if_true": "night", "follow_task_ids_if_false": "daytime"}},
            {"task_id": "night", "operator": "probe", "depends_on": ["hour"]},
            {"task_id": "daytime", "operator": "probe", "depends_on": ["hour"]},
            {"task_id": "skipped", "operator": "branch.skip_if", "config": {"condition": "{{ 1 == 1 }}"}},
            {"task_id": "ran", "operator": "branch.run_if", "config": {"condition": "{{ 1 == 1 }}"}},
        ],
    });
    let done = play(&airlock, &dag, &["--logical-date", "2026-01-05T22:30:00Z"]);
    states(
        &done,
        &[
            ("after_latest", "success"),
            ("monday", "success"),
            ("other_day", "skipped"),
            ("night", "success"),
            ("daytime", "skipped"),
            ("skipped", "skipped"),
            ("ran", "success"),
        ],
    );
}

#[test]
fn d9_times_that_have_passed_are_waited_for_no_more_in_both_modes() {
    let airlock = Airlock::new();
    let task = |task_id: &str, operator: &str, mode: &str, config: Value| json!({"task_id": task_id, "operator": operator, "mode": mode, "config": config});
    let dag = json!({
        "dag_id": "times",
        "tasks": [
            task("a", "sensors.datetime", "poke", json!({"target_time": "2026-01-05"})),
            task("b", "sensors.time", "reschedule", json!({"target_time": "00:00"})),
            task("c", "sensors.time_delta", "poke", json!({"delta": "1h"})),
            task("d", "sensors.day_of_week", "reschedule", json!({"week_day": [1, 2, 3, 4, 5, 6, 7]})),
        ],
    });
    let done = play(&airlock, &dag, &["--logical-date", "2026-01-05"]);
    states(
        &done,
        &["a", "b", "c", "d"].map(|task_id| (task_id, "success")),
    );
}

#[test]
fn d8_another_dags_run_and_task_are_awaited_at_the_same_date() {
    let airlock = Airlock::new();
    let date = ["--logical-date", "2026-01-05"];
    assert_eq!(play(&airlock, &child(), &date).code, 0);
    let task = |task_id: &str, config: Value| {
        let mut whole = json!({"external_dag_id": "child"});
        whole
            .as_object_mut()
            .unwrap()
            .extend(config.as_object().unwrap().clone());
        json!({
            "task_id": task_id, "operator": "sensors.external_task", "config": whole,
            "poke_interval": "100ms", "timeout": "300ms", "mode": "reschedule",
        })
    };
    let dag = json!({
        "dag_id": "waiter", "grants": {"dag_state": ["child"]},
        "tasks": [
            task("run", json!({})),
            task("task", json!({"external_task_id": "work", "check_existence": true})),
            task("templated", json!({"logical_date": "{{ [ds, ds] }}"})),
            task("skips", json!({"skipped_states": ["success"], "allowed_states": ["failed"]})),
            task("fails", json!({"failed_states": ["success"], "allowed_states": []})),
            task("nothing_there", json!({"external_task_id": "nobody", "check_existence": true})),
            task("other_date", json!({"execution_delta": "1h"})),
        ],
    });
    let done = play(&airlock, &dag, &date);
    states(
        &done,
        &[
            ("run", "success"),
            ("task", "success"),
            ("templated", "success"),
            ("skips", "skipped"),
            ("fails", "failed"),
            ("nothing_there", "failed"),
            ("other_date", "failed"),
        ],
    );
    let told = error(&done.json(), "nothing_there");
    assert!(told.contains("dag child has no task nobody"), "{told}");
}

#[test]
fn h8_a_question_that_nobody_answers_takes_its_defaults_or_fails() {
    let airlock = Airlock::new();
    let task = |task_id: &str, operator: &str, config: Value| json!({"task_id": task_id, "operator": operator, "config": config});
    let dag = json!({
        "dag_id": "asks",
        "tasks": [
            task("approved", "human.approval", json!({"subject": "s", "timeout": "200ms", "defaults": "Approve"})),
            task("unanswered", "human.approval", json!({"subject": "s", "timeout": "200ms"})),
            task("where", "human.branch", json!({
                "subject": "s", "timeout": "200ms", "options": ["left", "right"], "defaults": "left"})),
            {"task_id": "left", "operator": "probe", "depends_on": ["where"]},
            {"task_id": "right", "operator": "probe", "depends_on": ["where"]},
        ],
    });
    let done = play(&airlock, &dag, &[]);
    states(
        &done,
        &[
            ("approved", "success"),
            ("unanswered", "failed"),
            ("left", "success"),
            ("right", "skipped"),
        ],
    );
    let told = error(&done.json(), "unanswered");
    assert!(told.contains("nobody answered"), "{told}");
}
