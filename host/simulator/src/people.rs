//! What people do to runs: they clear, mark and end them, whatever state those are in. Drawn; nothing here knows what comes of it.

use crate::shell::{Change, Message, Selection};
use crate::sim::Sim;
use crate::world::family::indexes;
use crate::world::{RunKey, queues};
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::ClearOptions;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};

/// The most tasks that a person names at once, but for all of them.
const TASKS_NAMED_MAX: usize = 3;

impl Sim {
    /// Somebody changes a run that was asked for.
    pub(crate) fn somebody_changes_a_run(&mut self) {
        let run = RunKey(self.draw.count(0, self.arrived));
        let Some(tasks) = self.world.model(run).map(|model| model.dag.tasks.len()) else {
            return;
        };
        let change = match self.draw.below(28) {
            20..=23 => Change::Answer(self.some_instance(tasks), "\"because\"".to_owned()),
            24..=27 => self.edit(tasks),
            0 | 1 => Change::MarkRun(self.draw.one_of(
                &[DagRunState::Success, DagRunState::Failed],
                DagRunState::Failed,
            )),
            2..=7 => {
                let states = [
                    TaskInstanceState::Success,
                    TaskInstanceState::Failed,
                    TaskInstanceState::Skipped,
                ];
                let state = self.draw.one_of(&states, TaskInstanceState::Success);
                Change::Mark(self.selection(tasks), state)
            }
            _ => Change::Clear(self.selection(tasks)),
        };
        self.deliver(Message::Change { run, change });
    }

    /// A task instance that may not be there.
    fn some_instance(&mut self, tasks: usize) -> TaskInstanceKey {
        let task = u32::try_from(self.draw.below(tasks)).unwrap_or(0);
        let map_index = self.draw.one_of(&[-1, -1, -1, 0, 1, 2], -1);
        let task = TaskIndex(task);
        TaskInstanceKey { task, map_index }
    }

    fn edit(&mut self, tasks: usize) -> Change {
        let ti = self.some_instance(tasks);
        let key = self.draw.one_of(&["a", "return_value"], "a").to_owned();
        let values = ["[1,2,3]", "[7]", "[]", "null", "{\"x\":1}"];
        let value = self.draw.one_of(&values, "null").to_owned();
        Change::EditXCom(ti, key, Some(value).filter(|_| self.draw.chance(75)))
    }

    /// Somebody pauses a DAG or lets it go on, or the host serves other queues.
    pub(crate) fn somebody_changes_a_setting(&mut self) {
        if self.draw.chance(40) {
            let queues = queues(&mut self.draw);
            return self.serve(queues);
        }
        let place = self.draw.below(self.world.dags.len());
        let is_paused = self.draw.chance(50);
        if is_paused {
            self.settings.paused.insert(place);
        } else {
            self.settings.paused.remove(&place);
        }
        self.deliver(Message::Pause(place, is_paused));
    }

    /// When faults have stopped: a run that waits for what an ended run left gets it, or is ended.
    pub(crate) fn somebody_helps(&mut self) {
        let Some((run, before)) = self.audit.waits_in_vain(&self.world) else {
            return;
        };
        let state = TaskInstanceState::Success;
        let tasks = self.world.model(before).map(|model| indexes(&model.dag));
        let options = ClearOptions {
            only_failed: true,
            ..ClearOptions::default()
        };
        let message = match tasks {
            Some(tasks) if self.draw.chance(70) => Message::Change {
                run: before,
                change: Change::Mark(
                    Selection {
                        tasks: tasks.collect(),
                        options,
                    },
                    state,
                ),
            },
            _ => Message::Change {
                run,
                change: Change::MarkRun(DagRunState::Success),
            },
        };
        self.deliver(message);
    }

    fn selection(&mut self, tasks: usize) -> Selection {
        let draw = &mut self.draw;
        let index = |place: usize| u32::try_from(place).ok().map(TaskIndex);
        let named: Vec<TaskIndex> = if draw.chance(10) {
            (0..tasks).filter_map(index).collect()
        } else {
            (0..=draw.below(TASKS_NAMED_MAX))
                .filter_map(|_| index(draw.below(tasks)))
                .collect()
        };
        let mut options = ClearOptions {
            upstream: draw.chance(15),
            downstream: draw.chance(50),
            only_failed: draw.chance(20),
            only_running: draw.chance(12),
            ..ClearOptions::default()
        };
        if draw.chance(20) {
            options.map_indexes = (-1..4).filter(|_| draw.chance(50)).collect();
        }
        Selection {
            tasks: named,
            options,
        }
    }
}
