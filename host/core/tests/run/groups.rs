//! Mapped task groups, and branches that name a group.

use crate::support::*;
use airlock_core::dag::spec::{Dag, Task, TriggerRule};
use airlock_core::ids::{GroupIndex, TaskIndex};
use airlock_core::run::event::{AttemptErrorKind, Command, Event, Input, Outcome, Reason};
use airlock_core::run::{MAP_LENGTH_MAX, PullSource, pull_source};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::task_instance::state::TaskInstanceState::*;
use serde_json::json;

/// list -> [a -> b] -> reduce; the group expands over what `list` returns.
fn over_list(a: Task) -> Dag {
    let reduce = ruled("reduce", &[2], TriggerRule::AllDone);
    let tasks = vec![task("list", &[]), a, task("b", &[1]), reduce];
    grouped(tasks, &[1, 2], over_template("xcom:0"))
}

fn after(list: Outcome) -> Play {
    let mut play = Play::started(over_list(task("a", &[0])));
    play.run(ti(0, -1), list);
    play
}

#[test]
fn f8_a_group_is_expanded_by_one_event_and_each_element_goes_its_own_way() {
    let mut play = after(value(r#"["x","y","z"]"#));
    assert_eq!(play.states(1), [Scheduled; 3]);
    assert_eq!(play.states(2), [None; 3]);
    let expansions = play.events.iter().filter(|event| {
        matches!(event, Event::GroupExpanded { group: GroupIndex(0), elements } if elements == r#"[["x","y","z"]]"#)
    });
    assert_eq!(expansions.count(), 1);
    play.run(ti(1, 2), ok());
    assert_eq!(play.states(2), [None, None, Scheduled]);
    play.run(ti(1, 0), error(AttemptErrorKind::Permanent));
    assert_eq!(play.states(2), [UpstreamFailed, None, Scheduled]);
    play.run(ti(1, 1), Outcome::Skip(String::new()));
    play.run(ti(2, 2), value("1"));
    assert_eq!(play.states(2), [UpstreamFailed, Skipped, Success]);
    assert_eq!(play.of(ti(3, -1)), Scheduled);
    play.run(ti(3, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn f8_the_element_adds_to_the_config_of_every_task_of_the_group() {
    let play = after(value(r#"["x","y"]"#));
    for task in [1, 2] {
        let task = TaskIndex(task);
        assert_eq!(play.state.map_length(task), Some(2));
        assert_eq!(play.state.element(task, 1), Some(json!({"x": "y"})));
        assert_eq!(play.state.element(task, 2), Option::None);
    }
    assert_eq!(play.state.element(TaskIndex(3), 0), Option::None);
}

#[test]
fn a_group_without_a_list_fails_fast_by_the_members_that_failed_and_no_teardown() {
    let failing = |a_is_teardown: bool, b_is_teardown: bool| {
        let mut dag = over_list(task("a", &[0]));
        dag.fail_fast = true;
        dag.tasks[1].is_teardown = a_is_teardown;
        dag.tasks[2].is_teardown = b_is_teardown;
        let mut play = Play::started(dag);
        play.run(ti(0, -1), value("7"));
        let mut stops = play.events.iter().filter_map(|event| match event {
            Event::RunStopping { message, .. } => Some(message.clone()),
            _ => Option::None,
        });
        stops.next()
    };
    assert!(failing(false, false).unwrap().contains("task a failed"));
    assert!(failing(true, false).unwrap().contains("task b failed"));
    assert_eq!(failing(true, true), Option::None);
}

#[test]
fn f4_a_group_without_elements_is_skipped() {
    for play in [
        after(value("[]")),
        Play::started(grouped(
            vec![task("list", &[]), task("a", &[]), task("b", &[1])],
            &[1, 2],
            over(0),
        )),
    ] {
        assert_eq!(
            (play.states(1), play.states(2)),
            (vec![Skipped], vec![Skipped])
        );
        let reasons = play.events.iter().filter(|event| {
            matches!(
                event,
                Event::StateSet {
                    reason: Some(Reason::EmptyExpansion),
                    ..
                }
            )
        });
        assert_eq!(reasons.count(), 2);
        play.check_replay();
    }
}

#[test]
fn f5_a_group_that_gets_no_list_ends_as_a_mapped_task_would() {
    let ends = |list| {
        let play = after(list);
        assert_eq!(play.states(1), play.states(2));
        assert!(!play.wants.contains(&ti(1, -1)));
        play.check_replay();
        play.of(ti(1, -1))
    };
    assert_eq!(ends(value("7")), Failed);
    assert_eq!(ends(ok()), Failed);
    assert_eq!(ends(Outcome::Skip(String::new())), Skipped);
    assert_eq!(ends(error(AttemptErrorKind::Permanent)), UpstreamFailed);
    let long = vec!["0"; MAP_LENGTH_MAX + 1].join(",");
    assert_eq!(ends(value(&format!("[{long}]"))), Failed);
    let tasks = vec![task("a", &[])];
    let play = Play::started(grouped(tasks, &[0], over_template("error")));
    assert_eq!(play.finished, Some(DagRunState::Failed));
}

#[test]
fn f8_outside_upstream_counts_with_all_its_instances_for_every_element() {
    let tasks = vec![
        literal("outside", &[], 2),
        task("a", &[]),
        task("b", &[0, 1]),
    ];
    let mut play = Play::started(grouped(tasks, &[1, 2], over(2)));
    play.run(ti(1, 0), ok());
    play.run(ti(0, 0), ok());
    assert_eq!(play.states(2), [None, None]);
    play.run(ti(0, 1), ok());
    assert_eq!(play.states(2), [Scheduled, None]);
    play.run(ti(1, 1), ok());
    assert_eq!(play.states(2), [Scheduled, Scheduled]);
    play.check_replay();
}

#[test]
fn b16_fast_rules_in_a_group_wait_until_it_is_expanded() {
    // Note 8: an outside success would satisfy the rule at once, but there is no element yet.
    for rule in [TriggerRule::OneSuccess, TriggerRule::Always] {
        let tasks = vec![
            task("list", &[]),
            task("quick", &[]),
            task("a", &[0]),
            ruled("b", &[1, 2], rule),
        ];
        let dag = grouped(tasks, &[2, 3], over_template("xcom:0"));
        let mut play = Play::started(dag);
        play.run(ti(1, -1), ok());
        assert_eq!(play.states(3), [None]);
        play.run(ti(0, -1), value("[1,2]"));
        assert_eq!(play.states(3), [Scheduled; 2]);
        play.check_replay();
    }
}

#[test]
fn b16_one_success_outside_starts_every_element_and_inside_its_own() {
    let tasks = vec![
        literal("outside", &[], 2),
        task("a", &[]),
        ruled("b", &[0, 1], TriggerRule::OneSuccess),
    ];
    let dag = grouped(tasks, &[1, 2], over(2));
    let mut play = Play::started(dag.clone());
    play.run(ti(1, 1), ok());
    assert_eq!(play.states(2), [None, Scheduled]);
    play.run(ti(0, 0), ok());
    assert_eq!(play.states(2), [Scheduled, Scheduled]);
}

#[test]
fn b16_an_element_whose_upstream_is_gone_is_removed() {
    let tasks = vec![task("a", &[]), task("b", &[0])];
    let mut play = Play::queued(grouped(tasks, &[0, 1], over(2)));
    let removed = Event::StateSet {
        task: TaskIndex(0),
        from: 1,
        to: 2,
        state: Removed,
        reason: Some(Reason::Gone),
        message: Option::None,
        at: second(0),
    };
    play.state.apply(&removed).unwrap();
    play.send(airlock_core::run::event::Input::Start);
    assert_eq!(play.states(1), [None, Removed]);
}

#[test]
fn b16_a_setup_in_a_group_guards_its_own_element_only() {
    // Note 9: `work` is not directly below the setup, whose failure takes it along before its own rule.
    let setup = Task {
        is_setup: true,
        ..task("up", &[])
    };
    let tasks = vec![
        setup,
        task("first", &[0]),
        ruled("work", &[1], TriggerRule::AllDone),
    ];
    let mut play = Play::started(grouped(tasks, &[0, 1, 2], over(2)));
    play.run(ti(0, 0), error(AttemptErrorKind::Permanent));
    assert_eq!(play.states(2), [UpstreamFailed, None]);
    play.run(ti(0, 1), ok());
    play.run(ti(1, 1), error(AttemptErrorKind::Permanent));
    assert_eq!(play.states(2), [UpstreamFailed, Scheduled]);
    play.check_replay();
}

#[test]
fn f8_a_branch_or_short_circuit_in_a_group_skips_its_own_element_only() {
    let tasks = vec![
        task("pick", &[]),
        task("a", &[0]),
        task("b", &[0]),
        ruled("end", &[1], TriggerRule::AllDone),
        task("outside", &[0]),
    ];
    let dag = grouped(tasks, &[0, 1, 2, 3], over(3));
    let mut play = Play::started(dag);
    play.run(ti(0, 1), branch(&["a", "outside"]));
    assert_eq!(play.states(1), [None, Scheduled, None]);
    assert_eq!(play.states(2), [None, Skipped, None]);
    let ignore_downstream_trigger_rules = true;
    play.run(
        ti(0, 2),
        Outcome::ShortCircuit {
            ignore_downstream_trigger_rules,
        },
    );
    assert_eq!(play.states(1), [None, Scheduled, Skipped]);
    assert_eq!(play.states(3), [None, None, Skipped]);
    play.run(ti(0, 0), ok());
    // Outside, one instance that wants it is enough.
    assert_eq!(play.of(ti(4, -1)), Scheduled);
    assert_eq!(play.states(2), [Scheduled, Skipped, Skipped]);
    play.check_replay();
}

#[test]
fn f6_an_xcom_pull_beside_in_a_group_means_the_same_map_index() {
    let dag = over_list(task("a", &[0]));
    let pull = |of, task| pull_source(&dag, of, TaskIndex(task));
    assert_eq!(pull(ti(2, 1), 1), PullSource::One(1));
    assert_eq!(pull(ti(2, 1), 0), PullSource::One(-1));
    assert_eq!(pull(ti(3, -1), 1), PullSource::All);
    let dag = dag_of(vec![literal("mapped", &[], 2), task("reduce", &[0])]);
    assert_eq!(pull_source(&dag, ti(1, -1), TaskIndex(0)), PullSource::All);
}

#[test]
fn f6_a_task_below_a_group_gets_the_values_that_were_pushed_in_map_order() {
    let mut play = after(value("[1,2,3]"));
    play.run(ti(1, 2), value("\"c\""));
    play.run(ti(1, 0), value("\"a\""));
    play.run(ti(1, 1), Outcome::Skip(String::new()));
    let values: Vec<_> = play.state.xcoms(TaskIndex(1), "return_value").collect();
    assert_eq!(values, [(0, "\"a\""), (2, "\"c\"")]);
}

#[test]
fn f7_an_element_is_retried_alone() {
    let a = Task {
        retries: 1,
        ..task("a", &[0])
    };
    let mut play = Play::started(over_list(a));
    play.run(ti(0, -1), value("[1,2]"));
    play.run(ti(1, 0), error(AttemptErrorKind::Transient));
    play.run(ti(1, 1), ok());
    assert_eq!(play.states(1), [UpForRetry, Success]);
    assert_eq!(play.states(2), [None, Scheduled]);
    play.wake();
    assert_eq!(play.admit(ti(1, 0)).0, 2);
    play.check_replay();
}

#[test]
fn f9_a_group_that_is_not_mapped_changes_nothing() {
    let tasks = vec![task("a", &[]), task("b", &[0])];
    let mut play = Play::started(grouped(tasks, &[0, 1], Option::None));
    play.run(ti(0, -1), ok());
    play.run(ti(1, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
}

#[test]
fn c1_a_branch_to_a_group_means_its_root_tasks() {
    let tasks = vec![
        task("pick", &[]),
        task("g.a", &[0]),
        task("g.b", &[0]),
        task("g.c", &[1, 2]),
        task("other", &[0]),
    ];
    let mut play = Play::started(grouped(tasks.clone(), &[1, 2, 3], Option::None));
    play.run(ti(0, -1), branch(&["g"]));
    assert_eq!(
        (play.states(1), play.states(2)),
        (vec![Scheduled], vec![Scheduled])
    );
    assert_eq!(
        (play.states(3), play.states(4)),
        (vec![None], vec![Skipped])
    );
    // A root that is not directly downstream makes the answer wrong.
    let mut tasks = tasks;
    tasks[2].depends_on.clear();
    let mut play = Play::started(grouped(tasks, &[1, 2, 3], Option::None));
    play.run(ti(0, -1), branch(&["g"]));
    assert_eq!(play.of(ti(0, -1)), Failed);
}

#[test]
fn f8_upstream_that_is_itself_below_the_group_is_not_waited_for() {
    // [a] -> between -> [b]: only in a picture would this be a cycle.
    let tasks = vec![task("a", &[]), task("between", &[0]), task("b", &[1])];
    let mut play = Play::started(grouped(tasks, &[0, 2], over_template("[1,2]")));
    assert_eq!(play.states(0), [Scheduled; 2]);
    play.run(ti(0, 0), ok());
    play.run(ti(0, 1), ok());
    play.run(ti(1, -1), ok());
    assert_eq!(play.states(2), [Scheduled; 2]);
}

#[test]
fn f8_a_long_group_is_decided_by_ranges() {
    let mut play = Play::started(over_list(task("a", &[0])));
    let list = format!("[{}]", vec!["0"; 10_000].join(","));
    let step = play.run(ti(0, -1), value(&list));
    assert!(step.events.len() <= 3, "{} events", step.events.len());
    let want = Command::Want {
        task: TaskIndex(1),
        from: 0,
        to: 10_000,
    };
    assert!(step.commands.contains(&want));
}

#[test]
fn f8_a_cleared_group_is_expanded_anew_with_its_list() {
    let mut play = after(value(r#"["x","y"]"#));
    for index in 0..2 {
        play.run(ti(1, index), ok());
        play.run(ti(2, index), ok());
    }
    play.run(ti(3, -1), ok());
    play.clear(&[(0, -1, 0), (1, 0, 2), (2, 0, 2), (3, -1, 0)]);
    play.send(airlock_core::run::event::Input::Start);
    assert_eq!(play.states(1), [None; 2]);
    play.run(ti(0, -1), value(r#"["z"]"#));
    assert_eq!(
        (play.states(1), play.states(2)),
        (vec![Scheduled, Removed], vec![None, Removed])
    );
    assert_eq!(play.state.element(TaskIndex(2), 0), Some(json!({"x": "z"})));
    play.run(ti(1, 0), ok());
    play.run(ti(2, 0), ok());
    play.run(ti(3, -1), ok());
    assert_eq!(play.finished, Some(DagRunState::Success));
    play.check_replay();
}

#[test]
fn f8_one_element_of_a_group_is_cleared_alone() {
    let mut play = after(value(r#"["x","y"]"#));
    for index in 0..2 {
        play.run(ti(1, index), ok());
        play.run(ti(2, index), ok());
    }
    play.clear(&[(1, 1, 2), (2, 1, 2)]);
    play.run(ti(1, 1), ok());
    assert_eq!(
        (play.states(1), play.states(2)),
        (vec![Success; 2], vec![Success, Scheduled])
    );
    play.check_replay();
}

#[test]
fn a_group_does_not_wait_for_ever_for_a_task_of_it_that_was_skipped_before_it_had_its_list() {
    // choose -> [chosen not]; [chosen not] and list are above the group's first task, its second is only below the first.
    let tasks = vec![
        task("choose", &[]),
        task("other", &[0]),
        task("list", &[]),
        task("first", &[0, 2]),
        ruled("second", &[3], TriggerRule::AllDone),
    ];
    let mut play = Play::started(grouped(tasks, &[3, 4], over_template("xcom:2")));
    play.run(ti(0, -1), branch(&["other"]));
    assert_eq!((play.of(ti(3, -1)), play.of(ti(4, -1))), (Skipped, None));
    play.run(ti(2, -1), value("[1,2]"));
    assert_eq!(play.states(4), [Scheduled; 2]);
    play.check_replay();
}

#[test]
fn a_cleared_task_of_a_group_looks_at_the_list_again_whoever_is_above_it() {
    let mut play = after(value("[1]"));
    play.run(ti(1, 0), ok());
    play.run(ti(2, 0), ok());
    // The list and the group's second task, not the first between them.
    play.clear(&[(0, -1, 0), (2, 0, 1)]);
    assert_eq!(play.states(2), [None]);
    play.run(ti(0, -1), value("[1]"));
    assert_eq!(play.states(2), [Scheduled]);
    play.check_replay();
}

#[test]
fn a_cleared_task_of_a_group_without_elements_is_not_skipped_before_its_past_allows_it() {
    let first = Task {
        depends_on_past: true,
        wait_for_past_depends_before_skipping: true,
        ..task("a", &[0])
    };
    let mut play = Play::started(over_list(first));
    play.run(ti(0, -1), value("[1]"));
    let tasks = vec![TaskIndex(1)];
    play.send(Input::PastDependsMet { tasks });
    play.run(ti(1, 0), ok());
    play.clear(&[(0, -1, 0), (1, 0, 1)]);
    play.run(ti(0, -1), value("[]"));
    assert_eq!(play.states(1), [None]);
    let tasks = vec![TaskIndex(1)];
    play.send(Input::PastDependsMet { tasks });
    assert_eq!(play.states(1), [Skipped]);
    play.check_replay();
}
