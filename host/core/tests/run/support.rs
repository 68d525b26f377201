//! Builds DAGs in code, and plays runs: a dispatcher that admits, finishes and wakes in an order drawn from a seed.

use airlock_core::dag::spec::{
    Cache, DEFAULT_POOL, DEFAULT_QUEUE, Dag, Expand, ExpandSource, MAX_ACTIVE_DEFAULT,
    POKE_INTERVAL_DEFAULT, RETRY_DELAY_DEFAULT, SENSOR_TIMEOUT_DEFAULT, Schedule, SensorMode,
    SensorSpec, Task, TaskGroup, TimetableKind, TriggerRule, WeightRule,
};
use airlock_core::grant::Grants;
use airlock_core::ids::{
    DagId, GroupIndex, OperatorName, PoolName, RunId, TaskId, TaskIndex, TaskInstanceKey,
};
use airlock_core::run::ExpandEvaluator;
use airlock_core::run::event::{
    AttemptError, AttemptErrorKind, Command, Event, Fence, Input, Outcome, RunHeader, RunType,
};
use airlock_core::run::state::RunState;
use airlock_core::run::step::Step;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) const OWNER: u64 = 7;

pub(crate) fn task(id: &str, upstream: &[u32]) -> Task {
    Task {
        gpu: None,
        task_id: TaskId::parse(id).unwrap(),
        task_group: None,
        operator: OperatorName::parse("probe").unwrap(),
        config: json!({}),
        depends_on: upstream.iter().copied().map(TaskIndex).collect(),
        inputs: BTreeMap::new(),
        expand: None,
        trigger_rule: TriggerRule::AllSuccess,
        retries: 0,
        retry_delay: RETRY_DELAY_DEFAULT,
        retry_exponential_backoff: 0.0,
        max_retry_delay: None,
        execution_timeout: None,
        sla: None,
        retry_policy: Vec::new(),
        cache: Cache::Off,
        queue: DEFAULT_QUEUE.to_owned(),
        pool: PoolName::parse(DEFAULT_POOL).unwrap(),
        pool_slots: 1,
        priority_weight: 1,
        weight_rule: WeightRule::Downstream,
        depends_on_past: false,
        ignore_first_depends_on_past: false,
        wait_for_past_depends_before_skipping: false,
        wait_for_downstream: false,
        max_active_tis_per_dag: None,
        max_active_tis_per_dagrun: None,
        sensor: SensorSpec {
            mode: SensorMode::Poke,
            poke_interval: POKE_INTERVAL_DEFAULT,
            timeout: SENSOR_TIMEOUT_DEFAULT,
            soft_fail: false,
            never_fail: false,
            silent_fail: false,
            exponential_backoff: false,
            max_wait: None,
        },
        is_setup: false,
        is_teardown: false,
        on_failure_fail_dagrun: false,
        do_xcom_push: true,
        multiple_outputs: false,
        grants: None,
        inlets: Vec::new(),
        outlets: Vec::new(),
        doc_md: None,
        map_index_template: None,
        task_display_name: None,
        owner: None,
        email: Vec::new(),
        email_on_failure: false,
        email_on_retry: false,
        on_execute: Vec::new(),
        on_failure: Vec::new(),
        on_success: Vec::new(),
        on_retry: Vec::new(),
        on_skipped: Vec::new(),
    }
}

pub(crate) fn ruled(id: &str, upstream: &[u32], rule: TriggerRule) -> Task {
    Task {
        trigger_rule: rule,
        ..task(id, upstream)
    }
}

pub(crate) fn literal(id: &str, upstream: &[u32], length: usize) -> Task {
    let values = (0..length).map(|value| json!(value)).collect();
    let keys = vec![("x".to_owned(), ExpandSource::Literal(values))];
    Task {
        expand: Some(Expand::Product(keys)),
        ..task(id, upstream)
    }
}

pub(crate) fn templated(id: &str, upstream: &[u32], template: &str) -> Task {
    let keys = vec![("x".to_owned(), ExpandSource::Template(template.to_owned()))];
    Task {
        expand: Some(Expand::Product(keys)),
        ..task(id, upstream)
    }
}

/// A DAG whose tasks at `members` are in one group, `g`.
pub(crate) fn grouped(tasks: Vec<Task>, members: &[u32], expand: Option<Expand>) -> Dag {
    let mut dag = dag_of(tasks);
    for member in members {
        dag.tasks[*member as usize].task_group = Some(GroupIndex(0));
    }
    dag.task_groups.push(TaskGroup {
        group_id: TaskId::parse("g").unwrap(),
        parent: None,
        tooltip: String::new(),
        expand,
    });
    dag
}

/// The `expand` of a group over literals 0, 1, ...
pub(crate) fn over(length: usize) -> Option<Expand> {
    literal("any", &[], length).expand
}

/// The `expand` of a group over a template.
pub(crate) fn over_template(template: &str) -> Option<Expand> {
    templated("any", &[], template).expand
}

pub(crate) fn dag_of(tasks: Vec<Task>) -> Dag {
    Dag {
        dag_id: DagId::parse("d").unwrap(),
        dag_display_name: None,
        description: None,
        doc_md: None,
        owner_links: BTreeMap::new(),
        schedule: Schedule::None,
        timezone: "UTC".to_owned(),
        timetable: TimetableKind::Trigger,
        start_date: None,
        end_date: None,
        catchup: false,
        max_active_runs: MAX_ACTIVE_DEFAULT,
        max_active_tasks: MAX_ACTIVE_DEFAULT,
        dagrun_timeout: None,
        fail_fast: false,
        max_consecutive_failed_dag_runs: 0,
        is_paused_upon_creation: false,
        tags: Vec::new(),
        params: BTreeMap::new(),
        grants: Grants::default(),
        on_sla_miss: Vec::new(),
        on_failure: Vec::new(),
        on_success: Vec::new(),
        deadlines: Vec::new(),
        component: None,
        pins: BTreeMap::new(),
        task_groups: Vec::new(),
        tasks,
    }
}

pub(crate) fn header() -> RunHeader {
    let run_id = RunId::parse("manual__1").unwrap();
    RunHeader {
        logical_date: Some(second(0)),
        ..RunHeader::new(run_id, RunType::Manual, second(0))
    }
}

pub(crate) fn second(at: i64) -> Timestamp {
    Timestamp::from_second(1_735_689_600 + at).unwrap()
}

pub(crate) fn seconds(n: i64) -> SignedDuration {
    SignedDuration::from_secs(n)
}

pub(crate) fn ti(task: u32, map_index: i32) -> TaskInstanceKey {
    TaskInstanceKey {
        task: TaskIndex(task),
        map_index,
    }
}

/// A template is the JSON it gives; `xcom:N` is the `return_value` of task N; `error` fails.
pub(crate) struct Templates;

impl ExpandEvaluator for Templates {
    fn evaluate(&self, template: &str, state: &RunState) -> Result<Value, String> {
        match template.strip_prefix("xcom:") {
            Some(task) => {
                let task = TaskIndex(task.parse().unwrap());
                let json = state.xcom(task, -1, "return_value");
                Ok(json.map_or(Value::Null, |json| serde_json::from_str(json).unwrap()))
            }
            None if template == "error" => Err("undefined value".to_owned()),
            None => Ok(serde_json::from_str(template).unwrap()),
        }
    }
}

/// A small generator: the seed decides the order, and the same seed gives the same order.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn below(&mut self, n: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % n
    }
}

/// A run with what a shell would hold beside it.
pub(crate) struct Play {
    pub(crate) state: RunState,
    pub(crate) events: Vec<Event>,
    pub(crate) now: Timestamp,
    pub(crate) wants: BTreeSet<TaskInstanceKey>,
    pub(crate) live: BTreeMap<TaskInstanceKey, (u32, Fence)>,
    pub(crate) slots: BTreeSet<TaskInstanceKey>,
    /// Those whose slots a pool may keep for them.
    pub(crate) deferred: BTreeSet<TaskInstanceKey>,
    pub(crate) stops: Vec<TaskInstanceKey>,
    pub(crate) wake: Option<Timestamp>,
    pub(crate) finished: Option<DagRunState>,
    /// Every version of the DAG that the run had, by its name.
    pub(crate) versions: BTreeMap<[u8; 32], Arc<Dag>>,
}

impl Play {
    pub(crate) fn queued(dag: Dag) -> Self {
        Self::queued_with(dag, header())
    }

    pub(crate) fn queued_with(dag: Dag, header: RunHeader) -> Self {
        let dag = Arc::new(dag);
        let (state, event) = RunState::queue(dag.clone(), header, [0; 32], second(0));
        Self {
            versions: BTreeMap::from([([0; 32], dag)]),
            state,
            events: vec![event],
            now: second(0),
            wants: BTreeSet::new(),
            live: BTreeMap::new(),
            slots: BTreeSet::new(),
            deferred: BTreeSet::new(),
            stops: Vec::new(),
            wake: None,
            finished: None,
        }
    }

    pub(crate) fn started(dag: Dag) -> Self {
        let mut play = Self::queued(dag);
        play.send(Input::Start);
        play
    }

    pub(crate) fn send(&mut self, input: Input) -> Step {
        let step = self.state.step(self.now, input, &Templates).unwrap();
        self.take(step)
    }

    /// The run goes on with another version, named by one byte.
    pub(crate) fn change_version(&mut self, dag: Dag, name: u8) -> Step {
        let dag = Arc::new(dag);
        let step = self
            .state
            .change_version(self.now, dag.clone(), [name; 32], &Templates)
            .unwrap();
        self.versions.insert([name; 32], dag);
        self.take(step)
    }

    fn take(&mut self, step: Step) -> Step {
        self.events.extend(step.events.iter().cloned());
        for command in &step.commands {
            self.obey(command);
        }
        step
    }

    pub(crate) fn obey(&mut self, command: &Command) {
        match command {
            Command::Want { task, from, to } => {
                for map_index in *from..*to {
                    assert!(self.wants.insert(ti(task.0, map_index)), "wanted twice");
                }
            }
            Command::Unwant { task, from, to } => {
                for map_index in *from..*to {
                    assert!(self.wants.remove(&ti(task.0, map_index)), "not wanted");
                }
            }
            Command::StartAttempt {
                ti,
                try_number,
                fence,
            } => {
                let before = self.live.insert(*ti, (*try_number, *fence));
                assert_eq!(before, None, "two live attempts of one task instance");
                self.slots.insert(*ti);
            }
            Command::Release { ti } => {
                let had = self.slots.remove(ti) || self.deferred.remove(ti);
                assert!(had, "no slots to release");
                let state = self.of(*ti);
                if matches!(
                    state,
                    TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput
                ) {
                    self.deferred.insert(*ti);
                }
            }
            Command::StopAttempt { ti, fence, .. } => {
                assert_eq!(self.live.get(ti).map(|live| live.1), Some(*fence));
                self.stops.push(*ti);
            }
            Command::WakeAt { at } => self.wake = Some(self.wake.map_or(*at, |old| old.min(*at))),
            Command::RunFinished { state } => self.finished = Some(*state),
            Command::RunReopened => assert!(self.finished.take().is_some(), "it had not ended"),
        }
    }

    pub(crate) fn admit(&mut self, ti: TaskInstanceKey) -> (u32, Fence) {
        assert!(self.wants.remove(&ti), "{ti:?} does not want slots");
        self.send(Input::Admit { ti, owner: OWNER });
        self.live[&ti]
    }

    pub(crate) fn finish(&mut self, ti: TaskInstanceKey, outcome: Outcome) -> Step {
        let (_, fence) = self.live.remove(&ti).expect("no live attempt");
        self.send(Input::Finish { ti, fence, outcome })
    }

    pub(crate) fn run(&mut self, ti: TaskInstanceKey, outcome: Outcome) -> Step {
        self.admit(ti);
        self.finish(ti, outcome)
    }

    /// Lets time pass up to the wake-up that the run asked for.
    pub(crate) fn wake(&mut self) -> Step {
        let at = self.wake.take().expect("nothing to wake for");
        self.now = self.now.max(at);
        self.send(Input::Wake)
    }

    pub(crate) fn clear(&mut self, ranges: &[(u32, i32, i32)]) -> Step {
        let instances = ranges
            .iter()
            .map(|(task, from, to)| (TaskIndex(*task), *from, *to))
            .collect();
        self.send(Input::Clear { instances })
    }

    pub(crate) fn mark(&mut self, ti: TaskInstanceKey, state: TaskInstanceState) -> Step {
        let instances = vec![(ti.task, ti.map_index, ti.map_index + 1)];
        let by = "ana".to_owned();
        self.send(Input::Mark {
            instances,
            state,
            by,
        })
    }

    pub(crate) fn of(&self, ti: TaskInstanceKey) -> TaskInstanceState {
        self.state.instance(ti).unwrap().state()
    }

    /// The states of a task's instances, in map order.
    pub(crate) fn states(&self, task: u32) -> Vec<TaskInstanceState> {
        let instances = self.state.instances(TaskIndex(task));
        instances.map(|(_, instance)| instance.state()).collect()
    }

    pub(crate) fn check_replay(&self) {
        let mut replayed = RunState::new(self.versions[&[0; 32]].clone());
        for event in &self.events {
            let version = match event {
                Event::VersionChanged { dag_version, .. } => self.versions.get(dag_version),
                _ => None,
            };
            match version {
                Some(dag) => replayed.apply_version(dag.clone(), event).unwrap(),
                None => replayed.apply(event).unwrap(),
            }
        }
        assert!(replayed == self.state, "replay differs from live");
    }
}

pub(crate) fn ok() -> Outcome {
    Outcome::Success(None)
}

pub(crate) fn value(json: &str) -> Outcome {
    Outcome::Success(Some(json.to_owned()))
}

pub(crate) fn branch(ids: &[&str]) -> Outcome {
    Outcome::Branch(ids.iter().map(|id| (*id).to_owned()).collect())
}

pub(crate) fn error(kind: AttemptErrorKind) -> Outcome {
    let message = "it went wrong".to_owned();
    Outcome::Error(AttemptError { kind, message })
}
