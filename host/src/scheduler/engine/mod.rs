//! The loop round the pure core: one thread owns every live run. A turn takes what is in the inbox and what is due, steps the
//! runs, gives out slots, and submits one batch; effects follow when the batch is durable. It decides nothing itself.

mod assets;
mod backfills;
mod callbacks;
mod changes;
mod dags;
mod gpus;
mod past;
mod removal;
mod runs;
mod why;

use crate::scheduler::batch::{Batch, Effect};
use crate::scheduler::codec::encode_event;
use crate::scheduler::handle::Handle;
use crate::scheduler::live_run::LiveRun;
use crate::scheduler::message::{
    Attempt, Clock, Executor, Message, Notice, PoolSize, Reply, SchedulerError,
};
use crate::store::Store;
use airlock_core::dispatch::{Dispatcher, RunNumber, Want};
use airlock_core::gpu::{Gpu, Gpus};
use airlock_core::ids::{DagId, PoolName, RunId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{AssetEvent, Command, Event, Input};
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use dags::LiveDag;
use jiff::{SignedDuration, Timestamp};
use past::Past;
use runs::Active;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Messages taken in one turn: bounds the size of a commit group and the wait of the first message in it.
const TURN_MESSAGES_MAX: usize = 1_024;

/// What the loop needs from outside.
pub(in crate::scheduler) struct Parts {
    pub(in crate::scheduler) store: Arc<dyn Store>,
    pub(in crate::scheduler) executor: Arc<dyn Executor>,
    pub(in crate::scheduler) clock: Arc<dyn Clock>,
    pub(in crate::scheduler) handle: Handle,
    /// Drawn once per start of the host: the owner in every fence.
    pub(in crate::scheduler) owner: u64,
    pub(in crate::scheduler) parallelism: u32,
    pub(in crate::scheduler) pools: Vec<(PoolName, PoolSize)>,
    pub(in crate::scheduler) gpus: Vec<Gpu>,
    pub(in crate::scheduler) queues: Option<BTreeSet<String>>,
}

pub(in crate::scheduler) struct Engine {
    parts: Parts,
    dispatcher: Dispatcher,
    runs: HashMap<RunNumber, LiveRun>,
    numbers: HashMap<(DagId, RunId), RunNumber>,
    active: BTreeMap<DagId, Active>,
    timers: BinaryHeap<Reverse<(Timestamp, RunNumber)>>,
    dag_timers: BinaryHeap<Reverse<(Timestamp, DagId)>>,
    /// Live runs by logical date: what is submitted may not be readable yet.
    dates: BTreeMap<(DagId, Timestamp), RunNumber>,
    past: Past,
    /// How long the last successful runs took, the newest first, of DAGs whose deadlines ask for it.
    durations: BTreeMap<DagId, VecDeque<SignedDuration>>,
    /// Runs whose removal is on its way.
    removing: HashSet<(DagId, RunId)>,
    /// Asset events that no schedule has heard of, by the keys of their rows: no service has started.
    untold: BTreeMap<Vec<u8>, AssetEvent>,
    next_number: RunNumber,
    failure: Option<String>,
    /// The DAGs that runs are made of; empty until the service starts.
    dags: BTreeMap<DagId, LiveDag>,
    is_service: bool,
}

impl Engine {
    pub(in crate::scheduler) fn new(parts: Parts) -> Self {
        let mut dispatcher = Dispatcher::new(parts.parallelism);
        dispatcher.set_gpus(Gpus::new(parts.gpus.clone()));
        for (name, size) in &parts.pools {
            set_pool(&mut dispatcher, name.clone(), Some(size.clone()));
        }
        if let Some(queues) = &parts.queues {
            dispatcher.serve(queues.clone());
        }
        Self {
            parts,
            dispatcher,
            runs: HashMap::new(),
            numbers: HashMap::new(),
            active: BTreeMap::new(),
            timers: BinaryHeap::new(),
            dag_timers: BinaryHeap::new(),
            dates: BTreeMap::new(),
            past: Past::default(),
            durations: BTreeMap::new(),
            removing: HashSet::new(),
            untold: BTreeMap::new(),
            next_number: 1,
            failure: None,
            dags: BTreeMap::new(),
            is_service: false,
        }
    }

    /// Turns until shutdown or until every sender is gone.
    pub(in crate::scheduler) fn run(mut self, inbox: &Receiver<Message>) {
        loop {
            let first = match inbox.recv_timeout(self.until_next_timer()) {
                Ok(Message::Shutdown) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
            };
            let mut batch = Batch::default();
            let mut stop = false;
            for message in first
                .into_iter()
                .chain(inbox.try_iter().take(TURN_MESSAGES_MAX))
            {
                if matches!(message, Message::Shutdown) {
                    stop = true;
                    break;
                }
                self.handle(message, &mut batch);
                self.submit_if_full(&mut batch);
            }
            self.end_turn(batch);
            if stop {
                return;
            }
        }
    }

    fn end_turn(&mut self, mut batch: Batch) {
        self.wake_due(&mut batch);
        self.wake_dags(&mut batch);
        self.give_out_slots(&mut batch);
        if !batch.is_empty() {
            batch.submit(&self.parts.store, &self.parts.executor, &self.parts.handle);
        }
    }

    /// Ends a turn early that has become large. Only between inputs: what one input led to stays together.
    fn submit_if_full(&self, batch: &mut Batch) {
        if batch.is_full() {
            let full = std::mem::take(batch);
            full.submit(&self.parts.store, &self.parts.executor, &self.parts.handle);
        }
    }

    /// How long nothing is due: an hour at most, so that a clock that was set is noticed.
    fn until_next_timer(&self) -> Duration {
        let hour = Duration::from_hours(1);
        let run = self.timers.peek().map(|Reverse((at, _))| *at);
        let dag = self.dag_timers.peek().map(|Reverse((at, _))| *at);
        let Some(at) = run.into_iter().chain(dag).min() else {
            return hour;
        };
        Duration::try_from(at.duration_since(self.parts.clock.now()))
            .unwrap_or(Duration::ZERO)
            .min(hour)
    }

    fn handle(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::Trigger {
                dag,
                dag_version,
                header,
                trace_parent,
                reply,
            } => self.trigger((dag, dag_version), *header, trace_parent, reply, batch),
            of_dag @ (Message::PutDag { .. }
            | Message::ForgetDag { .. }
            | Message::StartService { .. }) => self.handle_dags(of_dag, batch),
            Message::Cancel {
                dag_id,
                run_id,
                reason,
                reply,
            } => {
                let result = self.cancel((&dag_id, &run_id), reason, batch);
                batch.effect(Effect::Reply(reply, result));
            }
            of_slots @ (Message::SetPool { .. }
            | Message::SetGpus { .. }
            | Message::Gpus { .. }) => self.handle_slots(of_slots, batch),
            Message::Watch {
                dag_id,
                run_id,
                notices,
                reply,
            } => self.watch(dag_id, run_id, notices, reply),
            Message::Change {
                dag_id,
                run_id,
                change,
                reply,
            } => self.change(&dag_id, &run_id, change, reply, batch),
            Message::Closed { run } => self.closed(run),
            Message::RemoveRuns { removals, reply } => self.remove_runs(removals, reply),
            Message::Removed(ids) => self.removed(&ids),
            Message::Backfill {
                dag_id,
                change,
                reply,
            } => self.backfill(&dag_id, change, reply, batch),
            Message::AssetUpdated { event, reply } => {
                let result = self.record_asset_update(&event, batch);
                batch.effect(Effect::Reply(reply, result));
            }
            Message::FailedDeps {
                dag_id,
                run_id,
                task_id,
                map_index,
                reply,
            } => {
                let _ = reply.send(self.failed_deps(&dag_id, &run_id, &task_id, map_index));
            }
            Message::Failed(reason) => self.fail(reason),
            Message::Shutdown => {}
            of_attempt => self.handle_attempt(of_attempt, batch),
        }
    }

    /// The DAGs that runs are made of.
    fn handle_dags(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::PutDag {
                dag,
                dag_version,
                row,
            } => self.put_dag(dag, dag_version, *row, batch),
            Message::ForgetDag {
                dag_id,
                rows,
                reply,
            } => {
                let result = self.forget_dag(&dag_id, rows, batch);
                batch.effect(Effect::Reply(reply, result));
            }
            Message::StartService { reply } => {
                let result = self.start_service(batch);
                batch.effect(Effect::Reply(reply, result));
            }
            _ => {}
        }
    }

    /// What task instances take their slots and cards from.
    fn handle_slots(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::SetPool { name, size, reply } => {
                set_pool(&mut self.dispatcher, name, size);
                batch.effect(Effect::Reply(reply, Ok(())));
            }
            Message::SetGpus { gpus, reply } => {
                self.learn_gpus(gpus);
                batch.effect(Effect::Reply(reply, Ok(())));
            }
            Message::Gpus { reply } => {
                let _ = reply.send(Ok(self.gpu_uses()));
            }
            _ => {}
        }
    }

    fn cancel(
        &mut self,
        (dag_id, run_id): (&DagId, &RunId),
        reason: String,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        let run = self.number(dag_id, run_id)?;
        self.step(run, Input::Cancel { reason }, batch)
    }

    /// What attempts say and ask; a stale fence is dropped by the run.
    fn handle_attempt(&mut self, message: Message, batch: &mut Batch) {
        match message {
            Message::PushXCom {
                run,
                ti,
                fence,
                key,
                value,
                reply,
            } => {
                let push = Input::PushXCom {
                    ti,
                    fence,
                    key,
                    value,
                };
                let result = self.step(run, push, batch);
                batch.effect(Effect::Reply(reply, result));
            }
            Message::RequestInput {
                run,
                ti,
                fence,
                request,
                reply,
            } => {
                let ask = Input::RequestInput { ti, fence, request };
                let result = self.step(run, ask, batch);
                batch.effect(Effect::Reply(reply, result));
            }
            Message::Render {
                run,
                ti,
                fence,
                fields,
            } => {
                // What is refused is only not shown.
                let _ = self.step(run, Input::Render { ti, fence, fields }, batch);
            }
            Message::Use {
                run,
                ti,
                fence,
                used,
            } => {
                let _ = self.step(run, Input::Use { ti, fence, used }, batch);
            }
            Message::Finish {
                run,
                ti,
                fence,
                outcome,
            } => {
                // An outcome that is refused was told where it was refused.
                let _ = self.step(run, Input::Finish { ti, fence, outcome }, batch);
            }
            Message::Report { run, ti, message } => {
                if let Some(run) = self.runs.get(&run) {
                    run.report(ti, message);
                }
            }
            Message::Lose { run, ti, fence } => {
                // An attempt that is over already was not lost.
                let _ = self.step(run, Input::Lose { ti, fence }, batch);
            }
            _ => {}
        }
    }

    /// Nothing can be made durable any more: no new attempts, and nobody waits for what will not come.
    fn fail(&mut self, reason: String) {
        if self.failure.is_some() {
            return;
        }
        tracing::error!(reason, "the store failed: nothing more is acknowledged");
        self.failure = Some(reason);
        for run in self.runs.values_mut() {
            run.watchers.clear();
        }
    }

    fn number(&self, dag_id: &DagId, run_id: &RunId) -> Result<RunNumber, SchedulerError> {
        let not_found = || SchedulerError::NotFound {
            dag_id: dag_id.clone(),
            run_id: run_id.clone(),
        };
        self.numbers
            .get(&(dag_id.clone(), run_id.clone()))
            .copied()
            .ok_or_else(not_found)
    }

    fn watch(
        &mut self,
        dag_id: DagId,
        run_id: RunId,
        notices: tokio::sync::mpsc::UnboundedSender<Notice>,
        reply: Reply<DagRunState>,
    ) {
        let number = self.number(&dag_id, &run_id);
        let run = number.clone().map(|number| self.runs.get_mut(&number));
        if let Ok(Some(run)) = &run
            && run.row.state.is_finished()
        {
            // It has ended, but the store does not say so yet. Ask again behind its last commit.
            return self.parts.handle.again(Message::Watch {
                dag_id,
                run_id,
                notices,
                reply,
            });
        }
        let state = run.and_then(|run| {
            let run = run.ok_or(SchedulerError::Stopped)?;
            run.watchers.push(notices);
            Ok(run.row.state)
        });
        // A caller that is gone needs no answer.
        let _ = reply.send(state);
    }

    fn wake_due(&mut self, batch: &mut Batch) {
        let now = self.parts.clock.now();
        while let Some(Reverse((at, number))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let _ = self.step(number, Input::Wake, batch);
            self.submit_if_full(batch);
        }
    }

    fn give_out_slots(&mut self, batch: &mut Batch) {
        if self.failure.is_some() {
            return;
        }
        while let Some(admission) = self.dispatcher.admit_next() {
            let wanted = self
                .runs
                .get(&admission.run)
                .is_some_and(|run| run.wants_slots(admission.ti));
            if wanted {
                let _ = self.step(
                    admission.run,
                    Input::Admit {
                        ti: admission.ti,
                        owner: self.parts.owner,
                    },
                    batch,
                );
            } else {
                self.dispatcher.release(admission.run, admission.ti);
            }
            self.submit_if_full(batch);
        }
    }

    /// Steps a run. An input that is stale or makes no sense changes nothing.
    fn step(
        &mut self,
        number: RunNumber,
        input: Input,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        let now = self.parts.clock.now();
        let Some(run) = self.runs.get_mut(&number) else {
            return Err(SchedulerError::Fenced);
        };
        // A host that died too often ends a try as well.
        let before = match &input {
            Input::Finish { ti, .. } | Input::Lose { ti, .. } => run
                .state
                .instance(*ti)
                .map(airlock_core::run::Instance::state),
            _ => None,
        };
        let head = run.head;
        let ends = match &input {
            Input::Finish { ti, .. } => Some(*ti),
            _ => None,
        };
        let evaluator = run.evaluator(&self.parts.store, ends);
        let step = match run.state.step(now, input, &evaluator) {
            Ok(step) => step,
            Err(error) => {
                tracing::warn!(dag_id = %run.row.dag_id, run_id = %run.row.run_id, %error, "input refused");
                return Err(SchedulerError::Refused(error.to_string()));
            }
        };
        if step.stale {
            tracing::info!(dag_id = %run.row.dag_id, run_id = %run.row.run_id, "outcome of an old attempt dropped");
            return Err(SchedulerError::Fenced);
        }
        self.record(number, &step.events, batch);
        self.emit_assets(number, &step.events, batch);
        self.emit_callbacks(number, head, &step.events, before, batch);
        self.carry_out(number, step.commands, batch);
        if !step.events.is_empty() {
            self.check_past(number, batch);
            self.tell_followers(number, batch);
        }
        Ok(())
    }

    /// Writes events that the state has applied into the batch.
    fn record(&mut self, number: RunNumber, events: &[Event], batch: &mut Batch) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let head = run.head;
        let mut row_changed = false;
        for event in events {
            row_changed |= run.follow(event);
            match encode_event(event) {
                Ok(payload) => batch.event(number, &run.row, head, payload),
                Err(error) => tracing::error!(%error, "an event cannot be encoded"),
            }
            if !run.watchers.is_empty()
                && let Some(notice) = run.notice(event)
            {
                for watcher in &run.watchers {
                    batch.effect(Effect::Notify(watcher.clone(), notice.clone()));
                }
            }
        }
        run.head += events.len() as u64;
        if row_changed {
            batch.run_row(&run.row);
        }
    }

    fn carry_out(&mut self, number: RunNumber, commands: Vec<Command>, batch: &mut Batch) {
        for command in commands {
            match command {
                Command::Want { task, from, to } => self.want(number, task, (from, to)),
                Command::StartAttempt {
                    ti,
                    try_number,
                    fence,
                } => {
                    let gpus = self.dispatcher.gpus_of(number, ti);
                    if let Some(run) = self.runs.get_mut(&number) {
                        let attempt = run.attempt(ti, try_number, fence);
                        batch.effect(Effect::Start(Attempt { gpus, ..attempt }));
                    }
                }
                Command::Release { ti } => self.release(number, ti),
                Command::StopAttempt { ti, fence, reason } => {
                    batch.effect(Effect::Stop {
                        run: number,
                        ti,
                        fence,
                        reason,
                    });
                }
                Command::WakeAt { at } => self.timers.push(Reverse((at, number))),
                Command::RunFinished { .. } => self.finished(number, batch),
                Command::RunReopened => self.reopened(number, batch),
                Command::Unwant { task, from, to } => {
                    self.dispatcher.unwant(number, task, (from, to));
                }
            }
        }
    }

    /// What a deferred task instance had stays its own where its pool says so.
    fn release(&mut self, number: RunNumber, ti: TaskInstanceKey) {
        let state = self
            .runs
            .get(&number)
            .and_then(|run| run.state.instance(ti));
        match state.map(airlock_core::run::Instance::state) {
            Some(TaskInstanceState::Deferred | TaskInstanceState::AwaitingInput) => {
                self.dispatcher.defer(number, ti);
            }
            _ => self.dispatcher.release(number, ti),
        }
    }

    fn want(&mut self, number: RunNumber, task: TaskIndex, range: (i32, i32)) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let Some(spec) = run.view.dag.task(task) else {
            return;
        };
        let run_after_ms = run.row.run_after.as_millisecond();
        let priority = run
            .priorities
            .get(task.get())
            .copied()
            .unwrap_or(spec.priority_weight);
        let want = Want::new(number, run_after_ms, priority, task, range, spec.pool_slots)
            .with_gpu(spec.gpu.clone())
            .in_queue(&spec.queue);
        if !self.dispatcher.want(&spec.pool, want) {
            tracing::warn!(dag_id = %run.row.dag_id, task_id = %spec.task_id, pool = %spec.pool, "no such pool: the task waits until it is created");
        }
    }
}

fn set_pool(dispatcher: &mut Dispatcher, name: PoolName, size: Option<PoolSize>) {
    match size {
        Some(size) => {
            dispatcher.set_include_deferred(&name, size.include_deferred);
            dispatcher.set_gpu_filter(&name, size.gpus);
            dispatcher.set_pool(name, size.slots);
        }
        None => dispatcher.remove_pool(&name),
    }
}
