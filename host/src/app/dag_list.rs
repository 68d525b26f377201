//! DAGs as lists show them: what they are scheduled by, and when their next run is due.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::DagRow;
use airlock_core::dag::spec::{Dag, Schedule};
use airlock_core::ids::DagId;
use airlock_core::schedule::DagSchedule;
use airlock_core::timetable::{DueRun, Timetable};
use jiff::Timestamp;
use std::sync::Arc;

/// A DAG and its schedule.
#[derive(Debug, Clone, PartialEq)]
pub struct DagOverview {
    /// The DAG.
    pub row: DagRow,
    /// Its current version.
    pub dag: Arc<Dag>,
    /// What makes its runs.
    pub schedule: Schedule,
    /// Where its cron expressions are read.
    pub timezone: String,
    /// The run that the timetable makes next, due or not; absent for a DAG that is paused, stale or has no timetable.
    pub next: Option<DueRun>,
}

impl App {
    /// Every DAG with its schedule, by id.
    pub fn dag_overviews(&self) -> Result<Vec<DagOverview>, UserError> {
        let now = Timestamp::now();
        let rows = self.dags()?.into_iter();
        rows.map(|row| self.overview(row, now)).collect()
    }

    /// One DAG with its schedule.
    pub fn dag_overview(&self, dag_id: &str) -> Result<DagOverview, UserError> {
        let absent = || {
            UserError::new(ErrorKind::NotFound, format!("no DAG is called {dag_id:?}"))
                .hint("`airlock dags list` shows what there is")
        };
        let id = DagId::parse(dag_id).map_err(|_| absent())?;
        let row = self.dag_row(&id)?.ok_or_else(absent)?;
        self.overview(row, Timestamp::now())
    }

    fn overview(&self, row: DagRow, now: Timestamp) -> Result<DagOverview, UserError> {
        let dag = self.dag(row.dag_id.as_str())?.dag;
        let next = if row.is_paused || row.is_stale {
            None
        } else {
            let schedule = self.schedule(&row.dag_id)?;
            let schedule = schedule.unwrap_or_else(|| DagSchedule::new(&dag));
            // A schedule that cannot be followed was told when the DAG was read.
            let timetable = Timetable::new(&dag).ok();
            timetable.and_then(|timetable| schedule.next_scheduled(&timetable, now))
        };
        Ok(DagOverview {
            row,
            schedule: dag.schedule.clone(),
            timezone: dag.timezone.clone(),
            dag,
            next,
        })
    }
}
