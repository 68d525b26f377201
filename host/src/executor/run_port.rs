//! The run as its own attempt may see it, and other DAGs' runs as sensors may see them.

use crate::capability::{DagStateSource, OwnRun, RunPort, TaskStateCount, Tasks};
use crate::scheduler::{
    Attempt, DagRow, DagVersionRow, Handle, RunRow, RunView, decode_row, replay_run, run_at,
    task_instance_rows,
};
use crate::store::{Digest, Store, Table};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, GroupIndex, TaskId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::RunType;
use airlock_core::task_instance::state::TaskInstanceState;
use airlock_core::timetable::{DueRun, Timetable};
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeMap;
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

/// Runs of every DAG, as the store has them.
pub struct StoreDagState {
    store: Arc<dyn Store>,
}

impl StoreDagState {
    /// Reads from `store`.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    fn run_at(&self, dag_id: &DagId, logical_date: Timestamp) -> Result<Option<RunRow>, String> {
        run_at(self.store.as_ref(), dag_id, logical_date).map_err(|error| error.to_string())
    }

    fn current_dag(&self, dag_id: &DagId) -> Result<Option<Dag>, String> {
        let told = |error: &dyn std::fmt::Display| format!("dag {dag_id} cannot be read: {error}");
        let row = self.store.get(Table::Dag, dag_id.as_str().as_bytes());
        let Some(row) = row.map_err(|error| told(&error))? else {
            return Ok(None);
        };
        let row: DagRow = decode_row(&row.value).map_err(|error| told(&error))?;
        let version =
            Digest::parse(&row.dag_version).ok_or_else(|| told(&"its version has no digest"))?;
        let version = self.store.get(Table::DagVersion, &version.0);
        let Some(version) = version.map_err(|error| told(&error))? else {
            return Ok(None);
        };
        let version: DagVersionRow = decode_row(&version.value).map_err(|error| told(&error))?;
        Ok(Some(version.dag))
    }
}

#[async_trait]
impl DagStateSource for StoreDagState {
    async fn run_states(
        &self,
        dag_id: &DagId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String> {
        let row = self.run_at(dag_id, logical_date)?;
        Ok(row
            .into_iter()
            .map(|row| row.state.as_str().to_owned())
            .collect())
    }

    async fn task_states(
        &self,
        dag_id: &DagId,
        task_id: &TaskId,
        logical_date: Timestamp,
    ) -> Result<Vec<String>, String> {
        let Some(row) = self.run_at(dag_id, logical_date)? else {
            return Ok(Vec::new());
        };
        let run = replay_run(self.store.as_ref(), &row.dag_id, &row.run_id)
            .map_err(|error| error.to_string())?;
        let rows = task_instance_rows(&run.state, &run.times);
        let of_task = rows
            .into_iter()
            .filter(|row| row.task_id == task_id.as_str());
        Ok(of_task.map(|row| row.state.as_str().to_owned()).collect())
    }

    async fn state_counts(
        &self,
        dag_id: &DagId,
        tasks: &Tasks,
        logical_date: Timestamp,
    ) -> Result<Vec<TaskStateCount>, String> {
        let Some(row) = self.run_at(dag_id, logical_date)? else {
            return Ok(Vec::new());
        };
        let run = replay_run(self.store.as_ref(), &row.dag_id, &row.run_id)
            .map_err(|error| error.to_string())?;
        let dag = run.state.dag();
        let mut counts = Vec::new();
        for index in members(dag, tasks) {
            let Some(task) = dag.task(index) else {
                continue;
            };
            let mut states: BTreeMap<TaskInstanceState, u32> = BTreeMap::new();
            for (_, instance) in run.state.instances(index) {
                *states.entry(instance.state()).or_default() += 1;
            }
            counts.extend(states.into_iter().map(|(state, instances)| TaskStateCount {
                task_id: task.task_id.to_string(),
                state: state.as_str().to_owned(),
                instances,
            }));
        }
        Ok(counts)
    }

    async fn missing(&self, dag_id: &DagId, tasks: &Tasks) -> Result<Option<String>, String> {
        let Some(dag) = self.current_dag(dag_id)? else {
            return Ok(Some(format!("there is no dag {dag_id}")));
        };
        let missing = match tasks {
            Tasks::Named(task_ids) => task_ids
                .iter()
                .find(|task_id| dag.find(task_id.as_str()).is_none())
                .map(|task_id| format!("dag {dag_id} has no task {task_id}")),
            Tasks::Group(group_id) => group(&dag, group_id)
                .is_none()
                .then(|| format!("dag {dag_id} has no task group {group_id}")),
        };
        Ok(missing)
    }
}

fn group(dag: &Dag, group_id: &TaskId) -> Option<GroupIndex> {
    let groups = dag.task_groups.iter();
    let place = groups
        .map(|group| &group.group_id)
        .position(|id| id == group_id)?;
    u32::try_from(place).ok().map(GroupIndex)
}

/// The tasks that are meant, of those that the DAG has.
fn members(dag: &Dag, tasks: &Tasks) -> Vec<TaskIndex> {
    match tasks {
        Tasks::Named(task_ids) => {
            let found = task_ids.iter().map(|task_id| dag.find(task_id.as_str()));
            found.flatten().collect()
        }
        Tasks::Group(group_id) => {
            let Some(group) = group(dag, group_id) else {
                return Vec::new();
            };
            let all = (0..dag.tasks.len()).filter_map(|place| u32::try_from(place).ok());
            let inside = |index: &TaskIndex| {
                dag.task(*index)
                    .is_some_and(|task| is_in(dag, task.task_group, group))
            };
            all.map(TaskIndex).filter(inside).collect()
        }
    }
}

fn is_in(dag: &Dag, mut here: Option<GroupIndex>, group: GroupIndex) -> bool {
    while let Some(index) = here {
        if index == group {
            return true;
        }
        here = dag.group(index).and_then(|group| group.parent);
    }
    false
}
