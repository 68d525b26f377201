//! A run with all that is in it, for programs that read: its header, its DAG as it was, its task instances and XComs. Folded from
//! the run's events; a run that was looked at a moment ago is not read again from its beginning.

use super::{App, XComRow};
use crate::error::UserError;
use crate::scheduler::{
    ReplayedRun, RunRow, TaskInstanceRow, rendered_fields, run_header, task_instance_rows,
};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::RunHeader;
use jiff::Timestamp;
use std::sync::Arc;

/// A task instance of a run, with its dates.
#[derive(Debug, Clone, PartialEq)]
pub struct InstanceRow {
    /// Its task's place in the run's DAG.
    pub task: TaskIndex,
    /// State, tries, error.
    pub row: TaskInstanceRow,
    /// The number of the last try that its retries allow.
    pub max_tries: u32,
    /// When it started first.
    pub start_date: Option<Timestamp>,
    /// When it ended last.
    pub end_date: Option<Timestamp>,
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub struct RunInside {
    /// The run.
    pub run: RunRow,
    /// What is fixed about it.
    pub header: RunHeader,
    /// The version that it is on.
    pub dag: Arc<Dag>,
    /// In the order of the DAG's tasks and then of map indexes.
    pub instances: Vec<InstanceRow>,
    /// In the same order.
    pub xcoms: Vec<XComRow>,
}

impl RunInside {
    fn of(run: &ReplayedRun) -> Self {
        let state = &run.state;
        let rows = task_instance_rows(state, &run.times);
        let keys = state.all_instances().map(|(ti, _)| ti);
        // A row for each instance whose task is in the DAG, which is every one.
        let instances = keys.zip(rows).map(|(ti, row)| {
            let (start_date, end_date) = run.times.dates(ti);
            InstanceRow {
                task: ti.task,
                max_tries: state.try_limit(ti).unwrap_or_default(),
                start_date,
                end_date: end_date.filter(|_| row.state.is_finished()),
                row,
            }
        });
        Self {
            run: run.row.clone(),
            header: run.header.clone(),
            dag: state.dag().clone(),
            instances: instances.collect(),
            xcoms: super::runs::xcom_rows(state),
        }
    }
}

impl App {
    /// A run with all that is in it.
    pub fn run_inside(&self, dag_id: &DagId, run_id: &RunId) -> Result<RunInside, UserError> {
        let row = self.run(dag_id, run_id)?;
        Ok(self.seen.look(&row, RunInside::of)?)
    }

    /// What is fixed about a run.
    pub fn run_header(&self, run: &RunRow) -> Result<RunHeader, UserError> {
        Ok(run_header(self.store.as_ref(), run)?)
    }

    /// What a task instance's templates came to, by their place in the config; secrets hidden. None before its first attempt.
    pub fn rendered_fields(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        ti: TaskInstanceKey,
    ) -> Result<Option<serde_json::Value>, UserError> {
        let fields = rendered_fields(self.store.as_ref(), dag_id, run_id, ti)?;
        Ok(fields.and_then(|fields| serde_json::from_str(&fields).ok()))
    }
}
