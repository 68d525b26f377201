//! Questions to people: what a task instance asked, and what was answered. Who may answer is the shell's business.
//! A question belongs to one try: a poke, a deferral or a lost host keep it, a new try and a clear forget it.

use super::apply::one;
use super::error::IllegalEvent;
use super::event::{Event, Fence, Json};
use super::state::RunState;
use super::turn::Turn;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;

/// The longest request and the longest answer, in bytes: a run holds them in memory.
pub const INPUT_BYTES_MAX: usize = 64 * 1024;

/// What one task instance asked.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct HumanInput {
    pub(super) request: Json,
    pub(super) answer: Option<Json>,
    /// The answer came before the attempt that asked had deferred: it may not have seen it.
    pub(super) raced: bool,
}

fn check_length(what: &'static str, json: &str) -> Result<(), IllegalEvent> {
    let bytes = json.len();
    if bytes > INPUT_BYTES_MAX {
        return Err(IllegalEvent::TooLong { what, bytes });
    }
    Ok(())
}

impl RunState {
    /// What a task instance asked in its last try, and the answer if there is one.
    pub fn input_of(&self, ti: TaskInstanceKey) -> Option<(&str, Option<&str>)> {
        let input = self.tasks.get(ti.task.get())?.inputs.get(&ti.map_index)?;
        Some((input.request.as_str(), input.answer.as_deref()))
    }

    /// Every question that nobody has answered, of a task instance that has not ended.
    pub fn pending_inputs(&self) -> impl Iterator<Item = (TaskInstanceKey, &str)> {
        let tasks = (0..).map(TaskIndex).zip(&self.tasks);
        tasks.flat_map(|(task, state)| {
            let open = state
                .inputs
                .iter()
                .filter(|(_, input)| input.answer.is_none());
            open.filter_map(move |(map_index, input)| {
                let instance = state.instance(*map_index)?;
                let map_index = *map_index;
                let ti = TaskInstanceKey { task, map_index };
                (!instance.state.is_finished()).then_some((ti, input.request.as_str()))
            })
        })
    }

    /// Whether a deferral of `ti` waits for a person.
    pub(super) fn waits_for_answer(&self, ti: TaskInstanceKey) -> bool {
        let state = self.tasks.get(ti.task.get());
        state
            .and_then(|state| state.inputs.get(&ti.map_index))
            .is_some_and(|input| input.answer.is_none() || input.raced)
    }

    pub(super) fn apply_request(
        &mut self,
        ti: TaskInstanceKey,
        fence: Fence,
        request: &str,
    ) -> Result<(), IllegalEvent> {
        self.check_running("InputRequested", ti, fence)?;
        self.check_live("InputRequested", ti)?;
        check_length("a request for input", request)?;
        let input = HumanInput {
            request: request.to_owned(),
            answer: None,
            raced: false,
        };
        self.with_task(ti.task, |state| state.inputs.insert(ti.map_index, input));
        Ok(())
    }

    pub(super) fn apply_answer(
        &mut self,
        ti: TaskInstanceKey,
        answer: &str,
    ) -> Result<(), IllegalEvent> {
        let instance = self.known(ti)?;
        let open = matches!(self.input_of(ti), Some((_, None)));
        if !open || instance.state.is_finished() {
            return Err(IllegalEvent::NoRequest { ti });
        }
        check_length("an answer", answer)?;
        let raced = instance.state == TaskInstanceState::Running;
        self.with_task(ti.task, |state| {
            if let Some(input) = state.inputs.get_mut(&ti.map_index) {
                input.answer = Some(answer.to_owned());
                input.raced = raced;
            }
        });
        Ok(())
    }
}

impl Turn<'_> {
    /// The same question again changes nothing: an attempt that goes on asks from its beginning.
    pub(super) fn request_input(
        &mut self,
        ti: TaskInstanceKey,
        fence: Fence,
        request: Json,
    ) -> Result<(), IllegalEvent> {
        if !self.is_live(ti, fence)? {
            self.step.stale = true;
            return Ok(());
        }
        let asked = self.run.input_of(ti);
        if asked.is_some_and(|(before, _)| before == request) {
            return Ok(());
        }
        let at = self.now;
        self.emit(Event::InputRequested {
            ti,
            fence,
            request,
            at,
        })
    }

    pub(super) fn answer(
        &mut self,
        ti: TaskInstanceKey,
        answer: Json,
        by: String,
    ) -> Result<(), IllegalEvent> {
        let at = self.now;
        self.emit(Event::InputAnswered { ti, answer, by, at })?;
        self.go_on_if_answered(ti)
    }

    /// Who waited for an answer wants slots again at once.
    pub(super) fn go_on_if_answered(&mut self, ti: TaskInstanceKey) -> Result<(), IllegalEvent> {
        let waits = self.run.known(ti)?.state == TaskInstanceState::AwaitingInput;
        let answered = matches!(self.run.input_of(ti), Some((_, Some(_))));
        if !waits || !answered {
            return Ok(());
        }
        self.set(ti.task, one(ti), TaskInstanceState::Scheduled, None, None)?;
        self.want(ti.task, one(ti));
        Ok(())
    }
}
