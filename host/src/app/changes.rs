//! What people change about runs: clear and mark, for one run or for the runs of a span of logical dates; edit an XCom; ask why
//! a task instance does not run. It refuses to change any run before all of them were looked at.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{Change, ChangedInstance, RunRow, Selection, Version};
use airlock_core::failed_deps::FailedDep;
use airlock_core::ids::{DagId, RunId};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde::Serialize;

/// Which runs of a DAG a person means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunChoice {
    /// This one; absent: every run that the dates let in.
    pub run_id: Option<RunId>,
    /// With `run_id`, the runs with earlier logical dates too.
    pub past: bool,
    /// With `run_id`, the runs with later logical dates too.
    pub future: bool,
    /// The earliest logical date, where no `run_id` is given.
    pub from: Option<Timestamp>,
    /// The latest logical date, included.
    pub to: Option<Timestamp>,
}

impl RunChoice {
    /// One run.
    pub fn one(run_id: RunId) -> Self {
        Self {
            run_id: Some(run_id),
            ..Self::default()
        }
    }
}

/// A task instance of a run that a change concerns, in the state it had before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedRow {
    /// Its run.
    pub run_id: RunId,
    /// Which one, and its state before.
    #[serde(flatten)]
    pub instance: ChangedInstance,
}

/// What a person wants of one task instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceName {
    /// Its DAG.
    pub dag_id: DagId,
    /// Its run.
    pub run_id: RunId,
    /// Its task.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
}

impl App {
    /// The runs of a choice, the earliest logical date first.
    pub fn chosen_runs(&self, dag_id: &DagId, choice: &RunChoice) -> Result<Vec<RunId>, UserError> {
        let mut choice = choice.clone();
        if let Some(run_id) = &choice.run_id {
            let run = self.run(dag_id, run_id)?;
            if !choice.past && !choice.future {
                return Ok(vec![run.run_id]);
            }
            let Some(date) = run.logical_date else {
                let message = format!(
                    "run {run_id} of dag {dag_id} has no logical date, so no run is before or after it"
                );
                return Err(
                    UserError::new(ErrorKind::Usage, message).hint("leave --past and --future out")
                );
            };
            choice.from = (!choice.past).then_some(date);
            choice.to = (!choice.future).then_some(date);
        }
        self.dag(dag_id.as_str())?;
        let mut runs: Vec<RunRow> = self.runs(Some(dag_id))?;
        runs.retain(|run| is_in_span(run, &choice));
        runs.sort_by_key(|run| (run.logical_date, run.run_after));
        if runs.is_empty() {
            let message = format!("dag {dag_id} has no run in this span of logical dates");
            return Err(UserError::new(ErrorKind::NotFound, message)
                .hint(format!("`airlock runs list {dag_id}` shows its runs")));
        }
        Ok(runs.into_iter().map(|run| run.run_id).collect())
    }

    /// Runs task instances again; a dry run only says which.
    pub async fn clear(
        &self,
        dag_id: &DagId,
        choice: &RunChoice,
        selection: &Selection,
        version: Version,
        dry_run: bool,
    ) -> Result<Vec<ChangedRow>, UserError> {
        let clear = |dry_run| Change::Clear {
            selection: selection.clone(),
            dry_run,
            version,
        };
        let runs = self.chosen_runs(dag_id, choice)?;
        let planned = self.change_all(dag_id, &runs, &clear(true)).await?;
        if dry_run {
            return Ok(planned);
        }
        self.change_all(dag_id, &runs, &clear(false)).await
    }

    /// Gives task instances a state without running them.
    pub async fn mark(
        &self,
        dag_id: &DagId,
        choice: &RunChoice,
        selection: &Selection,
        state: TaskInstanceState,
        by: &str,
    ) -> Result<Vec<ChangedRow>, UserError> {
        let runs = self.chosen_runs(dag_id, choice)?;
        let look = Change::Clear {
            selection: selection.clone(),
            dry_run: true,
            version: Version::Original,
        };
        self.change_all(dag_id, &runs, &look).await?;
        let mark = Change::Mark {
            selection: selection.clone(),
            state,
            by: by.to_owned(),
        };
        self.change_all(dag_id, &runs, &mark).await
    }

    /// Ends a run in a state: live attempts are stopped.
    pub async fn mark_run(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        state: DagRunState,
        by: &str,
    ) -> Result<(), UserError> {
        let by = by.to_owned();
        let change = Change::MarkRun { state, by };
        self.change_all(dag_id, std::slice::from_ref(run_id), &change)
            .await?;
        Ok(())
    }

    /// Sets an XCom of a task instance, or with no value deletes it.
    pub async fn edit_xcom(
        &self,
        name: &InstanceName,
        key: &str,
        value: Option<&serde_json::Value>,
        by: &str,
    ) -> Result<(), UserError> {
        let change = Change::EditXCom {
            task_id: name.task_id.clone(),
            map_index: name.map_index,
            key: key.to_owned(),
            value: value.map(ToString::to_string),
            by: by.to_owned(),
        };
        self.change_all(&name.dag_id, std::slice::from_ref(&name.run_id), &change)
            .await?;
        Ok(())
    }

    /// Everything that keeps a task instance from running, the run's reasons first.
    pub async fn failed_deps(&self, name: &InstanceName) -> Result<Vec<FailedDep>, UserError> {
        self.run(&name.dag_id, &name.run_id)?;
        let handle = self.scheduler.handle();
        let (dag_id, run_id) = (name.dag_id.clone(), name.run_id.clone());
        let (task_id, map_index) = (name.task_id.clone(), name.map_index);
        let asked = handle.failed_deps(dag_id, run_id, task_id, map_index);
        Ok(asked.await?)
    }

    pub(super) async fn change_all(
        &self,
        dag_id: &DagId,
        runs: &[RunId],
        change: &Change,
    ) -> Result<Vec<ChangedRow>, UserError> {
        let handle = self.scheduler.handle();
        let mut rows = Vec::new();
        for run_id in runs {
            let changed = handle.change(dag_id.clone(), run_id.clone(), change.clone());
            let run_id = run_id.clone();
            rows.extend(changed.await?.into_iter().map(|instance| ChangedRow {
                run_id: run_id.clone(),
                instance,
            }));
        }
        Ok(rows)
    }
}

/// Runs without a logical date are in a span only where it has no ends.
fn is_in_span(run: &RunRow, choice: &RunChoice) -> bool {
    let Some(date) = run.logical_date else {
        return choice.run_id.is_none() && choice.from.is_none() && choice.to.is_none();
    };
    choice.from.is_none_or(|from| from <= date) && choice.to.is_none_or(|to| date <= to)
}
