//! Invariants about what people do to runs: clear, mark, end. What they name is worked out again from the relations of the DAG.

use super::before_event::right_end;
use super::book::Book;
use super::stepped::{After, Before};
use super::{Checked, Invariant, Scene};
use crate::shell::{LiveRun, Selection};
use crate::world::DagModel;
use crate::world::family::indexes;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Command, Event, Input};
use airlock_core::run::step::Step;
use airlock_core::task_instance::state::TaskInstanceState as State;
use std::collections::BTreeSet;

const SELECTION: Invariant<()> = Invariant {
    name: "a_clear_takes_what_was_named",
    sentence: "A clear takes the named tasks, above and below as asked, their setups and teardowns, in the states and map indexes asked for.",
    holds: (),
};

pub(super) const BEFORE: &[Before] = &[
    Before {
        name: "a_change_changes_what_was_named",
        sentence: "A clear or mark changes each task instance that was named once, and no other.",
        holds: a_change_changes_what_was_named,
    },
    Before {
        name: "a_cleared_run_lives_again",
        sentence: "A run that has ended is queued again by a clear of anything in it, and by nothing else.",
        holds: a_cleared_run_lives_again,
    },
];

pub(super) const AFTER: &[After] = &[
    After {
        name: "what_counts_no_more_is_stopped",
        sentence: "The attempt of a task instance that is cleared, marked or removed is told to stop.",
        holds: what_counts_no_more_is_stopped,
    },
    After {
        name: "a_mark_stays",
        sentence: "A marked task instance has the state that it was given.",
        holds: a_mark_stays,
    },
    After {
        name: "an_ended_run_is_judged_again",
        sentence: "A run that has ended is in the state that its leaves, or the person who marked it, give it.",
        holds: an_ended_run_is_judged_again,
    },
    After {
        name: "a_marked_run_ends",
        sentence: "A run that a person ends has nothing unfinished in it, and ends when its last attempt has.",
        holds: a_marked_run_ends,
    },
];

/// What a clear should take: worked out from the table of every pair of tasks.
pub(super) fn check_selection(
    model: &DagModel,
    book: &Book,
    selection: &Selection,
    ranges: &[(TaskIndex, i32, i32)],
) -> Checked<()> {
    let (named, options) = (&selection.tasks, &selection.options);
    let is_taken = |task: TaskIndex| {
        named.iter().any(|one| {
            *one == task
                || (options.upstream && model.family.is_above(*one, task))
                || (options.downstream && model.family.is_above(task, *one))
        })
    };
    let tasks: Vec<TaskIndex> = indexes(&model.dag).filter(|task| is_taken(*task)).collect();
    let scope: BTreeSet<TaskIndex> = tasks.iter().flat_map(|task| scope(model, *task)).collect();
    let mut expected = BTreeSet::new();
    for task in indexes(&model.dag).filter(|task| tasks.contains(task) || scope.contains(task)) {
        for (map_index, instance) in book.shadow.instances(task) {
            let failed = matches!(instance.state(), State::Failed | State::UpstreamFailed);
            let fits = if options.only_failed || options.only_running {
                (options.only_failed && failed)
                    || (options.only_running && instance.state() == State::Running)
            } else {
                instance.state() != State::Removed
            };
            let by_index = options.map_indexes.is_empty() || !named.contains(&task);
            if fits && (by_index || options.map_indexes.contains(&map_index)) {
                expected.insert(TaskInstanceKey { task, map_index });
            }
        }
    }
    let found: Vec<TaskInstanceKey> = keys(ranges).collect();
    if found.len() == expected.len() && found.iter().all(|ti| expected.contains(ti)) {
        return Ok(());
    }
    Err(SELECTION.broken(format!(
        "{selection:?} took {ranges:?}, and should take {expected:?}"
    )))
}

/// The setups that a task needs and the teardowns that end them.
fn scope(model: &DagModel, task: TaskIndex) -> Vec<TaskIndex> {
    let teardowns = |setup: TaskIndex| {
        let below = model.family.children(setup).iter().copied();
        below.filter(|child| model.dag.task(*child).is_some_and(|task| task.is_teardown))
    };
    let is_setup = |task: TaskIndex| model.dag.task(task).is_some_and(|task| task.is_setup);
    if is_setup(task) {
        return teardowns(task).collect();
    }
    let needs = |setup: &TaskIndex| {
        let ends = || teardowns(*setup);
        is_setup(*setup)
            && model.family.is_above(task, *setup)
            && (ends().count() == 0 || ends().any(|end| model.family.is_above(end, task)))
    };
    let needed = indexes(&model.dag).filter(needs);
    needed
        .flat_map(|setup| std::iter::once(setup).chain(teardowns(setup)))
        .collect()
}

fn keys(ranges: &[(TaskIndex, i32, i32)]) -> impl Iterator<Item = TaskInstanceKey> + '_ {
    ranges.iter().flat_map(|(task, from, to)| {
        (*from..*to).map(|map_index| TaskInstanceKey {
            task: *task,
            map_index,
        })
    })
}

/// The task instances that an input names.
fn named(input: &Input) -> BTreeSet<TaskInstanceKey> {
    match input {
        Input::Clear { instances } | Input::Mark { instances, .. } => keys(instances).collect(),
        _ => BTreeSet::new(),
    }
}

fn a_change_changes_what_was_named(_: &Scene<'_>, input: &Input, step: &Step) -> bool {
    let changed: Vec<(TaskIndex, i32, i32)> = step
        .events
        .iter()
        .filter_map(|event| match event {
            Event::Cleared { task, from, to, .. } | Event::Marked { task, from, to, .. } => {
                Some((*task, *from, *to))
            }
            _ => None,
        })
        .collect();
    let once: BTreeSet<TaskInstanceKey> = keys(&changed).collect();
    let is_right = matches!(input, Input::MarkRun { .. }) || once == named(input);
    is_right && keys(&changed).count() == once.len()
}

fn a_cleared_run_lives_again(scene: &Scene<'_>, _: &Input, step: &Step) -> bool {
    let is_cleared = step
        .events
        .iter()
        .any(|event| matches!(event, Event::Cleared { .. }));
    let reopened = step
        .commands
        .iter()
        .filter(|command| matches!(command, Command::RunReopened))
        .count();
    reopened == usize::from(is_cleared && scene.book.finished.is_some())
}

fn what_counts_no_more_is_stopped(scene: &Scene<'_>, _: &LiveRun, _: &Input, step: &Step) -> bool {
    scene.book.stopped_now.iter().all(|(ti, fence)| {
        step.commands.iter().any(|command| {
            matches!(command, Command::StopAttempt { ti: of, fence: with, .. } if of == ti && with == fence)
        })
    })
}

fn a_mark_stays(scene: &Scene<'_>, _: &LiveRun, input: &Input, _: &Step) -> bool {
    let Input::Mark { state, .. } = input else {
        return true;
    };
    let marked = named(input);
    marked
        .into_iter()
        .all(|ti| scene.book.state(ti) == Some(*state))
}

fn an_ended_run_is_judged_again(
    scene: &Scene<'_>,
    run: &LiveRun,
    input: &Input,
    step: &Step,
) -> bool {
    // Tasks that a newer version brought are no reason to judge, and neither is a change that changes nothing.
    let asks = !matches!(input, Input::EditXCom { .. } | Input::Clear { .. });
    let is_judged = !scene.book.is_newer || (asks && !step.events.is_empty());
    match scene.book.finished {
        Some(state) => (!is_judged || state == right_end(scene)) && state == run.state.state(),
        None => !run.state.state().is_finished(),
    }
}

fn a_marked_run_ends(scene: &Scene<'_>, run: &LiveRun, input: &Input, _: &Step) -> bool {
    let Input::MarkRun { state, .. } = input else {
        return true;
    };
    let live = scene.book.live().next().is_some();
    let ends = scene.book.finished == Some(*state);
    let was_over = run.state.state().is_finished();
    live != was_over && ends != live
}
