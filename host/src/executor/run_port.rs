//! The run as its own attempt may see it, and as a callback may. It refuses what only an attempt may do where it is a callback.

use crate::capability::{OwnRun, RunPort};
use crate::scheduler::{Attempt, Handle, RunView};
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::RunType;
use airlock_core::timetable::{DueRun, Timetable};
use async_trait::async_trait;
use jiff::Timestamp;
use std::sync::Arc;

/// XComs of the attempt's own run.
pub(super) struct AttemptRunPort {
    handle: Handle,
    attempt: Attempt,
}

impl AttemptRunPort {
    pub(super) fn new(handle: Handle, attempt: Attempt) -> Self {
        Self { handle, attempt }
    }
}

#[async_trait]
impl RunPort for AttemptRunPort {
    async fn push_xcom(&self, key: &str, value: String) -> Result<(), String> {
        let Attempt { run, ti, fence, .. } = &self.attempt;
        let pushed = self
            .handle
            .push_xcom(run.number, *ti, *fence, key.to_owned(), value);
        pushed.await.map_err(|error| error.to_string())
    }

    fn xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String> {
        let Attempt { run, ti, .. } = &self.attempt;
        run.pull(*ti, task_id, key, map_index)
    }
}

#[async_trait]
impl OwnRun for AttemptRunPort {
    fn task_instance(&self) -> String {
        let Attempt { run, ti, .. } = &self.attempt;
        run.task_instance_name(*ti)
    }

    fn timezone(&self) -> String {
        self.attempt.run.dag.timezone.clone()
    }

    fn is_latest_interval(&self) -> Result<bool, String> {
        is_latest(&self.attempt.run, Timestamp::now())
    }

    async fn ask(&self, question: String) -> Result<Option<String>, String> {
        let Attempt { run, ti, fence, .. } = &self.attempt;
        if let Some(answer) = run.answer(*ti) {
            return Ok(Some(answer.to_string()));
        }
        let asked = self
            .handle
            .request_input(run.number, *ti, *fence, question)
            .await;
        asked.map_err(|error| error.to_string())?;
        // The answer may have come while the question was on its way.
        Ok(run.answer(*ti).map(|answer| answer.to_string()))
    }
}

/// The run as a callback may see it: it reads, and changes nothing.
pub(super) struct CallbackRunPort {
    run: Arc<RunView>,
    of: TaskInstanceKey,
}

impl CallbackRunPort {
    pub(super) fn new(run: Arc<RunView>, of: TaskInstanceKey) -> Self {
        Self { run, of }
    }
}

#[async_trait]
impl RunPort for CallbackRunPort {
    async fn push_xcom(&self, _: &str, _: String) -> Result<(), String> {
        Err("a callback pushes no XCom; push it in the task".to_owned())
    }

    fn xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String> {
        self.run.pull(self.of, task_id, key, map_index)
    }
}

#[async_trait]
impl OwnRun for CallbackRunPort {
    fn task_instance(&self) -> String {
        self.run.task_instance_name(self.of)
    }

    fn timezone(&self) -> String {
        self.run.dag.timezone.clone()
    }

    fn is_latest_interval(&self) -> Result<bool, String> {
        is_latest(&self.run, Timestamp::now())
    }

    async fn ask(&self, _: String) -> Result<Option<String>, String> {
        Err("a callback asks nobody; make it a task of the DAG".to_owned())
    }
}

/// Airflow's `LatestOnlyOperator`: `now` lies in the data interval after the run's.
fn is_latest(run: &RunView, now: Timestamp) -> Result<bool, String> {
    let header = &run.header;
    let interval = header.data_interval_start.zip(header.data_interval_end);
    let Some((start, end)) = interval else {
        return Ok(true);
    };
    if header.run_type == RunType::Manual {
        return Ok(true);
    }
    let timetable = Timetable::new(&run.dag).map_err(|error| error.to_string())?;
    let own = DueRun::interval(start, end);
    let Some(next) = timetable.unrestricted().next(Some(&own), now) else {
        return Ok(true);
    };
    let (start, end) = (next.data_interval_start, next.data_interval_end);
    Ok(start == end || (start < now && now <= end))
}
