//! Backfills as people ask for them. Ids count over all DAGs, as in Airflow. What a backfill would do is answered from the store;
//! to make one a service must hold the data folder, because nobody else makes runs.

use super::App;
use super::pools::check_pools;
use super::rows::for_each_row;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{
    BACKFILLS_PREFIX, BackfillChange, RunRow, SCHEDULES_PREFIX, decode_row, run_at, schedule_key,
};
use crate::store::Table;
use airlock_core::dag::check_params;
use airlock_core::ids::{DagId, RunId};
use airlock_core::schedule::{
    Backfill, BackfillCounts, BackfillRequest, DagSchedule, ExistingRun, PlannedDate,
};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The next free id is read and taken by one request at a time.
static CREATING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// A backfill as lists show it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackfillRow {
    /// Its id.
    pub id: u64,
    /// Of which DAG.
    pub dag_id: DagId,
    /// `running`, `paused`, `completed` or `cancelled`.
    pub state: &'static str,
    /// What was asked for.
    #[serde(flatten)]
    pub request: BackfillRequest,
    /// When.
    pub created_at: Timestamp,
    /// When it ended.
    pub completed_at: Option<Timestamp>,
    /// What became of its dates.
    pub counts: BackfillCounts,
    /// Dates that it has not looked at.
    pub left: u32,
    /// Its runs that have not ended.
    pub active: Vec<RunId>,
}

impl BackfillRow {
    fn new(dag_id: DagId, backfill: &Backfill) -> Self {
        let state = match (backfill.is_cancelled(), backfill.ended_at()) {
            (true, _) => "cancelled",
            (false, Some(_)) => "completed",
            (false, None) if backfill.is_paused() => "paused",
            (false, None) => "running",
        };
        Self {
            id: backfill.id(),
            dag_id,
            state,
            request: backfill.request().clone(),
            created_at: backfill.created_at(),
            completed_at: backfill.ended_at(),
            counts: backfill.counts(),
            left: backfill.left(),
            active: backfill.active().cloned().collect(),
        }
    }
}

impl App {
    /// Every backfill, by id.
    pub fn backfills(&self) -> Result<Vec<BackfillRow>, UserError> {
        let mut rows = Vec::new();
        for (dag_id, schedule) in self.rows_by_dag::<DagSchedule>(SCHEDULES_PREFIX)? {
            rows.extend(
                schedule
                    .backfill()
                    .map(|active| BackfillRow::new(dag_id, active)),
            );
        }
        for (dag_id, ended) in self.rows_by_dag::<Backfill>(BACKFILLS_PREFIX)? {
            rows.push(BackfillRow::new(dag_id, &ended));
        }
        rows.sort_by_key(|row| row.id);
        Ok(rows)
    }

    /// What a backfill would do, in its order.
    pub fn backfill_dry_run(
        &self,
        dag_id: &DagId,
        request: &BackfillRequest,
    ) -> Result<Vec<PlannedDate>, UserError> {
        let dag = self.dag(dag_id.as_str())?.dag;
        let schedule = self.schedule(dag_id)?;
        let schedule = schedule.unwrap_or_else(|| DagSchedule::new(&dag));
        let existing = |date| {
            let RunRow { run_id, state, .. } =
                run_at(self.store.as_ref(), dag_id, date).ok().flatten()?;
            Some(ExistingRun { run_id, state })
        };
        schedule
            .backfill_dry_run(&dag, request, Timestamp::now(), &existing)
            .map_err(|error| UserError::new(ErrorKind::Usage, error))
    }

    /// Begins a backfill; yields it.
    pub async fn create_backfill(
        &self,
        dag_id: &DagId,
        request: BackfillRequest,
    ) -> Result<BackfillRow, UserError> {
        let dag = self.renewed(&self.dag(dag_id.as_str())?)?;
        check_pools(self.store.as_ref(), &self.gpus, &dag.dag)?;
        let conf = serde_json::from_str(&request.conf)
            .map_err(|error| UserError::new(ErrorKind::Usage, error))?;
        check_params(&dag.dag, &conf).map_err(|errors| {
            let message = format!(
                "the conf does not fit the params of dag {dag_id}:\n  {}",
                errors.join("\n  ")
            );
            UserError::new(ErrorKind::Usage, message)
                .hint("`airlock dags show` prints the params with their types")
        })?;
        let _one_at_a_time = CREATING.lock().await;
        let id = self.backfills()?.last().map_or(1, |row| row.id + 1);
        self.change_backfill(dag_id, BackfillChange::Create { id, request })
            .await?;
        self.backfill(id)
    }

    /// Makes and starts no more of a backfill's runs, or goes on with it.
    pub async fn pause_backfill(&self, id: u64, is_paused: bool) -> Result<BackfillRow, UserError> {
        let dag_id = self.backfill(id)?.dag_id;
        self.change_backfill(&dag_id, BackfillChange::Pause { id, is_paused })
            .await?;
        self.backfill(id)
    }

    /// Ends a backfill: its queued runs are cancelled, its running ones go on.
    pub async fn cancel_backfill(&self, id: u64) -> Result<BackfillRow, UserError> {
        let dag_id = self.backfill(id)?.dag_id;
        self.change_backfill(&dag_id, BackfillChange::Cancel { id })
            .await?;
        self.backfill(id)
    }

    /// One backfill.
    pub fn backfill(&self, id: u64) -> Result<BackfillRow, UserError> {
        let found = self.backfills()?.into_iter().find(|row| row.id == id);
        found.ok_or_else(|| {
            UserError::new(ErrorKind::NotFound, format!("there is no backfill {id}"))
                .hint("`airlock backfill list` shows what there is")
        })
    }

    async fn change_backfill(
        &self,
        dag_id: &DagId,
        change: BackfillChange,
    ) -> Result<(), UserError> {
        let handle = self.scheduler.handle();
        handle.backfill(dag_id.clone(), change).await?;
        Ok(())
    }

    pub(super) fn schedule(&self, dag_id: &DagId) -> Result<Option<DagSchedule>, UserError> {
        let row = self.store.get(Table::State, &schedule_key(dag_id))?;
        Ok(row.map(|row| decode_row(&row.value)).transpose()?)
    }

    /// Every row under a prefix that the DAG's id follows.
    fn rows_by_dag<T: DeserializeOwned>(
        &self,
        prefix: &[u8],
    ) -> Result<Vec<(DagId, T)>, UserError> {
        let mut found = Vec::new();
        for_each_row(self.store.as_ref(), Table::State, prefix, |row| {
            let name = row.key.strip_prefix(prefix).unwrap_or_default();
            let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
            let dag_id = DagId::parse(&String::from_utf8_lossy(name))
                .map_err(|error| UserError::new(ErrorKind::Store, error))?;
            found.push((dag_id, decode_row(&row.value)?));
            Ok(())
        })?;
        Ok(found)
    }
}
