//! One training as a person follows it: its tracking run, its progress, its checkpoints. The run of a try is found again by the next
//! one, which goes on from the checkpoint that is named there.

use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::tracking::{self, RunStatus};
use airlock_sdk::training::{
    self, Event, Metric, Next, Point, Run, RunOutcome, StopReason, TrainError, metric_name,
};
use std::time::{Duration, Instant};

use crate::data::{Data, Matrices};
use crate::recipe::Recipe;

/// How long one wait for an event lasts, ms: how soon a cancellation is seen.
const WAIT_MS: u32 = 100;
/// Between two lines about the progress.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// The tag of the tracking run that names the checkpoint to go on from, and the folder of its artifacts: each checkpoint has a path
/// of its own, because an artifact is never overwritten.
const CHECKPOINT: &str = "checkpoint";

/// A training and its tracking run.
pub(crate) struct Session {
    pub(crate) run: tracking::Run,
    pub(crate) recipe: Recipe,
    pub(crate) device: String,
    checkpoint: Option<String>,
    /// The first measurement: from there the time that is left is reckoned.
    first: Option<(Instant, u32)>,
    /// The last line: when, and of which round.
    told: Option<(Instant, u32)>,
}

/// What one training brought.
pub(crate) struct Trained {
    pub(crate) outcome: RunOutcome,
    /// Validation metrics, in the recipe's order.
    pub(crate) metrics: Vec<(Metric, f64)>,
}

impl Session {
    /// Finds or makes the tracking run.
    pub(crate) fn open(
        data: &Data,
        task: &Task,
        matrices: &Matrices,
        recipe: Recipe,
        name: &str,
    ) -> Result<Self, TaskError> {
        let run = tracking::Run::start(&data.experiment, name)?;
        run.params(data.params(task, matrices))?;
        run.params(recipe.params())?;
        let tags = tracking::get_run(&run.id)?.tags;
        let tagged = tags.into_iter().find(|(key, _)| key == CHECKPOINT);
        Ok(Self {
            run,
            recipe,
            device: String::new(),
            checkpoint: tagged
                .map(|(_, artifact)| artifact)
                .filter(|text| !text.is_empty()),
            first: None,
            told: None,
        })
    }

    /// What the host is told, from the checkpoint of the try before where there is one.
    pub(crate) fn settings(&self, data: &Data) -> training::Config {
        let mut settings = data.settings(&self.recipe);
        settings.resume_from.clone_from(&self.checkpoint);
        settings
    }

    /// Starts the training. A checkpoint that does not fit any more (the data or the settings changed) is left.
    pub(crate) fn start(&self, data: &Data, matrices: &Matrices) -> Result<Run, TaskError> {
        let mut settings = self.settings(data);
        let start =
            |settings: &_| training::start(&matrices.learn, Some(&matrices.valid), settings);
        if let Some(artifact) = &settings.resume_from {
            match start(&settings) {
                Ok(run) => {
                    info!("Going on from the checkpoint of the try before, {artifact}");
                    return Ok(run);
                }
                Err(TrainError::Invalid(text) | TrainError::Data(text)) => {
                    warn!("The checkpoint of the try before is not used: {text}");
                }
                Err(error) => return Err(error.into()),
            }
        }
        settings.resume_from = None;
        Ok(start(&settings)?)
    }

    /// Tells what happens until the run ends, and passes a cancellation on.
    pub(crate) fn watch(&mut self, run: &Run) -> Result<(), TaskError> {
        let mut told_to_stop = false;
        loop {
            if !told_to_stop && progress::is_cancelled() {
                warn!("Told to stop: asking the training for its last checkpoint");
                run.cancel();
                told_to_stop = true;
            }
            match training::next(run, WAIT_MS) {
                Next::Event(event) => self.take(event)?,
                Next::Quiet => {}
                Next::Ended => return Ok(()),
            }
        }
    }

    /// One thing that the run said.
    pub(crate) fn take(&mut self, event: Event) -> Result<(), TaskError> {
        match event {
            Event::Started(granted) => {
                info!(
                    "Training on {} with {} threads",
                    granted.device, granted.threads
                );
                self.device = granted.device;
            }
            Event::Progress(point) => self.measured(&point)?,
            Event::Checkpointed(artifact) => {
                // In this order: a name without its artifact would be found by the next try.
                self.run
                    .artifact(&format!("{CHECKPOINT}/{artifact}"), &artifact)?;
                debug!("Checkpoint {artifact}");
                self.run.tags([(CHECKPOINT, artifact)])?;
            }
            Event::Moved(to) => {
                warn!("The training goes on elsewhere: {to}");
                if let Some((device, _)) = to.split_once(',') {
                    device.clone_into(&mut self.device);
                }
            }
            Event::Warning(text) => warn!("{text}"),
        }
        Ok(())
    }

    fn measured(&mut self, point: &Point) -> Result<(), TaskError> {
        let name = metric_name(point.metric);
        let rounds = self.recipe.rounds.max(1);
        let now = Instant::now();
        let (began, from) = *self.first.get_or_insert((now, point.round));
        let due = self.told.is_none_or(|(at, round)| {
            let ends = point.round >= rounds && round < rounds;
            ends || now.duration_since(at) >= LINE_EVERY
        });
        if point.metric == self.recipe.metric() && due {
            self.told = Some((now, point.round));
            let valid = point.valid.unwrap_or(f64::NAN);
            let left = left(now.duration_since(began), from, point.round, rounds);
            let unit = self.recipe.unit;
            let line = format!(
                "{unit} {} of {rounds}: valid {name} {valid:.4}{left}",
                point.round
            );
            let fraction = f64::from(point.round) / f64::from(rounds);
            progress::report(fraction.min(1.0), &line);
            info!("{line}");
        }
        let metrics: Vec<tracking::Metric> = [("train", point.train), ("valid", point.valid)]
            .into_iter()
            .filter_map(|(part, value)| {
                Some(tracking::Metric {
                    key: format!("{part}_{name}"),
                    value: value?,
                    step: i64::from(point.round),
                })
            })
            .collect();
        Ok(self.run.metrics(&metrics)?)
    }

    /// How the run ended; a run that was told to stop is an error that says where the next try goes on.
    pub(crate) fn end(&self, run: &Run) -> Result<Trained, TaskError> {
        let outcome = run.wait()?;
        if outcome.reason == StopReason::Cancelled || progress::is_cancelled() {
            return Err(TaskError::transient(format!(
                "told to stop after round {}; the next try goes on from its checkpoint",
                outcome.best_round
            )));
        }
        let measured = |metric: Metric| {
            let mut points = outcome.metrics.iter().rev();
            points.find(|point| point.metric == metric)?.valid
        };
        let metrics: Vec<(Metric, f64)> = self
            .recipe
            .metrics
            .iter()
            .filter_map(|metric| Some((*metric, measured(*metric)?)))
            .collect();
        let first = metrics
            .first()
            .filter(|(metric, _)| *metric == self.recipe.metric());
        if first.is_none_or(|(_, value)| value.is_nan()) {
            return Err(TaskError::permanent(format!(
                "the training yielded no validation {}: the validation rows may hold one class only; a larger valid_fraction helps",
                metric_name(self.recipe.metric())
            )));
        }
        Ok(Trained { outcome, metrics })
    }

    /// Ends the tracking run well: nothing is left to go on from.
    pub(crate) fn finish(&self) -> Result<(), TaskError> {
        if tracking::get_run(&self.run.id)?
            .tags
            .iter()
            .any(|(key, _)| key == CHECKPOINT)
        {
            self.run.tags([(CHECKPOINT, "")])?;
        }
        Ok(self.run.end(RunStatus::Finished)?)
    }

    /// Ends the tracking run badly. The error that ended the training is the one worth telling. After one that no retry mends there
    /// is no checkpoint to go on from either.
    pub(crate) fn fail(&self, error: &TaskError) {
        if !matches!(error, TaskError::Transient(_)) && self.checkpoint.is_some() {
            // Without it the next start meets the same error once more, and says so.
            let _ = self.run.tags([(CHECKPOINT, "")]);
        }
        let status = if progress::is_cancelled() {
            RunStatus::Killed
        } else {
            RunStatus::Failed
        };
        if let Err(second) = self.run.end(status) {
            warn!(
                "The tracking run could not be ended: {}",
                TaskError::from(second)
            );
        }
    }
}

/// The time that is left, from the rounds since the start; nothing where it cannot be known.
fn left(elapsed: Duration, from: u32, round: u32, rounds: u32) -> String {
    let done = round.saturating_sub(from);
    let more = rounds.saturating_sub(round);
    if done == 0 || more == 0 {
        return String::new();
    }
    let seconds = elapsed.as_secs_f64() / f64::from(done) * f64::from(more);
    match seconds {
        ..120.0 => format!(", {seconds:.0} s left"),
        ..7_200.0 => format!(", {:.0} min left", seconds / 60.0),
        _ => format!(", {:.1} h left", seconds / 3_600.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_is_that_of_the_rounds_so_far() {
        let after = |seconds| left(Duration::from_secs(seconds), 100, 150, 200);
        assert_eq!(after(10), ", 10 s left");
        assert_eq!(after(600), ", 10 min left");
        assert_eq!(after(9_000), ", 2.5 h left");
        assert_eq!(left(Duration::from_secs(1), 0, 5, 5), "");
        assert_eq!(left(Duration::from_secs(1), 5, 5, 9), "");
    }
}
