//! Every attempt of a run: when it began, when and how it ended. Folded from the run's events, also of runs that were cleared;
//! those before a run went on with another version of its DAG are left out.

use super::App;
use super::rows::for_each_event;
use crate::error::UserError;
use crate::store::Seq;
use airlock_core::ids::{DagId, RunId, TaskInstanceKey};
use airlock_core::run::event::{Event, Outcome};
use jiff::Timestamp;
use serde::Serialize;

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptEnd {
    /// Well; also a branch or a short circuit that decided.
    Success,
    /// It decided to be skipped.
    Skipped,
    /// A sensor whose condition did not hold yet.
    NotYet,
    /// It will be called again.
    Deferred,
    /// It failed, and why.
    Failed(String),
    /// Its host went away.
    Lost,
}

impl AttemptEnd {
    /// One word of a list that is as long as this enum.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skipped => "skipped",
            Self::NotYet => "not_yet",
            Self::Deferred => "deferred",
            Self::Failed(_) => "failed",
            Self::Lost => "lost",
        }
    }

    /// Airflow's word for the state of a task instance whose last attempt ended so.
    pub const fn as_airflow(&self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Skipped => "skipped",
            Self::NotYet => "up_for_reschedule",
            Self::Deferred => "deferred",
            Self::Failed(_) => "failed",
            Self::Lost => "restarting",
        }
    }
}

impl From<&Outcome> for AttemptEnd {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. } => {
                Self::Success
            }
            Outcome::Skip(_) => Self::Skipped,
            Outcome::NotYet => Self::NotYet,
            Outcome::Defer(_) => Self::Deferred,
            Outcome::Error(error) => Self::Failed(error.message.clone()),
        }
    }
}

/// One attempt of a task instance.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AttemptFact {
    /// Whose.
    #[serde(skip)]
    pub ti: TaskInstanceKey,
    /// The number of its event in the run's stream.
    pub seq: Seq,
    /// Of which try, from 1; a sensor has an attempt for every poke.
    pub try_number: u32,
    /// Counts the attempts of the task instance, from 1.
    pub attempt: u32,
    /// When it began.
    pub start_date: Timestamp,
    /// When it ended; none while it is live.
    pub end_date: Option<Timestamp>,
    /// How.
    pub end: Option<AttemptEnd>,
}

impl App {
    /// Every attempt of a run, in the order in which they began.
    ///
    /// # Errors
    /// When there is no such run, or the store does not answer.
    pub fn attempt_facts(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
    ) -> Result<Vec<AttemptFact>, UserError> {
        self.run(dag_id, run_id)?;
        let mut attempts = Vec::new();
        for_each_event(self.store.as_ref(), dag_id, run_id, |seq, event| {
            follow(&mut attempts, seq, &event);
        })?;
        Ok(attempts)
    }
}

fn follow(attempts: &mut Vec<AttemptFact>, seq: Seq, event: &Event) {
    let (ti, fence, at, end) = match event {
        Event::AttemptStarted {
            ti,
            try_number,
            fence,
            at,
        } => {
            attempts.push(AttemptFact {
                ti: *ti,
                seq,
                try_number: *try_number,
                attempt: fence.attempt,
                start_date: *at,
                end_date: None,
                end: None,
            });
            return;
        }
        Event::AttemptFinished {
            ti,
            fence,
            outcome,
            at,
        } => (ti, fence, at, AttemptEnd::from(outcome)),
        Event::AttemptLost { ti, fence, at } => (ti, fence, at, AttemptEnd::Lost),
        Event::VersionChanged { .. } => {
            // Task indexes mean other tasks now.
            attempts.clear();
            return;
        }
        _ => return,
    };
    let begun = attempts.iter_mut().rev();
    let mut begun = begun.filter(|one| (one.ti, one.attempt) == (*ti, fence.attempt));
    if let Some(attempt) = begun.next() {
        attempt.end_date = Some(*at);
        attempt.end = Some(end);
    }
}
