//! One task instance with everything that a person asks about it.

use super::{App, XComRow};
use crate::error::{ErrorKind, UserError};
use crate::executor::{LogStream, REUSED_FROM};
use crate::scheduler::{ReplayedRun, TaskInstanceRow, rendered_fields, task_instance_rows};
use airlock_core::ids::{DagId, RunId, TaskId, TaskInstanceKey};
use jiff::Timestamp;
use serde::Serialize;
use std::path::PathBuf;

/// A task instance of a run.
#[derive(Debug, Clone, Serialize)]
pub struct TaskInstanceDetail {
    /// Its DAG.
    pub dag_id: DagId,
    /// Its run.
    pub run_id: RunId,
    /// State, tries, error.
    #[serde(flatten)]
    pub row: TaskInstanceRow,
    /// Which operator runs it.
    pub operator: String,
    /// Further attempts after the first.
    pub retries: u32,
    /// When it started first.
    pub start_date: Option<Timestamp>,
    /// When it ended last.
    pub end_date: Option<Timestamp>,
    /// What its templates came to, by their place in the config; secrets hidden.
    pub rendered_fields: serde_json::Value,
    /// Its XComs.
    pub xcoms: Vec<XComRow>,
    /// The folder of its logs, one file an attempt.
    pub log: PathBuf,
}

impl TaskInstanceDetail {
    /// The attempt whose result took the place of this one's own.
    pub fn reused_from(&self) -> Option<&str> {
        let told = self.xcoms.iter().find(|xcom| xcom.key == REUSED_FROM)?;
        told.value.as_str()
    }
}

impl App {
    /// One task instance.
    pub fn task_instance(
        &self,
        (dag_id, run_id): (&DagId, &RunId),
        task_id: &TaskId,
        map_index: i32,
    ) -> Result<TaskInstanceDetail, UserError> {
        let found = self.look(dag_id, run_id, |run| find(run, task_id, map_index))?;
        let known = match found {
            Ok(known) => known,
            Err(count) => return Err(absent(dag_id, run_id, task_id, map_index, count)),
        };
        let fields = rendered_fields(self.store.as_ref(), dag_id, run_id, known.ti)?;
        let stream = LogStream {
            dag_id,
            run_id,
            task_id,
            map_index,
        };
        Ok(TaskInstanceDetail {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
            operator: known.operator,
            retries: known.retries,
            start_date: known.dates.0,
            end_date: known.dates.1,
            rendered_fields: fields
                .and_then(|fields| serde_json::from_str(&fields).ok())
                .unwrap_or_default(),
            xcoms: known.xcoms,
            log: self.logs.path(&stream),
            row: known.row,
        })
    }
}

/// What a run holds about one of its task instances.
struct Known {
    ti: TaskInstanceKey,
    row: TaskInstanceRow,
    operator: String,
    retries: u32,
    dates: (Option<Timestamp>, Option<Timestamp>),
    xcoms: Vec<XComRow>,
}

/// The error is how many instances of the task there are.
fn find(run: &ReplayedRun, task_id: &TaskId, map_index: i32) -> Result<Known, usize> {
    let dag = run.state.dag();
    let rows = task_instance_rows(&run.state, &run.times);
    let of_task = rows
        .into_iter()
        .filter(|row| row.task_id == task_id.as_str());
    let own: Vec<TaskInstanceRow> = of_task.collect();
    let count = own.len();
    let row = own.into_iter().find(|row| row.map_index == map_index);
    let (Some(task), Some(row)) = (dag.find(task_id.as_str()), row) else {
        return Err(count);
    };
    let ti = TaskInstanceKey { task, map_index };
    let is_own = |xcom: &XComRow| xcom.task_id == task_id.as_str() && xcom.map_index == map_index;
    let spec = dag.task(task);
    Ok(Known {
        ti,
        row,
        operator: spec.map_or(String::new(), |task| task.operator.to_string()),
        retries: spec.map_or(0, |task| task.retries),
        dates: run.times.dates(ti),
        xcoms: super::runs::xcom_rows(&run.state)
            .into_iter()
            .filter(is_own)
            .collect(),
    })
}

pub(super) fn absent(
    dag_id: &DagId,
    run_id: &RunId,
    task_id: &TaskId,
    map_index: i32,
    known: usize,
) -> UserError {
    let message = format!(
        "run {run_id} of dag {dag_id} has no task instance {task_id} with map index {map_index}"
    );
    let hint = if known > 0 && map_index < 0 {
        format!("the task is mapped and has {known} instances: give --map-index")
    } else {
        format!("`airlock runs show {dag_id} {run_id}` shows its task instances")
    };
    UserError::new(ErrorKind::NotFound, message).hint(hint)
}
