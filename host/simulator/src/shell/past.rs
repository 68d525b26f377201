//! `depends_on_past`: what the run before a run left, told to the run that waits for it. It mirrors
//! `host/src/scheduler/engine/past.rs`.

use super::Batch;
use crate::audit::Checked;
use crate::sim::Sim;
use crate::world::RunKey;
use airlock_core::dag::spec::Task;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskIndex;
use airlock_core::run::PastAnswer;
use airlock_core::run::event::{Input, RunType};
use airlock_core::run::state::RunState;

impl Sim {
    /// Finds the run before a run that was just taken into memory.
    pub(super) fn follow_past(&mut self, number: RunNumber) {
        let Some(run) = self.shell.runs.get(&number) else {
            return;
        };
        let dag = run.state.dag();
        let is_ignored = run
            .state
            .header()
            .is_some_and(|header| header.ignore_depends_on_past);
        if is_ignored || !dag.tasks.iter().any(|task| task.depends_on_past) {
            return;
        }
        let previous = self.run_before(run.key, dag.catchup);
        self.shell.previous.insert(number, previous);
    }

    /// With catchup the previous run that the timetable made, else the previous one of any type.
    fn run_before(&self, key: RunKey, catchup: bool) -> Option<RunKey> {
        let of = self.world.arrival(key)?;
        let others = (0..self.arrived).map(RunKey).filter(|other| {
            let shell = &self.shell;
            let in_memory = shell.numbers.contains_key(other) || shell.closing.contains(other);
            in_memory || self.journal.has(*other)
        });
        let earlier = others.filter_map(|other| {
            let arrival = self.world.arrival(other)?;
            let counts = !catchup || arrival.header.run_type == RunType::Scheduled;
            let date = arrival.header.logical_date?;
            let is_before = arrival.dag == of.dag && Some(date) < of.header.logical_date;
            (counts && is_before).then_some((date, other))
        });
        earlier.max().map(|(_, other)| other)
    }

    /// Something happened in a run: whoever waits for it may go on.
    pub(super) fn tell_followers(&mut self, key: RunKey, batch: &mut Batch) -> Checked<()> {
        let follows = |(_, previous): &(&RunNumber, &Option<RunKey>)| **previous == Some(key);
        let followers: Vec<RunNumber> = self
            .shell
            .previous
            .iter()
            .filter(follows)
            .map(|(number, _)| *number)
            .collect();
        for follower in followers {
            self.check_past(follower, batch)?;
        }
        Ok(())
    }

    /// Tells a run which of its waiting tasks the run before allows.
    pub(super) fn check_past(&mut self, number: RunNumber, batch: &mut Batch) -> Checked<()> {
        let Some(previous) = self.shell.previous.get(&number).copied() else {
            return Ok(());
        };
        let Some(run) = self.shell.runs.get(&number) else {
            return Ok(());
        };
        let waiting: Vec<TaskIndex> = run.state.waits_for_past().collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let dag = run.state.dag().clone();
        let tasks = match previous {
            None => waiting,
            Some(previous) => self.with_state(previous, |state| {
                let allowed =
                    |task: &TaskIndex| dag.task(*task).is_some_and(|task| allows(state, task));
                waiting.into_iter().filter(allowed).collect()
            })?,
        };
        if !tasks.is_empty() {
            self.step(number, &Input::PastDependsMet { tasks }, batch)?;
        }
        Ok(())
    }

    /// Looks at a run, live or replayed. One whose last commit is on its way is looked at when that is durable.
    fn with_state(
        &self,
        key: RunKey,
        look: impl FnOnce(&RunState) -> Vec<TaskIndex>,
    ) -> Checked<Vec<TaskIndex>> {
        let number = self.shell.numbers.get(&key);
        if let Some(run) = number.and_then(|number| self.shell.runs.get(number)) {
            return Ok(look(&run.state));
        }
        if self.shell.closing.contains(&key) || !self.journal.has(key) {
            return Ok(Vec::new());
        }
        Ok(look(&self.replay(key)?.0))
    }
}

fn allows(previous: &RunState, task: &Task) -> bool {
    match previous.past_allows(&task.task_id, task.wait_for_downstream) {
        PastAnswer::Allows => true,
        PastAnswer::NotYet => false,
        PastAnswer::NoSuchTask => task.ignore_first_depends_on_past,
    }
}
