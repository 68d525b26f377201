//! What happened in a run (durable facts), what the shell asks of a run (inputs), and what a run asks of the shell
//! (commands). Effects are values: nothing here acts.

use crate::ids::{RunId, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// JSON as text, already checked to parse. Text, because events are stored in a format without self-description.
pub type Json = String;

/// Proves which attempt speaks. A message whose fence is not the task instance's current one is dropped and counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Fence {
    /// Counts every start of this task instance (tries, pokes and restarts), from 1; never goes back.
    pub attempt: u32,
    /// The host process that owns the attempt: a number drawn once per start of the host.
    pub owner: u64,
}

/// Why a run exists (Airflow's `DagRunType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunType {
    /// The timetable made it.
    Scheduled,
    /// A person or a program asked for it.
    Manual,
    /// A backfill made it.
    Backfill,
    /// Updated assets made it.
    AssetTriggered,
}

impl RunType {
    /// Airflow's word, also the prefix of the run id.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Manual => "manual",
            Self::Backfill => "backfill",
            Self::AssetTriggered => "asset_triggered",
        }
    }
}

/// What is fixed about a run when it is created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// Its id.
    pub run_id: RunId,
    /// Why it exists.
    pub run_type: RunType,
    /// What it is about; `None` for a manual run without one.
    pub logical_date: Option<Timestamp>,
    /// Start of the data interval.
    pub data_interval_start: Option<Timestamp>,
    /// End of the data interval.
    pub data_interval_end: Option<Timestamp>,
    /// When it was due or asked for; SLAs count from here.
    pub run_after: Timestamp,
    /// Its params after defaults and conf were merged and checked: a JSON object.
    pub params: Json,
    /// The conf as given: a JSON object.
    pub conf: Json,
}

/// How an attempt ended, as its guest or the sandbox said it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// It did its work; the value becomes the XCom `return_value`.
    Success(Option<Json>),
    /// It decided to be skipped.
    Skip(String),
    /// It chose which of its direct downstream tasks go on.
    Branch(Vec<String>),
    /// Its condition does not hold: downstream is skipped.
    ShortCircuit {
        /// True: all transitive downstream. False: direct downstream only, the rest by its trigger rules.
        ignore_downstream_trigger_rules: bool,
    },
    /// A sensor whose condition does not hold yet.
    NotYet,
    /// It asks to be called again at this time.
    Defer(Timestamp),
    /// It failed.
    Error(AttemptError),
}

/// How an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// What decides about a retry.
    pub kind: AttemptErrorKind,
    /// For a person: what happened, where, what to do.
    pub message: String,
}

/// What decides about a retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptErrorKind {
    /// The guest said it may go away: retried.
    Transient,
    /// The guest said it will not go away: never retried.
    Permanent,
    /// The config is wrong: never retried.
    InvalidInput,
    /// The guest broke a rule of the sandbox or trapped: retried.
    Trap,
    /// A limit stopped it: retried.
    LimitExceeded,
    /// `execution_timeout` stopped it: retried.
    TimedOut,
    /// The component cannot run here (missing, unlinkable, not granted): never retried.
    Unrunnable,
    /// Somebody stopped it: never retried.
    Cancelled,
}

impl AttemptErrorKind {
    /// Whether `retries` applies.
    pub const fn is_retried(self) -> bool {
        matches!(
            self,
            Self::Transient | Self::Trap | Self::LimitExceeded | Self::TimedOut
        )
    }
}

/// Why a range of task instances got a state without running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its trigger rule decided.
    TriggerRule,
    /// A branch did not choose it.
    BranchNotTaken,
    /// A short circuit above it.
    ShortCircuit,
    /// The mapped task had no elements.
    EmptyExpansion,
    /// The run was cancelled.
    Cancelled,
    /// The run timed out.
    DagRunTimeout,
    /// `fail_fast` ended the run.
    FailFast,
    /// The list to expand over could not be had.
    ExpandError,
}

/// A durable fact about one run. `replay(events) == live state`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[expect(
    missing_docs,
    reason = "fields are named after the types they hold; the variant says the rest"
)]
pub enum Event {
    /// First event of every run; the DAG version is named by the SHA-256 of its canonical form.
    RunQueued {
        header: Box<RunHeader>,
        dag_version: [u8; 32],
        at: Timestamp,
    },
    /// It may start task instances.
    RunStarted { at: Timestamp },
    /// A mapped task got its elements: a JSON list with one entry for each source of its `expand`, in their order, holding
    /// the list that was evaluated; `null` for a literal, which the DAG version holds. A task that expands over literals
    /// alone is expanded by `RunQueued`.
    TaskExpanded { task: TaskIndex, elements: Json },
    /// Instances `from..to` of a task got a state without an attempt; for an unmapped task the range is -1..0.
    StateSet {
        task: TaskIndex,
        from: i32,
        to: i32,
        state: TaskInstanceState,
        reason: Option<Reason>,
        /// For a person, where the reason alone does not say what to do.
        message: Option<String>,
        at: Timestamp,
    },
    /// The run will end before its time: nothing new starts (`fail_fast` lets teardowns start), what runs is told to stop.
    RunStopping {
        /// `Cancelled`, `DagRunTimeout` or `FailFast`.
        why: Reason,
        /// For a person.
        message: String,
        at: Timestamp,
    },
    /// An attempt begins.
    AttemptStarted {
        ti: TaskInstanceKey,
        try_number: u32,
        fence: Fence,
        at: Timestamp,
    },
    /// An attempt ended; what it means for the task instance follows from its state and its task.
    AttemptFinished {
        ti: TaskInstanceKey,
        fence: Fence,
        outcome: Outcome,
        at: Timestamp,
    },
    /// The host that owned the attempt is gone; the same try is started again.
    AttemptLost {
        ti: TaskInstanceKey,
        fence: Fence,
        at: Timestamp,
    },
    /// A guest pushed an XCom; visible at once.
    XComPushed {
        ti: TaskInstanceKey,
        fence: Fence,
        key: String,
        value: Json,
    },
    /// The run ended.
    RunFinished {
        state: DagRunState,
        reason: String,
        at: Timestamp,
    },
}

/// What the shell tells a run.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "fields are named after the types they hold; the variant says the rest"
)]
pub enum Input {
    /// `max_active_runs` allows it to start.
    Start,
    /// The dispatcher gave it its slots.
    Admit { ti: TaskInstanceKey, owner: u64 },
    /// A guest pushed an XCom.
    PushXCom {
        ti: TaskInstanceKey,
        fence: Fence,
        key: String,
        value: Json,
    },
    /// An attempt ended.
    Finish {
        ti: TaskInstanceKey,
        fence: Fence,
        outcome: Outcome,
    },
    /// The owner of the attempt is gone.
    Lose { ti: TaskInstanceKey, fence: Fence },
    /// A wake-up that the run asked for is due. Waking for something that is not due is harmless.
    Wake,
    /// Somebody cancels the run.
    Cancel { reason: String },
}

/// What a run asks of the shell, to be carried out only after the events beside it are durable.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    missing_docs,
    reason = "fields are named after the types they hold; the variant says the rest"
)]
pub enum Command {
    /// Instances `from..to` of a task are `scheduled` or `restarting`: each wants slots. Unmapped: -1..0.
    Want { task: TaskIndex, from: i32, to: i32 },
    /// They do not want slots any more.
    Unwant { task: TaskIndex, from: i32, to: i32 },
    /// Start this attempt. A sensor in poke mode keeps its slots between pokes, so it is started again without `Want`.
    StartAttempt {
        ti: TaskInstanceKey,
        try_number: u32,
        fence: Fence,
    },
    /// Its slots are free again.
    Release { ti: TaskInstanceKey },
    /// Tell the attempt to stop, then stop it.
    StopAttempt {
        ti: TaskInstanceKey,
        fence: Fence,
        reason: String,
    },
    /// Send `Input::Wake` at this time. Only the earliest matters: the run asks again when it is woken.
    WakeAt { at: Timestamp },
    /// The run ended: nothing more will come.
    RunFinished { state: DagRunState },
}
