//! The loop round the pure core: one thread owns every live run. A turn takes what is in the inbox and what is due, steps the
//! runs, gives out slots, and submits one batch; effects follow when the batch is durable. It decides nothing itself.

use super::batch::{Batch, Effect};
use super::codec::encode_event;
use super::expand::Evaluator;
use super::handle::Handle;
use super::live_run::LiveRun;
use super::message::{Clock, Executor, Message, Notice, Reply, SchedulerError};
use super::records::RunRow;
use super::view::RunView;
use crate::store::Store;
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::{Dispatcher, RunLimits, RunNumber, Slots, Want};
use airlock_core::ids::{DagId, PoolName, RunId, TaskIndex};
use airlock_core::run::event::{Command, Event, Input, RunHeader};
use airlock_core::run::priority::effective_weights;
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// Messages taken in one turn: bounds the size of a commit group and the wait of the first message in it.
const TURN_MESSAGES_MAX: usize = 1_024;

/// What the loop needs from outside.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) executor: Arc<dyn Executor>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) handle: Handle,
    /// Drawn once per start of the host: the owner in every fence.
    pub(super) owner: u64,
    pub(super) parallelism: u32,
    pub(super) pools: Vec<(PoolName, Slots)>,
}

/// The runs of one DAG against its `max_active_runs`.
#[derive(Default)]
struct ActiveRuns {
    running: u32,
    queued: VecDeque<RunNumber>,
}

pub(super) struct Engine {
    parts: Parts,
    dispatcher: Dispatcher,
    runs: HashMap<RunNumber, LiveRun>,
    numbers: HashMap<(DagId, RunId), RunNumber>,
    active: BTreeMap<DagId, ActiveRuns>,
    timers: BinaryHeap<Reverse<(Timestamp, RunNumber)>>,
    next_number: RunNumber,
    failure: Option<String>,
}

impl Engine {
    pub(super) fn new(parts: Parts) -> Self {
        let mut dispatcher = Dispatcher::new(parts.parallelism);
        for (name, slots) in &parts.pools {
            dispatcher.set_pool(name.clone(), *slots);
        }
        Self {
            parts,
            dispatcher,
            runs: HashMap::new(),
            numbers: HashMap::new(),
            active: BTreeMap::new(),
            timers: BinaryHeap::new(),
            next_number: 1,
            failure: None,
        }
    }

    /// Turns until shutdown or until every sender is gone.
    pub(super) fn run(mut self, inbox: &Receiver<Message>) {
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
            }
            self.end_turn(batch);
            if stop {
                return;
            }
        }
    }

    fn end_turn(&mut self, mut batch: Batch) {
        self.wake_due(&mut batch);
        self.give_out_slots(&mut batch);
        if !batch.is_empty() {
            batch.submit(&self.parts.store, &self.parts.executor, &self.parts.handle);
        }
    }

    /// How long nothing is due: an hour at most, so that a clock that was set is noticed.
    fn until_next_timer(&self) -> Duration {
        let hour = Duration::from_hours(1);
        let Some(Reverse((at, _))) = self.timers.peek() else {
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
                reply,
            } => self.trigger(dag, dag_version, *header, reply, batch),
            Message::Cancel {
                dag_id,
                run_id,
                reason,
                reply,
            } => {
                let result = self
                    .number(&dag_id, &run_id)
                    .and_then(|run| self.step(run, Input::Cancel { reason }, batch));
                batch.effect(Effect::Reply(reply, result));
            }
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
            Message::Finish {
                run,
                ti,
                fence,
                outcome,
            } => {
                // An outcome that is refused was told where it was refused.
                let _ = self.step(run, Input::Finish { ti, fence, outcome }, batch);
            }
            Message::SetPool { name, slots, reply } => {
                self.dispatcher.set_pool(name, slots);
                self.dispatcher.unpark_all();
                batch.effect(Effect::Reply(reply, Ok(())));
            }
            Message::Watch {
                dag_id,
                run_id,
                notices,
                reply,
            } => {
                let _ = reply.send(self.watch(&dag_id, &run_id, notices));
            }
            Message::Failed(reason) => self.fail(reason),
            Message::Shutdown => {}
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
        dag_id: &DagId,
        run_id: &RunId,
        notices: tokio::sync::mpsc::UnboundedSender<Notice>,
    ) -> Result<DagRunState, SchedulerError> {
        let number = self.number(dag_id, run_id)?;
        let Some(run) = self.runs.get_mut(&number) else {
            return Err(SchedulerError::Stopped);
        };
        run.watchers.push(notices);
        Ok(run.row.state)
    }

    fn trigger(
        &mut self,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        header: RunHeader,
        reply: Reply<()>,
        batch: &mut Batch,
    ) {
        let id = (dag.dag_id.clone(), header.run_id.clone());
        if let Some(error) = self.refusal(&id) {
            return batch.effect(Effect::Reply(reply, Err(error)));
        }
        let now = self.parts.clock.now();
        let (state, event) = RunState::queue(dag.clone(), header.clone(), dag_version, now);
        let row = RunRow::new(&dag, &header, dag_version, now);
        let number = self.adopt(state, RunView::new(self.next_number, dag, header), row, 0);
        self.record(number, &[event], batch);
        if let Some(run) = self.runs.get(&number) {
            batch.run_row(number, &run.row);
            batch.new_run(number, &run.row);
        }
        batch.effect(Effect::Reply(reply, Ok(())));
        self.start_runs(&id.0, batch);
    }

    fn refusal(&self, id: &(DagId, RunId)) -> Option<SchedulerError> {
        if let Some(reason) = &self.failure {
            return Some(SchedulerError::Store(reason.clone()));
        }
        let (dag_id, run_id) = id.clone();
        self.numbers
            .contains_key(id)
            .then_some(SchedulerError::Conflict { dag_id, run_id })
    }

    /// Takes a run into memory; its state may be fresh or replayed.
    fn adopt(&mut self, state: RunState, view: RunView, row: RunRow, head: u64) -> RunNumber {
        let number = self.next_number;
        self.next_number += 1;
        let limits = run_limits(&view.dag);
        self.dispatcher.add_run(number, limits);
        self.numbers
            .insert((row.dag_id.clone(), row.run_id.clone()), number);
        let active = self.active.entry(row.dag_id.clone()).or_default();
        match row.state {
            DagRunState::Queued => active.queued.push_back(number),
            _ => active.running += 1,
        }
        let priorities = effective_weights(&view.dag);
        let run = LiveRun {
            priorities,
            state,
            view: Arc::new(view),
            row,
            head,
            watchers: Vec::new(),
        };
        self.runs.insert(number, run);
        number
    }

    /// Takes up a run that an earlier process left: what was live there is lost, what waits is waited for again.
    pub(super) fn recover(&mut self, state: RunState, header: RunHeader, row: RunRow, head: u64) {
        let dag_id = row.dag_id.clone();
        let lost = state.live_attempts();
        let commands = state.resume();
        let view = RunView::new(self.next_number, state.dag().clone(), header);
        let number = self.adopt(state, view, row, head);
        if let Some(run) = self.runs.get(&number) {
            for (ti, _) in run.state.all_instances() {
                for (key, value) in run.state.xcoms_of(ti) {
                    run.view.put(ti, key, value);
                }
            }
        }
        let mut batch = Batch::default();
        self.carry_out(number, commands, &mut batch);
        for (ti, fence) in lost {
            let _ = self.step(number, Input::Lose { ti, fence }, &mut batch);
        }
        let _ = self.step(number, Input::Wake, &mut batch);
        self.start_runs(&dag_id, &mut batch);
        self.end_turn(batch);
    }

    /// Starts queued runs of a DAG while `max_active_runs` allows.
    fn start_runs(&mut self, dag_id: &DagId, batch: &mut Batch) {
        loop {
            let Some(active) = self.active.get_mut(dag_id) else {
                return;
            };
            let Some(number) = active.queued.front().copied() else {
                return;
            };
            let limit = self
                .runs
                .get(&number)
                .map_or(0, |run| run.view.dag.max_active_runs);
            if active.running >= limit {
                return;
            }
            active.queued.pop_front();
            active.running += 1;
            let _ = self.step(number, Input::Start, batch);
        }
    }

    fn wake_due(&mut self, batch: &mut Batch) {
        let now = self.parts.clock.now();
        while let Some(Reverse((at, number))) = self.timers.peek().copied() {
            if at > now {
                return;
            }
            self.timers.pop();
            let _ = self.step(number, Input::Wake, batch);
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
        let evaluator = Evaluator {
            view: run.view.clone(),
        };
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
        self.carry_out(number, step.commands, batch);
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
            batch.run_row(number, &run.row);
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
                    if let Some(run) = self.runs.get(&number) {
                        batch.effect(Effect::Start(run.attempt(ti, try_number, fence)));
                    }
                }
                Command::Release { ti } => self.dispatcher.release(number, ti),
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
                // A want that outlived its reason is dropped when its turn comes.
                Command::Unwant { .. } => {}
            }
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
        let want = Want::new(number, run_after_ms, priority, task, range, spec.pool_slots);
        if !self.dispatcher.want(&spec.pool, want) {
            tracing::warn!(dag_id = %run.row.dag_id, task_id = %spec.task_id, pool = %spec.pool, "no such pool: the task waits until it is created");
        }
    }

    fn finished(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(run) = self.runs.remove(&number) else {
            return;
        };
        self.dispatcher.remove_run(number);
        let dag_id = run.row.dag_id.clone();
        self.numbers.remove(&(run.row.dag_id, run.row.run_id));
        if let Some(active) = self.active.get_mut(&dag_id) {
            // A run that was cancelled while queued never counted as running.
            let before = active.queued.len();
            active.queued.retain(|queued| *queued != number);
            if before == active.queued.len() {
                active.running = active.running.saturating_sub(1);
            }
        }
        self.start_runs(&dag_id, batch);
    }
}

fn run_limits(dag: &Dag) -> RunLimits {
    let per_task = dag
        .tasks
        .iter()
        .zip(0..)
        .filter_map(|(task, index)| Some((TaskIndex(index), task.max_active_tis_per_dagrun?)));
    RunLimits {
        max_active_tasks: dag.max_active_tasks,
        per_task: per_task.collect(),
    }
}
