//! Mapped tasks: how they get their elements, what they cost, what they hand on.

use crate::support::*;
use airlock_core::dag::spec::{Expand, ExpandSource, Task, TriggerRule};
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::{AttemptErrorKind, Command, Event, Outcome, Reason};
use airlock_core::run::{Instance, MAP_LENGTH_MAX};
use airlock_core::task_instance::state::TaskInstanceState::*;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use serde_json::json;

const MAPPED: TaskIndex = TaskIndex(1);

/// list -> mapped over what `list` returns.
fn after(outcome: Outcome, rule: TriggerRule) -> Play {
    let mapped = Task {
        trigger_rule: rule,
        ..templated("mapped", &[0], "xcom:0")
    };
    let mut play = Play::started(dag_of(vec![task("list", &[]), mapped]));
    play.run(ti(0, -1), outcome);
    play
}

fn only(play: &Play) -> TaskInstanceState {
    assert_eq!(play.state.instances(MAPPED).count(), 1);
    play.of(ti(1, -1))
}

#[test]
fn f3_a_product_varies_its_last_key_fastest_and_keeps_literals_in_the_dag() {
    let keys = vec![
        (
            "a".to_owned(),
            ExpandSource::Literal(vec![json!(1), json!(2)]),
        ),
        (
            "b".to_owned(),
            ExpandSource::Template(r#"["x","y","z"]"#.to_owned()),
        ),
    ];
    let mapped = Task {
        expand: Some(Expand::Product(keys)),
        ..task("mapped", &[])
    };
    let play = Play::started(dag_of(vec![mapped]));
    assert!(play.events.iter().any(|event| matches!(event, Event::TaskExpanded { elements, .. } if elements == r#"[null,["x","y","z"]]"#)));
    assert_eq!(play.state.map_length(TaskIndex(0)), Some(6));
    let element = |index| play.state.element(TaskIndex(0), index);
    assert_eq!(element(0), Some(json!({"a": 1, "b": "x"})));
    assert_eq!(element(1), Some(json!({"a": 1, "b": "y"})));
    assert_eq!(element(5), Some(json!({"a": 2, "b": "z"})));
    assert_eq!((element(6), element(-1)), (Option::None, Option::None));
    play.check_replay();
}

#[test]
fn kwargs_are_merged_objects_and_anything_else_is_an_error() {
    let kwargs = |template: &str| Task {
        expand: Some(Expand::Kwargs(ExpandSource::Template(template.to_owned()))),
        ..task("mapped", &[])
    };
    let play = Play::started(dag_of(vec![kwargs(r#"[{"a":1},{"b":2}]"#)]));
    assert_eq!(play.state.element(TaskIndex(0), 1), Some(json!({"b": 2})));
    let play = Play::started(dag_of(vec![kwargs(r#"[{"a":1},2]"#)]));
    assert_eq!(play.finished, Some(DagRunState::Failed));
    let why = play.events.iter().find_map(|event| match event {
        Event::StateSet {
            reason: Some(Reason::ExpandError),
            message,
            ..
        } => message.clone(),
        _ => Option::None,
    });
    assert!(why.unwrap().contains("element 1 is not an object"));
}

#[test]
fn an_object_is_mapped_as_pairs() {
    let play = after(value(r#"{"k":1,"l":[2]}"#), TriggerRule::AllSuccess);
    assert_eq!(
        play.state.element(MAPPED, 1),
        Some(json!({"x": ["l", [2]]}))
    );
}

#[test]
fn what_gives_no_list_fails_and_what_gives_none_is_skipped() {
    assert_eq!(only(&after(value("[]"), TriggerRule::AllSuccess)), Skipped);
    assert_eq!(only(&after(value("7"), TriggerRule::AllSuccess)), Failed);
    assert_eq!(only(&after(ok(), TriggerRule::AllSuccess)), Failed);
    // The rule says run, but who should have given the list did not.
    let skip = Outcome::Skip(String::new());
    assert_eq!(only(&after(skip, TriggerRule::AllDone)), Skipped);
    let fail = error(AttemptErrorKind::Permanent);
    assert_eq!(only(&after(fail, TriggerRule::AllDone)), UpstreamFailed);
    let play = Play::started(dag_of(vec![templated("t", &[], "error")]));
    assert_eq!(
        (play.of(ti(0, -1)), play.finished),
        (Failed, Some(DagRunState::Failed))
    );
    play.check_replay();
}

#[test]
fn a_list_waits_for_its_upstream_even_if_the_rule_does_not() {
    let mapped = Task {
        trigger_rule: TriggerRule::Always,
        ..templated("mapped", &[0], "xcom:0")
    };
    let mut play = Play::started(dag_of(vec![task("list", &[]), mapped]));
    assert_eq!(only(&play), None);
    play.run(ti(0, -1), value("[1,2]"));
    assert_eq!(play.of(ti(1, 1)), Scheduled);
}

#[test]
fn more_elements_than_allowed_fail_with_a_reason() {
    for length in [MAP_LENGTH_MAX, MAP_LENGTH_MAX + 1] {
        let play = Play::started(dag_of(vec![literal("mapped", &[], length)]));
        let fits = length == MAP_LENGTH_MAX;
        assert_eq!(
            play.state.instances(TaskIndex(0)).count(),
            if fits { length } else { 1 }
        );
        assert_eq!(play.finished.is_none(), fits);
    }
    // A cross product that overflows any counter is refused before anything is allocated.
    let wide = ExpandSource::Literal(vec![json!(0); 1_000]);
    let keys = (0..20).map(|key| (key.to_string(), wide.clone())).collect();
    let mapped = Task {
        expand: Some(Expand::Product(keys)),
        ..task("mapped", &[])
    };
    assert_eq!(
        Play::started(dag_of(vec![mapped])).finished,
        Some(DagRunState::Failed)
    );
}

#[test]
fn a_long_mapped_task_is_scheduled_by_one_event_and_one_command() {
    let play = Play::started(dag_of(vec![literal("mapped", &[], 10_000)]));
    assert_eq!(play.events.len(), 3);
    let mut fresh = Play::queued(dag_of(vec![literal("mapped", &[], 10_000)]));
    let step = fresh.send(airlock_core::run::event::Input::Start);
    assert_eq!(
        step.commands,
        [Command::Want {
            task: TaskIndex(0),
            from: 0,
            to: 10_000
        }]
    );
    assert!(size_of::<Instance>() <= 24);
}

#[test]
fn e2_every_instance_counts_for_the_rule_below_and_hands_on_its_value() {
    let mut play = Play::started(dag_of(vec![
        literal("mapped", &[], 3),
        ruled("reduce", &[0], TriggerRule::AllDone),
    ]));
    play.run(ti(0, 2), value("\"c\""));
    play.run(ti(0, 1), Outcome::Skip(String::new()));
    assert_eq!(play.of(ti(1, -1)), None);
    play.run(ti(0, 0), value("\"a\""));
    assert_eq!(play.of(ti(1, -1)), Scheduled);
    let values: Vec<_> = play.state.xcoms(TaskIndex(0), "return_value").collect();
    assert_eq!(values, [(0, "\"a\""), (2, "\"c\"")]);
    assert_eq!(
        (play.state.active(), play.state.active_of(TaskIndex(0))),
        (0, 0)
    );
    play.admit(ti(1, -1));
    assert_eq!(
        (play.state.active(), play.state.active_of(TaskIndex(1))),
        (1, 1)
    );
}

#[test]
fn a_mapped_branch_skips_only_what_no_instance_chose() {
    let mut play = Play::started(dag_of(vec![
        literal("pick", &[], 2),
        task("a", &[0]),
        task("b", &[0]),
    ]));
    play.run(ti(0, 0), branch(&["a"]));
    play.run(ti(0, 1), branch(&["a"]));
    assert_eq!(
        (play.of(ti(1, -1)), play.of(ti(2, -1))),
        (Scheduled, Skipped)
    );
    play.check_replay();
}
