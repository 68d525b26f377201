//! Pools: named counters of slots.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{decode_row, encode_row};
use crate::store::{Commit, RowWrite, Store, Table};
use airlock_core::dag::spec::{DEFAULT_POOL, Dag};
use airlock_core::dispatch::Slots;
use airlock_core::ids::PoolName;
use serde::{Deserialize, Serialize};

/// Slots of the pool that every data folder has (Airflow's default).
pub(super) const DEFAULT_POOL_SLOTS: u32 = 128;
/// The most pools.
const POOLS_MAX: usize = 10_000;

/// A pool as stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolRow {
    /// Its name.
    pub name: PoolName,
    /// Its size; -1 is unlimited.
    pub slots: i64,
    /// Free text.
    pub description: String,
}

impl PoolRow {
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
            },
        );
    }
    Ok(pools)
}

/// The same for the dispatcher.
pub(super) fn pool_sizes(store: &dyn Store) -> Result<Vec<(PoolName, Slots)>, UserError> {
    Ok(stored_pools(store)?
        .into_iter()
        .map(|pool| (pool.name.clone(), pool.size()))
        .collect())
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
        Ok(self
            .scheduler
            .handle()
            .set_pool(pool.name.clone(), pool.size())
            .await?)
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
                })
                .await?;
            }
        }
        Ok(())
    }
}

/// A task whose pool does not exist or is too small would wait for ever; better said at once.
pub(super) fn check_pools(store: &dyn Store, dag: &Dag) -> Result<(), UserError> {
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
    }
    Ok(())
}
