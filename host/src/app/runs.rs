//! Runs: triggering, following, listing and ending them.

use super::pools::check_pools;
use super::{App, RegisteredDag};
use crate::error::{ErrorKind, UserError};
use crate::executor::LogStream;
use crate::scheduler::{
    Notice, RunRow, TaskInstanceRow, decode_row, replay_run, run_key, runs_prefix,
    task_instance_rows,
};
use crate::store::Table;
use crate::traces::TraceParent;
use airlock_core::dag::check_params;
use airlock_core::ids::{DagId, RunId, TaskId};
use airlock_core::run::event::{RunHeader, RunType};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::Timetable;
use jiff::Timestamp;
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};
use tokio::sync::mpsc::UnboundedReceiver;

/// The longest note about a run that is written later, characters (Airflow's).
pub const NOTE_CHARS_MAX: usize = 1_000;

/// What a person may say about a run that they trigger.
#[derive(Debug, Clone, Default)]
pub struct TriggerRequest {
    /// Absent for a run that is about no date.
    pub logical_date: Option<Timestamp>,
    /// Made from the type and the date where absent.
    pub run_id: Option<RunId>,
    /// A JSON object; checked against the DAG's params.
    pub conf: serde_json::Map<String, serde_json::Value>,
    /// Free text.
    pub note: String,
    /// Who asks, in words.
    pub triggered_by: String,
}

/// A run with its task instances.
#[derive(Debug, Clone, Serialize)]
pub struct RunDetail {
    /// The run.
    #[serde(flatten)]
    pub run: RunRow,
    /// Its task instances, in the order of the DAG.
    pub task_instances: Vec<TaskInstanceRow>,
    /// Its XComs, in the same order.
    pub xcoms: Vec<XComRow>,
}

/// An XCom as programs read it.
#[derive(Debug, Clone, Serialize)]
pub struct XComRow {
    /// Who pushed it.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// Under which key.
    pub key: String,
    /// What it is.
    pub value: serde_json::Value,
}

/// Every XCom of a run.
pub(super) fn xcom_rows(state: &RunState) -> Vec<XComRow> {
    let mut rows = Vec::new();
    for (ti, _) in state.all_instances() {
        let task_id = state
            .dag()
            .task(ti.task)
            .map(|task| task.task_id.to_string());
        for (key, value) in state.xcoms_of(ti) {
            rows.push(XComRow {
                task_id: task_id.clone().unwrap_or_default(),
                map_index: ti.map_index,
                key: key.to_owned(),
                // Every XCom was checked to be JSON when it was pushed.
                value: serde_json::from_str(value).unwrap_or_default(),
            });
        }
    }
    rows
}

impl App {
    /// Records a run durably and yields its id; it starts when `max_active_runs` allows.
    pub async fn trigger(
        &self,
        dag: &RegisteredDag,
        request: TriggerRequest,
    ) -> Result<RunId, UserError> {
        self.trigger_traced(dag, request, None).await
    }

    /// The same, as a part of the trace of whoever asks.
    pub async fn trigger_traced(
        &self,
        dag: &RegisteredDag,
        request: TriggerRequest,
        parent: Option<&TraceParent>,
    ) -> Result<RunId, UserError> {
        let dag = &self.renewed(dag)?;
        let header = header(dag, request)?;
        let run_id = header.run_id.clone();
        self.check_free(dag, &header)?;
        check_pools(self.store.as_ref(), &self.gpus, &dag.dag)?;
        self.check_plugins(&dag.dag)?;
        self.scheduler
            .handle()
            .trigger_traced(
                dag.dag.clone(),
                dag.version,
                header,
                parent.map(ToString::to_string).unwrap_or_default(),
            )
            .await?;
        Ok(run_id)
    }

    /// From now on runs are made when they are due.
    pub async fn start_service(&self) -> Result<(), UserError> {
        Ok(self.scheduler.handle().start_service().await?)
    }

    fn check_free(&self, dag: &RegisteredDag, header: &RunHeader) -> Result<(), UserError> {
        let taken = self
            .store
            .get(Table::Run, &run_key(&dag.dag.dag_id, &header.run_id))?;
        if taken.is_some() {
            let message = format!("dag {} has run {} already", dag.dag.dag_id, header.run_id);
            return Err(UserError::new(ErrorKind::Conflict, message)
                .hint("give another --logical-date or --run-id"));
        }
        let Some(date) = header.logical_date else {
            return Ok(());
        };
        let index = self.store.get(
            crate::scheduler::INDEX,
            &crate::scheduler::date_key(&dag.dag.dag_id, date),
        )?;
        match index {
            None => Ok(()),
            Some(row) => {
                let run_id = String::from_utf8_lossy(&row.value).into_owned();
                let message = format!(
                    "dag {} has run {run_id} for logical date {date} already",
                    dag.dag.dag_id
                );
                Err(UserError::new(ErrorKind::Conflict, message)
                    .hint("a logical date has one run; give another --logical-date"))
            }
        }
    }

    /// Follows a live run; an ended one yields its state and a closed channel.
    pub async fn watch(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
    ) -> Result<(DagRunState, UnboundedReceiver<Notice>), UserError> {
        let handle = self.scheduler.handle();
        if let Ok(watched) = handle.watch(dag_id.clone(), run_id.clone()).await {
            return Ok(watched);
        }
        let (_, closed) = tokio::sync::mpsc::unbounded_channel();
        Ok((self.run(dag_id, run_id)?.state, closed))
    }

    /// One run.
    pub fn run(&self, dag_id: &DagId, run_id: &RunId) -> Result<RunRow, UserError> {
        let row = self
            .store
            .get(Table::Run, &run_key(dag_id, run_id))?
            .ok_or_else(|| {
                UserError::new(
                    ErrorKind::NotFound,
                    format!("dag {dag_id} has no run {run_id}"),
                )
                .hint(format!("`airlock runs list {dag_id}` shows its runs"))
            })?;
        Ok(decode_row(&row.value)?)
    }

    /// One run with its task instances, by replaying its events.
    pub fn run_detail(&self, dag_id: &DagId, run_id: &RunId) -> Result<RunDetail, UserError> {
        self.run(dag_id, run_id)?;
        let run = replay_run(self.store.as_ref(), dag_id, run_id)?;
        let task_instances = task_instance_rows(&run.state, &run.times);
        Ok(RunDetail {
            xcoms: xcom_rows(&run.state),
            run: run.row,
            task_instances,
        })
    }

    /// Runs of one DAG or of all, in the order of DAG and run id.
    pub fn runs(&self, dag_id: Option<&DagId>) -> Result<Vec<RunRow>, UserError> {
        let prefix = dag_id.map(runs_prefix).unwrap_or_default();
        self.rows_under(Table::Run, &prefix)
    }

    /// Runs that have not ended.
    pub fn unfinished(&self) -> Result<Vec<RunRow>, UserError> {
        Ok(self
            .runs(None)?
            .into_iter()
            .filter(|run| !run.state.is_finished())
            .collect())
    }

    /// Ends a run: live attempts are stopped, the rest is skipped.
    pub async fn cancel(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        reason: &str,
    ) -> Result<(), UserError> {
        let run = self.run(dag_id, run_id)?;
        if run.state.is_finished() {
            let message = format!(
                "run {run_id} of dag {dag_id} has ended in {} already",
                run.state
            );
            return Err(UserError::new(ErrorKind::Conflict, message));
        }
        Ok(self
            .scheduler
            .handle()
            .cancel(dag_id.clone(), run_id.clone(), reason.to_owned())
            .await?)
    }

    /// Writes another note about a run, live or ended; an empty one removes it.
    ///
    /// # Errors
    /// When the note is longer than `NOTE_CHARS_MAX`, or the run is not there.
    pub async fn set_run_note(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        note: &str,
    ) -> Result<(), UserError> {
        if note.chars().count() > NOTE_CHARS_MAX {
            let message = format!("the note is longer than {NOTE_CHARS_MAX} characters");
            return Err(UserError::new(ErrorKind::Usage, message)
                .hint("keep the long text elsewhere, and its address in the note"));
        }
        let note = note.to_owned();
        let change = crate::scheduler::Change::Note { note };
        self.change_all(dag_id, std::slice::from_ref(run_id), &change)
            .await?;
        Ok(())
    }

    /// The log of a task instance, of one try or of all.
    pub fn log(
        &self,
        (dag_id, run_id): (&DagId, &RunId),
        task_id: &TaskId,
        map_index: i32,
        try_number: Option<u32>,
    ) -> Result<String, UserError> {
        let stream = LogStream {
            dag_id,
            run_id,
            task_id,
            map_index,
        };
        self.logs.read(&stream, try_number).map_err(|error| {
            UserError::new(ErrorKind::Store, format!("cannot read the log: {error}"))
        })
    }
}

pub(super) fn header(dag: &RegisteredDag, request: TriggerRequest) -> Result<RunHeader, UserError> {
    let now = Timestamp::now();
    let TriggerRequest {
        logical_date,
        run_id,
        conf,
        note,
        triggered_by,
    } = request;
    let params =
        check_params(&dag.dag, &serde_json::Value::Object(conf.clone())).map_err(|errors| {
            UserError::new(
                ErrorKind::Usage,
                format!(
                    "the conf does not fit the params of dag {}:\n  {}",
                    dag.dag.dag_id,
                    errors.join("\n  ")
                ),
            )
            .hint("`airlock dags show` prints the params with their types")
        })?;
    let date = logical_date.unwrap_or(now);
    let interval = Timetable::new(&dag.dag)
        .map_err(|error| UserError::new(ErrorKind::InvalidDag, error))?
        .manual(date);
    let run_id = match run_id {
        Some(run_id) => run_id,
        None => new_run_id(date, logical_date.is_some())?,
    };
    let text = |map: serde_json::Map<_, _>| serde_json::Value::Object(map).to_string();
    Ok(RunHeader {
        logical_date,
        data_interval_start: Some(interval.0),
        data_interval_end: Some(interval.1),
        params: text(params),
        conf: text(conf),
        note,
        triggered_by,
        ..RunHeader::new(run_id, RunType::Manual, now)
    })
}

/// Airflow's form: the type, the date, and where the date alone is not unique, a random end.
fn new_run_id(date: Timestamp, unique: bool) -> Result<RunId, UserError> {
    let date = date.strftime("%Y-%m-%dT%H:%M:%S%.f+00:00");
    let text = if unique {
        format!("manual__{date}")
    } else {
        let random = RandomState::new().hash_one(date.to_string());
        format!("manual__{date}_{:08x}", random & 0xffff_ffff)
    };
    RunId::parse(&text).map_err(|error| UserError::new(ErrorKind::Bug, error))
}
