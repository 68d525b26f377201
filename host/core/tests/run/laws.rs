//! Laws that hold for every DAG and every order of inputs, legal or not: random DAGs, random shells, crashes in between.

use crate::support::*;
use airlock_core::dag::spec::{Dag, SensorMode, Task, TriggerRule};
use airlock_core::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use airlock_core::run::StateCounts;
use airlock_core::run::event::{AttemptErrorKind, Event, Fence, Input, Outcome, Reason, RunHeader};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState as State};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const RULES: [TriggerRule; 13] = [
    TriggerRule::AllSuccess,
    TriggerRule::AllFailed,
    TriggerRule::AllDone,
    TriggerRule::AllDoneMinOneSuccess,
    TriggerRule::AllDoneSetupSuccess,
    TriggerRule::OneSuccess,
    TriggerRule::OneFailed,
    TriggerRule::OneDone,
    TriggerRule::NoneFailed,
    TriggerRule::NoneFailedMinOneSuccess,
    TriggerRule::NoneSkipped,
    TriggerRule::AllSkipped,
    TriggerRule::Always,
];
const TEMPLATES: [&str; 4] = ["[1,2]", "[]", "xcom:0", "error"];
/// Enough for every try, poke and loss of the largest DAG that is drawn.
const STEPS_MAX: usize = 5_000;

#[derive(Debug, Clone)]
struct Shape {
    upstream: u8,
    rule: usize,
    retries: u32,
    kind: u8,
    scope: u8,
    past: u8,
    member: bool,
}

fn shapes() -> impl Strategy<Value = Vec<Shape>> {
    let rule = 0..RULES.len() * 2;
    let kinds = (0..9_u8, 0..8_u8, 0..12_u8, any::<bool>());
    let shape = (any::<u8>(), rule, 0..3_u32, kinds).prop_map(
        |(upstream, rule, retries, (kind, scope, past, member))| Shape {
            upstream,
            // Half of all tasks have the default rule, or nothing would ever run.
            rule: rule.saturating_sub(RULES.len()),
            retries,
            kind,
            scope,
            past,
            member,
        },
    );
    prop::collection::vec(shape, 1..8)
}

/// `group`: what the mapped group of the members expands over, if there is one.
fn build(shapes: &[Shape], fail_fast: bool, timeout: Option<i64>, group: Option<usize>) -> Dag {
    let tasks = (0_u32..).zip(shapes).map(|(place, shape)| {
        let upstream: Vec<u32> = (0..place)
            .filter(|bit| shape.upstream >> bit & 1 == 1)
            .collect();
        let id = format!("t{place}");
        let mut task = match shape.kind {
            0 => literal(&id, &upstream, 3),
            1 => literal(&id, &upstream, 0),
            kind @ 2..=5 => templated(&id, &upstream, TEMPLATES[usize::from(kind - 2)]),
            _ => Task {
                multiple_outputs: shape.kind == 6,
                ..task(&id, &upstream)
            },
        };
        task.trigger_rule = RULES[shape.rule];
        task.retries = shape.retries;
        task.is_setup = shape.scope == 0;
        task.is_teardown = shape.scope == 1;
        task.depends_on_past = shape.past == 0 || shape.past == 2;
        task.wait_for_downstream = shape.past == 1;
        task.wait_for_past_depends_before_skipping = shape.past == 2;
        task.sensor.timeout = seconds(300);
        task.sensor.soft_fail = shape.scope == 2;
        task.sensor.never_fail = shape.scope == 3;
        task.sensor.silent_fail = shape.scope == 6;
        task.sla = (shape.scope % 3 == 0).then(|| seconds(50 + i64::from(place)));
        if shape.scope >= 4 {
            task.sensor.mode = SensorMode::Reschedule;
        }
        task
    });
    let expand = match group {
        Some(0) => over(2),
        Some(1) => over(0),
        Some(other) => over_template(TEMPLATES[other - 2]),
        None => None,
    };
    let members = (0_u32..).zip(shapes);
    let members = members.filter(|(_, shape)| shape.member && group.is_some());
    let members: Vec<u32> = members.map(|(place, _)| place).collect();
    Dag {
        fail_fast,
        dagrun_timeout: timeout.map(seconds),
        ..grouped(tasks.collect(), &members, expand)
    }
}

fn outcome(draw: &mut Draw) -> Outcome {
    match draw.below(14) {
        0 => Outcome::Skip("no".to_owned()),
        1 => branch(&["t1", "t3"]),
        2 => branch(if draw.below(2) == 0 { &[] } else { &["g"] }),
        3 => Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: true,
        },
        4 => Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: false,
        },
        5 | 6 => Outcome::NotYet,
        7 => Outcome::Defer(second(40)),
        8 => error(AttemptErrorKind::Transient),
        9 => error(AttemptErrorKind::Permanent),
        10 => error(AttemptErrorKind::Trap),
        11 => value("[1,2,3]"),
        12 => value(r#"{"a":1}"#),
        _ => ok(),
    }
}

fn pick<T: Copy>(draw: &mut Draw, items: &[T]) -> Option<T> {
    (!items.is_empty()).then(|| items[draw.below(items.len())])
}

/// A fresh shell: everything it knows comes from the journal.
fn crash(play: &mut Play) {
    play.check_replay();
    play.wants.clear();
    play.live.clear();
    play.wake = None;
    for command in play.state.resume() {
        play.obey(&command);
    }
    for (ti, fence) in play.state.live_attempts() {
        play.send(Input::Lose { ti, fence });
    }
}

fn random_key(draw: &mut Draw) -> TaskInstanceKey {
    let index = i32::try_from(draw.below(5)).unwrap() - 1;
    ti(u32::try_from(draw.below(9)).unwrap(), index)
}

fn random_fence(draw: &mut Draw) -> Fence {
    Fence {
        attempt: u32::try_from(draw.below(4)).unwrap(),
        owner: OWNER,
    }
}

/// An input that nobody checked: it is refused, stale, or legal by chance; it never panics.
fn hostile(play: &mut Play, draw: &mut Draw) {
    let (ti, fence) = (random_key(draw), random_fence(draw));
    let json = "1".to_owned();
    let input = match draw.below(7) {
        0 => Input::Start,
        3 => Input::Answer {
            ti,
            answer: json,
            by: String::new(),
        },
        4 => Input::RequestInput {
            ti,
            fence,
            request: json,
        },
        5 => Input::Render {
            ti,
            fence,
            fields: json,
        },
        6 => Input::Mark {
            instances: vec![(ti.task, ti.map_index, ti.map_index)],
            state: State::Success,
            by: String::new(),
        },
        1 => Input::Finish {
            ti,
            fence,
            outcome: outcome(draw),
        },
        _ => Input::PushXCom {
            ti,
            fence,
            key: "k".to_owned(),
            value: "1".to_owned(),
        },
    };
    let legal = play.live.get(&ti).is_some_and(|live| live.1 == fence);
    let answers = play
        .state
        .input_of(ti)
        .is_some_and(|(_, answer)| answer.is_none());
    if (legal || answers) && !matches!(input, Input::Start)
        || play.state.state() == DagRunState::Queued
    {
        return;
    }
    let before = play.state.clone();
    if let Ok(step) = play.state.step(play.now, input, &Templates) {
        assert!(step.stale && step.events.is_empty() && step.commands.is_empty());
    }
    assert!(before == play.state, "a refused input changed the state");
}

#[expect(clippy::too_many_lines, reason = "one arm for each event")]
fn random_event(draw: &mut Draw) -> Event {
    let (ti, fence, at) = (random_key(draw), random_fence(draw), second(5));
    let states = [
        State::None,
        State::Scheduled,
        State::Running,
        State::Success,
        State::Skipped,
        State::Removed,
    ];
    match draw.below(20) {
        0 => Event::RunStarted { at },
        1 => Event::TaskExpanded {
            task: ti.task,
            elements: "[[1,2]]".to_owned(),
        },
        2 => {
            let from = ti.map_index;
            let to = random_key(draw).map_index;
            let state = pick(draw, &states).unwrap();
            Event::StateSet {
                task: ti.task,
                from,
                to,
                state,
                reason: None,
                message: None,
                at,
            }
        }
        3 => Event::RunStopping {
            why: Reason::TriggerRule,
            message: String::new(),
            at,
        },
        4 => Event::AttemptStarted {
            ti,
            try_number: fence.attempt,
            fence,
            at,
        },
        5 => Event::AttemptFinished {
            ti,
            fence,
            outcome: outcome(draw),
            at,
        },
        6 => Event::AttemptLost { ti, fence, at },
        7 => Event::XComPushed {
            ti,
            fence,
            key: "k".to_owned(),
            value: "1".to_owned(),
        },
        9 => Event::Cleared {
            task: ti.task,
            from: ti.map_index,
            to: random_key(draw).map_index,
            at,
        },
        10 => Event::Marked {
            task: ti.task,
            from: ti.map_index,
            to: random_key(draw).map_index,
            state: pick(draw, &states).unwrap(),
            by: String::new(),
            at,
        },
        11 => Event::InputRequested {
            ti,
            fence,
            request: "1".to_owned(),
            at,
        },
        12 => Event::InputAnswered {
            ti,
            answer: "1".to_owned(),
            by: String::new(),
            at,
        },
        13 => Event::SlaMissed {
            tasks: vec![ti.task],
            at,
        },
        14 => Event::XComEdited {
            ti,
            key: "k".to_owned(),
            value: (draw.below(2) == 0).then(|| "1".to_owned()),
            by: String::new(),
            at,
        },
        15 => Event::Rendered {
            ti,
            fields: "{}".to_owned(),
        },
        16 => Event::DeadlineMissed { deadline: 0, at },
        17 => Event::PastDependsMet {
            tasks: vec![ti.task, random_key(draw).task],
        },
        18 => Event::GroupExpanded {
            group: GroupIndex(u32::try_from(draw.below(2)).unwrap()),
            elements: pick(draw, &["[[1,2]]", "[null]", "[[]]", "{"])
                .unwrap()
                .to_owned(),
        },
        _ => Event::RunFinished {
            state: airlock_core::task_instance::state::DagRunState::Running,
            reason: String::new(),
            at,
        },
    }
}

/// A range of map indexes that the run has.
fn any_range(play: &Play, draw: &mut Draw) -> (TaskIndex, i32, i32) {
    let all: Vec<_> = play.state.all_instances().map(|(ti, _)| ti).collect();
    let first = pick(draw, &all).unwrap();
    let last = all.iter().filter(|ti| ti.task == first.task);
    let length = i32::try_from(draw.below(last.clone().count())).unwrap();
    let end = last.map(|ti| ti.map_index + 1).max().unwrap();
    (
        first.task,
        first.map_index,
        end.min(first.map_index + 1 + length),
    )
}

/// The DAG with its last task, or without it.
fn other_version(play: &mut Play, draw: &mut Draw) {
    let mut dag = Dag::clone(&play.versions[&[0; 32]]);
    if draw.below(2) == 0 && dag.tasks.len() > 1 {
        dag.tasks.pop();
    }
    let name = u8::try_from(play.versions.len()).unwrap();
    play.change_version(dag, name);
}

/// What people do to a run.
fn meddle(play: &mut Play, draw: &mut Draw) {
    let by = "ana".to_owned();
    match draw.below(10) {
        0..=3 => {
            let instances = vec![any_range(play, draw), any_range(play, draw)];
            if play.state.stop_message().is_none() || play.finished.is_some() {
                play.send(Input::Clear { instances });
            }
        }
        4..=6 => {
            let states = [State::Success, State::Failed, State::Skipped];
            play.send(Input::Mark {
                instances: vec![any_range(play, draw)],
                state: pick(draw, &states).unwrap(),
                by,
            });
        }
        7 if draw.below(8) == 0 => {
            let state = pick(draw, &[DagRunState::Success, DagRunState::Failed]).unwrap();
            play.send(Input::MarkRun { state, by });
        }
        8 => {
            let pending: Vec<_> = play.state.pending_inputs().map(|(ti, _)| ti).collect();
            if let Some(ti) = pick(draw, &pending) {
                let answer = "true".to_owned();
                play.send(Input::Answer { ti, answer, by });
            }
        }
        9 if play.finished.is_some() => other_version(play, draw),
        _ => {
            let (task, map_index, _) = any_range(play, draw);
            play.send(Input::EditXCom {
                ti: TaskInstanceKey { task, map_index },
                key: "return_value".to_owned(),
                value: Some("[7]".to_owned()),
                by,
            });
        }
    }
    if play.state.state() == DagRunState::Queued {
        play.check_replay();
        play.send(Input::Start);
    }
}

/// An attempt asks a person, or says what its templates came to.
fn speak(play: &mut Play, draw: &mut Draw) {
    let live: Vec<_> = play.live.keys().copied().collect();
    let Some(ti) = pick(draw, &live) else { return };
    let fence = play.live[&ti].1;
    let text = ["1", "2"][draw.below(2)].to_owned();
    play.send(if draw.below(2) == 0 {
        Input::RequestInput {
            ti,
            fence,
            request: text,
        }
    } else {
        Input::Use {
            ti,
            fence,
            used: text,
        }
    });
}

fn act(play: &mut Play, draw: &mut Draw, may_cancel: bool) {
    let wants: Vec<_> = play.wants.iter().copied().collect();
    let live: Vec<_> = play.live.keys().copied().collect();
    match draw.below(20) {
        0 => crash(play),
        1 if may_cancel => {
            play.send(Input::Cancel {
                reason: "drawn".to_owned(),
            });
        }
        2 => hostile(play, draw),
        3 => speak(play, draw),
        4 => {
            if let Some(ti) = pick(draw, &live) {
                let (_, fence) = play.live.remove(&ti).unwrap();
                play.send(Input::Lose { ti, fence });
            }
        }
        5 | 6 => {
            if let Some(ti) = pick(draw, &live) {
                let fence = play.live[&ti].1;
                play.send(Input::PushXCom {
                    ti,
                    fence,
                    key: "k".to_owned(),
                    value: "1".to_owned(),
                });
            }
        }
        15 => {
            let waiting: Vec<_> = play.state.waits_for_past().collect();
            if let Some(task) = pick(draw, &waiting) {
                let tasks = vec![task, TaskIndex(0)];
                play.send(Input::PastDependsMet { tasks });
            }
        }
        7..=9 if play.wake.is_some() => {
            play.wake();
        }
        10..=14 => {
            if let Some(ti) = pick(draw, &wants) {
                play.admit(ti);
            }
        }
        _ => {
            if let Some(ti) = pick(draw, &live) {
                let outcome = outcome(draw);
                play.finish(ti, outcome);
            }
        }
    }
}

/// What must hold after every input.
fn check(play: &Play, attempts: &mut BTreeMap<TaskInstanceKey, u32>) {
    let (mut wants, mut slots) = (BTreeSet::new(), BTreeSet::new());
    let mut unfinished = 0;
    let mut live_or_waiting = 0;
    for (ti, instance) in play.state.all_instances() {
        let limit = play.state.try_limit(ti).unwrap();
        assert!(instance.try_number() <= limit, "too many tries");
        let last = attempts.insert(ti, instance.fence().attempt);
        assert!(
            last.is_none_or(|last| last <= instance.fence().attempt),
            "a fence went back"
        );
        let halting = play.live.contains_key(&ti) && instance.state() != State::Running;
        match instance.state() {
            _ if halting => slots.insert(ti),
            State::Scheduled | State::Restarting => wants.insert(ti),
            State::Running => slots.insert(ti),
            _ => false,
        };
        unfinished += u32::from(!instance.state().is_finished());
        live_or_waiting +=
            u32::from(!instance.state().is_finished() && instance.state() != State::None);
    }
    assert_eq!(
        play.wants, wants,
        "the shell and the run disagree about who wants slots"
    );
    assert_eq!(
        play.slots, slots,
        "the shell and the run disagree about who has slots"
    );
    assert_eq!(play.state.active() as usize, slots.len());
    assert_eq!(play.state.totals().unfinished(), unfinished);
    let sum = (0..play.state.dag().tasks.len())
        .map(|task| play.state.counts(TaskIndex(u32::try_from(task).unwrap())))
        .map(|counts: StateCounts| counts.unfinished())
        .sum::<u32>();
    assert_eq!(sum, unfinished);
    assert_eq!(play.finished.is_some(), play.state.state().is_finished());
    if play.finished.is_none() {
        let alive = !play.wants.is_empty() || !play.live.is_empty() || play.wake.is_some();
        let waits_for_past = play.state.waits_for_past().next().is_some();
        assert!(
            alive && (live_or_waiting > 0 || !slots.is_empty()) || waits_for_past,
            "an unfinished run has nothing to do"
        );
    } else {
        assert!(wants.is_empty() && slots.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_run_obeys_the_laws_and_ends(
        shapes in shapes(),
        fail_fast in prop::bool::weighted(0.2),
        timeout in prop::option::weighted(0.2, 1..500_i64),
        cancels in prop::bool::weighted(0.3),
        mut meddling in prop_oneof![Just(0), 0..12_usize],
        group in prop::option::weighted(0.6, 0..6_usize),
        seed in any::<u64>(),
    ) {
        let mut draw = Draw(seed);
        let mut attempts = BTreeMap::new();
        let header = RunHeader {
            deadlines: vec![Some(second(90)), None, Some(second(400))],
            ..header()
        };
        let mut play = Play::queued_with(build(&shapes, fail_fast, timeout, group), header);
        play.send(Input::Start);
        check(&play, &mut attempts);
        let mut steps = 0;
        while play.finished.is_none() || meddling > 0 {
            steps += 1;
            prop_assert!(steps < STEPS_MAX, "it never ends");
            if meddling > 0 && (play.finished.is_some() || draw.below(8) == 0) {
                meddling -= 1;
                meddle(&mut play, &mut draw);
                check(&play, &mut attempts);
                continue;
            }
            act(&mut play, &mut draw, cancels && steps > 20);
            check(&play, &mut attempts);
        }
        crash(&mut play);
    }

    #[test]
    fn an_event_is_applied_whole_or_refused_whole(
        shapes in shapes(),
        group in prop::option::weighted(0.6, 0..6_usize),
        seed in any::<u64>(),
    ) {
        let mut draw = Draw(seed);
        let mut state = RunState::new(std::sync::Arc::new(build(&shapes, false, None, group)));
        let early = state.apply(&Event::RunStarted { at: second(0) });
        prop_assert!(early.is_err());
        state.apply(&Event::RunQueued { header: Box::new(header()), dag_version: [0; 32], at: second(0) }).unwrap();
        for _ in 0..60 {
            let event = random_event(&mut draw);
            let before = state.clone();
            if state.apply(&event).is_err() {
                prop_assert!(before == state, "{event:?} was refused and changed something");
            }
        }
    }

    #[test]
    fn f8_a_mapped_group_is_one_copy_of_its_graph_for_each_element(
        shapes in shapes(),
        fates in any::<u64>(),
        orders in any::<[u64; 2]>(),
    ) {
        let tasks = plain(&shapes);
        let members: Vec<u32> = (0..u32::try_from(tasks.len()).unwrap()).collect();
        let mapped = played(grouped(tasks.clone(), &members, over(3)), fates, Draw(orders[0]));
        for map_index in 0..3 {
            let fate = fates.wrapping_add(u64::try_from(map_index).unwrap());
            let alone = played(grouped(tasks.clone(), &members, None), fate, Draw(orders[1]));
            for task in &members {
                prop_assert_eq!(mapped.of(ti(*task, map_index)), alone.of(ti(*task, -1)));
            }
        }
    }
}

/// Unmapped tasks with rules that do not start early: their ends do not depend on any order.
fn plain(shapes: &[Shape]) -> Vec<Task> {
    let early = [
        TriggerRule::OneSuccess,
        TriggerRule::OneFailed,
        TriggerRule::OneDone,
        TriggerRule::Always,
    ];
    let dag = build(shapes, false, None, None);
    let plain = |task: Task| Task {
        expand: None,
        retries: 0,
        depends_on_past: false,
        wait_for_downstream: false,
        multiple_outputs: false,
        trigger_rule: if early.contains(&task.trigger_rule) {
            TriggerRule::AllDone
        } else {
            task.trigger_rule
        },
        ..task
    };
    dag.tasks.into_iter().map(plain).collect()
}

/// Plays a run to its end. What an instance answers follows from `fates`, its task and its map index alone.
fn played(dag: Dag, fates: u64, mut order: Draw) -> Play {
    let mut play = Play::started(dag);
    while play.finished.is_none() {
        let wants: Vec<_> = play.wants.iter().copied().collect();
        let ti = pick(&mut order, &wants).expect("stuck");
        let map_index = u64::try_from(ti.map_index.max(0)).unwrap();
        let fate = fates.wrapping_add(map_index);
        let mut draw = Draw(fate.wrapping_mul(31).wrapping_add(u64::from(ti.task.0)));
        draw.below(2);
        let outcome = match draw.below(8) {
            0 => Outcome::Skip(String::new()),
            1 => error(AttemptErrorKind::Permanent),
            2 => branch(&[]),
            // With `true` it may come before or after a task far below was decided, which is a matter of order.
            3 => Outcome::ShortCircuit {
                ignore_downstream_trigger_rules: false,
            },
            _ => ok(),
        };
        play.run(ti, outcome);
    }
    play.check_replay();
    play
}
