//! The half of the fold that is about attempts: started, ended, lost, and the XCom values they push.
//! A fence decides who may speak.

use super::apply::{instance_is, one};
use super::error::IllegalEvent;
use super::event::{Fence, Outcome};
use super::outcome::Ending;
use super::state::RunState;
use super::tasks::{Instance, Resume, Waiting};
use crate::ids::TaskInstanceKey;
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::borrow::Cow;

impl RunState {
    pub(super) fn apply_attempt(
        &mut self,
        ti: TaskInstanceKey,
        try_number: u32,
        fence: Fence,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        let instance = self.known(ti)?;
        let state = self.task_state(ti.task)?;
        let may_start = matches!(
            instance.state,
            TaskInstanceState::Scheduled | TaskInstanceState::Restarting
        ) || state.is_between_pokes(ti.map_index);
        let halting = self.halting.contains(&ti);
        if !may_start || halting || self.state != DagRunState::Running {
            return Err(instance_is(
                "AttemptStarted",
                ti,
                instance,
                "scheduled or restarting",
            ));
        }
        if instance.attempt.checked_add(1) != Some(fence.attempt) {
            return Err(wrong_fence(ti, fence, instance));
        }
        if try_number != instance.next_try() {
            return Err(IllegalEvent::TryNumber {
                ti,
                given: try_number,
                expected: instance.next_try(),
            });
        }
        let resume = instance.resume;
        self.end_waits(ti.task, one(ti), false);
        self.with_task(ti.task, |state| {
            let waiting = state.waiting.entry(ti.map_index).or_default();
            waiting.first_start.get_or_insert(at);
            if resume == Resume::NewTry {
                waiting.pokes = 0;
            }
            if resume != Resume::GoOn {
                state.xcoms.clear(ti.map_index);
            }
            if resume == Resume::NewTry {
                state.inputs.remove(&ti.map_index);
            } else if let Some(input) = state.inputs.get_mut(&ti.map_index) {
                input.raced = false;
            }
            if let Some(instance) = state.instance_mut(ti.map_index) {
                instance.owner = fence.owner;
                instance.attempt = fence.attempt;
                instance.try_number = try_number;
                if resume == Resume::NewTry {
                    instance.losses = 0;
                }
                // Should its host die now, the same try begins again.
                instance.resume = Resume::Again;
            }
        });
        self.change_states(ti.task, one(ti), TaskInstanceState::Running);
        Ok(())
    }

    /// Checks that the last attempt of `ti` is the one that `fence` names and has not ended.
    pub(super) fn check_running(
        &self,
        what: &'static str,
        ti: TaskInstanceKey,
        fence: Fence,
    ) -> Result<(), IllegalEvent> {
        let instance = self.known(ti)?;
        if instance.state != TaskInstanceState::Running {
            return Err(instance_is(what, ti, instance, "running"));
        }
        if instance.fence() != fence {
            return Err(wrong_fence(ti, fence, instance));
        }
        Ok(())
    }

    pub(super) fn apply_outcome(
        &mut self,
        ti: TaskInstanceKey,
        fence: Fence,
        outcome: &Outcome,
        at: Timestamp,
    ) -> Result<(), IllegalEvent> {
        if self.is_halting(ti, fence) {
            self.apply_halted(ti);
            return Ok(());
        }
        self.check_running("AttemptFinished", ti, fence)?;
        let ending = self.ending(ti, outcome, at);
        if ending == Ending::End(TaskInstanceState::Success) {
            self.keep_xcoms(ti, outcome);
            self.keep_skips(ti, outcome);
        }
        self.end_waits(ti.task, one(ti), matches!(ending, Ending::End(_)));
        match ending {
            Ending::End(state) => self.change_states(ti.task, one(ti), state),
            Ending::Wait {
                state,
                resume,
                due,
                poke,
            } => self.wait(ti, state, resume, due, poke),
        }
        Ok(())
    }

    fn wait(
        &mut self,
        ti: TaskInstanceKey,
        to: TaskInstanceState,
        resume: Resume,
        due: Timestamp,
        poke: bool,
    ) {
        self.with_task(ti.task, |state| {
            let waiting = state
                .waiting
                .entry(ti.map_index)
                .or_insert_with(Waiting::default);
            waiting.due = Some(due);
            waiting.pokes = waiting.pokes.saturating_add(u32::from(poke));
            if let Some(instance) = state.instance_mut(ti.map_index) {
                instance.resume = resume;
            }
        });
        self.timers.insert((due, ti));
        self.change_states(ti.task, one(ti), to);
    }

    pub(super) fn apply_lost(
        &mut self,
        ti: TaskInstanceKey,
        fence: Fence,
    ) -> Result<(), IllegalEvent> {
        if self.is_halting(ti, fence) {
            self.apply_halted(ti);
            return Ok(());
        }
        self.check_running("AttemptLost", ti, fence)?;
        let ended = self.stop_state(ti.task);
        self.end_waits(ti.task, one(ti), ended.is_some());
        self.with_task(ti.task, |state| {
            if let Some(instance) = state.instance_mut(ti.map_index) {
                instance.losses = instance.losses.saturating_add(1);
                instance.resume = Resume::Again;
            }
        });
        let to = ended.unwrap_or(TaskInstanceState::Restarting);
        self.change_states(ti.task, one(ti), to);
        Ok(())
    }

    pub(super) fn apply_xcom(
        &mut self,
        ti: TaskInstanceKey,
        fence: Fence,
        key: &str,
        value: &str,
    ) -> Result<(), IllegalEvent> {
        self.check_running("XComPushed", ti, fence)?;
        if !self
            .task_state(ti.task)?
            .xcoms
            .has_room(ti.map_index, key, value)
        {
            let key = key.chars().take(64).collect();
            return Err(IllegalEvent::XComLimit { key });
        }
        self.with_task(ti.task, |state| {
            let key = Cow::Owned(key.to_owned());
            state.xcoms.put(ti.map_index, key, value.to_owned());
        });
        Ok(())
    }
}

fn wrong_fence(ti: TaskInstanceKey, given: Fence, instance: &Instance) -> IllegalEvent {
    IllegalEvent::Fence {
        ti,
        given,
        current: instance.fence(),
    }
}
