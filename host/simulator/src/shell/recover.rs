//! A crash and the start after it: memory is lost, the journal is replayed, what was live is declared lost.

use super::{Batch, Message, Shell};
use crate::audit::{Checked, Violation};
use crate::sim::Sim;
use crate::world::{RunKey, queues};
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Fence, Input};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::TaskInstanceState;

impl Sim {
    /// The host dies: batches that were submitted may be durable up to any commit, nothing else stays. Then it starts again.
    pub(crate) fn crash(&mut self) -> Checked<()> {
        self.stats.crashes += 1;
        self.trace.say(|| "the host crashes".to_owned());
        self.audit.check_replay(&self.world, &self.shell)?;
        self.save_some_commits();
        self.workers.orphan(&mut self.draw, self.calm);
        self.stats.owners += 1;
        let owner = self.stats.owners;
        if !self.calm {
            self.settings.queues = queues(&mut self.draw);
        }
        self.shell = Shell::new(owner, &self.world, &self.settings);
        self.audit.begin(&self.settings);
        self.audit.forget_runs();
        let mut runs = Vec::new();
        for key in self.journal.runs() {
            let (state, events) = self.replay(key)?;
            self.audit.replayed(&self.world, key, &events)?;
            runs.push((key, state, events.len()));
        }
        self.audit.check_promises()?;
        let due = |key: &RunKey| {
            self.world
                .arrival(*key)
                .map(|arrival| arrival.header.run_after)
        };
        runs.sort_by_key(|(key, _, _)| (due(key), *key));
        self.ask_again();
        // All are known before any goes on: one that ends now lets another start, and those that run must be counted by then.
        let mut numbers = Vec::new();
        for (key, state, head) in runs {
            if !state.state().is_finished() {
                let (lost, commands) = (state.live_attempts(), state.resume());
                let number = self.adopt(key, state, head);
                self.hold_deferred(number);
                numbers.push((number, lost, commands));
            }
        }
        let mut batch = Batch::default();
        let mut left = Vec::new();
        for (number, lost, commands) in numbers {
            self.carry_out(number, commands, &mut batch)?;
            left.push((number, lost));
        }
        for (number, lost) in left {
            self.take_up(number, lost, &mut batch)?;
        }
        for dag in 0..self.world.dags.len() {
            self.start_runs(dag, &mut batch)?;
        }
        self.end_turn(batch)
    }

    /// Slots that deferred task instances of a run kept over the restart.
    fn hold_deferred(&mut self, number: RunNumber) {
        let Some(run) = self.shell.runs.get(&number) else {
            return;
        };
        let dispatcher = &mut self.shell.dispatcher;
        for (ti, instance) in run.state.all_instances() {
            let deferred = matches!(
                instance.state(),
                TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput
            );
            if let Some(task) = run.state.dag().task(ti.task).filter(|_| deferred) {
                dispatcher.hold_deferred(number, ti, &task.pool, task.pool_slots);
            }
        }
    }

    /// Whoever asked for a run and was not told that it exists asks again.
    fn ask_again(&mut self) {
        let there = self.journal.runs();
        for run in (0..self.arrived)
            .map(RunKey)
            .filter(|run| !there.contains(run))
        {
            self.shell.inbox.push_back(Message::Trigger(run));
        }
    }

    /// Of what was on its way to the disk, a beginning of any length arrived.
    fn save_some_commits(&mut self) {
        let commits: usize = self
            .shell
            .in_flight
            .iter()
            .map(|batch| batch.commits.len())
            .sum();
        let mut saved = self.draw.below(commits + 1);
        while let Some(batch) = self.shell.in_flight.pop_front() {
            for (run, commit) in &batch.commits {
                if saved == 0 {
                    return;
                }
                saved -= 1;
                if self.journal.commit(*run, commit) {
                    self.audit.promises.became_durable(*run, &commit.events);
                }
            }
        }
    }

    pub(super) fn replay(&self, key: RunKey) -> Checked<(RunState, Vec<Event>)> {
        let unreadable = |detail: String| {
            Violation::new(
                "journal_is_readable",
                "What became durable can be read and replayed.",
            )
            .because(detail)
        };
        let events = self.journal.read(key).map_err(unreadable)?;
        let model = self
            .world
            .model(key)
            .ok_or_else(|| unreadable("its DAG is gone".to_owned()))?;
        let mut state = RunState::new(model.dag.clone());
        for event in &events {
            state
                .apply(event)
                .map_err(|error| unreadable(error.to_string()))?;
        }
        Ok((state, events))
    }

    /// What was live in an earlier process is lost, what waits is waited for again.
    fn take_up(
        &mut self,
        number: RunNumber,
        lost: Vec<(TaskInstanceKey, Fence)>,
        batch: &mut Batch,
    ) -> Checked<()> {
        for (ti, fence) in lost {
            self.step(number, &Input::Lose { ti, fence }, batch)?;
        }
        self.step(number, &Input::Wake, batch)?;
        // The run before may have ended in a commit that became durable without the one that told this run.
        self.check_past(number, batch)
    }
}
