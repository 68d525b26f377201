//! The shell's side of the dispatcher: what wants slots, who is admitted.

use super::Batch;
use crate::audit::Checked;
use crate::sim::Sim;
use airlock_core::dispatch::{RunNumber, Want};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::Input;
use airlock_core::task_instance::state::TaskInstanceState;

impl Sim {
    pub(super) fn want(&mut self, number: RunNumber, task: TaskIndex, range: (i32, i32)) {
        let Some(run) = self.shell.runs.get(&number) else {
            return;
        };
        let dag = run.state.dag().clone();
        let (Some(spec), Some(header)) = (dag.task(task), run.state.header()) else {
            return;
        };
        let priority = run.priorities.get(task.get()).copied().unwrap_or(0);
        let at = header.run_after.as_millisecond();
        let want =
            Want::new(number, at, priority, task, range, spec.pool_slots).in_queue(&spec.queue);
        self.shell.dispatcher.want(&spec.pool, want);
    }

    pub(super) fn give_out_slots(&mut self, batch: &mut Batch) -> Checked<()> {
        if self.shell.failed {
            return Ok(());
        }
        while let Some(admission) = self.shell.dispatcher.admit_next() {
            if !self.wants_slots(admission.run, admission.ti) {
                self.shell.dispatcher.release(admission.run, admission.ti);
                continue;
            }
            let input = Input::Admit {
                ti: admission.ti,
                owner: self.shell.owner,
            };
            self.step(admission.run, &input, batch)?;
        }
        self.audit.given_out(&self.world, &self.shell)
    }

    fn wants_slots(&self, number: RunNumber, ti: TaskInstanceKey) -> bool {
        let instance = self
            .shell
            .runs
            .get(&number)
            .and_then(|run| run.state.instance(ti));
        instance.is_some_and(|instance| {
            matches!(
                instance.state(),
                TaskInstanceState::Scheduled | TaskInstanceState::Restarting
            )
        })
    }
}
