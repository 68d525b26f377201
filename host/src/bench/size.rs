//! The store at size: fills a folder with finished runs as the state machine makes them, through the store's own commits, and
//! measures what a process that starts on it pays. It measures and asserts nothing.

use super::{dag, memory_bytes};
use crate::app::{App, Config, TriggerRequest};
use crate::error::{ErrorKind, UserError};
use crate::scheduler::{
    DagRow, DagVersionRow, INDEX, Notice, RunRow, date_key, encode_event, encode_row, run_key,
    run_stream,
};
use crate::store::local::Options;
use crate::store::{Commit, Digest, LocalStore, RowWrite, Store, Table};
use airlock_core::dag::digest;
use airlock_core::dag::spec::Dag;
use airlock_core::ids::RunId;
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::event::{Command, Event, Input, Outcome, RunHeader, RunType};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

/// Runs whose commits share an fsync while the store is filled.
const BATCH: usize = 256;
/// Tasks of each run, one after the other.
const TASKS: usize = 5;
/// How often a start is measured; the median counts.
const ROUNDS: usize = 21;

/// What a process that starts on a store pays.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Start {
    /// From nothing to an open `App`, milliseconds.
    pub open_ms: f64,
    /// Resident set then, MiB.
    pub rss_mib: f64,
    /// From a trigger to its first running task, milliseconds: the median of some.
    pub trigger_to_running_ms: f64,
}

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct SizeReport {
    /// DAGs in the full store.
    pub dags: usize,
    /// Finished runs in it.
    pub runs: usize,
    /// Seconds to fill it.
    pub fill_s: f64,
    /// On an empty store.
    pub empty: Start,
    /// On the full one.
    pub full: Start,
    /// `full.open_ms / empty.open_ms`.
    pub open_ratio: f64,
    /// `full.trigger_to_running_ms / empty.trigger_to_running_ms`.
    pub trigger_ratio: f64,
}

struct NoTemplates;

impl ExpandEvaluator for NoTemplates {
    fn evaluate(&self, _: &str, _: &RunState) -> Result<serde_json::Value, String> {
        Err("these DAGs expand nothing".to_owned())
    }
}

/// Makes a store in `folder` with `dags` DAGs and `runs` finished runs, a day apart for each DAG.
pub fn fill(folder: &Path, dags: usize, runs: usize) -> Result<(), UserError> {
    let store = LocalStore::open(folder, &Options::default())?;
    fill_store(&store, dags, runs)?;
    store.checkpoint()?;
    Ok(store.close()?)
}

fn fill_store(store: &dyn Store, dags: usize, runs: usize) -> Result<(), UserError> {
    let first: Timestamp = Timestamp::UNIX_EPOCH + SignedDuration::from_hours(24 * 365 * 50);
    let mut all = Vec::with_capacity(dags);
    let mut batch = Vec::with_capacity(BATCH);
    for number in 0..dags {
        let dag = Arc::new(cron_dag(number)?);
        let version = digest(&dag);
        batch.push(registration(&dag, version, first)?);
        all.push((dag, version));
        commit_full(store, &mut batch, BATCH)?;
    }
    for number in 0..runs {
        let Some((dag, version)) = all.get(number % dags.max(1)) else {
            break;
        };
        let day = i64::try_from(number / dags.max(1)).unwrap_or(0);
        let date = first + SignedDuration::from_hours(24 * day);
        batch.push(finished_run(dag, *version, date)?);
        commit_full(store, &mut batch, BATCH)?;
    }
    commit_full(store, &mut batch, 1)
}

fn commit_full(store: &dyn Store, batch: &mut Vec<Commit>, full: usize) -> Result<(), UserError> {
    if batch.len() < full {
        return Ok(());
    }
    let (send, receive) = sync_channel(1);
    store.submit(
        std::mem::take(batch),
        Box::new(move |results| {
            // The receiver waits below.
            let _ = send.send(results);
        }),
    );
    let results = receive.recv().unwrap_or_default();
    results
        .into_iter()
        .try_for_each(|result| result.map(drop))?;
    Ok(())
}

fn cron_dag(number: usize) -> Result<Dag, UserError> {
    let task = |index: usize| {
        let before = index.checked_sub(1).map(|before| format!("task_{before}"));
        let upstream: Vec<String> = before.into_iter().collect();
        json!({"task_id": format!("task_{index}"), "operator": "probe", "depends_on": upstream})
    };
    let tasks: Vec<_> = (0..TASKS).map(task).collect();
    let schedule = format!("{} {} * * *", number % 60, number / 60 % 24);
    dag(&json!({
        "dag_id": format!("size_{number:05}"), "schedule": schedule, "start_date": "2020-01-01",
        "tasks": tasks,
    }))
}

fn put(table: Table, key: Vec<u8>, value: Vec<u8>) -> (Table, RowWrite) {
    let write = RowWrite {
        key,
        expect: None,
        value: Some(value),
    };
    (table, write)
}

fn registration(dag: &Dag, version: [u8; 32], now: Timestamp) -> Result<Commit, UserError> {
    let row = DagRow {
        dag_id: dag.dag_id.clone(),
        dag_version: Digest(version).to_string(),
        is_paused: false,
        is_stale: false,
        fileloc: "bench".to_owned(),
        updated_at: now,
    };
    let version_row = DagVersionRow {
        dag: dag.clone(),
        source: String::new(),
    };
    let key = dag.dag_id.as_str().as_bytes().to_vec();
    Ok(Commit {
        rows: vec![
            put(Table::Dag, key, encode_row(&row)?),
            put(
                Table::DagVersion,
                version.to_vec(),
                encode_row(&version_row)?,
            ),
        ],
        ..Commit::default()
    })
}

/// A run from its queue to its success, in one commit.
fn finished_run(dag: &Arc<Dag>, version: [u8; 32], date: Timestamp) -> Result<Commit, UserError> {
    let bug = |error: String| UserError::new(ErrorKind::Bug, error);
    let text = format!("scheduled__{}", date.strftime("%Y-%m-%dT%H:%M:%S+00:00"));
    let run_id = RunId::parse(&text).map_err(|error| bug(error.to_string()))?;
    let mut header = RunHeader::new(run_id.clone(), RunType::Scheduled, date);
    header.logical_date = Some(date);
    let (mut live, queued) = RunState::queue(dag.clone(), header, version, date);
    let mut events = vec![queued];
    let mut inputs = VecDeque::from([Input::Start]);
    while let Some(input) = inputs.pop_front() {
        let step = live
            .step(date, input, &NoTemplates)
            .map_err(|error| bug(error.to_string()))?;
        events.extend(step.events);
        for command in step.commands {
            answer(&live, &command, &mut inputs);
        }
    }
    if live.state() != DagRunState::Success {
        return Err(bug(format!("a made run ended in {}", live.state())));
    }
    let row = RunRow {
        dag_id: dag.dag_id.clone(),
        run_id,
        run_type: RunType::Scheduled,
        state: DagRunState::Success,
        reason: String::new(),
        logical_date: Some(date),
        run_after: date,
        queued_at: date,
        start_date: Some(date),
        end_date: Some(date),
        dag_version: Digest(version).to_string(),
        backfill_id: None,
        triggered_by: "timetable".to_owned(),
        note: String::new(),
        trace_parent: String::new(),
    };
    recorded(&row, &events)
}

/// What a shell with room for everything, and an operator that succeeds, would say to a command.
fn answer(live: &RunState, command: &Command, inputs: &mut VecDeque<Input>) {
    match command {
        Command::Want { task, from, to } => {
            let wanted = live
                .all_instances()
                .map(|(ti, _)| ti)
                .filter(|ti| ti.task == *task && (*from..*to).contains(&ti.map_index));
            inputs.extend(wanted.map(|ti| Input::Admit { ti, owner: 1 }));
        }
        Command::StartAttempt { ti, fence, .. } => inputs.push_back(Input::Finish {
            ti: *ti,
            fence: *fence,
            outcome: Outcome::Success(None),
        }),
        _ => {}
    }
}

fn recorded(row: &RunRow, events: &[Event]) -> Result<Commit, UserError> {
    let mut rows = vec![put(
        Table::Run,
        run_key(&row.dag_id, &row.run_id),
        encode_row(row)?,
    )];
    if let Some(date) = row.logical_date {
        let name = row.run_id.as_str().as_bytes().to_vec();
        rows.push(put(INDEX, date_key(&row.dag_id, date), name));
    }
    let events = events.iter().map(encode_event).collect::<Result<_, _>>()?;
    Ok(Commit {
        stream: Some((run_stream(&row.dag_id, &row.run_id), Some(0))),
        events,
        rows,
        ..Commit::default()
    })
}

/// Opens `config` as a service would, and starts some runs of one task.
pub async fn start(config: Config) -> Result<Start, UserError> {
    let started = Instant::now();
    let app = App::open(config)?;
    let open_ms = started.elapsed().as_secs_f64() * 1e3;
    let rss_mib = memory_bytes("VmRSS:") / f64::from(1 << 20);
    let task = json!({"task_id": "probe", "operator": "probe"});
    let dag = app.register(
        dag(&json!({"dag_id": "size_start", "max_active_runs": 64, "tasks": [task]}))?,
        String::new(),
        "bench",
    )?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let triggered = Instant::now();
        let run_id = app.trigger(&dag, TriggerRequest::default()).await?;
        let (_, mut notices) = app.watch(&dag.dag.dag_id, &run_id).await?;
        let mut running = None;
        while let Some(notice) = notices.recv().await {
            if matches!(&notice, Notice::TaskInstances { .. }) && running.is_none() {
                running = Some(triggered.elapsed());
            }
        }
        times.extend(running.map(|time| time.as_secs_f64() * 1e3));
    }
    times.sort_unstable_by(f64::total_cmp);
    Ok(Start {
        open_ms,
        rss_mib,
        trigger_to_running_ms: times.get(times.len() / 2).copied().unwrap_or(f64::NAN),
    })
}
