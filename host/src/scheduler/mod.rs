//! The scheduler: the single-writer loop round the pure core, its timers, its recovery and its effects.
//! It owns live runs and the order of their events. It refuses to know wasmtime, sled or HTTP: attempts are carried out by an
//! `Executor`, durability is the `Store`'s.

mod batch;
mod callbacks;
mod codec;
mod engine;
mod expand;
mod handle;
mod history;
mod live_run;
mod message;
mod queries;
mod records;
mod recovery;
mod rendered;
mod rows;
mod seen;
mod stored;
mod view;

#[cfg(test)]
mod tests;

pub use callbacks::{
    CALLBACK_PREFIX, CallbackCall, CallbackKind, CallbackWork, EMAIL_PREFIX, of_run,
};
pub use codec::{CodecError, decode_event, decode_row, encode_event, encode_row};
pub use handle::Handle;
pub use history::{RunsAround, run_header};
pub use message::{
    Attempt, BackfillChange, BackfillReply, Change, ChangedInstance, Clock, Executor, GpuUse,
    Message, Notice, PoolSize, Removal, Reply, SchedulerError, Selection, SystemClock,
    TaskInstanceRow, Version,
};
pub use queries::{latest_run_before, latest_scheduled_run_before, run_at, runs_before};
pub use records::{
    BACKFILLS_PREFIX, DagRow, DagVersionRow, INDEX, RunRow, SCHEDULES_PREFIX, UNFINISHED_PREFIX,
    asset_events_prefix, backfills_prefix, date_key, date_prefix, run_key, run_stream, runs_prefix,
    schedule_key, unfinished_ids, unfinished_key,
};
pub use recovery::{RecoveryError, ReplayedRun, replay_run, replayed_view};
pub use rendered::rendered_fields;
pub use rows::{Times, task_instance_rows};
pub use seen::SeenRuns;
pub use stored::{CurrentVersion, current_version};
pub use view::{RunView, task_instance_name};

use crate::store::Store;
use airlock_core::gpu::Gpu;
use airlock_core::ids::PoolName;
use engine::{Engine, Parts};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;

/// A scheduler whose thread does not run yet: the executor needs the handle before the scheduler can have the executor.
pub struct Starter {
    handle: Handle,
    inbox: Receiver<Message>,
}

/// How a scheduler runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Drawn once per start of the host: the owner in every fence.
    pub owner: u64,
    /// Task instances that hold slots at once, over all pools.
    pub parallelism: u32,
    /// The pools that there are.
    pub pools: Vec<(PoolName, PoolSize)>,
    /// The machine's cards; none where no pool is of kind gpu.
    pub gpus: Vec<Gpu>,
    /// The queues whose tasks this host runs; `None` for every queue.
    pub queues: Option<BTreeSet<String>>,
    /// Whether runs that an earlier process left are taken up.
    pub recover: bool,
}

/// A running scheduler.
pub struct Scheduler {
    handle: Handle,
    thread: Option<JoinHandle<()>>,
}

/// Makes the inbox.
pub fn prepare() -> Starter {
    let (send, inbox) = channel();
    Starter {
        handle: Handle::new(send),
        inbox,
    }
}

impl Starter {
    /// The front door; messages wait until `start`.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Takes up what an earlier process left and starts the thread.
    pub fn start(
        self,
        store: Arc<dyn Store>,
        executor: Arc<dyn Executor>,
        clock: Arc<dyn Clock>,
        options: Options,
    ) -> Result<Scheduler, RecoveryError> {
        let Self { handle, inbox } = self;
        let left = if options.recover {
            recovery::unfinished(store.as_ref())?
        } else {
            Vec::new()
        };
        let Options {
            owner,
            parallelism,
            pools,
            gpus,
            queues,
            ..
        } = options;
        let parts = Parts {
            store,
            executor,
            clock,
            handle: handle.clone(),
            owner,
            parallelism,
            pools,
            gpus,
            queues,
        };
        let mut engine = Engine::new(parts);
        let work = move || {
            engine.recover_all(left);
            engine.run(&inbox);
        };
        let thread = std::thread::Builder::new()
            .name("scheduler".to_owned())
            .spawn(work)
            .map_err(RecoveryError::Thread)?;
        Ok(Scheduler {
            handle,
            thread: Some(thread),
        })
    }
}

impl Scheduler {
    /// The front door.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.handle.shutdown();
        if let Some(thread) = self.thread.take() {
            // A panic of the scheduler was reported where it happened.
            let _ = thread.join();
        }
    }
}
