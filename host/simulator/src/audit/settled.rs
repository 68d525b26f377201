//! Invariants about a run at rest: every step's events are applied and its commands carried out.

use super::decisions::{self, Verdict};
use super::{Checked, Invariant, Scene, past};
use crate::shell::LiveRun;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState as State};
use std::collections::{BTreeMap, BTreeSet};

type Rule = Invariant<fn(&Scene<'_>, &LiveRun) -> bool>;

const RULES: &[Rule] = &[
    Rule {
        name: "the_scheduled_want_slots",
        sentence: "Exactly the scheduled and restarting task instances want slots, but for those whose old attempt has not ended.",
        holds: the_scheduled_want_slots,
    },
    Rule {
        name: "the_running_hold_slots",
        sentence: "Exactly the running task instances hold slots, and those whose attempt was told to stop.",
        holds: the_running_hold_slots,
    },
    Rule {
        name: "what_waits_is_woken",
        sentence: "For whatever waits for a time, the shell has been asked to wake the run by then.",
        holds: what_waits_is_woken,
    },
    Rule {
        name: "nothing_is_dead",
        sentence: "An unfinished task instance has something that moves it: slots to come, a live attempt, a time, or upstream that has not ended.",
        holds: nothing_is_dead,
    },
    Rule {
        name: "totals_are_the_sum",
        sentence: "What a run counts about its task instances is what a recount gives.",
        holds: totals_are_the_sum,
    },
    Rule {
        name: "a_live_run_has_a_future",
        sentence: "A running run has a task instance that is live, wanting or waiting, for a time or for the run before.",
        holds: a_live_run_has_a_future,
    },
];

/// Asks every rule; those about single tasks only for tasks that may have changed.
pub(super) fn check(scene: &Scene<'_>, run: &LiveRun, dirty: &BTreeSet<TaskIndex>) -> Checked<()> {
    if let Some(rule) = RULES.iter().find(|rule| !(rule.holds)(scene, run)) {
        return Err(rule.broken(format!("run {}", scene.key.0)));
    }
    let decides = |task: &&TaskIndex| scene.book.deciders.contains(task);
    let looks_at_all = dirty.iter().any(|task| decides(&task));
    let family = &scene.model.family;
    let near = |task: &TaskIndex| {
        family
            .children(*task)
            .iter()
            .chain(family.guarded(*task))
            .copied()
            .chain([*task])
    };
    // A mapped group is decided as one.
    let with_group = |task: TaskIndex| {
        let group = family.group_of(task).into_iter();
        let members = group.flat_map(|group| family.members(group));
        members.chain([task])
    };
    let tasks: BTreeSet<TaskIndex> = if looks_at_all {
        crate::world::family::indexes(&scene.model.dag).collect()
    } else {
        dirty.iter().flat_map(near).flat_map(with_group).collect()
    };
    match tasks
        .into_iter()
        .find_map(|task| decided_too_late(scene, run, task))
    {
        Some(ti) => Err(IN_TIME.broken(format!(
            "run {}: {ti:?} is undecided, and should be: {:?}",
            scene.key.0,
            decisions::verdict(scene.model, scene.book, ti)
        ))),
        None => Ok(()),
    }
}

const IN_TIME: Invariant<()> = Invariant {
    name: "decisions_are_not_forgotten",
    sentence: "A task is undecided only while its rule says wait and no branch above has ended without choosing it.",
    holds: (),
};

/// An undecided instance of a task that should not be undecided. Where the task is in no mapped group the first stands for all.
fn decided_too_late(scene: &Scene<'_>, run: &LiveRun, task: TaskIndex) -> Option<TaskInstanceKey> {
    if run.state.state() != DagRunState::Running {
        return None;
    }
    let (model, book) = (scene.model, scene.book);
    let undecided = book
        .shadow
        .instances(task)
        .filter(|(_, instance)| instance.state() == State::None);
    let each = model.family.group_of(task).is_some();
    let mut undecided = undecided
        .take(if each { usize::MAX } else { 1 })
        .map(|(map_index, _)| TaskInstanceKey { task, map_index });
    undecided.find(|ti| {
        let waits_for_list =
            decisions::is_templated(model, task) && !decisions::upstream_is_done(model, book, task);
        let is_unwanted = || {
            let group = model.family.group_of(task);
            // What has no map index yet is decided with its list.
            let has_index = group.is_none_or(|_| ti.map_index >= 0);
            let revises = group.is_some_and(|group| book.revising.contains(&group));
            book.stopping.is_none()
                && has_index
                && !revises
                && decisions::is_unwanted(model, book, *ti)
        };
        let waits = decisions::verdict(model, book, *ti) == Verdict::Wait;
        !(waits || waits_for_list || past::holds_back(model, book, *ti)) || is_unwanted()
    })
}

fn in_states<'a>(
    scene: &'a Scene<'_>,
    states: &'a [State],
) -> impl Iterator<Item = TaskInstanceKey> + 'a {
    let all = scene.book.shadow.all_instances();
    all.filter(|(_, instance)| states.contains(&instance.state()))
        .map(|(ti, _)| ti)
}

fn the_scheduled_want_slots(scene: &Scene<'_>, _: &LiveRun) -> bool {
    let empty = BTreeSet::new();
    let wants = scene.ledger.wants.get(&scene.key).unwrap_or(&empty);
    // What was cleared while it ran is undecided when its attempt has ended.
    let is_open = |ti: &TaskInstanceKey| !scene.book.past_of(*ti).is_some_and(|past| past.halting);
    in_states(scene, &[State::Scheduled, State::Restarting])
        .filter(is_open)
        .eq(wants.iter().copied())
}

fn the_running_hold_slots(scene: &Scene<'_>, _: &LiveRun) -> bool {
    let empty = BTreeMap::new();
    let held = scene.ledger.held.get(&scene.key).unwrap_or(&empty);
    let running: BTreeSet<TaskInstanceKey> = in_states(scene, &[State::Running])
        .chain(scene.book.halting())
        .collect();
    running.iter().eq(held.keys())
}

fn what_waits_is_woken(scene: &Scene<'_>, run: &LiveRun) -> bool {
    let asked = run.asked.first();
    let states = [
        State::Running,
        State::UpForRetry,
        State::UpForReschedule,
        State::Deferred,
        State::AwaitingInput,
    ];
    let in_time = |ti: TaskInstanceKey| match scene.book.past_of(ti).and_then(|past| past.waits) {
        Some((_, _, most)) => asked.is_some_and(|asked| *asked <= most),
        None => true,
    };
    let timeout = match (
        scene.model.dag.dagrun_timeout,
        scene.book.started_at,
        scene.book.stopping,
    ) {
        (Some(timeout), Some(start), None) => Some(crate::world::after(start, timeout)),
        _ => None,
    };
    let timeout_is_asked = timeout.is_none_or(|at| asked.is_some_and(|asked| *asked <= at));
    run.state.state().is_finished() || (in_states(scene, &states).all(in_time) && timeout_is_asked)
}

fn nothing_is_dead(scene: &Scene<'_>, _: &LiveRun) -> bool {
    scene.book.shadow.all_instances().all(|(ti, instance)| {
        let past = || scene.book.past_of(ti);
        match instance.state() {
            State::Running => {
                past().is_some_and(|past| past.live.is_some() || past.waits.is_some())
            }
            State::UpForRetry | State::UpForReschedule | State::Deferred | State::AwaitingInput => {
                past().is_some_and(|past| past.waits.is_some())
            }
            State::Restarting => {
                past().is_some_and(|past| past.halting) || scene.ledger.wants_of(scene.key, ti)
            }
            State::Queued => false,
            _ => true,
        }
    })
}

fn totals_are_the_sum(scene: &Scene<'_>, run: &LiveRun) -> bool {
    let mut states: BTreeMap<State, u32> = BTreeMap::new();
    let mut unfinished = 0;
    for (_, instance) in run.state.all_instances() {
        *states.entry(instance.state()).or_default() += 1;
        unfinished += u32::from(!instance.state().is_finished());
    }
    let totals = run.state.totals();
    let of_tasks =
        crate::world::family::indexes(&scene.model.dag).map(|task| run.state.counts(task).total());
    totals.total() == of_tasks.sum::<u32>()
        && totals.total() == states.values().sum::<u32>()
        && states
            .iter()
            .all(|(state, count)| totals.get(*state) == *count)
        && totals.unfinished() == unfinished
}

fn a_live_run_has_a_future(scene: &Scene<'_>, run: &LiveRun) -> bool {
    run.state.state() != DagRunState::Running
        || scene.book.halting().next().is_some()
        || scene
            .book
            .shadow
            .all_instances()
            .any(|(_, instance)| !instance.state().is_finished() && instance.state() != State::None)
        || past::holds_back_any(scene.model, scene.book)
}
