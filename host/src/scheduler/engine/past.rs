//! `depends_on_past`: what the run before a run left, told to the run that waits for it. It refuses to decide what counts as
//! good enough: the state machine of the earlier run answers that.

use super::Engine;
use crate::scheduler::batch::Batch;
use crate::scheduler::queries::{latest_run_before, latest_scheduled_run_before};
use crate::scheduler::records::RunRow;
use crate::scheduler::recovery::replay_run;
use crate::scheduler::stored::run_row;
use airlock_core::dag::spec::{Dag, Task};
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{DagId, RunId, TaskIndex};
use airlock_core::run::PastAnswer;
use airlock_core::run::event::{Input, RunType};
use airlock_core::run::state::RunState;
use std::collections::{BTreeSet, HashMap};

/// Which run comes before which.
#[derive(Default)]
pub(super) struct Past {
    /// The run before a live run that asks about it; `None` where there is none.
    previous: HashMap<RunNumber, Option<RunId>>,
    /// The live runs that ask about a run.
    followers: HashMap<(DagId, RunId), BTreeSet<RunNumber>>,
}

impl Past {
    /// The run before a live run that asks about it.
    pub(super) fn previous(&self, number: RunNumber) -> Option<&RunId> {
        self.previous.get(&number)?.as_ref()
    }

    /// Whether a live run asks about this one.
    pub(super) fn is_followed(&self, id: &(DagId, RunId)) -> bool {
        self.followers.contains_key(id)
    }
}

fn asks(dag: &Dag) -> bool {
    dag.tasks.iter().any(|task| task.depends_on_past)
}

impl Engine {
    /// Finds the run before a run that was just taken into memory.
    pub(super) fn follow_past(&mut self, number: RunNumber) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        if !asks(&run.view.dag) || run.view.header.ignore_depends_on_past {
            return;
        }
        let (dag_id, catchup) = (run.row.dag_id.clone(), run.view.dag.catchup);
        let row = run.row.clone();
        let previous = self.run_before(&row, catchup);
        if let Some(previous) = &previous {
            let followers = self.past.followers.entry((dag_id, previous.clone()));
            followers.or_default().insert(number);
        }
        self.past.previous.insert(number, previous);
    }

    /// With catchup the previous run that the timetable made, else the previous one of any type.
    fn run_before(&self, row: &RunRow, catchup: bool) -> Option<RunId> {
        let counts = |run: &RunRow| !catchup || run.run_type == RunType::Scheduled;
        let date = row.logical_date?;
        let from = (row.dag_id.clone(), jiff::Timestamp::MIN);
        let live = self.dates.range(from..(row.dag_id.clone(), date)).rev();
        let live = live
            .filter_map(|(_, number)| self.runs.get(number))
            .map(|run| &run.row)
            .find(|run| counts(run));
        let store = self.parts.store.as_ref();
        let stored = if catchup {
            latest_scheduled_run_before(store, &row.dag_id, date)
        } else {
            latest_run_before(store, &row.dag_id, date)
        };
        let stored = stored
            .inspect_err(|error| tracing::error!(dag_id = %row.dag_id, %error, "the run before cannot be found"))
            .ok()
            .flatten();
        let both = live.cloned().into_iter().chain(stored);
        both.max_by_key(|run| run.logical_date)
            .map(|run| run.run_id)
    }

    pub(super) fn forget_past(&mut self, number: RunNumber) {
        self.past.previous.remove(&number);
        self.past.followers.retain(|_, followers| {
            followers.remove(&number);
            !followers.is_empty()
        });
    }

    /// Something happened in a run: whoever waits for it may go on.
    pub(super) fn tell_followers(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let id = (run.row.dag_id.clone(), run.row.run_id.clone());
        let followers = self.past.followers.get(&id).cloned().unwrap_or_default();
        for follower in followers {
            self.check_past(follower, batch);
        }
    }

    /// Tells a run which of its waiting tasks the run before allows.
    pub(super) fn check_past(&mut self, number: RunNumber, batch: &mut Batch) {
        let Some(previous) = self.past.previous.get(&number).cloned() else {
            return;
        };
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let waiting: Vec<TaskIndex> = run.state.waits_for_past().collect();
        if waiting.is_empty() {
            return;
        }
        let (dag, dag_id) = (run.view.dag.clone(), run.row.dag_id.clone());
        let tasks = match previous {
            None => waiting,
            Some(run_id) => self.with_state((&dag_id, &run_id), waiting, |state, task| {
                dag.task(task).is_some_and(|task| allows(state, task))
            }),
        };
        if !tasks.is_empty() {
            let _ = self.step(number, Input::PastDependsMet { tasks }, batch);
        }
    }

    /// Looks at a run, live or replayed. A run that cannot be read allows nothing; one that is gone since stands in nobody's way.
    fn with_state(
        &self,
        (dag_id, run_id): (&DagId, &RunId),
        waiting: Vec<TaskIndex>,
        is_allowed: impl Fn(&RunState, TaskIndex) -> bool,
    ) -> Vec<TaskIndex> {
        let look = |state: &RunState, waiting: Vec<TaskIndex>| {
            let mut allowed = waiting;
            allowed.retain(|task| is_allowed(state, *task));
            allowed
        };
        let number = self.numbers.get(&(dag_id.clone(), run_id.clone()));
        if let Some(run) = number.and_then(|number| self.runs.get(number)) {
            return look(&run.state, waiting);
        }
        let store = self.parts.store.as_ref();
        match run_row(store, dag_id, run_id) {
            Ok(Some(_)) => {}
            Ok(None) => return waiting,
            Err(error) => {
                tracing::error!(%dag_id, %run_id, %error, "the run before cannot be read");
                return Vec::new();
            }
        }
        match replay_run(store, dag_id, run_id) {
            Ok(replayed) => look(&replayed.state, waiting),
            Err(error) => {
                tracing::error!(%dag_id, %run_id, %error, "the run before cannot be read");
                Vec::new()
            }
        }
    }
}

fn allows(previous: &RunState, task: &Task) -> bool {
    match previous.past_allows(&task.task_id, task.wait_for_downstream) {
        PastAnswer::Allows => true,
        PastAnswer::NotYet => false,
        PastAnswer::NoSuchTask => task.ignore_first_depends_on_past,
    }
}
