//! Why a task instance does not run: each reason with what to do.

#![expect(clippy::unwrap_used, reason = "in a test a panic is the answer")]

use airlock_core::dispatch::{Admission, Dispatcher, RunLimits, Slots, Want};
use airlock_core::failed_deps::{Facts, FailedDep, PastDepends, failed_deps};
use airlock_core::ids::{PoolName, RunId, TaskIndex, TaskInstanceKey};
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::event::{
    AttemptError, AttemptErrorKind, Command, Input, Outcome, RunHeader, RunType,
};
use airlock_core::run::state::RunState;
use airlock_core::schedule::NotStarted;
use airlock_core::task_instance::state::TaskInstanceState;
use jiff::Timestamp;
use std::sync::Arc;

struct NoTemplates;

impl ExpandEvaluator for NoTemplates {
    fn evaluate(&self, _: &str, _: &RunState) -> Result<serde_json::Value, String> {
        Err("no templates here".to_owned())
    }
}

fn now() -> Timestamp {
    "2025-06-16T02:00:00Z".parse().unwrap()
}

fn ti(task: u32) -> TaskInstanceKey {
    TaskInstanceKey {
        task: TaskIndex(task),
        map_index: -1,
    }
}

/// A run of tasks `a` (with `lines`) and `b` below it, and the dispatcher that knows what it wants.
struct Case {
    run: RunState,
    dispatcher: Dispatcher,
    not_started: Option<NotStarted>,
    is_paused: bool,
    past: PastDepends,
}

impl Case {
    fn new(lines: &str) -> Self {
        let text = format!(
            "dag_id: d\ntasks:\n  - task_id: a\n    operator: probe\n{lines}\n  - task_id: b\n    operator: probe\n    depends_on: [a]\n"
        );
        let dag = Arc::new(airlock_core::dag::parse(&text).dag.unwrap());
        let header = RunHeader::new(RunId::parse("manual__1").unwrap(), RunType::Manual, now());
        let mut dispatcher = Dispatcher::new(8);
        dispatcher.set_pool(PoolName::parse("default_pool").unwrap(), Slots::Limited(2));
        dispatcher.add_run(1, RunLimits::of(&dag));
        Self {
            run: RunState::queue(dag, header, [0; 32], now()).0,
            dispatcher,
            not_started: None,
            is_paused: false,
            past: PastDepends::Met,
        }
    }

    fn step(&mut self, input: Input) {
        let step = self.run.step(now(), input, &NoTemplates).unwrap();
        for command in step.commands {
            match command {
                Command::Want { task, from, to } => {
                    let spec = self.run.dag().task(task).unwrap().clone();
                    let want = Want::new(1, 0, 1, task, (from, to), spec.pool_slots);
                    self.dispatcher.want(&spec.pool, want.in_queue(&spec.queue));
                }
                Command::Release { ti } => self.dispatcher.release(1, ti),
                _ => {}
            }
        }
    }

    fn started(lines: &str) -> Self {
        let mut case = Self::new(lines);
        case.step(Input::Start);
        case
    }

    fn deps(&self, task: u32) -> Vec<FailedDep> {
        let name = |run, ti: TaskInstanceKey| format!("d/run {run}/task {}", ti.task.get());
        let facts = Facts {
            run: &self.run,
            number: Some(1),
            dispatcher: &self.dispatcher,
            name: &name,
            not_started: self.not_started,
            is_paused: self.is_paused,
            past: self.past.clone(),
            now: now(),
        };
        let deps = failed_deps(&facts, ti(task));
        assert!(
            deps.iter()
                .all(|dep| !dep.hint.is_empty() && !dep.reason.is_empty())
        );
        deps
    }

    fn says(&self, task: u32, dep: &str, reason: &str) {
        let deps = self.deps(task);
        let found = deps.iter().find(|one| one.dep == dep);
        assert!(
            found.is_some_and(|one| one.reason.contains(reason)),
            "{deps:?}"
        );
    }
}

#[test]
fn an_upstream_that_has_not_ended_is_named_with_its_state() {
    let case = Case::started("");
    case.says(1, "Trigger Rule", "all_success is not met: a is scheduled");
}

#[test]
fn a_task_that_only_waits_for_its_turn_is_told_so() {
    let case = Case::started("");
    case.says(0, "Priority", "others of higher priority");
    assert_eq!(case.deps(0).len(), 1);
}

#[test]
fn b13_pools_missing_too_small_and_full_are_told_with_their_holders() {
    Case::started("    pool: gpu").says(0, "Pool Slots Available", "pool gpu does not exist");
    Case::started("    pool_slots: 3").says(0, "Pool Slots Available", "will never run");
    let mut case = Case::started("");
    case.dispatcher.add_run(
        2,
        RunLimits {
            max_active_tasks: 9,
            ..RunLimits::default()
        },
    );
    let name = PoolName::parse("default_pool").unwrap();
    case.dispatcher
        .want(&name, Want::new(2, -1, 9, TaskIndex(4), (-1, 0), 2));
    let admission = Admission { run: 2, ti: ti(4) };
    assert_eq!(case.dispatcher.admit_next(), Some(admission));
    case.says(
        0,
        "Pool Slots Available",
        "2 of 2 slots are taken and it takes 1; they are held by d/run 2/task 4",
    );
}

#[test]
fn b14_a_queue_that_no_host_serves_is_told() {
    let mut case = Case::started("");
    case.dispatcher.serve(["elsewhere".to_owned()].into());
    case.says(0, "Queue Served", "\"default\"");
}

#[test]
fn a11_a14_a_queued_run_says_what_it_waits_for() {
    let mut case = Case::new("");
    case.not_started = Some(NotStarted::MaxActiveRuns { max_active_runs: 3 });
    case.says(0, "Dagrun Running", "3 runs of the DAG are running");
    case.is_paused = true;
    case.not_started = Some(NotStarted::DagPaused);
    case.says(0, "Dag Not Paused", "DAG d is paused");
}

#[test]
fn b9_the_task_of_the_previous_run_is_named() {
    let mut case = Case::new("    depends_on_past: true");
    case.past = PastDepends::NotMet {
        run_id: RunId::parse("manual__0").unwrap(),
        task_id: "a".to_owned(),
        state: TaskInstanceState::Failed,
    };
    case.says(
        0,
        "Previous Dagrun State",
        "task a of the previous run manual__0 is failed",
    );
}

#[test]
fn b2_a_retry_says_when_it_comes() {
    let mut case = Case::started("    retries: 1\n    retry_delay: 10m");
    assert!(case.dispatcher.admit_next().is_some());
    case.step(Input::Admit {
        ti: ti(0),
        owner: 1,
    });
    case.says(0, "Task Instance Not Running", "already");
    let fence = case.run.instance(ti(0)).unwrap().fence();
    let error = AttemptError {
        kind: AttemptErrorKind::Transient,
        message: "no".to_owned(),
    };
    let outcome = Outcome::Error(error);
    case.step(Input::Finish {
        ti: ti(0),
        fence,
        outcome,
    });
    case.says(0, "Not In Retry Period", "2025-06-16T02:10:00Z");
}

#[test]
fn what_has_ended_or_is_not_there_is_told() {
    let mut case = Case::started("");
    case.step(Input::Cancel {
        reason: "by ana".to_owned(),
    });
    case.says(0, "Task Instance State", "it has ended");
    case.says(9, "Task Instance State", "no such task instance");
}
