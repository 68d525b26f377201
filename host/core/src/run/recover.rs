//! What a shell that starts again has to know about a run that it replayed.

use super::event::{Command, Fence};
use super::plan::indexes;
use super::state::RunState;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;
use std::ops::Range;

impl RunState {
    /// The commands that were lost with the last shell and still hold: `Want` for what waits for slots, one `WakeAt` for the
    /// earliest timer, `RunFinished` for a run that ended. Carry them out, then send `Input::Lose` for each of
    /// `live_attempts`: that gives what follows for those.
    pub fn resume(&self) -> Vec<Command> {
        if self.state.is_finished() {
            return vec![Command::RunFinished { state: self.state }];
        }
        let mut commands = Vec::new();
        for task in indexes(&self.dag) {
            for range in self.wanting(task) {
                commands.push(Command::Want {
                    task,
                    from: range.start,
                    to: range.end,
                });
            }
        }
        if let Some(at) = self.next_timer() {
            commands.push(Command::WakeAt { at });
        }
        commands
    }

    /// The instances of a task that wait for slots.
    pub(super) fn wanting(&self, task: TaskIndex) -> Vec<Range<i32>> {
        let Some(state) = self.tasks.get(task.get()) else {
            return Vec::new();
        };
        let wanting = [TaskInstanceState::Scheduled, TaskInstanceState::Restarting];
        if wanting.iter().all(|one| state.counts.get(*one) == 0) {
            return Vec::new();
        }
        state.ranges(|map_index, instance| {
            let ti = TaskInstanceKey { task, map_index };
            wanting.contains(&instance.state) && !self.halting.contains(&ti)
        })
    }

    /// Every task instance that holds slots, with its last fence: what a dead host had, to be declared lost.
    pub fn live_attempts(&self) -> Vec<(TaskInstanceKey, Fence)> {
        let mut live = Vec::new();
        for (task, state) in (0..).map(TaskIndex).zip(&self.tasks) {
            if state.counts.get(TaskInstanceState::Running) == 0 {
                continue;
            }
            for (map_index, instance) in state.iter() {
                if instance.state == TaskInstanceState::Running {
                    let ti = TaskInstanceKey { task, map_index };
                    live.push((ti, instance.fence()));
                }
            }
        }
        let halting = self.halting.iter();
        live.extend(halting.filter_map(|ti| Some((*ti, self.instance(*ti)?.fence()))));
        live
    }
}
