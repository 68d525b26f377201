//! What retention keeps and what it takes.

use super::*;
use crate::scheduler::encode_event;
use crate::store::MemoryStore;
use airlock_core::dag::{digest, parse};
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::event::{Command, Input, Outcome, RunHeader};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;
use std::sync::Arc;

struct NoTemplates;

impl ExpandEvaluator for NoTemplates {
    fn evaluate(&self, _: &str, _: &RunState) -> Result<serde_json::Value, String> {
        Err("no templates here".to_owned())
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

type RemoveFn = dyn Fn(Vec<Removal>) -> Result<Vec<bool>, UserError>;

/// A store with one DAG, and runs as the state machine makes them.
struct House {
    store: Arc<MemoryStore>,
    logs: LogStore,
    folder: tempfile::TempDir,
    remove: Box<RemoveFn>,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(MemoryStore::default());
        let removes = store.clone();
        // What the scheduler does where no run is in use.
        let remove = move |removals: Vec<Removal>| {
            let commits = removals.into_iter().map(|removal| removal.commit);
            let results = commit_all(removes.as_ref(), commits.collect());
            Ok(results.iter().map(Result::is_ok).collect())
        };
        Self {
            store,
            remove: Box::new(remove),
            logs: LogStore::new(folder.path().join("logs"), None),
            folder,
        }
    }

    fn cleaner(&self) -> Cleaner<'_> {
        Cleaner {
            store: self.store.as_ref(),
            remove: self.remove.as_ref(),
            logs: &self.logs,
            now: at("2027-01-01T00:00:00Z"),
        }
    }

    fn register(&self, owner: &str) -> (Arc<airlock_core::dag::spec::Dag>, [u8; 32]) {
        let text = format!(
            r#"{{"dag_id": "d", "description": "{owner}", "tasks": [{{"task_id": "t", "operator": "probe"}}]}}"#
        );
        let dag = parse(&text).dag.unwrap();
        let version = digest(&dag);
        let row = DagRow {
            dag_id: dag.dag_id.clone(),
            dag_version: Digest(version).to_string(),
            is_paused: false,
            is_stale: false,
            fileloc: String::new(),
            updated_at: at("2026-01-01T00:00:00Z"),
        };
        let version_row = DagVersionRow {
            dag: dag.clone(),
            source: String::new(),
        };
        let rows = vec![
            (
                Table::Dag,
                write(b"d".to_vec(), None, Some(encode_row(&row).unwrap())),
            ),
            (
                Table::DagVersion,
                write(
                    version.to_vec(),
                    None,
                    Some(encode_row(&version_row).unwrap()),
                ),
            ),
        ];
        self.commit(rows);
        (Arc::new(dag), version)
    }

    fn commit(&self, rows: Vec<(Table, RowWrite)>) {
        let commit = Commit {
            rows,
            ..Commit::default()
        };
        self.store.commit(commit).unwrap();
    }

    /// A run of the day, ended an hour later unless `state` is running; yields the folder of its log.
    fn run(&self, run_type: RunType, day: u32, state: DagRunState) -> std::path::PathBuf {
        let (dag, version) = self.register("first");
        self.run_of(&dag, version, run_type, day, state)
    }

    fn run_of(
        &self,
        dag: &Arc<airlock_core::dag::spec::Dag>,
        version: [u8; 32],
        run_type: RunType,
        day: u32,
        state: DagRunState,
    ) -> std::path::PathBuf {
        let date = at(&format!("2026-01-{day:02}T00:00:00Z"));
        let run_id = RunId::parse(&format!("{}__{date}", run_type.as_str())).unwrap();
        let mut header = RunHeader::new(run_id.clone(), run_type, date);
        header.logical_date = Some(date);
        let (mut live, queued) = RunState::queue(dag.clone(), header, version, date);
        let mut events = vec![queued];
        let mut step = |live: &mut RunState, input| {
            let step = live.step(date, input, &NoTemplates).unwrap();
            events.extend(step.events);
            step.commands
        };
        step(&mut live, Input::Start);
        if state.is_finished() {
            let ti = live.all_instances().next().unwrap().0;
            let commands = step(&mut live, Input::Admit { ti, owner: 1 });
            for command in commands {
                if let Command::StartAttempt { fence, .. } = command {
                    let outcome = Outcome::Success(None);
                    step(&mut live, Input::Finish { ti, fence, outcome });
                }
            }
            assert_eq!(live.state(), DagRunState::Success);
        }
        let row = RunRow {
            dag_id: dag.dag_id.clone(),
            run_id: run_id.clone(),
            run_type,
            state,
            reason: String::new(),
            logical_date: Some(date),
            run_after: date,
            queued_at: date,
            start_date: Some(date),
            end_date: state
                .is_finished()
                .then_some(date + SignedDuration::from_hours(1)),
            dag_version: Digest(version).to_string(),
            backfill_id: None,
            triggered_by: "timetable".to_owned(),
            note: String::new(),
            trace_parent: String::new(),
        };
        let name = run_id.as_str().as_bytes().to_vec();
        let commit = Commit {
            stream: Some((run_stream(&dag.dag_id, &run_id), Some(0))),
            events: events
                .iter()
                .map(|event| encode_event(event).unwrap())
                .collect(),
            rows: vec![
                (
                    Table::Run,
                    write(
                        run_key(&dag.dag_id, &run_id),
                        Some(0),
                        Some(encode_row(&row).unwrap()),
                    ),
                ),
                (
                    INDEX,
                    write(date_key(&dag.dag_id, date), Some(0), Some(name)),
                ),
            ],
            ..Commit::default()
        };
        self.store.commit(commit).unwrap();
        self.log(&run_id)
    }

    fn log(&self, run_id: &RunId) -> std::path::PathBuf {
        let stream = LogStream {
            dag_id: &DagId::parse("d").unwrap(),
            run_id,
            task_id: &TaskId::parse("t").unwrap(),
            map_index: -1,
        };
        let folder = self.logs.folder_of(&stream);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("00001.00000001.log"), "a line").unwrap();
        assert!(folder.starts_with(self.folder.path()));
        folder
    }

    fn days(&self) -> Vec<String> {
        let dag = DagId::parse("d").unwrap();
        let runs = candidates(self.store.as_ref(), &dag).unwrap();
        let dates = runs.into_iter().filter_map(|one| one.run.logical_date);
        let mut days: Vec<_> = dates.map(|date| date.strftime("%d").to_string()).collect();
        days.sort();
        days
    }
}

const KEEP_2: RetentionPolicy = RetentionPolicy {
    before: None,
    keep: Some(2),
};

#[test]
fn a_run_goes_with_its_events_its_index_row_and_its_logs() {
    let house = House::new();
    let logs: Vec<_> = (1..=4)
        .map(|day| house.run(RunType::Scheduled, day, DagRunState::Success))
        .collect();
    let cleaned = house.cleaner().step(KEEP_2, 100, None).unwrap();
    assert_eq!((cleaned.runs, cleaned.unreadable), (2, 0));
    assert_eq!(house.days(), ["03", "04"]);
    assert_eq!(
        logs.iter().map(|log| log.exists()).collect::<Vec<_>>(),
        [false, false, true, true]
    );
    let dag = DagId::parse("d").unwrap();
    for day in 1..=4_u64 {
        let date = at(&format!("2026-01-0{day}T00:00:00Z"));
        let run_id = RunId::parse(&format!("scheduled__{date}")).unwrap();
        let is_there = day > 2;
        let index = house.store.get(INDEX, &date_key(&dag, date)).unwrap();
        assert_eq!(index.is_some(), is_there);
        let head = house.store.head(&run_stream(&dag, &run_id)).unwrap();
        assert_eq!(head > 0, is_there);
    }
    assert_eq!(
        house.store.scan(INDEX, NOTE_PREFIX, None, 9).unwrap(),
        vec![]
    );
    let again = house.cleaner().step(KEEP_2, 100, None).unwrap();
    assert_eq!(again, Cleaned::default());
}

#[test]
fn the_newest_of_each_type_and_what_a_waiting_run_depends_on_stay() {
    let house = House::new();
    house.run(RunType::Scheduled, 1, DagRunState::Success);
    house.run(RunType::Scheduled, 2, DagRunState::Success);
    house.run(RunType::Manual, 3, DagRunState::Success);
    house.run(RunType::Scheduled, 4, DagRunState::Running);
    house.run(RunType::Manual, 5, DagRunState::Success);
    house.run(RunType::Backfill, 6, DagRunState::Success);
    house.run(RunType::Scheduled, 7, DagRunState::Success);
    let everything = RetentionPolicy {
        before: Some(at("2030-01-01T00:00:00Z")),
        keep: None,
    };
    let cleaned = house.cleaner().step(everything, 100, None).unwrap();
    assert_eq!(cleaned.runs, 1);
    assert_eq!(house.days(), ["02", "03", "04", "05", "06", "07"]);
}

#[test]
fn a_date_counts_from_the_end_of_a_run_and_both_rules_must_agree() {
    let house = House::new();
    for day in 1..=5 {
        house.run(RunType::Scheduled, day, DagRunState::Success);
    }
    let before = Some(at("2026-01-03T00:30:00Z"));
    let policy = |keep| RetentionPolicy { before, keep };
    let dag = DagId::parse("d").unwrap();
    let count = |policy| removable(&candidates(house.store.as_ref(), &dag).unwrap(), policy).len();
    assert_eq!(count(policy(None)), 2);
    assert_eq!(count(policy(Some(4))), 1);
    assert_eq!(count(RetentionPolicy::default()), 0);
    assert_eq!(
        count(RetentionPolicy {
            before: None,
            keep: Some(0)
        }),
        4
    );
}

#[test]
fn a_step_stops_at_its_limit_and_the_next_goes_on() {
    let house = House::new();
    for day in 1..=9 {
        house.run(RunType::Scheduled, day, DagRunState::Success);
    }
    let first = house.cleaner().step(KEEP_2, 3, None).unwrap();
    assert_eq!(
        (first.runs, first.next.as_ref().map(DagId::as_str)),
        (3, Some("d"))
    );
    assert_eq!(house.days(), ["04", "05", "06", "07", "08", "09"]);
    let second = house
        .cleaner()
        .step(KEEP_2, 99, first.next.as_ref())
        .unwrap();
    assert_eq!((second.runs, second.next), (4, None));
}

#[test]
fn logs_that_a_step_left_when_it_was_cut_off_go_with_the_next() {
    let house = House::new();
    let log = house.run(RunType::Scheduled, 1, DagRunState::Success);
    house.run(RunType::Scheduled, 2, DagRunState::Success);
    let dag = DagId::parse("d").unwrap();
    let all = candidates(house.store.as_ref(), &dag).unwrap();
    let removal = house.cleaner().removal(&all[0]).unwrap();
    house.store.commit(removal.commit).unwrap();
    assert!(log.exists());
    house.cleaner().step(KEEP_2, 1, None).unwrap();
    assert!(!log.exists());
}

#[test]
fn versions_that_no_run_and_no_dag_names_go_and_no_other() {
    let house = House::new();
    let (old, old_version) = house.register("old");
    house.run_of(
        &old,
        old_version,
        RunType::Scheduled,
        1,
        DagRunState::Success,
    );
    let (kept, kept_version) = house.register("kept by a run");
    house.run_of(
        &kept,
        kept_version,
        RunType::Scheduled,
        2,
        DagRunState::Success,
    );
    house.run_of(
        &kept,
        kept_version,
        RunType::Scheduled,
        3,
        DagRunState::Success,
    );
    let (_, current) = house.register("current");
    let cleaned = house.cleaner().step(KEEP_2, 9, None).unwrap();
    assert_eq!((cleaned.runs, cleaned.dag_versions), (1, 1));
    let versions = house.store.scan(Table::DagVersion, b"", None, 9).unwrap();
    let mut keys: Vec<_> = versions.into_iter().map(|row| row.key).collect();
    let mut expected = vec![kept_version.to_vec(), current.to_vec()];
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
}

#[test]
fn a_run_that_changed_since_it_was_looked_at_stays() {
    let house = House::new();
    house.run(RunType::Scheduled, 1, DagRunState::Success);
    let dag = DagId::parse("d").unwrap();
    let seen = candidates(house.store.as_ref(), &dag).unwrap();
    let row = encode_row(&seen[0].run).unwrap();
    house.commit(vec![(
        Table::Run,
        write(run_key(&dag, &seen[0].run.run_id), None, Some(row)),
    )]);
    let mut cleaned = Cleaned::default();
    house.cleaner().remove_runs(&seen, &mut cleaned).unwrap();
    assert_eq!((cleaned.runs, house.days().len()), (0, 1));
}
