//! What people change about runs, live or ended: clear, mark, answer, edit an XCom. A run that has ended is read back for it,
//! and let go again unless the change reopened it. It refuses to know who is allowed to.

use super::Engine;
use crate::scheduler::batch::{Batch, Effect};
use crate::scheduler::message::{
    Change, ChangedInstance, Message, Reply, SchedulerError, Selection, Version,
};
use crate::scheduler::recovery::replay_run;
use crate::scheduler::stored::{current_version, run_row};
use crate::scheduler::view::RunView;
use airlock_core::dispatch::{RunLimits, RunNumber};
use airlock_core::ids::{DagId, RunId, TaskIndex, TaskInstanceKey};
use airlock_core::run::ClearOptions;
use airlock_core::run::event::{Input, RunType};
use airlock_core::run::priority::effective_weights;
use airlock_core::run::state::RunState;
use airlock_core::schedule::ClearRun;
use airlock_core::task_instance::state::DagRunState;
use std::sync::Arc;

type Ranges = Vec<(TaskIndex, i32, i32)>;

impl Engine {
    pub(super) fn change(
        &mut self,
        dag_id: &DagId,
        run_id: &RunId,
        change: Change,
        reply: Reply<Vec<ChangedInstance>>,
        batch: &mut Batch,
    ) {
        if self.is_going(dag_id, run_id) {
            // Ask again when it is gone, or stays.
            let (dag_id, run_id) = (dag_id.clone(), run_id.clone());
            return self.parts.handle.again(Message::Change {
                dag_id,
                run_id,
                change,
                reply,
            });
        }
        let result = self.take_up(dag_id, run_id).and_then(|number| {
            let changed = self.change_run(number, change, batch);
            self.let_go_if_ended(number, batch);
            changed
        });
        batch.effect(Effect::Then(Box::new(move |durable| {
            // A caller that is gone needs no answer.
            let _ = reply.send(durable.and(result));
        })));
    }

    /// A run in memory; one that has ended is read back. What is not in memory is in the store as it is.
    pub(super) fn take_up(
        &mut self,
        dag_id: &DagId,
        run_id: &RunId,
    ) -> Result<RunNumber, SchedulerError> {
        if let Some(reason) = &self.failure {
            return Err(SchedulerError::Store(reason.clone()));
        }
        if let Some(number) = self.numbers.get(&(dag_id.clone(), run_id.clone())) {
            return Ok(*number);
        }
        if self.is_going(dag_id, run_id) {
            return Err(SchedulerError::NotFound {
                dag_id: dag_id.clone(),
                run_id: run_id.clone(),
            });
        }
        let store = self.parts.store.as_ref();
        let failed = |error: &dyn std::fmt::Display| SchedulerError::Store(error.to_string());
        if run_row(store, dag_id, run_id)
            .map_err(|error| failed(&error))?
            .is_none()
        {
            return Err(SchedulerError::NotFound {
                dag_id: dag_id.clone(),
                run_id: run_id.clone(),
            });
        }
        let run = replay_run(store, dag_id, run_id).map_err(|error| failed(&error))?;
        Ok(self.adopt_replayed(run.state, run.header, run.row, run.head))
    }

    /// Lets a run go that has ended, once that is durable.
    pub(super) fn let_go_if_ended(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        if !run.state.state().is_finished() {
            return;
        }
        self.tell_followers(number, batch);
        self.closing(number, batch);
    }

    /// A commit with a run's end, or with a change after it, is on its way: the run stays in memory until it is durable.
    pub(super) fn closing(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        run.closings += 1;
        let handle = self.parts.handle.clone();
        batch.effect(Effect::Then(Box::new(move |_| {
            handle.again(Message::Closed { run: number });
        })));
    }

    /// Such a commit is durable.
    pub(super) fn closed(&mut self, number: RunNumber) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        run.closings = run.closings.saturating_sub(1);
        if run.closings == 0 && run.state.state().is_finished() {
            self.let_go(number);
        }
    }

    fn change_run(
        &mut self,
        number: RunNumber,
        change: Change,
        batch: &mut Batch,
    ) -> Result<Vec<ChangedInstance>, SchedulerError> {
        match change {
            Change::Clear {
                selection,
                dry_run,
                version,
            } => self.clear(number, &selection, dry_run, version, batch),
            Change::Mark {
                selection,
                state,
                by,
            } => {
                let instances = self.selected(number, &selection, false)?;
                let changed = self.listed(number, &instances);
                let input = Input::Mark {
                    instances,
                    state,
                    by,
                };
                self.step(number, input, batch).map(|()| changed)
            }
            Change::Note { note } => {
                let run = self.runs.get_mut(&number).ok_or(SchedulerError::Fenced)?;
                run.row.note = note;
                batch.run_row(&run.row);
                Ok(Vec::new())
            }
            Change::MarkRun { state, by } => {
                let input = Input::MarkRun { state, by };
                self.step(number, input, batch).map(|()| Vec::new())
            }
            Change::Answer {
                task_id,
                map_index,
                answer,
                by,
            } => {
                let ti = self.instance(number, &task_id, map_index)?;
                let input = Input::Answer { ti, answer, by };
                self.step(number, input, batch).map(|()| Vec::new())
            }
            Change::EditXCom {
                task_id,
                map_index,
                key,
                value,
                by,
            } => {
                let ti = self.instance(number, &task_id, map_index)?;
                let input = Input::EditXCom { ti, key, value, by };
                self.step(number, input, batch).map(|()| Vec::new())
            }
        }
    }

    fn clear(
        &mut self,
        number: RunNumber,
        selection: &Selection,
        dry_run: bool,
        version: Version,
        batch: &mut Batch,
    ) -> Result<Vec<ChangedInstance>, SchedulerError> {
        if version == Version::Latest && !dry_run {
            self.take_latest_version(number, batch)?;
        }
        let instances = self.selected(number, selection, true)?;
        let changed = self.listed(number, &instances);
        if !dry_run {
            self.step(number, Input::Clear { instances }, batch)?;
        }
        Ok(changed)
    }

    /// Lets a run go on with the version of its DAG that new runs take.
    fn take_latest_version(
        &mut self,
        number: RunNumber,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        let refused = |error: &dyn std::fmt::Display| SchedulerError::Refused(error.to_string());
        let Some(run) = self.runs.get(&number) else {
            return Err(SchedulerError::Fenced);
        };
        let (dag, version) = self.latest_version(&run.row.dag_id)?;
        if run.state.dag_version() == &version {
            return Ok(());
        }
        let (now, evaluator) = (
            self.parts.clock.now(),
            run.evaluator(&self.parts.store, None),
        );
        let Some(run) = self.runs.get_mut(&number) else {
            return Err(SchedulerError::Fenced);
        };
        let step = run
            .state
            .change_version(now, dag.clone(), version, &evaluator)
            .map_err(|error| refused(&error))?;
        run.row.dag_version = crate::store::Digest(version).to_string();
        self.renew_view(number, &dag);
        self.record(number, &step.events, batch);
        if let Some(run) = self.runs.get(&number) {
            batch.run_row(&run.row);
        }
        self.carry_out(number, step.commands, batch);
        Ok(())
    }

    fn latest_version(
        &self,
        dag_id: &DagId,
    ) -> Result<(Arc<airlock_core::dag::spec::Dag>, [u8; 32]), SchedulerError> {
        if let Some(live) = self.dags.get(dag_id) {
            return Ok((live.dag.clone(), live.dag_version));
        }
        let current = current_version(self.parts.store.as_ref(), dag_id);
        let current = current.map_err(|error| SchedulerError::Store(error.to_string()))?;
        let missing = || SchedulerError::Refused(format!("dag {dag_id} has no latest version"));
        current.ok_or_else(missing)
    }

    /// Task indexes mean other tasks now: what refers to them is built anew. Nothing of the run is live.
    fn renew_view(&mut self, number: RunNumber, dag: &Arc<airlock_core::dag::spec::Dag>) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        let view = RunView::new(number, dag.clone(), run.view.header.clone());
        for (ti, _) in run.state.all_instances() {
            for (key, value) in run.state.xcoms_of(ti) {
                view.put(ti, key, value);
            }
        }
        run.view = Arc::new(view);
        run.priorities = effective_weights(dag);
        self.dispatcher.remove_run(number);
        self.dispatcher.add_run(number, RunLimits::of(dag));
        self.hold_deferred(number);
    }

    /// The instances that a person named, as ranges.
    fn selected(
        &self,
        number: RunNumber,
        selection: &Selection,
        with_scope: bool,
    ) -> Result<Ranges, SchedulerError> {
        let run = self.runs.get(&number).ok_or(SchedulerError::Fenced)?;
        let dag = &run.view.dag;
        let mut tasks = Vec::new();
        for task_id in &selection.task_ids {
            let unknown = || {
                let known: Vec<&str> = dag.tasks.iter().map(|task| task.task_id.as_str()).collect();
                SchedulerError::Refused(format!(
                    "run {} of dag {} has no task {task_id:?}; it has {}",
                    run.row.run_id,
                    run.row.dag_id,
                    known.join(", ")
                ))
            };
            tasks.push(dag.find(task_id).ok_or_else(unknown)?);
        }
        if tasks.is_empty() {
            tasks = (0..).map(TaskIndex).take(dag.tasks.len()).collect();
        }
        let mut ranges = run.state.clear_set(&tasks, &selection.options);
        if !with_scope {
            let ClearOptions {
                upstream,
                downstream,
                ..
            } = selection.options;
            ranges.retain(|(task, _, _)| upstream || downstream || tasks.contains(task));
        }
        Ok(ranges)
    }

    fn listed(&self, number: RunNumber, ranges: &Ranges) -> Vec<ChangedInstance> {
        let Some(run) = self.runs.get(&number) else {
            return Vec::new();
        };
        let mut listed = Vec::new();
        for (task, from, to) in ranges {
            let task_id = run
                .view
                .dag
                .task(*task)
                .map(|task| task.task_id.to_string());
            for map_index in *from..*to {
                let ti = TaskInstanceKey {
                    task: *task,
                    map_index,
                };
                let state = run
                    .state
                    .instance(ti)
                    .map(airlock_core::run::Instance::state);
                if let (Some(task_id), Some(state)) = (task_id.clone(), state) {
                    listed.push(ChangedInstance {
                        task_id,
                        map_index,
                        state,
                    });
                }
            }
        }
        listed
    }

    pub(super) fn instance(
        &self,
        number: RunNumber,
        task_id: &str,
        map_index: i32,
    ) -> Result<TaskInstanceKey, SchedulerError> {
        let run = self.runs.get(&number).ok_or(SchedulerError::Fenced)?;
        let found = run
            .view
            .dag
            .find(task_id)
            .map(|task| TaskInstanceKey { task, map_index });
        let found = found.filter(|ti| run.state.instance(*ti).is_some());
        found.ok_or_else(|| {
            let name = if map_index < 0 {
                task_id.to_owned()
            } else {
                format!("{task_id}[{map_index}]")
            };
            SchedulerError::Refused(format!(
                "run {} of dag {} has no task instance {name}",
                run.row.run_id, run.row.dag_id
            ))
        })
    }

    /// A run had ended and is `queued` again.
    pub(super) fn reopened(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(run) = self.runs.get_mut(&number) else {
            return;
        };
        run.is_counted = true;
        self.dispatcher
            .add_run(number, RunLimits::of(&run.view.dag));
        run.row.state = DagRunState::Queued;
        run.row.end_date = None;
        run.row.reason.clear();
        batch.run_row(&run.row);
        batch.unfinished(&run.row);
        let dag_id = run.row.dag_id.clone();
        let active = self.active.entry(dag_id.clone()).or_default();
        active.queued.push_back(number);
        self.start_runs(&dag_id, batch);
    }

    /// Runs a date of a backfill again. The run keeps its params and conf.
    pub(super) fn reopen_for_backfill(
        &mut self,
        dag_id: &DagId,
        clear: &ClearRun,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        let number = self.take_up(dag_id, &clear.run_id)?;
        if clear.run_on_latest_version {
            self.take_latest_version(number, batch)?;
        }
        let Some(run) = self.runs.get_mut(&number) else {
            return Err(SchedulerError::Fenced);
        };
        run.row.run_type = RunType::Backfill;
        run.row.backfill_id = Some(clear.backfill_id);
        let all: Vec<TaskIndex> = (0..)
            .map(TaskIndex)
            .take(run.view.dag.tasks.len())
            .collect();
        let instances = run.state.clear_set(&all, &ClearOptions::default());
        self.step(number, Input::Clear { instances }, batch)?;
        self.let_go_if_ended(number, batch);
        Ok(())
    }

    /// Looks at a run, live or replayed.
    pub(super) fn look<T>(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        look: impl FnOnce(&RunState, Option<RunNumber>) -> T,
    ) -> Result<T, SchedulerError> {
        if let Some(number) = self.numbers.get(&(dag_id.clone(), run_id.clone()))
            && let Some(run) = self.runs.get(number)
        {
            return Ok(look(&run.state, Some(*number)));
        }
        let store = self.parts.store.as_ref();
        let failed = |error: &dyn std::fmt::Display| SchedulerError::Store(error.to_string());
        if run_row(store, dag_id, run_id)
            .map_err(|error| failed(&error))?
            .is_none()
        {
            return Err(SchedulerError::NotFound {
                dag_id: dag_id.clone(),
                run_id: run_id.clone(),
            });
        }
        let run = replay_run(store, dag_id, run_id).map_err(|error| failed(&error))?;
        Ok(look(&run.state, None))
    }
}
