//! What people change about a run, live or ended: one that has ended is read back for it, and let go again unless the change
//! reopened it. It mirrors `host/src/scheduler/engine/changes.rs`.

use super::{Batch, Change, Message, Selection};
use crate::audit::Checked;
use crate::sim::Sim;
use crate::world::RunKey;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::Input;

type Ranges = Vec<(TaskIndex, i32, i32)>;

impl Sim {
    pub(super) fn change(&mut self, key: RunKey, change: Change, batch: &mut Batch) -> Checked<()> {
        if self.shell.failed {
            return Ok(());
        }
        if self.shell.closing.contains(&key) {
            // Its last commit is on its way; what is in the journal is older than the run. It is asked again behind it.
            let again = Message::Change { run: key, change };
            self.shell.inbox.push_back(again);
            return Ok(());
        }
        let Some(number) = self.in_memory(key)? else {
            return Ok(());
        };
        self.stats.changes += 1;
        let input = self.input_of(number, change)?;
        let taken = self.step(number, &input, batch)?;
        self.let_go_if_ended(number, batch)?;
        if taken {
            self.promise(key, false, batch);
        }
        Ok(())
    }

    /// A run in memory; one that has ended is read back.
    fn in_memory(&mut self, key: RunKey) -> Checked<Option<RunNumber>> {
        if let Some(number) = self.shell.numbers.get(&key) {
            return Ok(Some(*number));
        }
        if !self.journal.has(key) {
            return Ok(None);
        }
        let (state, events) = self.replay(key)?;
        self.audit.read_back(key, &state)?;
        Ok(Some(self.adopt(key, state, events.len())))
    }

    fn let_go_if_ended(&mut self, number: RunNumber, batch: &mut Batch) -> Checked<()> {
        let Some(run) = self.shell.runs.get(&number) else {
            return Ok(());
        };
        let key = run.key;
        if run.state.state().is_finished() {
            self.tell_followers(key, batch)?;
            self.shell.runs.remove(&number);
            self.let_go(number, key, batch);
        }
        Ok(())
    }

    fn input_of(&mut self, number: RunNumber, change: Change) -> Checked<Input> {
        let by = "ana".to_owned();
        Ok(match change {
            Change::Clear(selection) => Input::Clear {
                instances: self.selected(number, &selection, true)?,
            },
            Change::Mark(selection, state) => Input::Mark {
                instances: self.selected(number, &selection, false)?,
                state,
                by,
            },
            Change::MarkRun(state) => Input::MarkRun { state, by },
            Change::Answer(ti, answer) => Input::Answer { ti, answer, by },
            Change::EditXCom(ti, key, value) => Input::EditXCom { ti, key, value, by },
        })
    }

    /// The instances that a person named, as ranges; a clear takes setups and teardowns with them.
    fn selected(
        &self,
        number: RunNumber,
        selection: &Selection,
        with_scope: bool,
    ) -> Checked<Ranges> {
        let Some(run) = self.shell.runs.get(&number) else {
            return Ok(Vec::new());
        };
        let (tasks, options) = (&selection.tasks, &selection.options);
        let mut ranges = run.state.clear_set(tasks, options);
        self.audit
            .selected(&self.world, run.key, selection, &ranges)?;
        if !with_scope && !options.upstream && !options.downstream {
            ranges.retain(|(task, _, _)| tasks.contains(task));
        }
        Ok(ranges)
    }
}
