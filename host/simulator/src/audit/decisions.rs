//! What becomes of an undecided task, worked out from the states of single task instances and the sentences of Airflow's
//! documentation. It must not share code with the core: two programs that agree are the test.

use super::book::Book;
use crate::world::DagModel;
use crate::world::family::indexes;
use airlock_core::dag::spec::Expand;
use airlock_core::dag::spec::{ExpandSource, TriggerRule};
use airlock_core::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
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
    /// Its map index is gone.
    Remove,
}

/// The states of the direct upstream task instances that an instance sees; the flag says whether it belongs to a setup.
fn upstream(model: &DagModel, book: &Book, ti: TaskInstanceKey) -> Vec<(State, bool)> {
    let mut states = Vec::new();
    for above in model
        .dag
        .task(ti.task)
        .map_or(&[][..], |task| &task.depends_on)
    {
        let is_setup = model.dag.task(*above).is_some_and(|above| above.is_setup);
        let seen = seen(model, book, *above, ti).into_iter();
        states.extend(seen.map(|state| (state, is_setup)));
    }
    states
}

/// What an instance sees of a task above: in its own mapped group the instance with its map index, or the one that was decided
/// for all before the group was expanded; elsewhere all instances.
fn seen(model: &DagModel, book: &Book, above: TaskIndex, ti: TaskInstanceKey) -> Vec<State> {
    if model.family.are_beside(above, ti.task) {
        let beside = |map_index| {
            book.state(TaskInstanceKey {
                task: above,
                map_index,
            })
        };
        let one = beside(ti.map_index).or_else(|| beside(-1));
        return one.into_iter().collect();
    }
    let all = book.shadow.instances(above);
    all.map(|(_, instance)| instance.state()).collect()
}

/// Any instance of a task that is in no mapped group: all see the same.
fn any_of(task: TaskIndex) -> TaskInstanceKey {
    TaskInstanceKey {
        task,
        map_index: -1,
    }
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

/// What is right for an undecided task instance now: guarding setups first, then its own rule; what never runs is only decided
/// when all direct upstream has ended. In a mapped group the list comes first.
pub(super) fn verdict(model: &DagModel, book: &Book, ti: TaskInstanceKey) -> Verdict {
    let Some(spec) = model.dag.task(ti.task) else {
        return Verdict::Wait;
    };
    if let Some(group) = model.family.group_of(ti.task) {
        let needs_list = ti.map_index < 0 || book.revising.contains(&group);
        if needs_list && !group_upstream_is_done(model, book, group) {
            return Verdict::Wait;
        }
        if ti.map_index < 0 {
            return Verdict::Run;
        }
    }
    let states = upstream(model, book, ti);
    let lost_its_element = |above: &TaskIndex| {
        model.family.are_beside(*above, ti.task)
            && seen(model, book, *above, ti).contains(&State::Removed)
    };
    if spec.trigger_rule == TriggerRule::AllSuccess && spec.depends_on.iter().any(lost_its_element)
    {
        return Verdict::Remove;
    }
    if spec.trigger_rule == TriggerRule::Always {
        return Verdict::Run;
    }
    let verdict = match by_guards(model, book, ti) {
        Verdict::Run => by_rule(spec.trigger_rule, &states),
        other => other,
    };
    let is_open = states.iter().any(|(state, _)| !state.is_finished());
    match verdict {
        Verdict::Skip | Verdict::UpstreamFailed if is_open => Verdict::Wait,
        other => other,
    }
}

fn by_guards(model: &DagModel, book: &Book, ti: TaskInstanceKey) -> Verdict {
    let states = |setup: &TaskIndex| seen(model, book, *setup, ti);
    let guards = model.family.guards(ti.task).iter();
    let states: Vec<State> = guards.flat_map(states).collect();
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
pub(super) fn is_templated(model: &DagModel, task: TaskIndex) -> bool {
    let is_template = |source: &ExpandSource| matches!(source, ExpandSource::Template(_));
    match model.dag.task(task).and_then(|task| task.expand.as_ref()) {
        Some(Expand::Product(keys)) => keys.iter().any(|(_, source)| is_template(source)),
        Some(Expand::Kwargs(source)) => is_template(source),
        None => false,
    }
}

/// Whether all direct upstream task instances have ended.
pub(super) fn upstream_is_done(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    upstream(model, book, any_of(task))
        .iter()
        .all(|(state, _)| state.is_finished())
}

/// Whether all that a group's list may come from has ended.
pub(super) fn group_upstream_is_done(model: &DagModel, book: &Book, group: GroupIndex) -> bool {
    group_upstream(model, book, group).all(State::is_finished)
}

/// The states of all that a group's list may come from.
pub(super) fn group_upstream<'a>(
    model: &'a DagModel,
    book: &'a Book,
    group: GroupIndex,
) -> impl Iterator<Item = State> + 'a {
    let tasks = model.family.group_upstream(group).iter();
    tasks.flat_map(|task| book.shadow.instances(*task).map(|(_, one)| one.state()))
}

/// Whether a direct upstream task instance did not end well.
pub(super) fn upstream_is_short(model: &DagModel, book: &Book, task: TaskIndex) -> bool {
    let states = upstream(model, book, any_of(task));
    states
        .iter()
        .any(|(state, _)| failed(*state) || *state == State::Skipped)
}

/// Whether a branch or short circuit above has ended and does not want the task to run. One that is not directly above binds
/// only what was undecided when it ended: what is cleared later goes by its trigger rule.
pub(super) fn is_unwanted(model: &DagModel, book: &Book, ti: TaskInstanceKey) -> bool {
    let task = ti.task;
    book.deciders.iter().any(|decider| {
        if model.family.are_beside(*decider, task) {
            return is_unwanted_beside(model, book, *decider, ti);
        }
        let binds = model.family.children(*decider).contains(&task)
            || book
                .votes
                .get(decider)
                .is_some_and(|votes| votes.contains(&task));
        binds && all_agree(model, book, *decider, task)
    })
}

/// In a mapped group a decider has a say about its own map index alone.
fn is_unwanted_beside(
    model: &DagModel,
    book: &Book,
    decider: TaskIndex,
    ti: TaskInstanceKey,
) -> bool {
    let said_by = TaskInstanceKey {
        task: decider,
        ..ti
    };
    let binds = model.family.children(decider).contains(&ti.task)
        || book
            .votes_beside
            .get(&said_by)
            .is_some_and(|votes| votes.contains(&ti.task));
    binds && is_against_beside(model, book, said_by, ti.task)
}

fn is_against_beside(
    model: &DagModel,
    book: &Book,
    decider: TaskInstanceKey,
    task: TaskIndex,
) -> bool {
    let said = book.past_of(decider).and_then(|past| past.said.as_ref());
    book.state(decider) == Some(State::Success)
        && said.is_some_and(|said| is_against(model, book, decider.task, said, task))
}

/// What the end of a decider, or a person's word about it, binds from then on: the undecided tasks that it does not want.
pub(super) fn vote(model: &DagModel, book: &mut Book, event: &Event) {
    let (decider, from, to) = match event {
        Event::AttemptFinished { ti, .. } => (ti.task, ti.map_index, ti.map_index + 1),
        Event::Marked { task, from, to, .. }
            if book.started_at.is_some() && book.finished.is_none() =>
        {
            (*task, *from, *to)
        }
        _ => return,
    };
    if !book.deciders.contains(&decider) {
        return;
    }
    let is_undecided = |task: &TaskIndex| {
        let mut instances = book.shadow.instances(*task);
        instances.any(|(_, instance)| instance.state() == State::None)
    };
    let below = indexes(&model.dag).filter(|task| model.family.is_above(*task, decider));
    let (beside, outside): (Vec<TaskIndex>, Vec<TaskIndex>) = below
        .filter(is_undecided)
        .partition(|task| model.family.are_beside(decider, *task));
    let unwanted = outside.into_iter();
    let unwanted = unwanted.filter(|task| all_agree(model, book, decider, *task));
    let unwanted: BTreeSet<TaskIndex> = unwanted.collect();
    for map_index in from..to {
        let ti = TaskInstanceKey {
            task: decider,
            map_index,
        };
        let is_open = |task: &&TaskIndex| {
            book.state(TaskInstanceKey { task: **task, ..ti }) == Some(State::None)
        };
        let beside = beside.iter().filter(is_open).copied();
        let beside = beside.filter(|task| is_against_beside(model, book, ti, *task));
        let beside: BTreeSet<TaskIndex> = beside.collect();
        book.votes_beside.insert(ti, beside);
    }
    book.votes.insert(decider, unwanted);
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
    let is_expanded =
        instances.any(|(map_index, _)| map_index >= 0) && !model.family.are_beside(decider, task);
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
