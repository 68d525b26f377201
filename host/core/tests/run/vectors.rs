//! Trigger rules, retry delays and priority weights against vectors.

use crate::support::*;
use airlock_core::dag::spec::{TriggerRule, WeightRule};
use airlock_core::run::priority::effective_weights;
use airlock_core::task_instance::retry;
use airlock_core::task_instance::state::TaskInstanceState;
use airlock_core::task_instance::trigger_rule::{Decision, UpstreamStates, decide};
use serde_json::Value;

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

#[test]
fn every_trigger_rule_vector_matches() {
    let mut seen = 0;
    for case in lines(include_str!("../../../../tests/oracle/trigger_rules.jsonl")) {
        let rule: TriggerRule = serde_json::from_value(case["rule"].clone()).unwrap();
        let setups: Vec<usize> = case
            .get("setup_index")
            .map(|list| serde_json::from_value(list.clone()).unwrap())
            .unwrap_or_default();
        let mut up = UpstreamStates::default();
        for (place, state) in case["upstream"].as_array().unwrap().iter().enumerate() {
            let state: TaskInstanceState = serde_json::from_value(state.clone()).unwrap();
            // By way of `none`, as the run does it.
            up.add(TaskInstanceState::None, setups.contains(&place));
            up.shift(TaskInstanceState::None, state, 1, setups.contains(&place));
        }
        let decision = match decide(rule, &up) {
            Decision::Wait => "wait",
            Decision::Run => "run",
            Decision::Skipped => "skipped",
            Decision::UpstreamFailed => "upstream_failed",
        };
        assert_eq!(case["result"], decision, "{case}");
        seen += 1;
    }
    assert_eq!(seen, 537);
}

#[test]
fn b3_every_retry_delay_is_airflows() {
    let mut seen = 0;
    for case in lines(include_str!("../../../../tests/oracle/retries.jsonl")) {
        let mut task = task(case["task_id"].as_str().unwrap(), &[]);
        task.retry_delay = seconds(case["retry_delay_s"].as_i64().unwrap());
        task.retry_exponential_backoff = case["multiplier"].as_f64().unwrap();
        task.max_retry_delay = case["max_retry_delay_s"].as_i64().map(seconds);
        let date = case["logical_date"].as_str().unwrap().parse().unwrap();
        let dag_id = case["dag_id"].as_str().unwrap();
        for (try_number, expected) in (1..).zip(case["delay_s_by_try"].as_array().unwrap()) {
            let delay = retry::delay(&task, dag_id, Some(date), try_number);
            assert_eq!(
                Some(delay.as_secs_f64()),
                expected.as_f64(),
                "try {try_number} of {case}"
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 12 * 8);
}

#[test]
fn absurd_retry_settings_stay_inside_the_limit() {
    let mut absurd = task("t", &[]);
    for factor in [1e300, f64::INFINITY, f64::NAN, -3.0, 0.001] {
        absurd.retry_exponential_backoff = factor;
        for try_number in [0, 1, 1_000, u32::MAX] {
            let delay = retry::delay(&absurd, "d", None, try_number);
            assert!(
                !delay.is_negative() && delay <= retry::RETRY_DELAY_MAX,
                "{factor} {try_number}"
            );
        }
    }
}

#[test]
fn priority_weights_add_up_by_rule_and_stay_in_32_bits() {
    // 0 -> 1 -> 3, 0 -> 2 -> 3: a diamond counts its end once.
    let mut tasks = vec![
        task("a", &[]),
        task("b", &[0]),
        task("c", &[0]),
        task("e", &[1, 2]),
    ];
    for (task, weight) in tasks.iter_mut().zip([1, 10, 100, 1000]) {
        task.priority_weight = weight;
    }
    assert_eq!(
        effective_weights(&dag_of(tasks.clone())),
        [1111, 1010, 1100, 1000]
    );
    for task in &mut tasks {
        task.weight_rule = WeightRule::Upstream;
    }
    assert_eq!(
        effective_weights(&dag_of(tasks.clone())),
        [1, 11, 101, 1111]
    );
    tasks[3].priority_weight = i32::MAX;
    tasks[2].weight_rule = WeightRule::Absolute;
    assert_eq!(effective_weights(&dag_of(tasks)), [1, 11, 100, i32::MAX]);
}
