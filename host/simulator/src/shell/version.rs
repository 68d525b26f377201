//! A run goes on with a newer version of its DAG. It mirrors `host/src/scheduler/engine/changes.rs`.

use super::Batch;
use super::step::Templates;
use crate::audit::Checked;
use crate::sim::Sim;
use airlock_core::dispatch::{RunLimits, RunNumber};
use airlock_core::run::priority::effective_weights;

/// The name of every newer version.
const NEWER: [u8; 32] = [1; 32];

impl Sim {
    /// False if the run refused.
    pub(super) fn take_newer_version(
        &mut self,
        number: RunNumber,
        batch: &mut Batch,
    ) -> Checked<bool> {
        let Some(run) = self.shell.runs.get_mut(&number) else {
            return Ok(false);
        };
        let key = run.key;
        let Some(newer) = self.world.version(key, true) else {
            return Ok(true);
        };
        if self.world.on_newer.contains(&key) {
            return Ok(true);
        }
        let dag = newer.dag.clone();
        self.trace
            .say(|| format!("run {} takes the newer version", key.0));
        let result = run
            .state
            .change_version(self.now, dag.clone(), NEWER, &Templates);
        let Ok(step) = result else {
            self.audit.version_refused(key, &run.state)?;
            return Ok(false);
        };
        for event in &step.events {
            self.trace.event(key, event);
        }
        self.world.on_newer.insert(key);
        run.priorities = effective_weights(&dag);
        let head = run.head;
        self.shell.dispatcher.remove_run(number);
        self.shell.dispatcher.add_run(number, RunLimits::of(&dag));
        self.audit
            .version_changed(&self.world, run, self.now, &step)?;
        self.hold_deferred(number);
        self.record(number, head, &step.events, batch);
        self.carry_out(number, step.commands, batch)?;
        if self.shell.runs.contains_key(&number) {
            self.follow_past(number);
            self.check_past(number, batch)?;
            self.tell_followers(key, batch)?;
        }
        Ok(true)
    }
}
