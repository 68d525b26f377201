//! Invariants about one event, asked before it is applied: may this happen now?

use super::book::Wait;
use super::decisions::{self, Verdict};
use super::{Checked, Invariant, Scene, past};
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Reason};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState as State};

type Rule = Invariant<fn(&Scene<'_>, &Event) -> bool>;

const RULES: &[Rule] = &[
    Rule {
        name: "one_live_attempt",
        sentence: "A task instance has at most one live attempt.",
        holds: one_live_attempt,
    },
    Rule {
        name: "fences_go_up_by_one",
        sentence: "Each start of a task instance has the next fence; what speaks of an attempt names its fence.",
        holds: fences_go_up_by_one,
    },
    Rule {
        name: "tries_are_bounded",
        sentence: "A task instance has at most retries + 1 tries, counted from its last clear.",
        holds: tries_are_bounded,
    },
    Rule {
        name: "only_failures_count_as_tries",
        sentence: "A new try follows a failed one or a clear; pokes, deferrals and restarts go on with the same try.",
        holds: only_failures_count_as_tries,
    },
    Rule {
        name: "nothing_starts_unasked",
        sentence: "An attempt starts only for a task instance that wants slots or keeps them between pokes.",
        holds: nothing_starts_unasked,
    },
    Rule {
        name: "started_by_its_trigger_rule",
        sentence: "A task instance is scheduled only when its trigger rule holds.",
        holds: started_by_its_trigger_rule,
    },
    Rule {
        name: "the_past_comes_first",
        sentence: "A task that depends on its past is not scheduled, and where it waits for that not skipped by its rule, before the past allows it.",
        holds: the_past_comes_first,
    },
    Rule {
        name: "never_run_by_its_trigger_rule",
        sentence: "A task instance is skipped or upstream_failed by its trigger rule only when that rule says so.",
        holds: never_run_by_its_trigger_rule,
    },
    Rule {
        name: "only_what_has_no_element_is_removed",
        sentence: "An instance in a mapped group is removed only after the instance above it, with its map index, was.",
        holds: only_what_has_no_element_is_removed,
    },
    Rule {
        name: "skipped_by_a_branch",
        sentence: "A branch or short circuit skips only what it did not choose.",
        holds: skipped_by_a_branch,
    },
    Rule {
        name: "not_chosen_is_not_started",
        sentence: "What an ended branch or short circuit did not choose is not scheduled.",
        holds: not_chosen_is_not_started,
    },
    Rule {
        name: "retry_waits_its_delay",
        sentence: "A retry does not begin before its delay.",
        holds: retry_waits_its_delay,
    },
    Rule {
        name: "sensor_waits_its_interval",
        sentence: "A sensor is not poked before its interval.",
        holds: sensor_waits_its_interval,
    },
    Rule {
        name: "deferral_waits_its_time",
        sentence: "A deferred task instance does not go on before its time.",
        holds: deferral_waits_its_time,
    },
    Rule {
        name: "what_ended_stays_ended",
        sentence: "A finished task instance does not change unless a person clears or marks it.",
        holds: what_ended_stays_ended,
    },
    Rule {
        name: "a_stop_has_a_cause",
        sentence: "A run is stopped by fail_fast only after a task that is no teardown failed, by dagrun_timeout only when it passed.",
        holds: a_stop_has_a_cause,
    },
    Rule {
        name: "nothing_starts_while_stopping",
        sentence: "Nothing starts in a run that is being stopped, but teardowns under fail_fast.",
        holds: nothing_starts_while_stopping,
    },
    Rule {
        name: "nothing_starts_after_the_timeout",
        sentence: "Nothing starts in a run past its dagrun_timeout.",
        holds: nothing_starts_after_the_timeout,
    },
    Rule {
        name: "a_finished_run_is_over",
        sentence: "A finished run has no live attempt, and no unfinished task instance but such as wait for ever.",
        holds: a_finished_run_is_over,
    },
    Rule {
        name: "leaves_decide_the_run",
        sentence: "A run ends as a person said; else it failed if it was stopped, is stuck or a leaf failed, and succeeded otherwise.",
        holds: leaves_decide_the_run,
    },
];

/// Asks every rule.
pub(super) fn check(scene: &Scene<'_>, event: &Event) -> Checked<()> {
    match RULES.iter().find(|rule| !(rule.holds)(scene, event)) {
        Some(rule) => Err(rule.broken(format!("run {}: {event:?}", scene.key.0))),
        None => Ok(()),
    }
}

fn one_live_attempt(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::AttemptStarted { ti, .. } => scene.book.past(*ti).live.is_none(),
        _ => true,
    }
}

fn fences_go_up_by_one(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::AttemptStarted { ti, fence, .. } => {
            fence.attempt == scene.book.past(*ti).attempt + 1
        }
        Event::AttemptFinished { ti, fence, .. }
        | Event::XComPushed { ti, fence, .. }
        | Event::AttemptLost { ti, fence, .. } => scene.book.past(*ti).attempt == fence.attempt,
        _ => true,
    }
}

fn tries_are_bounded(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::AttemptStarted { ti, try_number, .. } => {
            let retries = scene.model.dag.task(ti.task).map_or(0, |task| task.retries);
            let before = scene.book.past(*ti).tries_before;
            (1..=before + retries + 1).contains(try_number)
        }
        _ => true,
    }
}

fn only_failures_count_as_tries(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::AttemptStarted { ti, try_number, .. } => {
            *try_number == scene.book.past(*ti).failures + 1
        }
        _ => true,
    }
}

fn nothing_starts_unasked(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::AttemptStarted { ti, .. } = event else {
        return true;
    };
    let between_pokes = || {
        let waits = scene.book.past(*ti).waits;
        scene
            .ledger
            .held_by(scene.key, *ti)
            .is_some_and(|held| held.slots > 0)
            && waits.is_some_and(|(wait, _, _)| wait == Wait::Poke)
    };
    scene.ledger.wants_of(scene.key, *ti) || between_pokes()
}

/// The undecided instances that a `StateSet` to `wanted` speaks of: in a mapped group each is a case of its own, elsewhere the
/// first stands for all.
fn decided(scene: &Scene<'_>, event: &Event, wanted: State) -> Vec<TaskInstanceKey> {
    match event {
        Event::StateSet {
            task,
            from,
            to,
            state,
            ..
        } if *state == wanted => {
            let keys = (*from..*to).map(|map_index| TaskInstanceKey {
                task: *task,
                map_index,
            });
            let undecided = keys.filter(|ti| scene.book.state(*ti) == Some(State::None));
            let all = scene.model.family.group_of(*task).is_some();
            undecided.take(if all { usize::MAX } else { 1 }).collect()
        }
        _ => Vec::new(),
    }
}

fn started_by_its_trigger_rule(scene: &Scene<'_>, event: &Event) -> bool {
    let decided = decided(scene, event, State::Scheduled);
    let may_run = |ti: &TaskInstanceKey| {
        let is_expanded = ti.map_index >= 0 || scene.model.family.group_of(ti.task).is_none();
        is_expanded && decisions::verdict(scene.model, scene.book, *ti) == Verdict::Run
    };
    decided.iter().all(may_run)
}

fn the_past_comes_first(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::StateSet {
            task,
            state: State::Skipped,
            reason: Some(Reason::TriggerRule),
            ..
        } => !past::lacks_for_skip(scene.model, scene.book, *task),
        _ => decided(scene, event, State::Scheduled)
            .iter()
            .all(|ti| !past::lacks(scene.model, scene.book, ti.task)),
    }
}

fn never_run_by_its_trigger_rule(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::StateSet {
        task,
        from,
        to,
        state,
        reason: Some(Reason::TriggerRule),
        ..
    } = event
    else {
        return true;
    };
    let wanted = match state {
        State::Skipped => Verdict::Skip,
        State::UpstreamFailed => Verdict::UpstreamFailed,
        _ => return false,
    };
    let (model, book) = (scene.model, scene.book);
    // The list of a mapped task or group may be missing because who gives it did not run.
    let lacks_list = || match model.family.group_of(*task) {
        Some(group) => {
            let is_short = |state| match wanted {
                Verdict::Skip => state == State::Skipped,
                _ => matches!(state, State::Failed | State::UpstreamFailed),
            };
            let is_due = *from < 0 || book.revising.contains(&group);
            is_due
                && decisions::group_upstream_is_done(model, book, group)
                && decisions::group_upstream(model, book, group).any(is_short)
        }
        None => {
            decisions::is_templated(model, *task)
                && decisions::upstream_is_short(model, book, *task)
        }
    };
    let each = (*from..*to).map(|map_index| TaskInstanceKey {
        task: *task,
        map_index,
    });
    let mut undecided = each.filter(|ti| book.state(*ti) == Some(State::None));
    undecided.all(|ti| {
        let verdict = decisions::verdict(model, book, ti);
        // Without a list no rule in a group is asked.
        let is_asked = verdict == Verdict::Run || model.family.group_of(*task).is_some();
        verdict == wanted || (is_asked && lacks_list())
    })
}

fn only_what_has_no_element_is_removed(scene: &Scene<'_>, event: &Event) -> bool {
    let decided = decided(scene, event, State::Removed);
    decided
        .iter()
        .all(|ti| decisions::verdict(scene.model, scene.book, *ti) == Verdict::Remove)
}

fn skipped_by_a_branch(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::StateSet {
            task,
            from,
            to,
            reason: Some(Reason::BranchNotTaken | Reason::ShortCircuit | Reason::PreviouslySkipped),
            ..
        } => (*from..*to).all(|map_index| {
            let ti = TaskInstanceKey {
                task: *task,
                map_index,
            };
            decisions::is_unwanted(scene.model, scene.book, ti)
        }),
        _ => true,
    }
}

fn not_chosen_is_not_started(scene: &Scene<'_>, event: &Event) -> bool {
    let decided = decided(scene, event, State::Scheduled);
    scene.book.stopping.is_some()
        || decided
            .iter()
            .all(|ti| !decisions::is_unwanted(scene.model, scene.book, *ti))
}

/// When the end of a wait of this kind is recorded, the wait's earliest end has come.
fn waited(scene: &Scene<'_>, event: &Event, kind: Wait) -> bool {
    let is_early = |ti: TaskInstanceKey| {
        // Who waited for an answer goes on when it is given.
        let is_answered = scene.book.state(ti) == Some(State::AwaitingInput)
            && scene
                .book
                .questions
                .get(&ti)
                .is_some_and(|question| question.answer.is_some());
        let waits = scene.book.past_of(ti).and_then(|past| past.waits);
        let waits = waits.filter(|_| !is_answered);
        waits.is_some_and(|(wait, least, _)| wait == kind && scene.now < least)
    };
    match event {
        Event::StateSet {
            task,
            from,
            to,
            state: State::Scheduled,
            ..
        } => !(*from..*to).any(|map_index| {
            is_early(TaskInstanceKey {
                task: *task,
                map_index,
            })
        }),
        Event::AttemptStarted { ti, .. } => !is_early(*ti),
        _ => true,
    }
}

fn retry_waits_its_delay(scene: &Scene<'_>, event: &Event) -> bool {
    waited(scene, event, Wait::Retry)
}

fn sensor_waits_its_interval(scene: &Scene<'_>, event: &Event) -> bool {
    waited(scene, event, Wait::Poke)
}

fn deferral_waits_its_time(scene: &Scene<'_>, event: &Event) -> bool {
    waited(scene, event, Wait::Deferral)
}

fn what_ended_stays_ended(scene: &Scene<'_>, event: &Event) -> bool {
    let is_open = |ti| {
        scene
            .book
            .state(ti)
            .is_some_and(|state| !state.is_finished())
    };
    match event {
        Event::StateSet { task, from, to, .. } => (*from..*to).all(|map_index| {
            is_open(TaskInstanceKey {
                task: *task,
                map_index,
            })
        }),
        Event::AttemptFinished { ti, .. } | Event::AttemptLost { ti, .. } => {
            is_open(*ti) || scene.book.past(*ti).halting
        }
        Event::AttemptStarted { ti, .. } => is_open(*ti),
        Event::XComPushed { ti, .. } => is_open(*ti) && !scene.book.past(*ti).halting,
        _ => true,
    }
}

fn a_stop_has_a_cause(scene: &Scene<'_>, event: &Event) -> bool {
    let dag = &scene.model.dag;
    match event {
        Event::RunStopping {
            why: Reason::FailFast,
            ..
        } => {
            let failed = |(ti, instance): (TaskInstanceKey, &airlock_core::run::Instance)| {
                let is_teardown = dag.task(ti.task).is_some_and(|task| task.is_teardown);
                !is_teardown && instance.state() == State::Failed
            };
            dag.fail_fast && scene.book.shadow.all_instances().any(failed)
        }
        Event::RunStopping {
            why: Reason::DagRunTimeout,
            ..
        } => {
            let age = scene
                .book
                .started_at
                .map(|start| scene.now.duration_since(start));
            age.zip(dag.dagrun_timeout)
                .is_some_and(|(age, timeout)| age >= timeout)
        }
        _ => true,
    }
}

fn nothing_starts_while_stopping(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::AttemptStarted { ti, .. } => match scene.book.stopping {
            None => true,
            Some(Reason::FailFast) => scene
                .model
                .dag
                .task(ti.task)
                .is_some_and(|task| task.is_teardown),
            Some(_) => false,
        },
        _ => true,
    }
}

fn nothing_starts_after_the_timeout(scene: &Scene<'_>, event: &Event) -> bool {
    let (Event::AttemptStarted { .. }, Some(timeout)) = (event, scene.model.dag.dagrun_timeout)
    else {
        return true;
    };
    scene
        .book
        .started_at
        .is_some_and(|start| scene.now.duration_since(start) < timeout)
}

fn a_finished_run_is_over(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::RunFinished { .. } => {
            let mut instances = scene.book.shadow.all_instances();
            let is_stuck = |ti: TaskInstanceKey, state: State| {
                let waits = || decisions::verdict(scene.model, scene.book, ti) == Verdict::Wait;
                state == State::None && (scene.book.finished.is_some() || waits())
            };
            scene.book.live().next().is_none()
                && instances.all(|(ti, instance)| {
                    instance.state().is_finished() || is_stuck(ti, instance.state())
                })
        }
        _ => true,
    }
}

fn leaves_decide_the_run(scene: &Scene<'_>, event: &Event) -> bool {
    match event {
        Event::RunFinished { state, .. } => *state == right_end(scene),
        _ => true,
    }
}

/// How a run ends in which nothing goes on any more.
pub(super) fn right_end(scene: &Scene<'_>) -> DagRunState {
    let dag = &scene.model.dag;
    let counts = |task: airlock_core::ids::TaskIndex| {
        dag.task(task)
            .is_some_and(|task| !task.is_teardown || task.on_failure_fail_dagrun)
    };
    let any_counts = crate::world::family::indexes(dag).any(counts);
    let is_leaf = |task: airlock_core::ids::TaskIndex| {
        let children = scene.model.family.children(task);
        if any_counts {
            counts(task) && !children.iter().any(|child| counts(*child))
        } else {
            children.is_empty()
        }
    };
    let failed = crate::world::family::indexes(dag)
        .filter(|task| is_leaf(*task))
        .any(|task| {
            scene.book.shadow.instances(task).any(|(_, instance)| {
                matches!(instance.state(), State::Failed | State::UpstreamFailed)
            })
        });
    let mut all = scene.book.shadow.all_instances();
    let is_stuck = all.any(|(_, instance)| instance.state() == State::None);
    match (scene.book.stopping, scene.book.marked) {
        (Some(Reason::Marked), Some(state)) => state,
        (None, _) if !failed && !is_stuck => DagRunState::Success,
        _ => DagRunState::Failed,
    }
}
