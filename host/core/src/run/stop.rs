//! Ending what was not meant to go on: tasks that a branch or short circuit does not want, runs that are cancelled, timed
//! out or failing fast. It refuses to end a live attempt by itself: that is told to stop, and its outcome is awaited.

use super::apply::one;
use super::error::IllegalEvent;
use super::event::{Command, Event, Reason};
use super::plan::indexes;
use super::tasks::TaskState;
use super::turn::{Turn, undecided};
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;

impl Turn<'_> {
    /// When all instances of a branching or short-circuiting task have ended: skips what every one that succeeded did not
    /// want. What was scheduled before (by a rule that does not wait) is left alone, and so are, as in Airflow, expanded
    /// instances that are not directly downstream: their own trigger rule decides.
    pub(super) fn skip_unwanted(&mut self, ti: TaskInstanceKey) -> Result<(), IllegalEvent> {
        self.skip_beside(ti)?;
        self.skip_elsewhere(ti.task)
    }

    /// The same for tasks that are not in the mapped group of `task`.
    pub(super) fn skip_elsewhere(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let state = self.run.task_state(task)?;
        let Some(skips) = state
            .skips
            .as_ref()
            .filter(|_| state.counts.unfinished() == 0)
        else {
            return Ok(());
        };
        let succeeded = state.counts.get(TaskInstanceState::Success);
        let reason = skips.reason();
        let direct = self.run.plan.downstream(task);
        let unwanted: Vec<_> = skips
            .wanted
            .iter()
            .filter(|(_, wanted)| **wanted == succeeded)
            .map(|(task, _)| *task)
            .filter(|task| undecided(self.run, *task))
            .filter(|task| {
                let expanded = self.run.task_state(*task).is_ok_and(TaskState::is_expanded);
                !expanded || direct.contains(task)
            })
            .collect();
        for task in unwanted {
            self.decide(task, TaskInstanceState::Skipped, Some(reason))?;
        }
        Ok(())
    }

    /// Skips what an instance in a mapped group does not want beside it, at once: no other instance has a say in it.
    pub(super) fn skip_beside(&mut self, ti: TaskInstanceKey) -> Result<(), IllegalEvent> {
        let skips = self.run.task_state(ti.task)?.skips.as_ref();
        let Some(skips) = skips
            .filter(|_| self.run.known(ti).map(|one| one.state) == Ok(TaskInstanceState::Success))
        else {
            return Ok(());
        };
        let reason = skips.reason();
        let unwanted = skips.beside.get(&ti.map_index).cloned();
        for task in unwanted.unwrap_or_default() {
            let beside = TaskInstanceKey { task, ..ti };
            let instance = self.run.instance(beside);
            if instance.is_some_and(|instance| instance.state == TaskInstanceState::None) {
                let state = TaskInstanceState::Skipped;
                self.set(task, one(beside), state, Some(reason), None)?;
            }
        }
        Ok(())
    }

    /// The final failure of a task ends a run that asked for it.
    pub(super) fn fail_fast(&mut self, task: TaskIndex) -> Result<(), IllegalEvent> {
        let Some(spec) = self.run.dag.task(task) else {
            return Ok(());
        };
        if !self.run.dag.fail_fast || spec.is_teardown || self.run.stopping.is_some() {
            return Ok(());
        }
        let message = format!("task {} failed and the DAG has fail_fast", spec.task_id);
        self.stop(Reason::FailFast, &message)
    }

    /// Tells what runs to stop and skips the rest. The run ends when the last live attempt has.
    pub(super) fn stop(&mut self, why: Reason, message: &str) -> Result<(), IllegalEvent> {
        let already = self.run.stopping.as_ref().map(|stopping| stopping.why);
        if already.is_some_and(|why| why != Reason::FailFast) {
            return Ok(());
        }
        self.emit(Event::RunStopping {
            why,
            message: message.to_owned(),
            at: self.now,
        })?;
        for task in indexes(&self.run.dag) {
            if self.run.stop_state(task).is_some() {
                self.stop_task(task, why, message)?;
            }
        }
        Ok(())
    }

    fn stop_task(
        &mut self,
        task: TaskIndex,
        why: Reason,
        message: &str,
    ) -> Result<(), IllegalEvent> {
        let state = self.run.task_state(task)?;
        if state.counts.unfinished() == 0 {
            return Ok(());
        }
        let holding: Vec<_> = state
            .iter()
            .filter(|(_, instance)| instance.state.holds_slots())
            .map(|(map_index, instance)| {
                let is_live = instance.state == TaskInstanceState::Running
                    && !state.is_between_pokes(map_index);
                (map_index, instance.fence(), is_live)
            })
            .collect();
        let wants = self.run.wanting(task);
        let ends = state.ranges(|map_index, instance| {
            !instance.state.is_finished()
                && (instance.state != TaskInstanceState::Running
                    || state.is_between_pokes(map_index))
        });
        for range in wants {
            self.step.commands.push(Command::Unwant {
                task,
                from: range.start,
                to: range.end,
            });
        }
        for range in ends {
            self.set(task, range, TaskInstanceState::Skipped, Some(why), None)?;
        }
        for (map_index, fence, is_live) in holding {
            let ti = TaskInstanceKey { task, map_index };
            self.step.commands.push(if is_live {
                let reason = message.to_owned();
                Command::StopAttempt { ti, fence, reason }
            } else {
                Command::Release { ti }
            });
        }
        Ok(())
    }
}
