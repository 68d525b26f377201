//! Why a task instance does not run: `airlock tasks failed-deps`. From facts to sentences, each with what to do.
//! Names are those of Airflow's dependencies where it has them. It refuses to decide anything: the run, the dispatcher and
//! the schedule have decided, and are asked what they look at.

use crate::dag::spec::{Dag, Task, TriggerRule};
use crate::dispatch::{Blocked, Dispatcher, RunNumber};
use crate::ids::{RunId, TaskIndex, TaskInstanceKey};
use crate::run::state::RunState;
use crate::schedule::NotStarted;
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;

/// Instances of one upstream task that are named at most.
const NAMED_MAX: usize = 5;

/// One thing that keeps a task instance from running.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedDep {
    /// Airflow's name of the dependency.
    pub dep: &'static str,
    /// What is not met.
    pub reason: String,
    /// What to do.
    pub hint: String,
}

/// What the previous run left for a task with `depends_on_past`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PastDepends {
    /// Nothing to wait for.
    Met,
    /// The task of the previous run, or with `wait_for_downstream` one directly below it, has not ended well.
    NotMet {
        /// The previous run.
        run_id: RunId,
        /// The task there, and its state.
        task_id: String,
        /// Its state.
        state: TaskInstanceState,
    },
}

/// What is known.
pub struct Facts<'a> {
    /// The run.
    pub run: &'a RunState,
    /// Its number in the dispatcher; `None` for a run that is not live.
    pub number: Option<RunNumber>,
    /// Who holds and wants slots.
    pub dispatcher: &'a Dispatcher,
    /// What a holder of slots is called: `dag_id/run_id/task_id`, with `[map_index]` for a mapped one.
    pub name: &'a dyn Fn(RunNumber, TaskInstanceKey) -> String,
    /// Why the run does not start, if it is queued (`DagSchedule::may_start`).
    pub not_started: Option<NotStarted>,
    /// Whether the DAG is paused.
    pub is_paused: bool,
    /// What the previous run left.
    pub past: PastDepends,
    /// The time.
    pub now: Timestamp,
}

/// Everything that keeps a task instance from running, the run's reasons first. Empty: nothing does.
pub fn failed_deps(facts: &Facts<'_>, ti: TaskInstanceKey) -> Vec<FailedDep> {
    let dag = facts.run.dag();
    let (Some(task), Some(instance)) = (dag.task(ti.task), facts.run.instance(ti)) else {
        return vec![dep(
            "Task Instance State",
            "the run has no such task instance".to_owned(),
            "list them with `airlock tasks states-for-dag-run`; a mapped task has its instances when its upstream has ended",
        )];
    };
    let mut deps = of_run(facts, dag);
    let state = instance.state();
    match state {
        TaskInstanceState::None => {
            deps.extend(past(facts, task));
            deps.extend(trigger_rule(facts, dag, ti.task, task));
        }
        TaskInstanceState::Scheduled | TaskInstanceState::Restarting => {
            let blocked = facts.number.map(|run| facts.dispatcher.why_not(run, ti));
            let blocked = blocked.unwrap_or_default().into_iter();
            deps.extend(blocked.map(|blocked| slots(facts, blocked)));
        }
        TaskInstanceState::UpForRetry
        | TaskInstanceState::UpForReschedule
        | TaskInstanceState::Deferred => deps.extend(waits(facts, ti, state)),
        TaskInstanceState::AwaitingInput => deps.push(dep(
            "Awaiting Input",
            "a person's answer is missing".to_owned(),
            "answer it in the pages or with `airlock tasks answer`",
        )),
        TaskInstanceState::Queued | TaskInstanceState::Running => deps.push(dep(
            "Task Instance Not Running",
            format!("it is {state} already"),
            "nothing: look at its log",
        )),
        _ => deps.push(dep(
            "Task Instance State",
            format!("it has ended: {state}"),
            "clear it to run it again: `airlock tasks clear`",
        )),
    }
    deps
}

fn dep(dep: &'static str, reason: String, hint: &str) -> FailedDep {
    FailedDep {
        dep,
        reason,
        hint: hint.to_owned(),
    }
}

fn of_run(facts: &Facts<'_>, dag: &Dag) -> Vec<FailedDep> {
    let mut deps = Vec::new();
    let state = facts.run.state();
    if facts.is_paused && !state.is_finished() {
        deps.push(dep(
            "Dag Not Paused",
            format!("DAG {} is paused", dag.dag_id),
            &format!("unpause it: `airlock dags unpause {}`", dag.dag_id),
        ));
    }
    match (state, facts.not_started) {
        (DagRunState::Running, _) => {}
        (DagRunState::Queued, Some(why)) => deps.extend(not_started(why)),
        (DagRunState::Queued, None) => deps.push(dep(
            "Dagrun Running",
            "the run is queued and starts now".to_owned(),
            "nothing",
        )),
        (DagRunState::Success | DagRunState::Failed, _) => deps.push(dep(
            "Dagrun Running",
            format!("the run has ended: {state}"),
            "clear what should run again: `airlock tasks clear`",
        )),
    }
    deps
}

fn not_started(why: NotStarted) -> Option<FailedDep> {
    let (reason, hint) = match why {
        // Said with the DAG's name before.
        NotStarted::DagPaused => return None,
        NotStarted::MaxActiveRuns { max_active_runs } => (
            format!(
                "the run is queued: {max_active_runs} runs of the DAG are running, its max_active_runs"
            ),
            "wait for one to end, or raise max_active_runs in the DAG".to_owned(),
        ),
        NotStarted::BackfillPaused { backfill_id } => (
            format!("the run is queued: backfill {backfill_id} is paused"),
            format!("unpause it: `airlock backfill unpause {backfill_id}`"),
        ),
        NotStarted::BackfillMaxActiveRuns {
            backfill_id,
            max_active_runs,
        } => (
            format!(
                "the run is queued: {max_active_runs} runs of backfill {backfill_id} are running, its --max-active-runs"
            ),
            "wait for one to end".to_owned(),
        ),
    };
    Some(dep("Dagrun Running", reason, &hint))
}

fn past(facts: &Facts<'_>, task: &Task) -> Option<FailedDep> {
    let depends = task.depends_on_past || task.wait_for_downstream;
    let ignores = facts
        .run
        .header()
        .is_some_and(|header| header.ignore_depends_on_past);
    match &facts.past {
        PastDepends::NotMet {
            run_id,
            task_id,
            state,
        } if depends && !ignores => Some(dep(
            "Previous Dagrun State",
            format!(
                "task {task_id} of the previous run {run_id} is {state}, and must be success or skipped"
            ),
            &format!(
                "let it end well: wait, or clear it or mark it there (`airlock tasks clear`, run {run_id})"
            ),
        )),
        _ => None,
    }
}

fn trigger_rule(facts: &Facts<'_>, dag: &Dag, index: TaskIndex, task: &Task) -> Option<FailedDep> {
    if task.trigger_rule == TriggerRule::Always || facts.run.state() != DagRunState::Running {
        return None;
    }
    let upstream: Vec<String> = task
        .depends_on
        .iter()
        .filter(|upstream| **upstream != index)
        .filter_map(|upstream| Some((dag.task(*upstream)?, facts.run.counts(*upstream), *upstream)))
        .filter(|(_, counts, _)| {
            counts.unfinished() > 0 || counts.get(TaskInstanceState::Success) < counts.total()
        })
        .map(|(upstream, _, at)| format!("{} {}", upstream.task_id, states(facts.run, at)))
        .collect();
    if upstream.is_empty() {
        return None;
    }
    let rule = serde_json::to_value(task.trigger_rule).unwrap_or_default();
    let rule = rule.as_str().unwrap_or_default().to_owned();
    Some(dep(
        "Trigger Rule",
        format!(
            "its trigger rule {rule} is not met: {}",
            upstream.join(", ")
        ),
        "wait for the upstream tasks, or ask why they do not run in the same way",
    ))
}

/// `is running`, or for a mapped task `is running (3 of 5)`, states in the order of Airflow's list.
fn states(run: &RunState, task: TaskIndex) -> String {
    let counts = run.counts(task);
    let mut present: Vec<(TaskInstanceState, u32)> = Vec::new();
    for (_, instance) in run.instances(task) {
        let state = instance.state();
        if !present.iter().any(|(known, _)| *known == state) {
            present.push((state, counts.get(state)));
        }
    }
    let texts = present
        .iter()
        .take(NAMED_MAX)
        .map(|(state, count)| match counts.total() {
            1 => format!("is {state}"),
            total => format!("is {state} ({count} of {total})"),
        });
    texts.collect::<Vec<_>>().join(" and ")
}

fn waits(facts: &Facts<'_>, ti: TaskInstanceKey, state: TaskInstanceState) -> Option<FailedDep> {
    let due = facts.run.due(ti).filter(|due| *due > facts.now)?;
    let (name, what) = match state {
        TaskInstanceState::UpForRetry => ("Not In Retry Period", "its next try"),
        TaskInstanceState::UpForReschedule => ("Ready To Reschedule", "its next poke"),
        _ => ("Deferred", "the end of its deferral"),
    };
    Some(dep(
        name,
        format!("it waits until {due} for {what}"),
        "wait, or clear it to run it at once: `airlock tasks clear`",
    ))
}

fn slots(facts: &Facts<'_>, blocked: Blocked) -> FailedDep {
    match blocked {
        Blocked::PoolMissing { .. } | Blocked::PoolTooSmall { .. } | Blocked::PoolFull { .. } => {
            pool(facts, blocked)
        }
        Blocked::PoolWithoutGpus { .. } | Blocked::NoSuchGpu { .. } | Blocked::GpusTaken { .. } => {
            gpus(facts, blocked)
        }
        Blocked::MaxActiveTasks { limit } => dep(
            "Task Instance Slots Available",
            format!("{limit} task instances of the run are active, its max_active_tasks"),
            "wait for one to end, or raise max_active_tasks in the DAG",
        ),
        Blocked::MaxActiveTisPerDagrun { limit } => dep(
            "Task Concurrency",
            format!(
                "{limit} instances of the task are active in the run, its max_active_tis_per_dagrun"
            ),
            "wait for one to end, or raise the limit in the DAG",
        ),
        Blocked::MaxActiveTisPerDag { limit } => dep(
            "Task Concurrency",
            format!(
                "{limit} instances of the task are active over all runs, its max_active_tis_per_dag"
            ),
            "wait for one to end, or raise the limit in the DAG",
        ),
        Blocked::QueueNotServed { queue } => dep(
            "Queue Served",
            format!("no host here serves its queue {queue:?}"),
            "add the queue to the host's settings (`queues` in airlock.toml), or change `queue` in the DAG",
        ),
        Blocked::Parallelism { limit } => dep(
            "Parallelism",
            format!("{limit} task instances are active on this host, its parallelism"),
            "wait for one to end, or raise `parallelism` in airlock.toml",
        ),
        Blocked::NotItsTurn => dep(
            "Priority",
            "nothing keeps it; others of higher priority or of earlier runs go first".to_owned(),
            "wait, or raise its priority_weight in the DAG",
        ),
    }
}

fn names(facts: &Facts<'_>, holders: &[(RunNumber, TaskInstanceKey)]) -> String {
    let names = holders.iter().map(|(run, ti)| (facts.name)(*run, *ti));
    names.collect::<Vec<_>>().join(", ")
}

fn gpus(facts: &Facts<'_>, blocked: Blocked) -> FailedDep {
    let (reason, hint) = match blocked {
        Blocked::PoolWithoutGpus { pool, wish } => (
            format!("it wants {wish}, and pool {pool} is not of kind gpu: it will never run"),
            format!("make it one: `airlock pools set {pool} -1 --kind gpu`, or name another pool in the DAG"),
        ),
        Blocked::NoSuchGpu { pool, wish, there } => (
            format!("it wants {wish}; pool {pool} has {there}: it will never run here"),
            "change `gpu` in the DAG, or run it where there is such a card; `airlock gpus` lists what is here".to_owned(),
        ),
        Blocked::GpusTaken { pool, wish, holders } => {
            let holders = names(facts, &holders);
            (
                format!(
                    "it wants {wish}, and the cards of pool {pool} are taken by {holders}"
                ),
                "wait for one to end, or ask for a smaller `share` of a card in the DAG".to_owned(),
            )
        }
        _ => (String::new(), String::new()),
    };
    dep("GPU Available", reason, &hint)
}

fn pool(facts: &Facts<'_>, blocked: Blocked) -> FailedDep {
    let (reason, hint) = match blocked {
        Blocked::PoolMissing { pool } => (
            format!("pool {pool} does not exist"),
            format!("create it: `airlock pools set {pool} SLOTS`, or change `pool` in the DAG"),
        ),
        Blocked::PoolTooSmall {
            pool,
            pool_slots,
            slots,
        } => (
            format!(
                "it takes {pool_slots} slots, and pool {pool} has {slots} in all: it will never run"
            ),
            format!(
                "make the pool larger: `airlock pools set {pool} {pool_slots}`, or lower pool_slots in the DAG"
            ),
        ),
        Blocked::PoolFull {
            pool,
            pool_slots,
            slots,
            taken,
            holders,
        } => {
            let holders = names(facts, &holders);
            (
                format!(
                    "pool {pool} is full: {taken} of {slots} slots are taken and it takes {pool_slots}; they are held by {holders}"
                ),
                format!(
                    "wait for one to end, or make the pool larger: `airlock pools set {pool} SLOTS`"
                ),
            )
        }
        _ => (String::new(), String::new()),
    };
    dep("Pool Slots Available", reason, &hint)
}
