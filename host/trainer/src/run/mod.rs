//! A run: training on threads of its own, heard through events, stopped between two rounds.

mod crew;
mod hearing;
mod place;
mod search;

pub use hearing::EVENTS_MAX;
pub use search::{MAX_VARIANTS, start_search};

use crate::config::{Config, Event, MAX_THREADS, RunOutcome};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::prepare;
use crate::model::Model;
use crew::{Crew, Work};
use hearing::Shared;
use place::Place;
use std::sync::Arc;
use std::time::Duration;

/// A run that was started. Dropping it cancels it and waits for its end.
pub struct Run {
    shared: Arc<Shared>,
    /// Shared by the runs of a search; the last one waits for the threads.
    _crew: Arc<Crew>,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Run")
            .field("ended", &self.shared.heard().end.is_some())
            .finish_non_exhaustive()
    }
}

/// Starts a run on `threads` threads of its own.
///
/// # Errors
/// [`TrainError::Invalid`] and [`TrainError::Data`] for settings and data that cannot be trained, [`TrainError::NoDevice`] for a
/// GPU that is not there, [`TrainError::WorkerLost`] where the system gives no thread.
pub fn start(
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    config: Config,
    threads: usize,
) -> Result<Run, TrainError> {
    #![expect(
        clippy::needless_pass_by_value,
        reason = "a run keeps its matrices: callers hand them over"
    )]
    check_threads(threads)?;
    let work = work(&train, valid.as_ref(), config)?;
    let shared = Arc::clone(&work.shared);
    Ok(Run {
        shared,
        _crew: Arc::new(Crew::begin(vec![vec![work]], &[threads])?),
    })
}

fn check_threads(threads: usize) -> Result<(), TrainError> {
    if (1..=MAX_THREADS).contains(&threads) {
        return Ok(());
    }
    Err(TrainError::Invalid(format!(
        "{threads} threads; a run has 1 to {MAX_THREADS}"
    )))
}

/// Everything that can be refused is refused here, before there is a run.
fn work(
    train: &Arc<Matrix>,
    valid: Option<&Arc<Matrix>>,
    config: Config,
) -> Result<Work, TrainError> {
    let place = Place::of(&config)?;
    let config = Arc::new(config);
    Ok(Work {
        shared: Arc::default(),
        job: prepare(Arc::clone(&config), Arc::clone(train), valid.cloned())?,
        config,
        train: Arc::clone(train),
        place,
    })
}

impl Run {
    /// The next event; none at the end of the run, or when `timeout` is over.
    pub fn next(&self, timeout: Duration) -> Option<Event> {
        self.shared.wait_for_event(timeout).events.pop_front()
    }

    /// Asks the run to end after its current round; it still yields a model.
    pub fn cancel(&self) {
        self.shared.cancel();
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// Why there is no model.
    pub fn wait(&self) -> Result<RunOutcome, TrainError> {
        let end = self.shared.wait_for_end().end.clone();
        end.unwrap_or_else(|| Err(TrainError::WorkerLost("the run never ended".to_owned())))
    }

    /// The model of a run that ended well.
    pub fn model(&self) -> Option<Arc<Model>> {
        self.shared.heard().model.clone()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.cancel();
        self.shared.abandon();
        drop(self.shared.wait_for_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_ends_the_run_and_is_told() {
        let shared = Arc::<Shared>::default();
        assert!(shared.begin());
        shared.end(crew::caught(|| panic!("a bug")));
        let run = Run {
            shared,
            _crew: Arc::new(Crew::begin(Vec::new(), &[1]).unwrap()),
        };
        assert!(matches!(run.wait(), Err(TrainError::WorkerLost(_))));
        assert_eq!(run.next(Duration::from_mins(1)), None);
        assert!(run.model().is_none());
    }
}
