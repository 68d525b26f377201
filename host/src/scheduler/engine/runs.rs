//! The life of a run in this process: recorded, taken up, started when its limits allow, let go when it has ended.

use super::Engine;
use crate::scheduler::batch::{Batch, Effect};
use crate::scheduler::codec::decode_row;
use crate::scheduler::live_run::LiveRun;
use crate::scheduler::message::{Message, Reply, SchedulerError};
use crate::scheduler::records::{DagRow, RunRow};
use crate::scheduler::recovery::ReplayedRun;
use crate::scheduler::stored::run_row;
use crate::scheduler::view::RunView;
use crate::store::Table;
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::{RunLimits, RunNumber};
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::{Input, RunHeader};
use airlock_core::run::priority::effective_weights;
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

/// The unfinished runs of one DAG against its limits.
#[derive(Default)]
pub(super) struct Active {
    /// Running, without those of backfills.
    pub(super) running: u32,
    /// Running, by backfill.
    pub(super) of_backfills: BTreeMap<u64, u32>,
    pub(super) queued: VecDeque<RunNumber>,
}

impl Active {
    pub(super) fn running_with(&self, backfill_id: Option<u64>) -> u32 {
        match backfill_id {
            Some(id) => self.of_backfills.get(&id).copied().unwrap_or(0),
            None => self.running,
        }
    }

    fn started(&mut self, backfill_id: Option<u64>) {
        match backfill_id {
            Some(id) => *self.of_backfills.entry(id).or_default() += 1,
            None => self.running += 1,
        }
    }

    fn ended(&mut self, backfill_id: Option<u64>) {
        let Some(id) = backfill_id else {
            self.running = self.running.saturating_sub(1);
            return;
        };
        if let Some(running) = self.of_backfills.get_mut(&id) {
            *running = running.saturating_sub(1);
            if *running == 0 {
                self.of_backfills.remove(&id);
            }
        }
    }
}

impl Engine {
    pub(super) fn trigger(
        &mut self,
        (dag, dag_version): (Arc<Dag>, [u8; 32]),
        mut header: RunHeader,
        trace_parent: String,
        reply: Reply<()>,
        batch: &mut Batch,
    ) {
        if self.some_run_is_going(&dag.dag_id) {
            // It may be the one with this id or date. Ask again when it is gone, or stays.
            let header = Box::new(header);
            return self.parts.handle.again(Message::Trigger {
                dag,
                dag_version,
                header,
                trace_parent,
                reply,
            });
        }
        if let Err(error) = self.check_free(&dag.dag_id, &header) {
            return batch.effect(Effect::Reply(reply, Err(error)));
        }
        header.deadlines = self.deadlines_of(&dag, header.logical_date);
        let number = self.record_run(dag, dag_version, header, batch);
        if let Some(run) = self.runs.get_mut(&number)
            && !trace_parent.is_empty()
        {
            run.row.trace_parent = trace_parent;
            batch.run_row(&run.row);
        }
        batch.effect(Effect::Reply(reply, Ok(())));
    }

    /// Records a run whose id and logical date are free, and starts it if it may.
    pub(super) fn record_run(
        &mut self,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        header: RunHeader,
        batch: &mut Batch,
    ) -> RunNumber {
        let now = self.parts.clock.now();
        let dag_id = dag.dag_id.clone();
        let (state, event) = RunState::queue(dag.clone(), header.clone(), dag_version, now);
        let row = RunRow::new(&dag, &header, dag_version, now);
        let number = self.adopt(state, RunView::new(self.next_number, dag, header), row, 0);
        self.record(number, &[event], batch);
        if let Some(run) = self.runs.get(&number) {
            batch.run_row(&run.row);
            batch.new_run(&run.row);
            // Its SLAs and deadlines count while it is queued.
            if let Some(at) = run.state.next_timer() {
                self.timers.push(Reverse((at, number)));
            }
        }
        self.start_runs(&dag_id, batch);
        number
    }

    /// Whether a run may be recorded: its id and its logical date are free. Whoever asks for one has looked before, but
    /// another run may have come and ended since.
    fn check_free(&self, dag_id: &DagId, header: &RunHeader) -> Result<(), SchedulerError> {
        if let Some(reason) = &self.failure {
            return Err(SchedulerError::Store(reason.clone()));
        }
        let conflict = |run_id: RunId| SchedulerError::Conflict {
            dag_id: dag_id.clone(),
            run_id,
        };
        if self.is_taken(dag_id, &header.run_id) {
            return Err(conflict(header.run_id.clone()));
        }
        let existing = header.logical_date.map(|date| self.existing(dag_id, date));
        match existing.flatten() {
            Some(existing) => Err(conflict(existing.run_id)),
            None => Ok(()),
        }
    }

    /// Whether a run with this id is in memory or in the store.
    pub(super) fn is_taken(&self, dag_id: &DagId, run_id: &RunId) -> bool {
        let id = (dag_id.clone(), run_id.clone());
        self.numbers.contains_key(&id)
            || !matches!(run_row(self.parts.store.as_ref(), dag_id, run_id), Ok(None))
    }

    /// Takes a run into memory; its state may be fresh or replayed.
    pub(super) fn adopt(
        &mut self,
        state: RunState,
        view: RunView,
        row: RunRow,
        head: u64,
    ) -> RunNumber {
        let number = self.next_number;
        self.next_number += 1;
        self.dispatcher.add_run(number, RunLimits::of(&view.dag));
        let dag_id = row.dag_id.clone();
        self.numbers
            .insert((dag_id.clone(), row.run_id.clone()), number);
        if let Some(date) = row.logical_date {
            self.dates.insert((dag_id.clone(), date), number);
        }
        let is_counted = !row.state.is_finished();
        let active = self.active.entry(dag_id).or_default();
        match row.state {
            DagRunState::Queued => active.queued.push_back(number),
            DagRunState::Running => active.started(row.backfill_id),
            // Looked at or changed after its end.
            DagRunState::Success | DagRunState::Failed => {}
        }
        let run = LiveRun {
            priorities: effective_weights(&view.dag),
            state,
            view: Arc::new(view),
            row,
            head,
            is_counted,
            closings: 0,
            watchers: Vec::new(),
            tries: BTreeMap::new(),
        };
        self.runs.insert(number, run);
        self.follow_past(number);
        number
    }

    /// Takes a run into memory as its events say, with the values that its attempts may read.
    pub(super) fn adopt_replayed(
        &mut self,
        state: RunState,
        header: RunHeader,
        row: RunRow,
        head: u64,
    ) -> RunNumber {
        let view = RunView::new(self.next_number, state.dag().clone(), header);
        let number = self.adopt(state, view, row, head);
        if let Some(run) = self.runs.get(&number) {
            for (ti, _) in run.state.all_instances() {
                for (key, value) in run.state.xcoms_of(ti) {
                    run.view.put(ti, key, value);
                }
                run.follow_answer(ti);
            }
        }
        number
    }

    /// Takes up the runs that an earlier process left: what was live there is lost, what waits is waited for again. All are in
    /// memory before one goes on, so that limits over runs count them all.
    pub(in crate::scheduler) fn recover_all(&mut self, left: Vec<ReplayedRun>) {
        let mut taken = Vec::with_capacity(left.len());
        let mut dag_ids = BTreeSet::new();
        for run in left {
            let (lost, commands) = (run.state.live_attempts(), run.state.resume());
            dag_ids.insert(run.row.dag_id.clone());
            let number = self.adopt_replayed(run.state, run.header, run.row, run.head);
            self.hold_deferred(number);
            taken.push((number, lost, commands));
        }
        for dag_id in &dag_ids {
            self.learn_pause(dag_id);
        }
        let mut batch = Batch::default();
        for (number, lost, commands) in taken {
            self.carry_out(number, commands, &mut batch);
            for (ti, fence) in lost {
                let _ = self.step(number, Input::Lose { ti, fence }, &mut batch);
            }
            let _ = self.step(number, Input::Wake, &mut batch);
            self.check_past(number, &mut batch);
            self.submit_if_full(&mut batch);
        }
        for dag_id in dag_ids {
            self.start_runs(&dag_id, &mut batch);
            self.submit_if_full(&mut batch);
        }
        self.end_turn(batch);
    }

    /// Whether a DAG is paused is known before the service reads the DAGs: its runs must not go on until then.
    fn learn_pause(&mut self, dag_id: &DagId) {
        let key = dag_id.as_str().as_bytes();
        let row = match self.parts.store.get(Table::Dag, key) {
            Ok(row) => row.map(|row| decode_row::<DagRow>(&row.value)),
            Err(error) => {
                return tracing::error!(%dag_id, %error, "whether the DAG is paused cannot be read");
            }
        };
        if let Some(Ok(row)) = row {
            self.dispatcher.set_paused(dag_id, row.is_paused);
        }
    }

    /// Slots that the deferred task instances of a run have kept.
    pub(super) fn hold_deferred(&mut self, number: RunNumber) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let deferred = [
            TaskInstanceState::Deferred,
            TaskInstanceState::AwaitingInput,
        ];
        if deferred
            .iter()
            .all(|state| run.state.totals().get(*state) == 0)
        {
            return;
        }
        for (ti, instance) in run.state.all_instances() {
            let Some(task) = run.view.dag.task(ti.task) else {
                continue;
            };
            if deferred.contains(&instance.state()) {
                self.dispatcher
                    .hold_deferred(number, ti, &task.pool, task.pool_slots);
            }
        }
    }

    /// Starts queued runs of a DAG, the first one first, as far as its limits allow.
    /// A process that gives out no slots starts none: somebody else is to carry them out.
    pub(super) fn start_runs(&mut self, dag_id: &DagId, batch: &mut Batch) {
        if self.parts.parallelism == 0 {
            return;
        }
        while let Some(number) = self.next_to_start(dag_id) {
            if let Some(active) = self.active.get_mut(dag_id) {
                active.queued.retain(|queued| *queued != number);
                let backfill_id = self.runs.get(&number).and_then(|run| run.row.backfill_id);
                active.started(backfill_id);
            }
            let _ = self.step(number, Input::Start, batch);
        }
    }

    fn next_to_start(&self, dag_id: &DagId) -> Option<RunNumber> {
        let active = self.active.get(dag_id)?;
        let mut blocked: Vec<Option<u64>> = Vec::new();
        for number in &active.queued {
            let Some(run) = self.runs.get(number) else {
                continue;
            };
            let backfill_id = run.row.backfill_id;
            // Behind a run that may not start no other of its kind may: they go in order.
            if blocked.contains(&backfill_id) {
                continue;
            }
            let running = active.running_with(backfill_id);
            let may_start = match self.dags.get(dag_id) {
                Some(live) => live
                    .schedule
                    .may_start(&live.dag, backfill_id, running)
                    .is_ok(),
                // How many runs a backfill may have at once is known to its schedule, so to a service, alone.
                None => {
                    backfill_id.is_none()
                        && !self.dispatcher.is_paused(dag_id)
                        && running < run.view.dag.max_active_runs
                }
            };
            if may_start {
                return Some(*number);
            }
            blocked.push(backfill_id);
        }
        None
    }

    /// A run has ended: its slots are free, its DAG may make or start the next one.
    pub(super) fn finished(&mut self, number: RunNumber, batch: &mut Batch) {
        self.tell_followers(number, batch);
        self.closing(number, batch);
        self.dispatcher.remove_run(number);
        let ended = self.runs.get(&number).map(|run| run.row.clone());
        if let Some(row) = ended.filter(|row| row.state == DagRunState::Success) {
            self.remember_duration(&row);
        }
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        run.watchers.clear();
        let is_counted = std::mem::take(&mut run.is_counted);
        let RunRow {
            dag_id,
            run_id,
            state,
            backfill_id,
            ..
        } = run.row.clone();
        // An ended run that a person marked ends once more; its DAG has heard of its end before.
        if !is_counted {
            return;
        }
        if let Some(active) = self.active.get_mut(&dag_id) {
            // A run that was cancelled while queued never counted as running.
            let before = active.queued.len();
            active.queued.retain(|queued| *queued != number);
            if before == active.queued.len() {
                active.ended(backfill_id);
            }
        }
        self.schedule_run_ended(&dag_id, &run_id, state, batch);
        self.start_runs(&dag_id, batch);
    }

    /// Forgets a run; the store has it.
    pub(super) fn let_go(&mut self, number: RunNumber) -> Option<LiveRun> {
        let run = self.runs.remove(&number)?;
        self.dispatcher.remove_run(number);
        self.numbers
            .remove(&(run.row.dag_id.clone(), run.row.run_id.clone()));
        if let Some(date) = run.row.logical_date {
            self.dates.remove(&(run.row.dag_id.clone(), date));
        }
        self.forget_past(number);
        Some(run)
    }
}
