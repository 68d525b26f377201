//! Why a task instance does not run: gathers the facts for the pure core, which says it in words.

use super::Engine;
use crate::scheduler::message::SchedulerError;
use airlock_core::dispatch::RunNumber;
use airlock_core::failed_deps::{Facts, FailedDep, PastDepends, failed_deps};
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::DagRunState;

impl Engine {
    pub(super) fn failed_deps(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &str,
        map_index: i32,
    ) -> Result<Vec<FailedDep>, SchedulerError> {
        self.look(dag_id, run_id, |run, number| {
            let unknown =
                || SchedulerError::Refused(format!("dag {dag_id} has no task {task_id:?}"));
            let task = run.dag().find(task_id).ok_or_else(unknown)?;
            let ti = TaskInstanceKey { task, map_index };
            let live = self.dags.get(dag_id);
            let name = |number: RunNumber, ti: TaskInstanceKey| self.name(number, ti);
            let facts = Facts {
                run,
                number,
                dispatcher: &self.dispatcher,
                name: &name,
                not_started: number.and_then(|number| self.not_started(dag_id, number, run)),
                is_paused: live.is_some_and(|live| live.schedule.is_paused()),
                past: self.past_of(dag_id, number, run, ti),
                now: self.parts.clock.now(),
            };
            Ok(failed_deps(&facts, ti))
        })?
    }

    fn not_started(
        &self,
        dag_id: &DagId,
        number: RunNumber,
        run: &RunState,
    ) -> Option<airlock_core::schedule::NotStarted> {
        if run.state() != DagRunState::Queued {
            return None;
        }
        let (live, active) = (self.dags.get(dag_id)?, self.active.get(dag_id)?);
        let backfill_id = self.runs.get(&number)?.row.backfill_id;
        let running = active.running_with(backfill_id);
        live.schedule
            .may_start(&live.dag, backfill_id, running)
            .err()
    }

    fn past_of(
        &self,
        dag_id: &DagId,
        number: Option<RunNumber>,
        run: &RunState,
        ti: TaskInstanceKey,
    ) -> PastDepends {
        let waits = run.waits_for_past().any(|task| task == ti.task);
        let previous = number.and_then(|number| self.past.previous(number));
        let (true, Some(run_id), Some(task)) = (waits, previous, run.dag().task(ti.task)) else {
            return PastDepends::Met;
        };
        let (task_id, run_id) = (task.task_id.clone(), run_id.clone());
        let worst = self.look(dag_id, &run_id, |previous, _| {
            let index = previous.dag().find(task_id.as_str())?;
            let states = previous
                .instances(index)
                .map(|(_, instance)| instance.state());
            states.min_by_key(|state| state.is_finished())
        });
        match worst {
            Ok(Some(state)) => PastDepends::NotMet {
                run_id,
                task_id: task_id.to_string(),
                state,
            },
            _ => PastDepends::Met,
        }
    }

    pub(super) fn name(&self, number: RunNumber, ti: TaskInstanceKey) -> String {
        let Some(run) = self.runs.get(&number) else {
            return "a run that has ended".to_owned();
        };
        let task = run.view.dag.task(ti.task);
        let task_id = task.map_or("?", |task| task.task_id.as_str());
        let name = format!("{}/{}/{task_id}", run.row.dag_id, run.row.run_id);
        match ti.map_index {
            ..0 => name,
            index => format!("{name}[{index}]"),
        }
    }
}
