//! The validated DAG: what parsing and validation produce and everything else reads.
//! A value of these types is well-formed by construction of `dag::parse`: ids are parsed, references are resolved to
//! indexes, the graph has no cycle. It refuses to know about files, spans or run state.

use crate::gpu::GpuWish;
use crate::grant::Grants;
use crate::ids::{DagId, GroupIndex, OperatorName, PoolName, TaskId, TaskIndex};
use crate::run::event::AttemptErrorKind;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

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
    /// Shown instead of the id; no effect on runs.
    #[serde(default)]
    pub dag_display_name: Option<String>,
    /// Free text.
    pub description: Option<String>,
    /// Longer text, Markdown; no effect on runs.
    #[serde(default)]
    pub doc_md: Option<String>,
    /// Links of owners, by owner; shown in the pages.
    #[serde(default)]
    pub owner_links: BTreeMap<String, String>,
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
    /// So many failed runs in a row pause the DAG; 0 never does.
    #[serde(default)]
    pub max_consecutive_failed_dag_runs: u32,
    /// Whether a new DAG starts paused.
    pub is_paused_upon_creation: bool,
    /// For searching; no effect on runs.
    pub tags: Vec<String>,
    /// Named inputs of a run, with their JSON schemas and defaults.
    pub params: BTreeMap<String, Param>,
    /// What its tasks may do at most; an operator gets the intersection with its own imports.
    pub grants: Grants,
    /// Called when a task instance missed its `sla`.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_sla_miss: Vec<Callback>,
    /// Called when the run failed.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_failure: Vec<Callback>,
    /// Called when the run succeeded.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_success: Vec<Callback>,
    /// Points in time by which a run should have ended; missing one calls its callbacks and changes nothing else.
    #[serde(default)]
    pub deadlines: Vec<Deadline>,
    /// The component that brought it. Its digest is part of the DAG's version: other bytes are another version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<Component>,
    /// The components of other plugins that it runs on, by the plugin's name. Set when a version is stored, so that a run ends,
    /// and is cleared and run again, on the bytes that it began with.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub pins: BTreeMap<String, Pin>,
    /// Named parts of the graph; `GroupIndex` is the place in this list. A group comes after the group it is in.
    #[serde(default)]
    pub task_groups: Vec<TaskGroup>,
    /// In the order of the file; `TaskIndex` is the place in this list.
    pub tasks: Vec<Task>,
}

impl Dag {
    /// The task at `index`, if this DAG has one there.
    pub fn task(&self, index: TaskIndex) -> Option<&Task> {
        self.tasks.get(index.get())
    }

    /// The group at `index`, if this DAG has one there.
    pub fn group(&self, index: GroupIndex) -> Option<&TaskGroup> {
        self.task_groups.get(index.get())
    }

    /// The innermost mapped group that holds a task. Mapped groups do not nest, so it is the only one.
    pub fn mapped_group(&self, task: TaskIndex) -> Option<GroupIndex> {
        let mut group = self.task(task)?.task_group;
        while let Some(index) = group {
            let here = self.group(index)?;
            if here.expand.is_some() {
                return Some(index);
            }
            group = here.parent;
        }
        None
    }

    /// The plugins that its tasks and callbacks name, but for the component that it came in.
    pub fn plugins(&self) -> BTreeSet<&str> {
        let of_dag = [&self.on_sla_miss, &self.on_failure, &self.on_success];
        let of_deadlines = self.deadlines.iter().map(|deadline| &deadline.callbacks);
        let of_tasks = self.tasks.iter().flat_map(Task::callbacks);
        let callbacks = of_dag.into_iter().chain(of_deadlines).chain(of_tasks);
        let called = callbacks.flatten().map(|callback| &callback.operator);
        let run = self.tasks.iter().map(|task| &task.operator);
        let is_own = |name: &OperatorName| self.component.as_ref().is_some_and(|own| own.has(name));
        run.chain(called)
            .filter(|operator| !is_own(operator))
            .map(OperatorName::plugin)
            .collect()
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

/// The component that a DAG came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Component {
    /// What it calls itself: operators whose name begins so are its own.
    pub name: String,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
}

impl Component {
    /// Whether an operator is this component's: its name, or its name and a dot before the rest.
    pub fn has(&self, operator: &OperatorName) -> bool {
        operator.plugin() == self.name
    }
}

/// The component that a plugin's name meant when a DAG's version was made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Whether it was part of the program, and so trusted as the program is.
    #[serde(default)]
    pub is_bundled: bool,
    /// The signature that came with it, in minisign's form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
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
    /// When the expression holds over the assets that were updated since the last run.
    Assets(AssetExpression),
    /// When the expression holds, and by a timetable of its own as well (Airflow's `AssetOrTimeSchedule`).
    AssetsOrTime(AssetExpression, Box<Schedule>),
}

impl Schedule {
    /// The assets that make runs, if any do.
    pub fn assets(&self) -> Option<&AssetExpression> {
        match self {
            Self::Assets(assets) | Self::AssetsOrTime(assets, _) => Some(assets),
            _ => None,
        }
    }
}

/// Which assets must have been updated (Airflow's `AssetAll`, `AssetAny`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetExpression {
    /// This one, by its URI.
    Asset(String),
    /// All of these; never empty.
    All(Vec<AssetExpression>),
    /// One of these; never empty.
    Any(Vec<AssetExpression>),
}

impl AssetExpression {
    /// Whether it holds when `updated` says which assets were updated.
    pub fn holds(&self, updated: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Asset(uri) => updated(uri),
            Self::All(parts) => parts.iter().all(|part| part.holds(updated)),
            Self::Any(parts) => parts.iter().any(|part| part.holds(updated)),
        }
    }

    /// Every asset that it names, in order, with repeats.
    pub fn uris(&self) -> Vec<&str> {
        match self {
            Self::Asset(uri) => vec![uri],
            Self::All(parts) | Self::Any(parts) => {
                parts.iter().flat_map(AssetExpression::uris).collect()
            }
        }
    }
}

/// A point in time by which a run should have ended (Airflow's `DeadlineAlert`): `reference + interval`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deadline {
    /// What it counts from.
    pub reference: DeadlineReference,
    /// Added to the reference; may be negative.
    pub interval: SignedDuration,
    /// Called when the run has not ended by then.
    pub callbacks: Vec<Callback>,
}

/// What a deadline counts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeadlineReference {
    /// The run's logical date; a run without one has no such deadline.
    LogicalDate,
    /// When the run was recorded.
    QueuedAt,
    /// This instant.
    Fixed(Timestamp),
    /// When the run was recorded, plus the mean duration of the last so many runs that ended well; with fewer there is
    /// no such deadline.
    AverageRuntime(u32),
}

/// A named part of the graph. Its tasks' ids begin with its id and a dot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TaskGroup {
    /// Its id, with the ids of the groups it is in before it: `outer.inner`.
    pub group_id: TaskId,
    /// The group it is in.
    pub parent: Option<GroupIndex>,
    /// Shown in the pages.
    pub tooltip: String,
    /// A mapped group: all its tasks are expanded together, one instance each per element. Only outside other mapped groups.
    pub expand: Option<Expand>,
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

fn one_or_many<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<Callback>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        Many(Vec<Callback>),
        One(Option<Callback>),
    }
    Ok(match Shape::deserialize(from)? {
        Shape::Many(callbacks) => callbacks,
        Shape::One(callback) => callback.into_iter().collect(),
    })
}

/// A task of a DAG.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in Airflow, under the same name"
)]
pub struct Task {
    /// Its id; in a group it begins with the group's id and a dot.
    pub task_id: TaskId,
    /// The group that it is directly in.
    #[serde(default)]
    pub task_group: Option<GroupIndex>,
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
    /// Looked at before `retries`, in order; the first rule that fits decides (Airflow 3.3's `retry_policy`).
    #[serde(default)]
    pub retry_policy: Vec<RetryRule>,
    /// Whether an earlier result may take the place of an attempt.
    #[serde(default)]
    pub cache: Cache,
    /// Which hosts may run it; `default` unless said otherwise. A host serves the queues that its settings name.
    #[serde(default = "default_queue")]
    pub queue: String,
    /// What it must have of the cards of its pool, which must be of kind gpu. One whole card where such a pool's task says nothing.
    #[serde(default)]
    pub gpu: Option<GpuWish>,
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
    /// A task without an instance in the previous run need not wait for one.
    #[serde(default)]
    pub ignore_first_depends_on_past: bool,
    /// Is not skipped by its trigger rule before `depends_on_past` allows it.
    #[serde(default)]
    pub wait_for_past_depends_before_skipping: bool,
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
    /// Assets it reads; shown as lineage.
    #[serde(default)]
    pub inlets: Vec<String>,
    /// Assets it updates: each success makes an event for each.
    #[serde(default)]
    pub outlets: Vec<String>,
    /// Longer text, Markdown; no effect on runs.
    #[serde(default)]
    pub doc_md: Option<String>,
    /// A template for what a mapped instance is called, rendered after it ran.
    #[serde(default)]
    pub map_index_template: Option<String>,
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
    /// Called before each attempt.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_execute: Vec<Callback>,
    /// Called with the task instance's context after its final failure.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_failure: Vec<Callback>,
    /// Called after its success.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_success: Vec<Callback>,
    /// Called before each retry's delay.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_retry: Vec<Callback>,
    /// Called when the operator itself decided to be skipped; not for a skip by branch or rule.
    #[serde(default, deserialize_with = "one_or_many")]
    pub on_skipped: Vec<Callback>,
}

impl Task {
    /// Everything that may be called about it.
    fn callbacks(&self) -> [&Vec<Callback>; 5] {
        [
            &self.on_execute,
            &self.on_failure,
            &self.on_success,
            &self.on_retry,
            &self.on_skipped,
        ]
    }
}

/// The queue of a task that names none.
pub const DEFAULT_QUEUE: &str = "default";

fn default_queue() -> String {
    DEFAULT_QUEUE.to_owned()
}

/// What a failure of a certain kind leads to. It may end retrying early, never add tries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RetryRule {
    /// The kinds it fits, in the words of `AttemptErrorKind`; empty fits every kind.
    pub kinds: Vec<AttemptErrorKind>,
    /// The error's message must hold this text; empty fits every message.
    pub message_contains: String,
    /// What to do.
    pub action: RetryAction,
}

/// See [`RetryRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RetryAction {
    /// Try again, after this delay if given, else after the usual one; `retries` still bounds the tries.
    Retry(Option<SignedDuration>),
    /// Fail now.
    Fail,
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

/// Whether an earlier result may take the place of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cache {
    /// Every attempt runs.
    #[default]
    Off,
    /// A success of the same component with the same config, inputs and data is reused. The operator is told no dates: what
    /// depends on them stands in its config.
    Content,
}

/// How a sensor waits. Ignored by operators that never answer `not-yet`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a switch of its own in Airflow, under the same name"
)]
pub struct SensorSpec {
    /// Whether it keeps its slot between pokes.
    pub mode: SensorMode,
    /// Distance between pokes.
    pub poke_interval: SignedDuration,
    /// From the first poke, across reschedules and retries; passing it fails without retry.
    pub timeout: SignedDuration,
    /// Skipped instead of failed on timeout or permanent error.
    pub soft_fail: bool,
    /// Skipped on any error of a poke. Not together with `soft_fail`.
    #[serde(default)]
    pub never_fail: bool,
    /// An error of a poke counts as `not-yet`.
    #[serde(default)]
    pub silent_fail: bool,
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
