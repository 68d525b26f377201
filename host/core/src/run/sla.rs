//! SLAs and deadlines: who is late, told once. They change no state of the run or of a task instance.
//! An SLA is met for good when all instances of its task have ended; a cleared task has none any more.

use super::error::IllegalEvent;
use super::event::Event;
use super::plan::indexes;
use super::state::RunState;
use super::turn::Turn;
use crate::ids::TaskIndex;
use jiff::Timestamp;

impl RunState {
    /// One timer for each task with an `sla`, counted from when the run was due.
    pub(super) fn open_slas(&mut self) {
        for task in indexes(&self.dag) {
            let Some(at) = self.sla_at(task) else {
                continue;
            };
            self.slas.insert((at, task));
            self.with_task(task, |state| state.sla_open = true);
        }
    }

    pub(super) fn sla_at(&self, task: TaskIndex) -> Option<Timestamp> {
        let sla = self.dag.task(task)?.sla?;
        let from = self.header.as_ref()?.run_after;
        Some(from.checked_add(sla).unwrap_or(Timestamp::MAX))
    }

    /// The task met its SLA if all its instances have ended.
    pub(super) fn close_sla(&mut self, task: TaskIndex) {
        let met = |state: &super::tasks::TaskState| state.counts.unfinished() == 0;
        let open = self.tasks.get(task.get()).filter(|state| state.sla_open);
        if open.is_some_and(met) {
            self.forget_sla(task);
        }
    }

    fn forget_sla(&mut self, task: TaskIndex) {
        if let Some(at) = self.sla_at(task) {
            self.slas.remove(&(at, task));
        }
        self.with_task(task, |state| state.sla_open = false);
    }

    pub(super) fn apply_sla_missed(&mut self, tasks: &[TaskIndex]) -> Result<(), IllegalEvent> {
        for task in tasks {
            if !self.task_state(*task)?.sla_open {
                let needs = "one in which the task has an SLA that was neither missed nor met";
                return Err(self.run_is("SlaMissed", needs));
            }
        }
        for task in tasks {
            self.forget_sla(*task);
        }
        Ok(())
    }

    pub(super) fn apply_deadline_missed(&mut self, deadline: u32) -> Result<(), IllegalEvent> {
        let open = self.deadlines.iter().find(|(_, n)| *n == deadline).copied();
        let Some(open) = open else {
            let needs = "one in which the deadline was neither missed nor met";
            return Err(self.run_is("DeadlineMissed", needs));
        };
        self.deadlines.remove(&open);
        Ok(())
    }
}

impl Turn<'_> {
    /// Tells of every SLA and deadline that has passed, once.
    pub(super) fn tell_missed(&mut self) -> Result<(), IllegalEvent> {
        if self.run.state.is_finished() {
            return Ok(());
        }
        let at = self.now;
        let late = self.run.slas.iter().take_while(|(due, _)| *due <= at);
        let tasks: Vec<_> = late.map(|(_, task)| *task).collect();
        let late = self.run.deadlines.iter().take_while(|(due, _)| *due <= at);
        let deadlines: Vec<_> = late.map(|(_, deadline)| *deadline).collect();
        if !tasks.is_empty() {
            self.emit(Event::SlaMissed { tasks, at })?;
        }
        for deadline in deadlines {
            self.emit(Event::DeadlineMissed { deadline, at })?;
        }
        Ok(())
    }
}
