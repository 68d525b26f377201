//! 150 random DAGs that Airflow ran: the final state of the run and of every task instance must be the same, in every
//! order of completion and of the task list.

use crate::support::*;
use airlock_core::dag::spec::{Dag, Expand, ExpandSource, Task};
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use serde_json::Value;
use std::collections::BTreeSet;

const ORDERS: u64 = 40;

fn cases() -> Vec<Value> {
    let text = include_str!("../../../../tests/oracle/dag_runs.jsonl");
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The DAG of a case, with its tasks rotated by `turn` places and perhaps reversed: results must not depend on the order
/// of the list.
fn build(case: &Value, turn: usize) -> (Dag, Vec<Value>) {
    let mut specs = case["tasks"].as_array().unwrap().clone();
    let count = specs.len();
    specs.rotate_left(turn / 2 % count);
    if turn % 2 == 1 {
        specs.reverse();
    }
    let place = |id: &Value| {
        specs
            .iter()
            .position(|spec| spec["task_id"] == *id)
            .unwrap()
    };
    let tasks = specs
        .iter()
        .map(|spec| {
            let mut upstream: Vec<u32> = spec["depends_on"]
                .as_array()
                .unwrap()
                .iter()
                .map(|id| u32::try_from(place(id)).unwrap())
                .collect();
            upstream.sort_unstable();
            let values = spec["do"]
                .get("map")
                .map(|list| list.as_array().unwrap().clone());
            Task {
                trigger_rule: serde_json::from_value(spec["trigger_rule"].clone()).unwrap(),
                expand: values.map(|values| {
                    Expand::Product(vec![("result".to_owned(), ExpandSource::Literal(values))])
                }),
                ..task(spec["task_id"].as_str().unwrap(), &upstream)
            }
        })
        .collect();
    (
        dag_of(tasks),
        specs.iter().map(|spec| spec["do"].clone()).collect(),
    )
}

fn outcome(behaviour: &Value, map_index: i32) -> Outcome {
    let result = |word: &Value| match word.as_str().unwrap() {
        "success" => ok(),
        "skip" => Outcome::Skip("asked to".to_owned()),
        "fail" => error(AttemptErrorKind::Transient),
        other => panic!("unknown result {other}"),
    };
    if let Some(ids) = behaviour.get("branch") {
        Outcome::Branch(serde_json::from_value(ids.clone()).unwrap())
    } else if let Some(holds) = behaviour.get("short_circuit") {
        let ignore = behaviour["ignore_downstream_trigger_rules"]
            .as_bool()
            .unwrap();
        if holds.as_bool().unwrap() {
            value("true")
        } else {
            Outcome::ShortCircuit {
                ignore_downstream_trigger_rules: ignore,
            }
        }
    } else if let Some(list) = behaviour.get("map") {
        result(&list[usize::try_from(map_index).unwrap()])
    } else {
        result(&behaviour["result"])
    }
}

fn play(case: &Value, seed: u64) -> (String, BTreeSet<(String, i64, String)>) {
    let mut draw = Draw(seed);
    let turn = draw.below(24);
    let (dag, behaviours) = build(case, turn);
    let mut play = Play::started(dag);
    while play.finished.is_none() {
        let wanting: Vec<_> = play.wants.iter().copied().collect();
        let live: Vec<_> = play.live.keys().copied().collect();
        assert!(
            !wanting.is_empty() || !live.is_empty(),
            "stuck: {}",
            case["dag_id"]
        );
        let choice = draw.below(wanting.len() + live.len());
        if let Some(ti) = wanting.get(choice) {
            play.admit(*ti);
        } else {
            let ti = live[choice - wanting.len()];
            play.finish(ti, outcome(&behaviours[ti.task.get()], ti.map_index));
        }
    }
    play.check_replay();
    let instances = play
        .state
        .all_instances()
        .map(|(ti, instance)| {
            let id = play.state.dag().task(ti.task).unwrap().task_id.to_string();
            (id, i64::from(ti.map_index), instance.state().to_string())
        })
        .collect();
    (play.state.state().to_string(), instances)
}

#[test]
fn every_dag_ends_as_in_airflow_in_every_order() {
    let mut wrong = Vec::new();
    let cases = cases();
    for case in &cases {
        let expected: BTreeSet<(String, i64, String)> =
            serde_json::from_value(case["airflow"]["task_instances"].clone()).unwrap();
        let bad = (0..ORDERS)
            .filter(|seed| {
                let (run, instances) = play(case, seed * 7919 + 1);
                case["airflow"]["run"] != run || expected != instances
            })
            .count();
        if bad > 0 {
            wrong.push(format!("{} ({bad} of {ORDERS} orders)", case["dag_id"]));
        }
    }
    assert_eq!(cases.len(), 150);
    assert!(wrong.is_empty(), "{} DAGs differ: {wrong:?}", wrong.len());
}
