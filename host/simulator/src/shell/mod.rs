//! A model of the host round the core: an inbox, live runs, a dispatcher, timers, batches that become durable later, effects
//! that happen after that. It mirrors `host/src/scheduler/engine.rs` and loses all of it in a crash but the journal.

mod change;
pub(crate) mod journal;
mod past;
mod recover;
mod slots;
mod step;
mod turn;

use crate::world::{RunKey, World};
use airlock_core::dispatch::{Dispatcher, RunNumber, Slots};
use airlock_core::ids::{PoolName, TaskIndex, TaskInstanceKey};
use airlock_core::run::ClearOptions;
use airlock_core::run::event::{Event, Fence, Outcome};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Something in the shell's inbox.
#[derive(Debug, Clone)]
pub(crate) enum Message {
    /// Somebody asks for a run.
    Trigger(RunKey),
    /// Somebody cancels a run.
    Cancel(RunKey),
    /// An attempt pushes an XCom.
    PushXCom {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
        key: String,
        value: String,
    },
    /// An attempt ended.
    Finish {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
        outcome: Outcome,
    },
    /// An attempt asks a person something.
    Ask {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
        request: String,
    },
    /// An attempt does not answer.
    Lose {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
    },
    /// A person changes a run, live or ended.
    Change { run: RunKey, change: Change },
    /// The last commit of a run that ended is durable.
    Closed(RunKey),
    /// Somebody resizes or creates a pool.
    SetPool(PoolName, PoolSize),
    /// The host serves these queues from now on.
    Serve(BTreeSet<String>),
    /// Somebody pauses a DAG, named by its place in the world, or lets it go on.
    Pause(usize, bool),
    /// The store refused a commit.
    Failed,
}

/// What a person does to a run.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// Task instances begin anew.
    Clear(Selection),
    /// Task instances get a state.
    Mark(Selection, TaskInstanceState),
    /// The run ends in a state.
    MarkRun(DagRunState),
    /// A question is answered.
    Answer(TaskInstanceKey, String),
    /// An XCom is set, or deleted.
    EditXCom(TaskInstanceKey, String, Option<String>),
}

/// The task instances that a person means.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    pub(crate) tasks: Vec<TaskIndex>,
    pub(crate) options: ClearOptions,
}

/// A pool as the store has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PoolSize {
    pub(crate) slots: Slots,
    /// Whether deferred task instances keep their slots.
    pub(crate) include_deferred: bool,
}

/// What a host reads from the store when it starts, beside runs.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) pools: BTreeMap<PoolName, PoolSize>,
    /// The queues that the host serves.
    pub(crate) queues: BTreeSet<String>,
    /// DAGs that are paused, by their place in the world.
    pub(crate) paused: BTreeSet<usize>,
}

/// Something to do after the commits beside it are durable.
#[derive(Debug, Clone)]
pub(crate) enum Effect {
    Start {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
    },
    Stop {
        run: RunKey,
        ti: TaskInstanceKey,
        fence: Fence,
    },
    /// Somebody is told that it is done.
    Acknowledge(Promise),
    /// A run has ended and may be read back from now on.
    Close(RunKey),
}

/// What was acknowledged and must stay: the first `head` events of a run.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) run: RunKey,
    pub(crate) head: usize,
    /// Somebody was told that the run is being stopped.
    pub(crate) is_cancelled: bool,
}

/// One stream's part of a batch.
#[derive(Debug)]
pub(crate) struct Commit {
    /// The stream's head before these events; another head refuses the commit.
    pub(crate) head: usize,
    pub(crate) events: Vec<Event>,
}

/// What one turn produced.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) commits: BTreeMap<RunKey, Commit>,
    pub(crate) effects: Vec<Effect>,
}

impl Batch {
    fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.effects.is_empty()
    }
}

/// A run in the shell's memory.
#[derive(Debug)]
pub(crate) struct LiveRun {
    pub(crate) key: RunKey,
    pub(crate) state: RunState,
    pub(crate) priorities: Vec<i32>,
    /// The stream's head once everything submitted is durable.
    pub(crate) head: usize,
    /// When the run asked to be woken.
    pub(crate) asked: BTreeSet<Timestamp>,
    /// It counts among the unfinished runs of its DAG; false for one that had ended and was read back.
    pub(crate) is_counted: bool,
}

/// The runs of one DAG against its `max_active_runs`.
#[derive(Debug, Default)]
pub(crate) struct ActiveRuns {
    pub(crate) running: u32,
    pub(crate) queued: VecDeque<RunNumber>,
}

/// Everything that a crash takes away.
#[derive(Debug)]
pub(crate) struct Shell {
    /// The owner in every fence: drawn once per start of the host.
    pub(crate) owner: u64,
    pub(crate) dispatcher: Dispatcher,
    pub(crate) runs: BTreeMap<RunNumber, LiveRun>,
    pub(crate) numbers: BTreeMap<RunKey, RunNumber>,
    /// By the DAG's place in the world.
    pub(crate) active: BTreeMap<usize, ActiveRuns>,
    pub(crate) next_number: RunNumber,
    /// The run before a live run that asks about it; `None` where there is none.
    pub(crate) previous: BTreeMap<RunNumber, Option<RunKey>>,
    /// Runs that ended and whose last commit is on its way: the journal is older than they were.
    pub(crate) closing: BTreeSet<RunKey>,
    /// Nothing can be made durable any more.
    pub(crate) failed: bool,
    pub(crate) inbox: VecDeque<Message>,
    /// Submitted, not yet durable, in order.
    pub(crate) in_flight: VecDeque<Batch>,
    /// Durable, not yet carried out, in order.
    pub(crate) effects: VecDeque<Effect>,
}

impl Shell {
    pub(crate) fn new(owner: u64, world: &World, settings: &Settings) -> Self {
        let mut dispatcher = Dispatcher::new(world.parallelism);
        for (name, size) in &settings.pools {
            dispatcher.set_pool(name.clone(), size.slots);
            dispatcher.set_include_deferred(name, size.include_deferred);
        }
        dispatcher.serve(settings.queues.clone());
        for place in &settings.paused {
            if let Some(model) = world.dags.get(*place) {
                dispatcher.set_paused(&model.dag.dag_id, true);
            }
        }
        Self {
            owner,
            dispatcher,
            runs: BTreeMap::new(),
            numbers: BTreeMap::new(),
            active: BTreeMap::new(),
            next_number: 1,
            previous: BTreeMap::new(),
            closing: BTreeSet::new(),
            failed: false,
            inbox: VecDeque::new(),
            in_flight: VecDeque::new(),
            effects: VecDeque::new(),
        }
    }

    /// The next time that any run asked for.
    pub(crate) fn next_timer(&self) -> Option<(Timestamp, RunNumber)> {
        let first = |(number, run): (&RunNumber, &LiveRun)| Some((*run.asked.first()?, *number));
        self.runs.iter().filter_map(first).min()
    }
}
