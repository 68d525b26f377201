//! Other DAGs' runs as sensors may see them. It refuses to check grants: `capability` does.

use crate::capability::{DagStateSource, TaskStateCount, Tasks};
use crate::scheduler::{ReplayedRun, RunRow, SeenRuns, current_version, run_at};
use crate::store::Store;
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, GroupIndex, TaskId, TaskIndex};
use airlock_core::task_instance::state::TaskInstanceState;
use async_trait::async_trait;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Runs of every DAG, as the store has them.
pub struct StoreDagState {
    store: Arc<dyn Store>,
    seen: Arc<SeenRuns>,
}

impl StoreDagState {
    /// Reads from `store`, and keeps what was seen in `seen`.
    pub fn new(store: Arc<dyn Store>, seen: Arc<SeenRuns>) -> Self {
        Self { store, seen }
    }

    fn run_at(&self, dag_id: &DagId, logical_date: Timestamp) -> Result<Option<RunRow>, String> {
        run_at(self.store.as_ref(), dag_id, logical_date).map_err(|error| error.to_string())
    }

    fn look<T>(&self, row: &RunRow, look: impl FnOnce(&ReplayedRun) -> T) -> Result<T, String> {
        let looked = self.seen.look(row, look);
        looked.map_err(|error| error.to_string())
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
        self.look(&row, |run| {
            let task = run.state.dag().find(task_id.as_str());
            let instances = task.map(|task| run.state.instances(task));
            let states = instances.into_iter().flatten();
            states
                .map(|(_, instance)| instance.state().as_str().to_owned())
                .collect()
        })
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
        self.look(&row, |run| {
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
            counts
        })
    }

    async fn missing(&self, dag_id: &DagId, tasks: &Tasks) -> Result<Option<String>, String> {
        let current = current_version(self.store.as_ref(), dag_id);
        let current = current.map_err(|error| format!("dag {dag_id} cannot be read: {error}"))?;
        let Some((dag, _)) = current else {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::{
        DagVersionRow, INDEX, date_key, encode_event, encode_row, run_key, run_stream,
    };
    use crate::store::{Commit, MemoryStore, RowWrite, Table};
    use airlock_core::dag::{digest, parse};
    use airlock_core::ids::RunId;
    use airlock_core::run::ExpandEvaluator;
    use airlock_core::run::event::{Command, Event, Input, Outcome, RunHeader, RunType};
    use airlock_core::run::state::RunState;

    struct NoTemplates;

    impl ExpandEvaluator for NoTemplates {
        fn evaluate(&self, _: &str, _: &RunState) -> Result<serde_json::Value, String> {
            Err("no templates here".to_owned())
        }
    }

    const DAG: &str = "dag_id: d\ntasks: [{task_id: t, operator: probe}, {task_id: u, operator: probe, depends_on: t}]";

    struct House {
        store: Arc<MemoryStore>,
        state: StoreDagState,
        live: RunState,
        head: u64,
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn write(key: Vec<u8>, value: Option<Vec<u8>>) -> RowWrite {
        let expect = None;
        RowWrite { key, expect, value }
    }

    impl House {
        fn new() -> Self {
            let store = Arc::new(MemoryStore::default());
            let (live, queued) = queued(at(0));
            let mut house = Self {
                state: StoreDagState::new(store.clone(), Arc::new(SeenRuns::new(store.clone()))),
                store,
                live,
                head: 0,
            };
            house.record(at(0), &[queued]);
            house
        }

        fn record(&mut self, queued_at: Timestamp, events: &[Event]) {
            let dag = self.live.dag();
            let run_id = RunId::parse("r").unwrap();
            let version = digest(dag);
            let row = RunRow {
                dag_id: dag.dag_id.clone(),
                run_id: run_id.clone(),
                run_type: RunType::Scheduled,
                state: self.live.state(),
                reason: String::new(),
                logical_date: Some(at(0)),
                run_after: at(0),
                queued_at,
                start_date: None,
                end_date: None,
                dag_version: crate::store::Digest(version).to_string(),
                backfill_id: None,
                triggered_by: String::new(),
                note: String::new(),
                trace_parent: String::new(),
            };
            let version_row = DagVersionRow {
                dag: (**dag).clone(),
                source: String::new(),
            };
            let (key, name) = (run_key(&row.dag_id, &run_id), b"r".to_vec());
            let rows = vec![
                (Table::Run, write(key, Some(encode_row(&row).unwrap()))),
                (INDEX, write(date_key(&row.dag_id, at(0)), Some(name))),
                (
                    Table::DagVersion,
                    write(version.to_vec(), Some(encode_row(&version_row).unwrap())),
                ),
            ];
            let commit = Commit {
                stream: Some((run_stream(&row.dag_id, &run_id), Some(self.head))),
                events: events
                    .iter()
                    .map(|event| encode_event(event).unwrap())
                    .collect(),
                rows,
                ..Commit::default()
            };
            self.head = self.store.commit(commit).unwrap().head;
        }

        fn step(&mut self, input: Input) -> Vec<Command> {
            let step = self.live.step(at(1), input, &NoTemplates).unwrap();
            self.record(at(0), &step.events);
            step.commands
        }

        fn succeed(&mut self, task: u32) {
            let (task, map_index) = (TaskIndex(task), -1);
            let ti = airlock_core::ids::TaskInstanceKey { task, map_index };
            for command in self.step(Input::Admit { ti, owner: 1 }) {
                if let Command::StartAttempt { fence, .. } = command {
                    let outcome = Outcome::Success(None);
                    self.step(Input::Finish { ti, fence, outcome });
                }
            }
        }

        fn seen(&self) -> [Vec<String>; 2] {
            let dag_id = DagId::parse("d").unwrap();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .build()
                .unwrap();
            ["t", "u"].map(|task| {
                let task = TaskId::parse(task).unwrap();
                let states = self.state.task_states(&dag_id, &task, at(0));
                runtime.block_on(states).unwrap()
            })
        }
    }

    fn queued(now: Timestamp) -> (RunState, Event) {
        let dag = parse(DAG).dag.unwrap();
        let version = digest(&dag);
        let mut header = RunHeader::new(RunId::parse("r").unwrap(), RunType::Scheduled, now);
        header.logical_date = Some(at(0));
        RunState::queue(Arc::new(dag), header, version, now)
    }

    #[test]
    fn a_run_is_seen_as_it_is_at_every_look_and_kept_once() {
        let mut house = House::new();
        assert_eq!(house.seen(), [["none"], ["none"]]);
        house.step(Input::Start);
        assert_eq!(house.seen(), [["scheduled"], ["none"]]);
        house.succeed(0);
        assert_eq!(house.seen(), [["success"], ["scheduled"]]);
        house.succeed(1);
        assert_eq!(house.seen(), [["success"], ["success"]]);
        assert_eq!(house.state.seen.heads(), [house.head]);
    }

    #[test]
    fn a_run_that_was_made_anew_is_not_taken_for_the_old_one() {
        let mut house = House::new();
        house.step(Input::Start);
        house.succeed(0);
        house.seen();
        let (dag_id, run_id) = (DagId::parse("d").unwrap(), RunId::parse("r").unwrap());
        let gone = Commit {
            remove_streams: vec![run_stream(&dag_id, &run_id)],
            ..Commit::default()
        };
        house.store.commit(gone).unwrap();
        let (live, event) = queued(at(9));
        (house.live, house.head) = (live, 0);
        house.record(at(9), &[event]);
        assert_eq!(house.seen(), [["none"], ["none"]]);
    }
}
