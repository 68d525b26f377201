//! A person decides instead of an attempt: task instances marked `success`, `failed` or `skipped`, a run marked as ended,
//! an XCom edited. Downstream follows by its trigger rules; what has been decided there stays.

use super::error::IllegalEvent;
use super::event::{Command, Event, Reason};
use super::plan::indexes;
use super::state::{RunState, Stopping};
use super::tasks::Resume;
use super::turn::Turn;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use std::borrow::Cow;
use std::ops::Range;

impl RunState {
    pub(super) fn apply_marked(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        to: TaskInstanceState,
    ) -> Result<(), IllegalEvent> {
        self.check_range(task, &range)?;
        if !matches!(
            to,
            TaskInstanceState::Success | TaskInstanceState::Failed | TaskInstanceState::Skipped
        ) {
            let needs = "given a mark of success, failed or skipped";
            return Err(self.run_is("Marked with another state", needs));
        }
        self.halt(task, range.clone());
        self.with_task(task, |state| {
            for map_index in range.clone() {
                if let Some(instance) = state.instance_mut(map_index) {
                    instance.resume = Resume::NewTry;
                }
                if let Some(skips) = &mut state.skips
                    && to != TaskInstanceState::Success
                {
                    skips.forget(map_index);
                }
            }
        });
        self.change_states(task, range, to);
        Ok(())
    }

    pub(super) fn apply_run_marked(
        &mut self,
        state: DagRunState,
        by: &str,
    ) -> Result<(), IllegalEvent> {
        if !state.is_finished() {
            return Err(self.run_is("RunMarked with an unfinished state", "success or failed"));
        }
        self.stopping = Some(Stopping {
            why: Reason::Marked,
            message: format!("marked {state} by {by}"),
            end: state,
        });
        Ok(())
    }

    pub(super) fn apply_xcom_edit(
        &mut self,
        ti: TaskInstanceKey,
        key: &str,
        value: Option<&str>,
    ) -> Result<(), IllegalEvent> {
        self.known(ti)?;
        let xcoms = &self.task_state(ti.task)?.xcoms;
        let short = || key.chars().take(64).collect();
        match value {
            Some(value) if !xcoms.has_room(ti.map_index, key, value) => {
                return Err(IllegalEvent::XComLimit { key: short() });
            }
            None if xcoms.get(ti.map_index, key).is_none() => {
                return Err(IllegalEvent::NoXCom { ti, key: short() });
            }
            _ => {}
        }
        self.with_task(ti.task, |state| match value {
            Some(value) => {
                let key = Cow::Owned(key.to_owned());
                state.xcoms.put(ti.map_index, key, value.to_owned());
            }
            None => state.xcoms.remove(ti.map_index, key),
        });
        Ok(())
    }
}

impl Turn<'_> {
    pub(super) fn mark(
        &mut self,
        instances: &[(TaskIndex, i32, i32)],
        state: TaskInstanceState,
        by: &str,
    ) -> Result<(), IllegalEvent> {
        for (task, from, to) in instances {
            self.run.check_range(*task, &(*from..*to))?;
        }
        for (task, from, to) in instances {
            self.mark_range(*task, *from..*to, state, by)?;
        }
        if self.run.state != DagRunState::Running {
            // In a run that has ended only what was marked changes; one that is queued settles when it starts.
            return Ok(());
        }
        for (task, from, to) in instances {
            let task = *task;
            if self.run.task_state(task)?.skips.is_some() {
                for map_index in *from..*to {
                    self.skip_beside(TaskInstanceKey { task, map_index })?;
                }
                self.skip_elsewhere(task)?;
            }
        }
        Ok(())
    }

    fn mark_range(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        state: TaskInstanceState,
        by: &str,
    ) -> Result<(), IllegalEvent> {
        let reason = format!("marked {state} by {by}");
        let shed = self.shed(task, &range, &reason)?;
        self.emit(Event::Marked {
            task,
            from: range.start,
            to: range.end,
            state,
            by: by.to_owned(),
            at: self.now,
        })?;
        self.step.commands.extend(shed);
        self.marked = true;
        Ok(())
    }

    /// Ends the run: what is unfinished becomes `success`; or `failed` where it was live and `skipped` where not.
    pub(super) fn mark_run(&mut self, state: DagRunState, by: &str) -> Result<(), IllegalEvent> {
        self.emit(Event::RunMarked {
            state,
            by: by.to_owned(),
            at: self.now,
        })?;
        self.marked = true;
        if self.run.state.is_finished() {
            return Ok(());
        }
        for task in indexes(&self.run.dag) {
            let tasks = self.run.task_state(task)?;
            if tasks.counts.unfinished() == 0 {
                continue;
            }
            let running = |map_index: i32, s: TaskInstanceState| {
                s == TaskInstanceState::Running && !tasks.is_between_pokes(map_index)
            };
            let live = tasks.ranges(|map_index, one| running(map_index, one.state));
            let idle = tasks.ranges(|map_index, one| {
                !one.state.is_finished() && !running(map_index, one.state)
            });
            let (of_live, of_idle) = match state {
                DagRunState::Success => (TaskInstanceState::Success, TaskInstanceState::Success),
                _ => (TaskInstanceState::Failed, TaskInstanceState::Skipped),
            };
            for range in live {
                self.mark_range(task, range, of_live, by)?;
            }
            for range in idle {
                self.mark_range(task, range, of_idle, by)?;
            }
        }
        Ok(())
    }

    /// What the shell has to take back before instances lose their state: slots that are wanted or held, live attempts.
    /// A live attempt keeps its slots until its end.
    pub(super) fn shed(
        &self,
        task: TaskIndex,
        range: &Range<i32>,
        reason: &str,
    ) -> Result<Vec<Command>, IllegalEvent> {
        let mut commands = Vec::new();
        for wanting in self.run.wanting(task) {
            let (from, to) = (wanting.start.max(range.start), wanting.end.min(range.end));
            if from < to {
                commands.push(Command::Unwant { task, from, to });
            }
        }
        let state = self.run.task_state(task)?;
        if state.holding() == 0 {
            return Ok(commands);
        }
        for (map_index, instance) in state.iter() {
            if !range.contains(&map_index) || !instance.state.holds_slots() {
                continue;
            }
            let ti = TaskInstanceKey { task, map_index };
            let is_live = instance.state == TaskInstanceState::Running;
            commands.push(if !is_live || state.is_between_pokes(map_index) {
                Command::Release { ti }
            } else {
                let (fence, reason) = (instance.fence(), reason.to_owned());
                Command::StopAttempt { ti, fence, reason }
            });
        }
        Ok(commands)
    }
}
