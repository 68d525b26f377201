//! Invariants about one event, asked after it was applied: did it lead where it should?

use super::{Checked, Invariant, Scene, outcome};
use airlock_core::dag::spec::{Expand, ExpandSource};
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::Event;
use airlock_core::task_instance::state::TaskInstanceState as State;
use serde_json::Value;

type Rule = Invariant<fn(&Scene<'_>, &Event) -> bool>;

const RULES: &[Rule] = &[
    Rule {
        name: "outcome_leads_to_its_state",
        sentence: "An outcome leaves its task instance in the state that it means: retried while tries are left, and no longer.",
        holds: outcome_leads_to_its_state,
    },
    Rule {
        name: "xcoms_are_kept",
        sentence: "A task instance has exactly the XComs of its current try: what it pushed, what it returned, and what a person made of them.",
        holds: xcoms_are_kept,
    },
    Rule {
        name: "waits_end_in_time",
        sentence: "What waits goes on by itself at a time between the bounds of its delay.",
        holds: waits_end_in_time,
    },
    Rule {
        name: "one_instance_an_element",
        sentence: "A mapped task has one instance for each element of its lists, or of their cross product.",
        holds: one_instance_an_element,
    },
    Rule {
        name: "a_cleared_instance_begins_anew",
        sentence: "A cleared task instance is undecided, or restarting until its old attempt has ended.",
        holds: a_cleared_instance_begins_anew,
    },
    Rule {
        name: "a_group_is_expanded_as_one",
        sentence: "Every task of a mapped group has one instance for each element, but those that were decided for all before.",
        holds: a_group_is_expanded_as_one,
    },
];

/// Asks every rule.
pub(super) fn check(scene: &Scene<'_>, event: &Event) -> Checked<()> {
    match RULES.iter().find(|rule| !(rule.holds)(scene, event)) {
        Some(rule) => Err(rule.broken(format!("run {}: {event:?}", scene.key.0))),
        None => Ok(()),
    }
}

fn outcome_leads_to_its_state(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::AttemptFinished { ti, outcome, .. } = event else {
        return true;
    };
    if scene.was_halting {
        return scene.book.state(*ti) != Some(State::Running);
    }
    let Some(task) = scene.model.dag.task(ti.task) else {
        return false;
    };
    let mut past = scene.book.past(*ti);
    let state = scene.book.state(*ti);
    // The book has counted this failure already.
    past.failures -= u32::from(state == Some(State::UpForRetry) && past.failures > 0);
    state
        == Some(outcome::leads_to(
            task,
            &past,
            scene.book.stopping,
            scene.book.waits_for_answer(*ti),
            outcome,
        ))
}

fn xcoms_are_kept(scene: &Scene<'_>, event: &Event) -> bool {
    let (Event::AttemptStarted { ti, .. }
    | Event::AttemptFinished { ti, .. }
    | Event::XComPushed { ti, .. }
    | Event::XComEdited { ti, .. }) = event
    else {
        return true;
    };
    let empty = std::collections::BTreeMap::new();
    let expected = scene.book.past_of(*ti).map_or(&empty, |past| &past.xcoms);
    let mut found = scene.book.shadow.xcoms_of(*ti);
    scene.book.shadow.xcoms_of(*ti).count() == expected.len()
        && found.all(|(key, value)| expected.get(key).is_some_and(|expected| expected == value))
}

fn waits_end_in_time(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::AttemptFinished { ti, .. } = event else {
        return true;
    };
    match (scene.book.past(*ti).waits, scene.book.shadow.due(*ti)) {
        (Some((_, least, most)), Some(due)) => least <= due && due <= most,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

fn a_group_is_expanded_as_one(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::GroupExpanded { group, elements } = event else {
        return true;
    };
    let spec = scene.model.dag.group(*group);
    let Some(Expand::Product(keys)) = spec.and_then(|group| group.expand.as_ref()) else {
        return false;
    };
    let lists: Vec<Option<Vec<Value>>> = serde_json::from_str(elements).unwrap_or_default();
    let expected: usize = keys.iter().zip(&lists).map(length).product();
    scene.model.family.members(*group).all(|task| {
        let instances = || scene.book.shadow.instances(task);
        let was_decided =
            instances().all(|(map_index, one)| map_index < 0 && one.state().is_finished());
        let there = instances().filter(|(_, one)| one.state() != State::Removed);
        let indexes: Vec<i32> = there.map(|(map_index, _)| map_index).collect();
        let all = indexes.len() == expected;
        was_decided || (all && (0..).zip(&indexes).all(|(place, index)| place == *index))
    })
}

/// How many elements a list has: a literal's are in the DAG.
fn length(((_, source), list): (&(String, ExpandSource), &Option<Vec<Value>>)) -> usize {
    match source {
        ExpandSource::Literal(values) => values.len(),
        ExpandSource::Template(_) => list.as_ref().map_or(0, Vec::len),
    }
}

fn a_cleared_instance_begins_anew(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::Cleared { task, from, to, .. } = event else {
        return true;
    };
    let task = *task;
    (*from..*to).all(|map_index| {
        let ti = TaskInstanceKey { task, map_index };
        let is_halting = scene.book.past(ti).halting;
        match scene.book.state(ti) {
            Some(State::Restarting) => is_halting,
            Some(State::None) => !is_halting,
            _ => false,
        }
    })
}

fn one_instance_an_element(scene: &Scene<'_>, event: &Event) -> bool {
    let Event::TaskExpanded { task, elements } = event else {
        return true;
    };
    let Some(Expand::Product(keys)) = scene
        .model
        .dag
        .task(*task)
        .and_then(|task| task.expand.as_ref())
    else {
        return true;
    };
    let lists: Vec<Option<Vec<Value>>> = serde_json::from_str(elements).unwrap_or_default();
    let expected: usize = keys.iter().zip(&lists).map(length).product();
    // Those beyond the end of a list that is shorter than before are removed.
    let indexes: Vec<i32> = scene
        .book
        .shadow
        .instances(*task)
        .filter(|(_, instance)| instance.state() != State::Removed)
        .map(|(map_index, _)| map_index)
        .collect();
    lists.len() == keys.len()
        && indexes.len() == expected
        && (0..)
            .zip(&indexes)
            .all(|(place, map_index)| place == *map_index)
}
