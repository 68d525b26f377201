//! Every message to and from the scheduler, in one place.
//!
//! The inbox is unbounded by type and bounded by use: each live attempt and each waiting caller has at most one message in it,
//! and both are limited (`parallelism`, the callers' own limits).

use super::records::DagRow;
use super::view::RunView;
use crate::store::{Commit, Table};
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::{RunNumber, Slots};
use airlock_core::failed_deps::FailedDep;
use airlock_core::gpu::{Gpu, GpuFilter};
use airlock_core::ids::{DagId, PoolName, RunId, TaskInstanceKey};
use airlock_core::run::ClearOptions;
use airlock_core::run::event::{AssetEvent, Fence, Json, Outcome, RunHeader};
use airlock_core::schedule::{Backfill, BackfillRequest};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// Answers a request after what it caused is durable.
pub type Reply<T> = oneshot::Sender<Result<T, SchedulerError>>;

/// What the scheduler can be asked and told.
#[expect(missing_docs, reason = "the variant says what its members are for")]
pub enum Message {
    /// Record a run; it starts when `max_active_runs` allows.
    Trigger {
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        header: Box<RunHeader>,
        trace_parent: String,
        reply: Reply<()>,
    },
    /// A DAG is like this now: new, edited, paused or stale.
    PutDag {
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        row: Box<DagRow>,
    },
    /// A DAG goes, with these rows; refused while a run of it is there.
    ForgetDag {
        dag_id: DagId,
        rows: Vec<(Table, Vec<u8>)>,
        reply: Reply<()>,
    },
    /// Make runs when they are due, from now on.
    StartService { reply: Reply<()> },
    /// End a run.
    Cancel {
        dag_id: DagId,
        run_id: RunId,
        reason: String,
        reply: Reply<()>,
    },
    /// A guest pushed an XCom.
    PushXCom {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        key: String,
        value: Json,
        reply: Reply<()>,
    },
    /// A guest asks a person something.
    RequestInput {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        request: Json,
        reply: Reply<()>,
    },
    /// What the templates of an attempt came to.
    Render {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        fields: Json,
    },
    /// What an attempt that is about to end used.
    Use {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        used: Json,
    },
    /// How far an attempt is, for whoever watches now; kept nowhere.
    Report {
        run: RunNumber,
        ti: TaskInstanceKey,
        message: String,
    },
    /// The owner of an attempt is gone.
    Lose {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
    },
    /// An attempt ended.
    Finish {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        outcome: Outcome,
    },
    /// Create, resize or remove a pool.
    SetPool {
        name: PoolName,
        size: Option<PoolSize>,
        reply: Reply<()>,
    },
    /// The machine's cards: those of pools of kind gpu.
    SetGpus { gpus: Vec<Gpu>, reply: Reply<()> },
    /// The machine's cards and who holds how much of each.
    Gpus { reply: Reply<Vec<GpuUse>> },
    /// Tell everything about one run from now on.
    Watch {
        dag_id: DagId,
        run_id: RunId,
        notices: mpsc::UnboundedSender<Notice>,
        reply: Reply<DagRunState>,
    },
    /// A person changes a run.
    Change {
        dag_id: DagId,
        run_id: RunId,
        change: Change,
        reply: Reply<Vec<ChangedInstance>>,
    },
    /// A commit with a run's end, or with a change after it, is durable: it may be read back.
    Closed { run: RunNumber },
    /// Remove runs that have ended.
    RemoveRuns {
        removals: Vec<Removal>,
        reply: Reply<Vec<bool>>,
    },
    /// These runs are gone, or stay.
    Removed(Vec<(DagId, RunId)>),
    /// Make, change or show a backfill.
    Backfill {
        dag_id: DagId,
        change: BackfillChange,
        reply: Reply<BackfillReply>,
    },
    /// An asset was updated by something that is no task instance.
    AssetUpdated { event: AssetEvent, reply: Reply<()> },
    /// Why a task instance does not run.
    FailedDeps {
        dag_id: DagId,
        run_id: RunId,
        task_id: String,
        map_index: i32,
        reply: Reply<Vec<FailedDep>>,
    },
    /// The store took no commit: nothing may be acknowledged any more.
    Failed(String),
    /// Stop after what is in the inbox; attempts that are live are lost and found again at the next start.
    Shutdown,
}

/// How a pool counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSize {
    /// What it has.
    pub slots: Slots,
    /// Whether deferred task instances keep theirs.
    pub include_deferred: bool,
    /// A pool of kind gpu, and the cards that it gives out.
    pub gpus: Option<GpuFilter>,
}

/// A card of this machine and what is taken of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct GpuUse {
    /// Which card.
    pub gpu: Gpu,
    /// Thousandths of it that task instances hold.
    pub taken: u16,
    /// Who holds it, as `dag/run/task/map_index`.
    pub holders: Vec<String>,
}

/// Which task instances of a run a person means.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Tasks by id; empty for all.
    pub task_ids: Vec<String>,
    /// What comes with them, and which of them.
    pub options: ClearOptions,
}

/// Which version of its DAG a cleared run goes on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The one that it began with.
    Original,
    /// The one that new runs take.
    Latest,
}

/// A run that is to go, with all that is its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its DAG.
    pub dag_id: DagId,
    /// Its id.
    pub run_id: RunId,
    /// What takes it away; expects its row as whoever asks has seen it.
    pub commit: Commit,
}

/// What a person changes about a run.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variant says what its members are for")]
pub enum Change {
    /// Run task instances again.
    Clear {
        selection: Selection,
        dry_run: bool,
        version: Version,
    },
    /// Give task instances a state.
    Mark {
        selection: Selection,
        state: TaskInstanceState,
        by: String,
    },
    /// Write another note about the run.
    Note { note: String },
    /// End the run in a state.
    MarkRun { state: DagRunState, by: String },
    /// Answer what a task instance asked.
    Answer {
        task_id: String,
        map_index: i32,
        answer: Json,
        by: String,
    },
    /// Set an XCom, or delete it.
    EditXCom {
        task_id: String,
        map_index: i32,
        key: String,
        value: Option<Json>,
        by: String,
    },
}

/// A task instance that a change concerns, in the state it had before.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ChangedInstance {
    /// Its task.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// Its state before.
    pub state: TaskInstanceState,
}

/// What a person asks about backfills of a DAG.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variant says what its members are for")]
pub enum BackfillChange {
    /// Begin.
    Create { id: u64, request: BackfillRequest },
    /// Make and start no more of its runs, or go on.
    Pause { id: u64, is_paused: bool },
    /// End it: its queued runs are cancelled, its running ones go on.
    Cancel { id: u64 },
    /// The one that has not ended.
    Show,
}

/// See [`BackfillChange`].
#[derive(Debug, Clone, PartialEq)]
pub enum BackfillReply {
    /// It is so.
    Done,
    /// The one that has not ended, if there is one.
    Active(Option<Box<Backfill>>),
}

/// A task instance as commands and pages show it.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct TaskInstanceRow {
    /// Its task.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// Its state.
    pub state: TaskInstanceState,
    /// Tries begun; 0 if none.
    pub try_number: u32,
    /// From its first start to its end, where both are known.
    pub duration_ms: Option<i64>,
    /// The last error.
    pub error: Option<String>,
}

/// Something happened in a watched run.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "the variant says what its members are for")]
pub enum Notice {
    /// Task instances `from..to` of a task have this state now; `error` is why a failed one failed.
    TaskInstances {
        task_id: String,
        from: i32,
        to: i32,
        state: TaskInstanceState,
        try_number: u32,
        at: Timestamp,
        error: Option<String>,
    },
    /// How far an attempt says it is.
    Progress {
        task_id: String,
        map_index: i32,
        message: String,
    },
    /// The run has this state now.
    Run {
        state: DagRunState,
        reason: String,
        at: Timestamp,
    },
}

/// An attempt that is to be started; its `AttemptStarted` event is durable.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its run.
    pub run: Arc<RunView>,
    /// Its task instance.
    pub ti: TaskInstanceKey,
    /// From 1.
    pub try_number: u32,
    /// Counts the pokes of a sensor, from 1.
    pub poke_number: u32,
    /// Must come with everything it says.
    pub fence: Fence,
    /// Whether the task's `on_execute` callbacks come before it: it is the first attempt of its try.
    pub on_execute: bool,
    /// What `expand` adds to the config of this map index: a JSON object.
    pub element: Option<Json>,
    /// The cards it holds, by the driver's names.
    pub gpus: Vec<String>,
    /// When its run started last.
    pub run_started: Option<Timestamp>,
    /// The `traceparent` of whoever asked for its run; empty where nobody said one.
    pub trace_parent: String,
}

/// Who carries attempts out. Calls must return at once.
pub trait Executor: Send + Sync + 'static {
    /// Starts an attempt; its end comes back as `Message::Finish`.
    fn start(&self, attempt: Attempt);
    /// Callbacks or mails of this run are in the outbox, durably.
    fn call(&self, run: &Arc<RunView>);
    /// Tells an attempt to stop, gives it its grace, then stops it.
    fn stop(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, reason: &str);
}

/// Time as the scheduler sees it.
pub trait Clock: Send + Sync + 'static {
    /// Now.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchedulerError {
    /// No such run is live or known.
    #[error("run {run_id} of dag {dag_id} is not known")]
    NotFound {
        /// Which DAG.
        dag_id: DagId,
        /// Which run.
        run_id: RunId,
    },
    /// The run id or the logical date is taken.
    #[error("dag {dag_id} has run {run_id} already")]
    Conflict {
        /// Which DAG.
        dag_id: DagId,
        /// The run that is there.
        run_id: RunId,
    },
    /// A DAG cannot go while a run of it is there.
    #[error("dag {dag_id} has run {run_id}, and goes only without runs")]
    HasRuns {
        /// Which DAG.
        dag_id: DagId,
        /// One of its runs.
        run_id: RunId,
    },
    /// An attempt that is no longer current.
    #[error("the attempt is no longer current: it was lost, stopped or replaced")]
    Fenced,
    /// A limit of the run.
    #[error("{0}")]
    Refused(String),
    /// The store takes no more commits.
    #[error("the store failed: {0}")]
    Store(String),
    /// The scheduler has stopped.
    #[error("the scheduler has stopped")]
    Stopped,
}
