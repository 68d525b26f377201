//! A search: one matrix, many settings. On the processor each variant is a run of its own, `parallel` of them at a time; a device may
//! take all variants of trees at once through [`crate::rounds::drive`].

use super::crew::{Crew, Work};
use super::{Run, check_threads, work};
use crate::config::Config;
use crate::data::Matrix;
use crate::error::TrainError;
use std::sync::Arc;

/// Most variants of one search.
pub const MAX_VARIANTS: usize = 4_096;

/// Most variants that train at once on a card: its grid holds so many of them with the most classes, and more would be no faster.
const BATCH_MAX: usize = 64;

/// Starts a run for each of `configs`, in their order, `parallel` at a time with `threads` threads split between them (one each at
/// least). Each is byte for byte what [`super::start`] would train. A variant that cannot be trained has its own error.
/// On cards all variants that fit train at once, whatever `parallel` says.
///
/// # Errors
/// What concerns all of them: [`TrainError::Invalid`] for numbers out of range, [`TrainError::WorkerLost`] where the system gives no
/// thread.
pub fn start_search(
    train: &Arc<Matrix>,
    valid: Option<&Arc<Matrix>>,
    configs: Vec<Config>,
    threads: usize,
    parallel: usize,
) -> Result<Vec<Result<Run, TrainError>>, TrainError> {
    check_threads(threads)?;
    if parallel == 0 || configs.len() > MAX_VARIANTS {
        return Err(TrainError::Invalid(format!(
            "a search of {} variants, {parallel} at a time; it has at most {MAX_VARIANTS}, and one at a time at least",
            configs.len()
        )));
    }
    let checked: Vec<Result<Work, TrainError>> = configs
        .into_iter()
        .map(|config| work(train, valid, config))
        .collect();
    let mut line: Vec<Vec<Work>> = Vec::with_capacity(checked.len());
    let mut variants = Vec::with_capacity(checked.len());
    for work in checked {
        variants.push(work.map(|work| {
            let shared = Arc::clone(&work.shared);
            join(&mut line, work);
            shared
        }));
    }
    let places = parallel.min(line.len());
    let crew = Arc::new(Crew::begin(line, &split(threads, places))?);
    let run = |shared| Run {
        shared,
        _crew: Arc::clone(&crew),
    };
    Ok(variants.into_iter().map(|shared| shared.map(run)).collect())
}

/// Puts a run into the line: with others on the same cards, which take all of them at once, or by itself.
fn join(line: &mut Vec<Vec<Work>>, work: Work) {
    let joins = |other: &Work| work.goes_with(other);
    let has_room = |batch: &&mut Vec<Work>| batch.len() < BATCH_MAX;
    let mut batches = line.iter_mut().filter(has_room);
    let batch = batches.find(|batch| batch.first().is_some_and(joins));
    match batch {
        Some(batch) => batch.push(work),
        None => line.push(vec![work]),
    }
}

/// Threads of each of `places`, one at least, the first ones the odd ones more.
fn split(threads: usize, places: usize) -> Vec<usize> {
    let (each, more) = (threads / places.max(1), threads % places.max(1));
    (0..places)
        .map(|place| (each + usize::from(place < more)).max(1))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_split_evenly_and_each_place_has_one() {
        assert_eq!(split(4, 2), [2, 2]);
        assert_eq!(split(5, 2), [3, 2]);
        assert_eq!(split(2, 4), [1, 1, 1, 1]);
        assert!(split(2, 0).is_empty());
    }
}
