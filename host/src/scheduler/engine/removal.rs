//! Retention as the engine sees it: who asks for a run's removal is told whether it went. The engine owns every run, so a removal
//! passes here: a run that is in memory, or that one in memory looks back at, stays; what is said about a run while it goes waits
//! until it is gone. It refuses to decide which runs are old enough.

use super::Engine;
use crate::scheduler::message::{Message, Removal, Reply, SchedulerError};
use crate::store::{CommitError, Done};
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
