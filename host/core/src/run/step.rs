//! One input, decided and applied: which events it leads to, and what the shell does once they are durable.

use super::apply::{instance_is, one};
use super::error::IllegalEvent;
use super::event::{AttemptError, AttemptErrorKind, Command, Event, Fence, Input, Outcome, Reason};
use super::expand::ExpandEvaluator;
use super::state::RunState;
use super::turn::Turn;
use crate::ids::TaskInstanceKey;
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;

/// After so many lost hosts in one try the attempt itself is suspected and counts as failed.
pub const LOSSES_MAX: u8 = 16;

/// What an input led to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Step {
    /// Facts, already applied to the state; the shell makes them durable, in this order, in one commit.
    pub events: Vec<Event>,
    /// To be carried out in this order, after the events are durable.
    pub commands: Vec<Command>,
    /// The input came from an attempt that is not the current one; it was dropped. The shell counts these.
    pub stale: bool,
}

impl RunState {
    /// Decides what `input` means at `now`, and applies it. On an error the state is unchanged.
    /// A message of an attempt that is over is no error: the step is empty and `stale`.
    pub fn step(
        &mut self,
        now: Timestamp,
        input: Input,
        evaluator: &dyn ExpandEvaluator,
    ) -> Result<Step, IllegalEvent> {
        if self.header.is_none() {
            return Err(self.run_is("an input before RunQueued", "created by RunQueued"));
        }
        let mut turn = Turn::new(self, now, evaluator);
        match input {
            Input::Start => start(&mut turn)?,
            Input::Admit { ti, owner } => admit(&mut turn, ti, owner)?,
            Input::PushXCom {
                ti,
                fence,
                key,
                value,
            } => push_xcom(&mut turn, ti, fence, key, value)?,
            Input::Finish { ti, fence, outcome } => finish(&mut turn, ti, fence, outcome)?,
            Input::Lose { ti, fence } => lose(&mut turn, ti, fence)?,
            Input::Wake => turn.wake()?,
            Input::Cancel { reason } => cancel(&mut turn, &reason)?,
            Input::Clear { instances } => turn.clear(&instances)?,
            Input::Mark {
                instances,
                state,
                by,
            } => turn.mark(&instances, state, &by)?,
            Input::MarkRun { state, by } => turn.mark_run(state, &by)?,
            Input::RequestInput { ti, fence, request } => turn.request_input(ti, fence, request)?,
            Input::Answer { ti, answer, by } => turn.answer(ti, answer, by)?,
            Input::Render { ti, fence, fields } => {
                tell(&mut turn, ti, fence, Event::Rendered { ti, fields })?;
            }
            Input::Use { ti, fence, used } => {
                tell(&mut turn, ti, fence, Event::Used { ti, fence, used })?;
            }
            Input::EditXCom { ti, key, value, by } => {
                let at = now;
                turn.emit(Event::XComEdited {
                    ti,
                    key,
                    value,
                    by,
                    at,
                })?;
            }
            Input::PastDependsMet { tasks } => turn.past_met(&tasks)?,
        }
        turn.end()
    }
}

fn start(turn: &mut Turn<'_>) -> Result<(), IllegalEvent> {
    if turn.run.state != DagRunState::Queued {
        return Err(turn.run.run_is("Start", "queued"));
    }
    let at = turn.now;
    turn.emit(Event::RunStarted { at })?;
    // A run that is queued asks for nothing; its SLAs and deadlines count all the same.
    turn.asked = None;
    turn.consider_all();
    Ok(())
}

fn admit(turn: &mut Turn<'_>, ti: TaskInstanceKey, owner: u64) -> Result<(), IllegalEvent> {
    let instance = turn.run.known(ti)?;
    // A sensor between two pokes would be legal for the event, but it has its slots already.
    if instance.state == TaskInstanceState::Running {
        return Err(instance_is(
            "Admit",
            ti,
            instance,
            "scheduled or restarting",
        ));
    }
    turn.start_attempt(ti, owner)
}

fn push_xcom(
    turn: &mut Turn<'_>,
    ti: TaskInstanceKey,
    fence: Fence,
    key: String,
    value: String,
) -> Result<(), IllegalEvent> {
    if !turn.is_live(ti, fence)? {
        turn.step.stale = true;
        return Ok(());
    }
    turn.emit(Event::XComPushed {
        ti,
        fence,
        key,
        value,
    })
}

/// What is only told, and only by a live attempt.
fn tell(
    turn: &mut Turn<'_>,
    ti: TaskInstanceKey,
    fence: Fence,
    event: Event,
) -> Result<(), IllegalEvent> {
    if !turn.is_live(ti, fence)? {
        turn.step.stale = true;
        return Ok(());
    }
    turn.emit(event)
}

fn finish(
    turn: &mut Turn<'_>,
    ti: TaskInstanceKey,
    fence: Fence,
    outcome: Outcome,
) -> Result<(), IllegalEvent> {
    if turn.run.is_halting(ti, fence) {
        let at = turn.now;
        turn.emit(Event::AttemptFinished {
            ti,
            fence,
            outcome,
            at,
        })?;
        turn.step.commands.push(Command::Release { ti });
        return Ok(());
    }
    if !turn.is_live(ti, fence)? {
        turn.step.stale = true;
        return Ok(());
    }
    // Before the end is recorded: what ends late has missed its SLA even if nobody woke the run in between.
    turn.tell_missed()?;
    let outcome = turn.run.effective(ti, outcome, turn.now);
    record_outcome(turn, ti, fence, outcome)
}

fn record_outcome(
    turn: &mut Turn<'_>,
    ti: TaskInstanceKey,
    fence: Fence,
    outcome: Outcome,
) -> Result<(), IllegalEvent> {
    let at = turn.now;
    turn.emit(Event::AttemptFinished {
        ti,
        fence,
        outcome,
        at,
    })?;
    // A sensor in poke mode stays `running` and keeps its slots.
    let state = turn.run.known(ti)?.state;
    if state != TaskInstanceState::Running {
        turn.step.commands.push(Command::Release { ti });
    }
    if state == TaskInstanceState::AwaitingInput {
        turn.go_on_if_answered(ti)?;
    }
    if state.is_finished() {
        turn.skip_unwanted(ti)?;
    }
    if state == TaskInstanceState::Failed {
        turn.fail_fast(ti.task)?;
    }
    Ok(())
}

fn lose(turn: &mut Turn<'_>, ti: TaskInstanceKey, fence: Fence) -> Result<(), IllegalEvent> {
    let at = turn.now;
    let instance = turn.run.known(ti)?;
    if turn.run.is_halting(ti, fence) {
        turn.emit(Event::AttemptLost { ti, fence, at })?;
        turn.step.commands.push(Command::Release { ti });
        return Ok(());
    }
    if instance.state != TaskInstanceState::Running || instance.fence() != fence {
        turn.step.stale = true;
        return Ok(());
    }
    if instance.losses.saturating_add(1) >= LOSSES_MAX {
        let message = format!(
            "its host died {LOSSES_MAX} times while it ran; look for a task that takes the host down"
        );
        let kind = AttemptErrorKind::Trap;
        let outcome = Outcome::Error(AttemptError { kind, message });
        return record_outcome(turn, ti, fence, outcome);
    }
    turn.emit(Event::AttemptLost { ti, fence, at })?;
    turn.step.commands.push(Command::Release { ti });
    if turn.run.known(ti)?.state == TaskInstanceState::Restarting {
        turn.want(ti.task, one(ti));
    }
    Ok(())
}

fn cancel(turn: &mut Turn<'_>, message: &str) -> Result<(), IllegalEvent> {
    if turn.run.state.is_finished() {
        return Err(turn.run.run_is("Cancel", "not finished"));
    }
    turn.stop(Reason::Cancelled, message)
}

impl Turn<'_> {
    /// Whether an attempt with this fence is live; an error if there is no such task instance at all.
    pub(super) fn is_live(&self, ti: TaskInstanceKey, fence: Fence) -> Result<bool, IllegalEvent> {
        self.run.known(ti)?;
        let task = self.run.task_state(ti.task)?;
        Ok(!self.run.state.is_finished() && task.is_live(ti.map_index, fence))
    }

    /// Starts the next attempt of `ti` for the host `owner`.
    pub(super) fn start_attempt(
        &mut self,
        ti: TaskInstanceKey,
        owner: u64,
    ) -> Result<(), IllegalEvent> {
        let instance = self.run.known(ti)?;
        let fence = Fence {
            attempt: instance.attempt.saturating_add(1),
            owner,
        };
        let try_number = instance.next_try();
        let at = self.now;
        self.emit(Event::AttemptStarted {
            ti,
            try_number,
            fence,
            at,
        })?;
        self.step.commands.push(Command::StartAttempt {
            ti,
            try_number,
            fence,
        });
        Ok(())
    }
}
