//! What happened in a run (durable facts), what the shell asks of a run (inputs), and what a run asks of the shell
//! (commands). Effects are values: nothing here acts.

use crate::ids::{GroupIndex, RunId, TaskIndex, TaskInstanceKey};
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
    /// Who or what made it, in words: `timetable`, `cli user ana`, `backfill 3`, `dag a run b task c`.
    pub triggered_by: String,
    /// Free text of the person who asked for it.
    pub note: String,
    /// The backfill that made it.
    pub backfill_id: Option<u64>,
    /// What the previous run left does not matter: the first run of a DAG or of a backfill.
    pub ignore_depends_on_past: bool,
    /// When each of the DAG's `deadlines` is, in their order; `None` where the reference has no value.
    pub deadlines: Vec<Option<Timestamp>>,
    /// The asset events that it consumes, oldest first.
    pub asset_events: Vec<AssetEvent>,
}

impl RunHeader {
    /// A run without dates, params, conf or history.
    pub fn new(run_id: RunId, run_type: RunType, run_after: Timestamp) -> Self {
        Self {
            run_id,
            run_type,
            logical_date: None,
            data_interval_start: None,
            data_interval_end: None,
            run_after,
            params: "{}".to_owned(),
            conf: "{}".to_owned(),
            triggered_by: String::new(),
            note: String::new(),
            backfill_id: None,
            ignore_depends_on_past: false,
            deadlines: Vec::new(),
            asset_events: Vec::new(),
        }
    }
}

/// An asset was updated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AssetEvent {
    /// Which asset.
    pub uri: String,
    /// When.
    pub at: Timestamp,
    /// The task instance that did it, as `dag_id/run_id/task_id/map_index`; a person's name for one reported by hand.
    pub source: String,
    /// A JSON object.
    pub extra: Json,
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
    /// A branch or short circuit had skipped it before, and it was cleared without that task (Airflow's
    /// `NotPreviouslySkippedDep`).
    PreviouslySkipped,
    /// Its map index or its task is not there any more after a clear.
    Gone,
    /// A person set it.
    Marked,
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
    /// Instances `from..to` of a task were cleared: undecided again, with `retries` further tries. A live attempt is told to
    /// stop and becomes `restarting`. A run that had ended is `queued` again and waits for `Input::Start`.
    Cleared {
        task: TaskIndex,
        from: i32,
        to: i32,
        at: Timestamp,
    },
    /// A person gave instances `from..to` this state, whatever they had. A live attempt was told to stop and is fenced.
    Marked {
        task: TaskIndex,
        from: i32,
        to: i32,
        state: TaskInstanceState,
        by: String,
        at: Timestamp,
    },
    /// What the previous run left lets these tasks go on (`depends_on_past`, `wait_for_downstream`).
    PastDependsMet { tasks: Vec<TaskIndex> },
    /// A mapped task group got its elements; the same form as in `TaskExpanded`.
    GroupExpanded { group: GroupIndex, elements: Json },
    /// A guest asked a person something; it goes to `awaiting_input` when it defers.
    InputRequested {
        ti: TaskInstanceKey,
        fence: Fence,
        request: Json,
        at: Timestamp,
    },
    /// A person answered.
    InputAnswered {
        ti: TaskInstanceKey,
        answer: Json,
        by: String,
        at: Timestamp,
    },
    /// These tasks had unfinished instances when their `sla` passed. Each is told once a run.
    SlaMissed {
        tasks: Vec<TaskIndex>,
        at: Timestamp,
    },
    /// The run had not ended at the deadline with this place in the DAG's list.
    DeadlineMissed { deadline: u32, at: Timestamp },
    /// The run goes on with another version of the DAG: what follows refers to its tasks. Instances of tasks that it does
    /// not have are `removed`.
    VersionChanged {
        dag_version: [u8; 32],
        at: Timestamp,
    },
    /// What a task instance's templates came to, cut to a limit: a JSON object. For people.
    Rendered { ti: TaskInstanceKey, fields: Json },
    /// A person set an XCom, or deleted it (`None`). Legal in a run that has ended too.
    XComEdited {
        ti: TaskInstanceKey,
        key: String,
        value: Option<Json>,
        by: String,
        at: Timestamp,
    },
    /// A person decided how the run ends: in this state, once the live attempts have ended. A run that has ended gets the
    /// state by the `RunFinished` that follows.
    RunMarked {
        state: DagRunState,
        by: String,
        at: Timestamp,
    },
    /// What a live attempt used of its limits and grants: a JSON object. For people.
    Used {
        ti: TaskInstanceKey,
        fence: Fence,
        used: Json,
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
    /// Clear these instances. Ranges that are not there are left out.
    Clear {
        instances: Vec<(TaskIndex, i32, i32)>,
    },
    /// Give these instances `success`, `failed` or `skipped`, whatever they have.
    Mark {
        instances: Vec<(TaskIndex, i32, i32)>,
        state: TaskInstanceState,
        by: String,
    },
    /// End the run in this state: live attempts are stopped, unfinished instances become `success`, or `failed` where they were
    /// live and `skipped` where not.
    MarkRun { state: DagRunState, by: String },
    /// What the previous run left lets these tasks go on.
    PastDependsMet { tasks: Vec<TaskIndex> },
    /// A guest asks a person something.
    RequestInput {
        ti: TaskInstanceKey,
        fence: Fence,
        request: Json,
    },
    /// A person answers.
    Answer {
        ti: TaskInstanceKey,
        answer: Json,
        by: String,
    },
    /// What the templates of a live attempt came to.
    Render {
        ti: TaskInstanceKey,
        fence: Fence,
        fields: Json,
    },
    /// What an attempt that is about to end used.
    Use {
        ti: TaskInstanceKey,
        fence: Fence,
        used: Json,
    },
    /// A person sets an XCom, or deletes it (`None`).
    EditXCom {
        ti: TaskInstanceKey,
        key: String,
        value: Option<Json>,
        by: String,
    },
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
    /// Its slots are free again, also those that a deferred task instance kept where its pool includes such.
    Release { ti: TaskInstanceKey },
    /// Tell the attempt to stop, then stop it.
    StopAttempt {
        ti: TaskInstanceKey,
        fence: Fence,
        reason: String,
    },
    /// Send `Input::Wake` at this time. Only the earliest matters: the run asks again when it is woken.
    WakeAt { at: Timestamp },
    /// The run ended: nothing more will come unless a person clears or marks something.
    RunFinished { state: DagRunState },
    /// The run had ended and is `queued` again: it waits for `Input::Start`.
    RunReopened,
}
