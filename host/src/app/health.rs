//! Whether the service is well, and what is taken of its pools: what monitors ask.

use super::App;
use super::rows::for_each_row;
use crate::error::{ErrorKind, UserError};
use crate::metrics::Sampled;
use crate::scheduler::{RunRow, UNFINISHED_PREFIX, decode_row, run_key, unfinished_ids};
use crate::store::Table;
use airlock_core::ids::{DagId, PoolName};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long the scheduler may take to answer before it counts as unwell.
const PATIENCE: Duration = Duration::from_secs(5);

/// What works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health {
    /// The store answers.
    pub store: bool,
    /// The scheduler's thread answers, so its store takes commits.
    pub scheduler: bool,
}

impl Health {
    /// Whether everything does.
    pub fn is_well(self) -> bool {
        self.store && self.scheduler
    }
}

/// Slots of a pool that task instances of unfinished runs take or wait for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PoolUse {
    /// Taken by running ones.
    pub running: i64,
    /// Of those that are deferred or wait for a person; they count as taken where the pool includes them.
    pub deferred: i64,
    /// Wanted by those that wait for slots.
    pub scheduled: i64,
}

impl App {
    /// Asks the store and the scheduler.
    pub async fn health(&self) -> Health {
        let asked = tokio::time::timeout(PATIENCE, self.scheduler.handle().gpus()).await;
        Health {
            store: self.store.get(Table::State, b"health").is_ok(),
            scheduler: asked.is_ok_and(|answer| answer.is_ok()),
        }
    }

    /// Everything that is counted and measured, as Prometheus reads it.
    pub fn scrape(&self) -> Result<String, UserError> {
        let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
        let dags = self.dags()?;
        let live = dags.iter().filter(|row| !row.is_stale);
        let unfinished = self.unfinished_runs()?;
        let in_state =
            |state: DagRunState| count(unfinished.iter().filter(|run| run.state == state).count());
        let taken = self.pool_use()?;
        let pools = self.pools()?.into_iter().map(|pool| {
            let slots = taken.get(&pool.name).copied().unwrap_or_default();
            (
                pool.name.to_string(),
                [slots.running, slots.deferred, slots.scheduled],
            )
        });
        let sampled = Sampled {
            dags_paused: count(live.clone().filter(|row| row.is_paused).count()),
            dags: count(live.count()),
            import_errors: count(self.import_errors()?.len()),
            runs_queued: in_state(DagRunState::Queued),
            runs_running: in_state(DagRunState::Running),
            pools: pools.collect(),
            callbacks_failed: i64::try_from(self.callbacks_failed()).unwrap_or(i64::MAX),
        };
        let written = self.metrics.scrape(&sampled);
        written.map_err(|error| UserError::new(ErrorKind::Bug, error))
    }

    /// Runs that have not ended, by their index.
    pub fn unfinished_runs(&self) -> Result<Vec<RunRow>, UserError> {
        self.unfinished_under(UNFINISHED_PREFIX)
    }

    /// Runs of a DAG that have not ended.
    pub fn unfinished_of(&self, dag_id: &DagId) -> Result<Vec<RunRow>, UserError> {
        let prefix = [UNFINISHED_PREFIX, dag_id.as_str().as_bytes(), b"\0"].concat();
        self.unfinished_under(&prefix)
    }

    fn unfinished_under(&self, prefix: &[u8]) -> Result<Vec<RunRow>, UserError> {
        let mut runs = Vec::new();
        for_each_row(self.store.as_ref(), Table::State, prefix, |row| {
            let Some((dag_id, run_id)) = unfinished_ids(&row.key) else {
                return Ok(());
            };
            // It may have ended, and gone, in between.
            let row = self.store.get(Table::Run, &run_key(&dag_id, &run_id))?;
            if let Some(row) = row {
                runs.push(decode_row(&row.value)?);
            }
            Ok(())
        })?;
        Ok(runs)
    }

    /// What is taken of each pool.
    pub fn pool_use(&self) -> Result<BTreeMap<PoolName, PoolUse>, UserError> {
        let mut pools: BTreeMap<PoolName, PoolUse> = BTreeMap::new();
        for run in self.unfinished_runs()? {
            self.seen.look(&run, |replayed| {
                let state = &replayed.state;
                for (ti, instance) in state.all_instances() {
                    let Some(task) = state.dag().task(ti.task) else {
                        continue;
                    };
                    let slots = i64::from(task.pool_slots);
                    let pool = pools.entry(task.pool.clone()).or_default();
                    match instance.state() {
                        TaskInstanceState::Running => pool.running += slots,
                        TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput => {
                            pool.deferred += slots;
                        }
                        TaskInstanceState::Scheduled
                        | TaskInstanceState::Queued
                        | TaskInstanceState::Restarting => pool.scheduled += slots,
                        _ => {}
                    }
                }
            })?;
        }
        Ok(pools)
    }
}
