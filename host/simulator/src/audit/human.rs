//! Invariants about questions to people.

use super::{Checked, Invariant, Scene};
use crate::shell::LiveRun;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::task_instance::state::TaskInstanceState as State;
use std::collections::BTreeMap;

const OPEN: Invariant<()> = Invariant {
    name: "open_questions_are_shown",
    sentence: "A run shows exactly the questions that task instances asked in their current try and nobody has answered.",
    holds: (),
};
const HEARD: Invariant<()> = Invariant {
    name: "who_was_answered_goes_on",
    sentence: "Nothing waits for an answer that was given.",
    holds: (),
};

/// Asked when every command of a step was carried out.
pub(super) fn check(scene: &Scene<'_>, run: &LiveRun) -> Checked<()> {
    let (questions, place) = (&scene.book.questions, || format!("run {}", scene.key.0));
    let is_open = |ti: &TaskInstanceKey| {
        let state = scene.book.state(*ti);
        state.is_some_and(|state| !state.is_finished())
    };
    let asked = questions
        .iter()
        .filter(|(ti, question)| question.answer.is_none() && is_open(ti));
    let expected: BTreeMap<TaskInstanceKey, &str> = asked
        .map(|(ti, question)| (*ti, question.request.as_str()))
        .collect();
    if !run.state.pending_inputs().eq(expected) {
        return Err(OPEN.broken(place()));
    }
    let waits = |ti: &TaskInstanceKey| scene.book.state(*ti) == Some(State::AwaitingInput);
    let mut answered = questions
        .iter()
        .filter(|(_, question)| question.answer.is_some());
    if answered.any(|(ti, _)| waits(ti)) {
        return Err(HEARD.broken(place()));
    }
    Ok(())
}
