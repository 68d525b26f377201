//! What becomes of an undecided task, worked out from the states of single task instances and the sentences of Airflow's
//! documentation. It must not share code with the core: two programs that agree are the test.

use super::book::Book;
use crate::world::DagModel;
use crate::world::family::indexes;
use airlock_core::dag::spec::Expand;
use airlock_core::dag::spec::{ExpandSource, Task, TriggerRule};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Outcome};
use airlock_core::task_instance::state::TaskInstanceState as State;
use std::collections::BTreeSet;

/// What should be done with an undecided task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Wait,
    Run,
    Skip,
    UpstreamFailed,
}

/// The states of the direct upstream task instances of a task; the flag says whether it belongs to a setup.
fn upstream(model: &DagModel, book: &Book, task: &Task) -> Vec<(State, bool)> {
    let mut states = Vec::new();
    for above in &task.depends_on {
        let is_setup = model.dag.task(*above).is_some_and(|above| above.is_setup);
        states.extend(
            book.shadow
                .instances(*above)
                .map(|(_, instance)| (instance.state(), is_setup)),
        );
    }
    states
}

fn failed(state: State) -> bool {
    matches!(state, State::Failed | State::UpstreamFailed)
}

/// What the trigger rule of a task says about the upstream states that it sees.
pub(super) fn by_rule(rule: TriggerRule, states: &[(State, bool)]) -> Verdict {
    let all = |is: fn(State) -> bool| states.iter().all(|(state, _)| is(*state));
    let any = |is: fn(State) -> bool| states.iter().any(|(state, _)| is(*state));
    let succeeded = |state: State| state == State::Success;
    let skipped = |state: State| state == State::Skipped;
    if states.is_empty() || rule == TriggerRule::Always {
        return Verdict::Run;
    }
    let early = match rule {
        TriggerRule::OneSuccess => any(succeeded),
        TriggerRule::OneFailed => any(failed),
        TriggerRule::OneDone => any(|state| matches!(state, State::Success | State::Failed)),
        _ => false,
    };
    if early {
        return Verdict::Run;
    }
    if !all(State::is_finished) {
        return Verdict::Wait;
    }
    let runs = match rule {
        TriggerRule::AllSuccess => !any(failed) && !any(skipped),
        TriggerRule::AllFailed => !any(succeeded) && !any(skipped),
        TriggerRule::AllDone => true,
        TriggerRule::AllDoneMinOneSuccess => any(succeeded) && !any(skipped),
        TriggerRule::AllDoneSetupSuccess => {
            setups(states).is_none_or(|setups| setups.contains(&State::Success))
        }
        TriggerRule::NoneFailed => !any(failed),
        TriggerRule::NoneFailedMinOneSuccess => !any(failed) && any(succeeded),
        TriggerRule::NoneSkipped => !any(skipped),
        TriggerRule::AllSkipped => all(skipped),
        TriggerRule::OneSuccess
        | TriggerRule::OneFailed
        | TriggerRule::OneDone
        | TriggerRule::Always => false,
    };
    if runs {
        return Verdict::Run;
    }
    match rule {
        TriggerRule::AllSuccess if any(failed) => Verdict::UpstreamFailed,
        TriggerRule::AllDoneMinOneSuccess if !any(skipped) => Verdict::UpstreamFailed,
        TriggerRule::AllDoneSetupSuccess => {
            let setups = setups(states).unwrap_or_default();
            let all_skipped = setups.iter().all(|state| skipped(*state));
            if all_skipped {
                Verdict::Skip
            } else {
                Verdict::UpstreamFailed
            }
        }
        TriggerRule::OneSuccess | TriggerRule::NoneFailedMinOneSuccess if !all(skipped) => {
            Verdict::UpstreamFailed
        }
        TriggerRule::NoneFailed => Verdict::UpstreamFailed,
        TriggerRule::AllSkipped if !any(failed) && !any(succeeded) => Verdict::Wait,
        _ => Verdict::Skip,
    }
}

/// The states of the setups among them, if there are any.
fn setups(states: &[(State, bool)]) -> Option<Vec<State>> {
    let setups: Vec<State> = states
        .iter()
        .filter(|(_, is_setup)| *is_setup)
        .map(|(state, _)| *state)
        .collect();
    (!setups.is_empty()).then_some(setups)
}

/// What is right for an undecided task now: guarding setups first, then its own rule; what never runs is only decided when all
/// direct upstream has ended.
pub(super) fn verdict(model: &DagModel, book: &Book, task: TaskIndex) -> Verdict {
    let Some(spec) = model.dag.task(task) else {
        return Verdict::Wait;
    };
    if spec.trigger_rule == TriggerRule::Always {
        return Verdict::Run;
    }
    let states = upstream(model, book, spec);
    let verdict = match by_guards(model, book, task) {
        Verdict::Run => by_rule(spec.trigger_rule, &states),
        other => other,
    };
    let is_open = states.iter().any(|(state, _)| !state.is_finished());
    match verdict {
        Verdict::Skip | Verdict::UpstreamFailed if is_open => Verdict::Wait,
        other => other,
    }
}

fn by_guards(model: &DagModel, book: &Book, task: TaskIndex) -> Verdict {
    let states = |setup: &TaskIndex| {
        book.shadow
            .instances(*setup)
            .map(|(_, instance)| instance.state())
    };
    let states: Vec<State> = model.family.guards(task).iter().flat_map(states).collect();
    if states.iter().any(|state| failed(*state)) {
        Verdict::UpstreamFailed
    } else if states.iter().any(|state| !state.is_finished()) {
        // It may still fail, and a failure counts for more than a skip.
        Verdict::Wait
    } else if states.contains(&State::Skipped) {
        Verdict::Skip
    } else {
        Verdict::Run
    }
}

/// Whether a task's list comes from a template, so that it has to wait for all of its upstream.
pub(super) fn is_templated(task: &Task) -> bool {
    let is_template = |source: &ExpandSource| matches!(source, ExpandSource::Template(_));
    match &task.expand {
        Some(Expand::Product(keys)) => keys.iter().any(|(_, source)| is_template(source)),
        Some(Expand::Kwargs(source)) => is_template(source),
        None => false,
    }
}

/// Whether all direct upstream task instances have ended.
pub(super) fn upstream_is_done(model: &DagModel, book: &Book, task: &Task) -> bool {
    upstream(model, book, task)
        .iter()
        .all(|(state, _)| state.is_finished())
}

/// Whether a direct upstream task instance did not end well.
pub(super) fn upstream_is_short(model: &DagModel, book: &Book, task: &Task) -> bool {
    let states = upstream(model, book, task);
    states
        .iter()
        .any(|(state, _)| failed(*state) || *state == State::Skipped)
}

/// Whether a branch or short circuit above has ended and does not want the task to run. One that is not directly above binds
/// only what was undecided when it ended: what is cleared later goes by its trigger rule.
pub(super) fn is_unwanted(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    book.deciders.iter().any(|decider| {
        let binds = model.family.children(*decider).contains(&task)
            || book
                .votes
                .get(decider)
                .is_some_and(|votes| votes.contains(&task));
        binds && all_agree(model, book, *decider, task)
    })
}

/// What a decider does not want, if this event was the end of one or a person's word about it.
pub(super) fn votes(
    model: &DagModel,
    book: &Book,
    event: &Event,
) -> Option<(TaskIndex, BTreeSet<TaskIndex>)> {
    let decider = match event {
        Event::AttemptFinished { ti, .. } => ti.task,
        Event::Marked { task, .. } if book.started_at.is_some() && book.finished.is_none() => *task,
        _ => return None,
    };
    if !book.deciders.contains(&decider) {
        return None;
    }
    let is_undecided = |task: &TaskIndex| {
        let mut instances = book.shadow.instances(*task);
        instances.any(|(_, instance)| instance.state() == State::None)
    };
    let below = indexes(&model.dag).filter(|task| model.family.is_above(*task, decider));
    let unwanted = below.filter(is_undecided);
    let unwanted = unwanted.filter(|task| all_agree(model, book, decider, *task));
    Some((decider, unwanted.collect()))
}

fn all_agree(model: &DagModel, book: &Book, decider: TaskIndex, task: TaskIndex) -> bool {
    let mut votes = 0;
    for (map_index, instance) in book.shadow.instances(decider) {
        let said = book
            .past_of(TaskInstanceKey {
                task: decider,
                map_index,
            })
            .and_then(|past| past.said.as_ref());
        match (instance.state(), said) {
            (State::Success, Some(said)) if is_against(model, book, decider, said, task) => {
                votes += 1;
            }
            (State::Success, _) => return false,
            (state, _) if !state.is_finished() => return false,
            _ => {}
        }
    }
    votes > 0
}

fn is_against(
    model: &DagModel,
    book: &Book,
    decider: TaskIndex,
    said: &Outcome,
    task: TaskIndex,
) -> bool {
    let Some(spec) = model.dag.task(task) else {
        return false;
    };
    let children = model.family.children(decider);
    let is_child = children.contains(&task);
    // What is expanded already is skipped by the branch directly above alone.
    let mut instances = book.shadow.instances(task);
    let is_expanded = instances.any(|(map_index, _)| map_index >= 0);
    match said {
        Outcome::Branch(chosen) => {
            let is_chosen = |child: &&TaskIndex| {
                model
                    .dag
                    .task(**child)
                    .is_some_and(|child| chosen.iter().any(|id| id == child.task_id.as_str()))
            };
            let mut kept = children.iter().filter(is_chosen);
            is_child && !kept.any(|kept| *kept == task || model.family.is_above(task, *kept))
        }
        Outcome::ShortCircuit {
            ignore_downstream_trigger_rules,
        } => !spec.is_teardown && (is_child || (*ignore_downstream_trigger_rules && !is_expanded)),
        _ => false,
    }
}
