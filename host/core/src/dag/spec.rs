//! The validated DAG: what parsing and validation produce and everything else reads.
//! A value of these types is well-formed by construction of `dag::parse`: ids are parsed, references are resolved to
//! indexes, the graph has no cycle. It refuses to know about files, spans or run state.

use crate::grant::Grants;
use crate::ids::{DagId, OperatorName, PoolName, TaskId, TaskIndex};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Airflow's default for `max_active_runs` and `max_active_tasks`.
pub const MAX_ACTIVE_DEFAULT: u32 = 16;
/// Airflow's default retry delay.
pub const RETRY_DELAY_DEFAULT: SignedDuration = SignedDuration::from_secs(300);
/// Airflow's default poke interval.
pub const POKE_INTERVAL_DEFAULT: SignedDuration = SignedDuration::from_secs(60);
/// Airflow's default sensor timeout: seven days.
pub const SENSOR_TIMEOUT_DEFAULT: SignedDuration = SignedDuration::from_secs(604_800);
/// The pool of a task that names none.
pub const DEFAULT_POOL: &str = "default_pool";

/// A validated DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Dag {
    /// Its id.
    pub dag_id: DagId,
    /// Free text.
    pub description: Option<String>,
    /// When runs are due.
    pub schedule: Schedule,
    /// IANA name; cron expressions are evaluated on its wall clock.
    pub timezone: String,
    /// What the fire time of a cron or `every` schedule means.
    pub timetable: TimetableKind,
    /// The earliest logical date.
    pub start_date: Option<Timestamp>,
    /// No run with a later logical date is created.
    pub end_date: Option<Timestamp>,
    /// Whether missed ticks are run, oldest first.
    pub catchup: bool,
    /// How many runs may be running at once (backfills have their own limit).
    pub max_active_runs: u32,
    /// How many task instances of one run may be queued or running at once.
    pub max_active_tasks: u32,
    /// A run older than this fails and its unfinished task instances are skipped.
    pub dagrun_timeout: Option<SignedDuration>,
    /// The first failure ends the run.
    pub fail_fast: bool,
    /// Whether a new DAG starts paused.
    pub is_paused_upon_creation: bool,
    /// For searching; no effect on runs.
    pub tags: Vec<String>,
    /// Named inputs of a run, with their JSON schemas and defaults.
    pub params: BTreeMap<String, Param>,
    /// What its tasks may do at most; an operator gets the intersection with its own imports.
    pub grants: Grants,
    /// Called when a task instance missed its `sla`.
    pub on_sla_miss: Option<Callback>,
    /// Called when the run failed.
    pub on_failure: Option<Callback>,
    /// Called when the run succeeded.
    pub on_success: Option<Callback>,
    /// In the order of the file; `TaskIndex` is the place in this list.
    pub tasks: Vec<Task>,
}

impl Dag {
    /// The task at `index`, if this DAG has one there.
    pub fn task(&self, index: TaskIndex) -> Option<&Task> {
        self.tasks.get(index.get())
    }

    /// The index of the task called `task_id`.
    pub fn find(&self, task_id: &str) -> Option<TaskIndex> {
        let place = self
            .tasks
            .iter()
            .position(|task| task.task_id.as_str() == task_id)?;
        u32::try_from(place).ok().map(TaskIndex)
    }
}

/// When runs are due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Schedule {
    /// Only on request.
    None,
    /// One run, at `start_date`.
    Once,
    /// A new run as soon as the last one ended.
    Continuous,
    /// Five cron fields, or a preset already resolved to them.
    Cron(String),
    /// A fixed distance between runs; ignores daylight saving.
    Every(SignedDuration),
    /// When all of these assets were updated since the last run.
    Assets(Vec<String>),
}

/// What the fire time means (Airflow's `CronTriggerTimetable` and `CronDataIntervalTimetable`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimetableKind {
    /// The logical date is the fire time; the interval has no length. Airflow 3's default.
    Trigger,
    /// The run for `[t0, t1)` fires at `t1` with logical date `t0`. Airflow 2's default.
    Interval,
}

/// A named input of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Param {
    /// Used when the run's conf does not name it.
    pub default: Option<Value>,
    /// A JSON schema without `default`; an empty object accepts anything.
    pub schema: Value,
}

/// An operator called outside the graph, when something happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Callback {
    /// Which operator.
    pub operator: OperatorName,
    /// Its config, a template.
    pub config: Value,
}

/// A task of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in Airflow, under the same name"
)]
pub struct Task {
    /// Its id.
    pub task_id: TaskId,
    /// Which operator runs it.
    pub operator: OperatorName,
    /// The operator's config: any JSON, strings in it may be templates.
    pub config: Value,
    /// Direct upstream tasks, sorted and without repeats: `depends_on` and the tasks that `inputs` name.
    pub depends_on: Vec<TaskIndex>,
    /// XCom values handed to the operator beside its config.
    pub inputs: BTreeMap<String, Input>,
    /// How a mapped task gets its elements; `None` for an unmapped task.
    pub expand: Option<Expand>,
    /// Decides, from the states of the direct upstream task instances, whether it runs.
    pub trigger_rule: TriggerRule,
    /// Further attempts after the first.
    pub retries: u32,
    /// Distance between attempts, before backoff.
    pub retry_delay: SignedDuration,
    /// Factor per try; 0 means a constant delay (Airflow's `true` is 2).
    pub retry_exponential_backoff: f64,
    /// Upper bound of the delay.
    pub max_retry_delay: Option<SignedDuration>,
    /// One attempt longer than this is stopped and counts as failed.
    pub execution_timeout: Option<SignedDuration>,
    /// From the run's fire time to the end of the task; missing it calls `on_sla_miss`.
    pub sla: Option<SignedDuration>,
    /// Where it takes its slots.
    pub pool: PoolName,
    /// How many slots it takes; at least 1.
    pub pool_slots: u32,
    /// Own priority when slots are scarce; higher first.
    pub priority_weight: i32,
    /// How the priorities of other tasks add to its own.
    pub weight_rule: WeightRule,
    /// Runs only if the same task succeeded or was skipped in the previous run.
    pub depends_on_past: bool,
    /// As `depends_on_past`, and the previous run's direct downstream must have ended well too.
    pub wait_for_downstream: bool,
    /// At most so many running instances of this task over all runs.
    pub max_active_tis_per_dag: Option<u32>,
    /// At most so many running instances of this task in one run.
    pub max_active_tis_per_dagrun: Option<u32>,
    /// How it waits if its operator is a sensor.
    pub sensor: SensorSpec,
    /// A setup: it guards the scope up to its teardowns.
    pub is_setup: bool,
    /// A teardown: it runs when its scope is done, whatever the states, and does not decide the run's state.
    pub is_teardown: bool,
    /// Lets a failed teardown fail the run.
    pub on_failure_fail_dagrun: bool,
    /// Whether the operator's value becomes the XCom `return_value`.
    pub do_xcom_push: bool,
    /// Whether an object's members become `XCom`s of their own as well.
    pub multiple_outputs: bool,
    /// Narrows the DAG's grants for this task.
    pub grants: Option<Grants>,
    /// Shown instead of the id; no effect on runs.
    pub task_display_name: Option<String>,
    /// Shown in the pages; no effect on runs.
    pub owner: Option<String>,
    /// Told on failure or retry, if the two flags say so.
    pub email: Vec<String>,
    /// Whether the final failure is mailed.
    pub email_on_failure: bool,
    /// Whether each retry is mailed.
    pub email_on_retry: bool,
    /// Called with the task instance's context after its final failure.
    pub on_failure: Option<Callback>,
    /// Called after its success.
    pub on_success: Option<Callback>,
    /// Called before each retry's delay.
    pub on_retry: Option<Callback>,
}

/// An XCom that a task asks for by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Input {
    /// Whose XCom.
    pub task: TaskIndex,
    /// Which key, `return_value` by default.
    pub key: String,
}

/// Where a mapped task gets its elements.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expand {
    /// `expand`: each key becomes a config key; two keys make the cross product, the last key varying fastest.
    Product(Vec<(String, ExpandSource)>),
    /// `expand_kwargs`: a list of objects, each merged into the config.
    Kwargs(ExpandSource),
}

/// A list known when the DAG is parsed, or a template that yields one when its upstream has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExpandSource {
    /// Known at once.
    Literal(Vec<Value>),
    /// A template for the whole value; must yield a list (or an object, mapped as `[key, value]` pairs).
    Template(String),
}

/// Airflow's trigger rules; `AllDoneSetupSuccess` is the implicit rule of teardowns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TriggerRule {
    /// All upstream succeeded.
    AllSuccess,
    /// All upstream failed or `upstream_failed`.
    AllFailed,
    /// All upstream ended, however.
    AllDone,
    /// All upstream ended, at least one in success, none skipped.
    AllDoneMinOneSuccess,
    /// All upstream ended and a setup among them succeeded.
    AllDoneSetupSuccess,
    /// One upstream succeeded; does not wait for the others.
    OneSuccess,
    /// One upstream failed; does not wait for the others.
    OneFailed,
    /// One upstream succeeded or failed; does not wait for the others.
    OneDone,
    /// All upstream ended, none failed.
    NoneFailed,
    /// All upstream ended, none failed, at least one succeeded.
    NoneFailedMinOneSuccess,
    /// All upstream ended, none skipped.
    NoneSkipped,
    /// All upstream were skipped.
    AllSkipped,
    /// At once, without waiting for upstream (older Airflow's `dummy`).
    Always,
}

/// How the priorities of other tasks add to a task's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WeightRule {
    /// Own plus all transitive downstream.
    Downstream,
    /// Own plus all transitive upstream.
    Upstream,
    /// Own alone.
    Absolute,
}

/// How a sensor waits. Ignored by operators that never answer `not-yet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SensorSpec {
    /// Whether it keeps its slot between pokes.
    pub mode: SensorMode,
    /// Distance between pokes.
    pub poke_interval: SignedDuration,
    /// From the first poke, across reschedules and retries; passing it fails without retry.
    pub timeout: SignedDuration,
    /// Skipped instead of failed on timeout or permanent error.
    pub soft_fail: bool,
    /// Doubles the interval after each poke.
    pub exponential_backoff: bool,
    /// Upper bound of the interval.
    pub max_wait: Option<SignedDuration>,
}

/// Whether a waiting sensor keeps its slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SensorMode {
    /// Keeps its slot; state `running` between pokes.
    Poke,
    /// Frees its slot; state `up_for_reschedule` between pokes.
    Reschedule,
}
