//! Pools: named counters of slots.

use super::import::import;
use super::{App, Exported, Imported, OnExisting};
use crate::error::{ErrorKind, UserError};
use crate::gpus::GpuSource;
use crate::scheduler::{PoolSize, decode_row, encode_row};
use crate::store::{Commit, RowWrite, Store, Table};
use airlock_core::dag::spec::{DEFAULT_POOL, Dag, Task};
use airlock_core::dispatch::Slots;
use airlock_core::gpu::GpuFilter;
use airlock_core::ids::PoolName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Slots of the pool that every data folder has (Airflow's default).
pub(super) const DEFAULT_POOL_SLOTS: u32 = 128;
/// The most pools.
const POOLS_MAX: usize = 10_000;
/// Waiting tasks that a refusal names.
const WAITING_TOLD_MAX: usize = 5;

/// A pool as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRow {
    /// Its name.
    pub name: PoolName,
    /// Its size; -1 is unlimited.
    pub slots: i64,
    /// Free text.
    #[serde(default)]
    pub description: String,
    /// Whether deferred task instances keep their slots.
    #[serde(default)]
    pub include_deferred: bool,
    /// A pool of kind gpu, and the cards that it gives out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gpus: Option<GpuFilter>,
}

impl PoolRow {
    fn counted(&self) -> PoolSize {
        PoolSize {
            slots: self.size(),
            include_deferred: self.include_deferred,
            gpus: self.gpus.clone(),
        }
    }

    /// Whether its size is one.
    pub fn check(&self) -> Result<(), UserError> {
        if (-1..=i64::from(u32::MAX)).contains(&self.slots) {
            return Ok(());
        }
        let message = format!("{} is no size of a pool", self.slots);
        Err(UserError::new(ErrorKind::Usage, message).hint("-1 is unlimited"))
    }

    fn size(&self) -> Slots {
        u32::try_from(self.slots).map_or(Slots::Unlimited, Slots::Limited)
    }
}

/// Every pool, the default one among them whether stored or not.
pub(super) fn stored_pools(store: &dyn Store) -> Result<Vec<PoolRow>, UserError> {
    let mut pools = Vec::new();
    for row in store.scan(Table::Pool, b"", None, POOLS_MAX)? {
        pools.push(decode_row::<PoolRow>(&row.value)?);
    }
    if !pools.iter().any(|pool| pool.name.as_str() == DEFAULT_POOL) {
        let name =
            PoolName::parse(DEFAULT_POOL).map_err(|error| UserError::new(ErrorKind::Bug, error))?;
        pools.insert(
            0,
            PoolRow {
                name,
                slots: i64::from(DEFAULT_POOL_SLOTS),
                description: "Default pool".to_owned(),
                include_deferred: false,
                gpus: None,
            },
        );
    }
    Ok(pools)
}

/// The same for the dispatcher.
pub(super) fn pool_sizes(store: &dyn Store) -> Result<Vec<(PoolName, PoolSize)>, UserError> {
    Ok(stored_pools(store)?
        .into_iter()
        .map(|pool| (pool.name.clone(), pool.counted()))
        .collect())
}

fn no_pool(name: &str) -> UserError {
    UserError::new(ErrorKind::NotFound, format!("no pool is called {name:?}"))
        .hint("`airlock pools list` shows what there is")
}

fn parse_pool(name: &str, value: Value) -> Result<PoolRow, UserError> {
    let wrong = |reason: String| {
        let message = format!("pool {name:?}: {reason}; nothing was imported");
        UserError::new(ErrorKind::Usage, message).hint(
            r#"for example {"gpu": {"slots": 2, "description": "", "include_deferred": false}}"#,
        )
    };
    let Value::Object(mut members) = value else {
        return Err(wrong("it is no object".to_owned()));
    };
    members.insert("name".to_owned(), Value::from(name));
    let pool: PoolRow =
        serde_json::from_value(members.into()).map_err(|error| wrong(error.to_string()))?;
    pool.check()?;
    Ok(pool)
}

impl App {
    /// Every pool.
    pub fn pools(&self) -> Result<Vec<PoolRow>, UserError> {
        stored_pools(self.store.as_ref())
    }

    /// Creates or resizes a pool, durably.
    pub async fn set_pool(&self, pool: PoolRow) -> Result<(), UserError> {
        let key = pool.name.as_str().as_bytes().to_vec();
        let write = RowWrite {
            key,
            expect: None,
            value: Some(encode_row(&pool)?),
        };
        self.store.commit(Commit {
            rows: vec![(Table::Pool, write)],
            ..Commit::default()
        })?;
        if pool.gpus.is_some() {
            let gpus = self.gpus.gpus()?.to_vec();
            self.scheduler.handle().set_gpus(gpus).await?;
        }
        Ok(self
            .scheduler
            .handle()
            .set_pool(pool.name.clone(), Some(pool.counted()))
            .await?)
    }

    /// One pool.
    pub fn pool(&self, name: &str) -> Result<PoolRow, UserError> {
        let pools = self.pools()?;
        let found = pools.into_iter().find(|pool| pool.name.as_str() == name);
        found.ok_or_else(|| no_pool(name))
    }

    /// Removes a pool. The default pool stays, and so does one that an unfinished run needs.
    pub async fn delete_pool(&self, name: &str) -> Result<(), UserError> {
        if name == DEFAULT_POOL {
            let message = format!("{DEFAULT_POOL} cannot be deleted: tasks without a pool use it");
            return Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
                "`airlock pools set {DEFAULT_POOL} 1` makes it small"
            )));
        }
        let pool = self.pool(name)?;
        let waiting = self.waiting_for(&pool.name)?;
        if !waiting.is_empty() {
            let more = waiting.len().saturating_sub(WAITING_TOLD_MAX);
            let mut lines = waiting;
            lines.truncate(WAITING_TOLD_MAX);
            if more > 0 {
                lines.push(format!("and {more} more"));
            }
            let message = format!("pool {name:?} is in use:\n  {}", lines.join("\n  "));
            return Err(UserError::new(ErrorKind::Conflict, message).hint(
                "wait for these runs, or end them with `airlock runs cancel`, and delete it then",
            ));
        }
        let write = RowWrite {
            key: name.as_bytes().to_vec(),
            expect: None,
            value: None,
        };
        self.store.commit(Commit {
            rows: vec![(Table::Pool, write)],
            ..Commit::default()
        })?;
        Ok(self.scheduler.handle().set_pool(pool.name, None).await?)
    }

    /// Tasks of unfinished runs that take slots of a pool and have not ended, as sentences.
    fn waiting_for(&self, name: &PoolName) -> Result<Vec<String>, UserError> {
        let mut waiting = Vec::new();
        for run in self.unfinished()? {
            let replayed =
                crate::scheduler::replay_run(self.store.as_ref(), &run.dag_id, &run.run_id)?;
            let state = &replayed.state;
            let mut last = None;
            for (ti, instance) in state.all_instances() {
                let Some(task) = state.dag().task(ti.task).filter(|task| task.pool == *name) else {
                    continue;
                };
                // One line a task, whatever it is mapped to.
                if !instance.state().is_finished() && last.replace(ti.task) != Some(ti.task) {
                    waiting.push(format!(
                        "task {} of run {} of dag {} ({})",
                        task.task_id,
                        run.run_id,
                        run.dag_id,
                        instance.state()
                    ));
                }
            }
        }
        Ok(waiting)
    }

    /// Sets the pools of an object as Airflow exports it: `{NAME: {slots, description, include_deferred}}`.
    pub async fn import_pools(
        &self,
        members: Map<String, Value>,
        on_existing: OnExisting,
    ) -> Result<Imported, UserError> {
        let known = self.pools()?;
        let exists = |name: &str| Ok(known.iter().any(|pool| pool.name.as_str() == name));
        let (pools, report) = import(members, on_existing, parse_pool, exists)?;
        for (_, pool) in pools {
            self.set_pool(pool).await?;
        }
        Ok(report)
    }

    /// Every pool as Airflow exports them.
    pub fn export_pools(&self) -> Result<Exported, UserError> {
        let pools = self.pools()?.into_iter();
        let members = pools.map(|pool| {
            let mut member = json!({"slots": pool.slots, "description": pool.description, "include_deferred": pool.include_deferred});
            if let (Some(gpus), Some(members)) = (&pool.gpus, member.as_object_mut()) {
                members.insert("gpus".to_owned(), json!(gpus));
            }
            (pool.name.to_string(), member)
        });
        Ok(Exported {
            json: members.collect(),
            left_out: Vec::new(),
        })
    }

    /// For a test of a DAG on a store that is thrown away: pools that the real data folder would have.
    pub async fn create_missing_pools(&self, dag: &Dag) -> Result<(), UserError> {
        let pools = self.pools()?;
        for task in &dag.tasks {
            if !pools.iter().any(|pool| pool.name == task.pool) {
                let description = "made for a test".to_owned();
                self.set_pool(PoolRow {
                    name: task.pool.clone(),
                    slots: i64::from(task.pool_slots),
                    description,
                    include_deferred: false,
                    gpus: task.gpu.as_ref().map(|_| GpuFilter::default()),
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// A task whose pool does not exist or is too small would wait for ever; better said at once.
pub(super) fn check_pools(store: &dyn Store, gpus: &GpuSource, dag: &Dag) -> Result<(), UserError> {
    let pools = stored_pools(store)?;
    for task in &dag.tasks {
        let hint = |slots| format!("create it with `airlock pools set {} {slots}`", task.pool);
        let Some(pool) = pools.iter().find(|pool| pool.name == task.pool) else {
            let message = format!(
                "task {} of dag {} names pool {:?}, which does not exist",
                task.task_id,
                dag.dag_id,
                task.pool.as_str()
            );
            return Err(UserError::new(ErrorKind::NotFound, message).hint(hint(task.pool_slots)));
        };
        if matches!(pool.size(), Slots::Limited(slots) if slots < task.pool_slots) {
            let message = format!(
                "task {} of dag {} takes {} slots of pool {:?}, which has {}",
                task.task_id,
                dag.dag_id,
                task.pool_slots,
                task.pool.as_str(),
                pool.slots
            );
            return Err(UserError::new(ErrorKind::Conflict, message).hint(hint(task.pool_slots)));
        }
        check_gpus(gpus, dag, task, pool)?;
    }
    Ok(())
}

/// A wish that no card of this machine can ever meet is told before there is a run.
fn check_gpus(gpus: &GpuSource, dag: &Dag, task: &Task, pool: &PoolRow) -> Result<(), UserError> {
    let who = || format!("task {} of dag {}", task.task_id, dag.dag_id);
    let Some(filter) = &pool.gpus else {
        let Some(wish) = &task.gpu else {
            return Ok(());
        };
        let message = format!(
            "{} wants {wish}, and pool {} is not of kind gpu",
            who(),
            pool.name
        );
        return Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
            "make it one with `airlock pools set {} -1 --kind gpu`, or name another `pool` in the DAG",
            pool.name
        )));
    };
    let wish = task.gpu.clone().unwrap_or_default();
    let there = gpus.free()?;
    if there.could_ever(&wish, filter) {
        return Ok(());
    }
    let message = format!(
        "{} wants {wish}; pool {} has {} on this machine",
        who(),
        pool.name,
        there.describe(filter)
    );
    Err(UserError::new(ErrorKind::Conflict, message).hint(
        "change `gpu` in the DAG, or run it where there is such a card; `airlock gpus` lists what is here",
    ))
}
