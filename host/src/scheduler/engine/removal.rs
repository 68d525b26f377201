//! Retention as the engine sees it: who asks for a run's removal is told whether it went. The engine owns every run, so a removal
//! passes here: a run that is in memory, or that one in memory looks back at, stays; what is said about a run while it goes waits
//! until it is gone. A DAG goes here too, because its schedule is the engine's. It refuses to decide which runs are old enough.

use super::Engine;
use crate::scheduler::batch::Batch;
use crate::scheduler::codec::decode_row;
use crate::scheduler::message::{Message, Removal, Reply, SchedulerError};
use crate::scheduler::records::{RunRow, runs_prefix, schedule_key};
use crate::store::{CommitError, Done, Table};
use airlock_core::ids::{DagId, RunId};

impl Engine {
    /// Submits removals, each a commit of its own; the answer says of each whether the run went.
    pub(super) fn remove_runs(&mut self, removals: Vec<Removal>, reply: Reply<Vec<bool>>) {
        if let Some(reason) = &self.failure {
            // A caller that is gone needs no answer.
            let _ = reply.send(Err(SchedulerError::Store(reason.clone())));
            return;
        }
        let (mut submitted, mut ids, mut commits) = (Vec::new(), Vec::new(), Vec::new());
        for removal in removals {
            let id = (removal.dag_id, removal.run_id);
            let may_go = !self.is_looked_at(&id) && self.removing.insert(id.clone());
            submitted.push(may_go);
            if may_go {
                ids.push(id);
                commits.push(removal.commit);
            }
        }
        let handle = self.parts.handle.clone();
        let done: Done = Box::new(move |results| {
            handle.again(Message::Removed(ids));
            let _ = reply.send(went(&submitted, results));
        });
        if commits.is_empty() {
            return done(Vec::new());
        }
        self.parts.store.submit(commits, done);
    }

    /// Forgets a DAG and removes its rows, in the commit of this turn: afterwards nothing makes runs of it.
    pub(super) fn forget_dag(
        &mut self,
        dag_id: &DagId,
        rows: Vec<(Table, Vec<u8>)>,
        batch: &mut Batch,
    ) -> Result<(), SchedulerError> {
        if let Some(reason) = &self.failure {
            return Err(SchedulerError::Store(reason.clone()));
        }
        if let Some(run_id) = self.some_run(dag_id)? {
            return Err(SchedulerError::HasRuns {
                dag_id: dag_id.clone(),
                run_id,
            });
        }
        self.dags.remove(dag_id);
        self.durations.remove(dag_id);
        self.dispatcher.set_paused(dag_id, false);
        for (table, key) in rows {
            batch.row(table, key, None);
        }
        batch.row(Table::State, schedule_key(dag_id), None);
        batch.row(Table::Dag, dag_id.as_str().as_bytes().to_vec(), None);
        Ok(())
    }

    /// A run of a DAG, in memory (what is submitted may not be readable yet) or in the store.
    fn some_run(&self, dag_id: &DagId) -> Result<Option<RunId>, SchedulerError> {
        let live = self.numbers.keys().find(|(other, _)| other == dag_id);
        if let Some((_, run_id)) = live {
            return Ok(Some(run_id.clone()));
        }
        let failed = |error: &dyn std::fmt::Display| SchedulerError::Store(error.to_string());
        let store = self.parts.store.as_ref();
        let rows = store.scan(Table::Run, &runs_prefix(dag_id), None, 1);
        let row = rows.map_err(|error| failed(&error))?.into_iter().next();
        let row = row.map(|row| decode_row::<RunRow>(&row.value)).transpose();
        Ok(row.map_err(|error| failed(&error))?.map(|row| row.run_id))
    }

    /// These are gone, or stay.
    pub(super) fn removed(&mut self, ids: &[(DagId, RunId)]) {
        for id in ids {
            self.removing.remove(id);
        }
    }

    fn is_looked_at(&self, id: &(DagId, RunId)) -> bool {
        self.numbers.contains_key(id) || self.past.is_followed(id)
    }

    /// Whether a run is on its way out. Soon it is gone, or stays as it was.
    pub(super) fn is_going(&self, dag_id: &DagId, run_id: &RunId) -> bool {
        !self.removing.is_empty() && self.removing.contains(&(dag_id.clone(), run_id.clone()))
    }

    /// The same of any run of a DAG.
    pub(super) fn some_run_is_going(&self, dag_id: &DagId) -> bool {
        self.removing.iter().any(|(other, _)| other == dag_id)
    }
}

/// Of each run that was to go, whether it went. One that changed since somebody looked at it stays.
fn went<T>(
    submitted: &[bool],
    results: Vec<Result<T, CommitError>>,
) -> Result<Vec<bool>, SchedulerError> {
    let mut results = results.into_iter();
    let one = |submitted: &bool| {
        if !submitted {
            return Ok(false);
        }
        match results.next() {
            Some(Ok(_)) => Ok(true),
            Some(Err(CommitError::WrongVersion { .. })) | None => Ok(false),
            Some(Err(error)) => Err(SchedulerError::Store(error.to_string())),
        }
    };
    submitted.iter().map(one).collect()
}
