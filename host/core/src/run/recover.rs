//! What a shell that starts again has to know about a run that it replayed.

use super::event::{Command, Fence};
use super::state::RunState;
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};

impl RunState {
    /// The commands that were lost with the last shell and still hold: `Want` for what waits for slots, one `WakeAt` for the
    /// earliest timer, `RunFinished` for a run that ended. Carry them out, then send `Input::Lose` for each of
    /// `live_attempts`: that gives what follows for those.
    pub fn resume(&self) -> Vec<Command> {
        if self.state.is_finished() {
            return vec![Command::RunFinished { state: self.state }];
        }
        let mut commands = Vec::new();
        if self.state == DagRunState::Queued {
            return commands;
        }
        for (task, state) in (0..).map(TaskIndex).zip(&self.tasks) {
            let wanting = [TaskInstanceState::Scheduled, TaskInstanceState::Restarting];
            if wanting
                .iter()
                .all(|wanting| state.counts.get(*wanting) == 0)
            {
                continue;
            }
            for range in state.ranges(|_, instance| wanting.contains(&instance.state)) {
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
        live
    }
}
