//! One variant in training: its ensemble so far, its measurements and why it ends. Refuses to grow anything.

use super::{Backend, Control, Part, Spent, Stopping, Trained};
use crate::config::{Config, Metric, Point, StopReason};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::metrics::evaluate;
use crate::model::{Body, Ensemble, Model, Origin};
use std::sync::Arc;

/// A variant that is trained. Made before its backend, with the trees of the checkpoint that it resumes from.
pub(crate) struct Variant<'a> {
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    control: &'a dyn Control,
    pub(super) ensemble: Ensemble,
    /// Rounds to have at the end.
    rounds: usize,
    resumed: usize,
    stopping: Option<Stopping>,
    pub(super) reason: Option<StopReason>,
}

/// Scores of one round, computed when the first metric asks.
#[derive(Default)]
struct Scores {
    train: Option<Vec<f32>>,
    valid: Option<Vec<f32>>,
}

impl<'a> Variant<'a> {
    /// `ensemble` has the base scores, and the trees of the checkpoint if there is one; `rounds` are those of the settings.
    pub(crate) fn new(
        config: Arc<Config>,
        train: Arc<Matrix>,
        valid: Option<Arc<Matrix>>,
        ensemble: Ensemble,
        rounds: u32,
        control: &'a dyn Control,
    ) -> Self {
        let mut variant = Self {
            stopping: config.early_stop.as_ref().map(Stopping::new),
            resumed: ensemble.rounds(),
            rounds: rounds as usize,
            reason: None,
            config,
            train,
            valid,
            control,
            ensemble,
        };
        variant.remember();
        variant
    }

    /// Shows an early stop, on one thread, what it had seen when the checkpoint was taken: each round is measured again.
    fn remember(&mut self) {
        let (Some(stopping), Some(valid)) = (&mut self.stopping, &self.valid) else {
            return;
        };
        let metric = self.config.early_stop.as_ref().map(|stop| stop.metric);
        let (Some(metric), Some(labels)) = (metric, valid.label()) else {
            return;
        };
        let outputs = self.ensemble.outputs();
        let mut margins = self.ensemble.base_margins(valid.rows());
        for (before, trees) in self.ensemble.trees.chunks_exact(outputs).enumerate() {
            self.ensemble.add_trees(trees, valid, 0, &mut margins);
            let round = before + 1;
            let value = evaluate(metric, &self.ensemble.scores_after(&margins, round), labels);
            if stopping.is_over(value, round) {
                self.reason = Some(StopReason::EarlyStopped);
                return;
            }
        }
    }

    /// Whether it wants another round; asks the run.
    pub(super) fn goes_on(&mut self) -> bool {
        if self.reason.is_none() && self.ensemble.rounds() >= self.rounds {
            self.reason = Some(StopReason::Completed);
        }
        if self.reason.is_none() {
            self.reason = self.control.stop();
        }
        self.reason.is_none()
    }

    /// After a round: measures what is asked for, hands a checkpoint over, and looks whether an early stop is over.
    pub(super) fn grown(
        &mut self,
        number: usize,
        backend: &mut dyn Backend,
    ) -> Result<(), TrainError> {
        let round = self.ensemble.rounds();
        let mut scores = Scores::default();
        let every = self.config.metric_every as usize;
        if every > 0 && round.is_multiple_of(every) {
            for point in self.points(number, backend, &mut scores)? {
                self.control.measured(&point);
            }
        }
        if self.control.wants_checkpoint() {
            let model = self.model(self.ensemble.clone());
            self.control.checkpointed(model.to_bytes());
        }
        let Some(metric) = self.config.early_stop.as_ref().map(|stop| stop.metric) else {
            return Ok(());
        };
        let value = self.measure(metric, Part::Valid, number, backend, &mut scores)?;
        if let (Some(stopping), Some(value)) = (&mut self.stopping, value)
            && stopping.is_over(value, round)
        {
            self.reason = Some(StopReason::EarlyStopped);
        }
        Ok(())
    }

    /// With an early stop the model is that of its best round.
    pub(super) fn end(
        mut self,
        number: usize,
        backend: &mut dyn Backend,
    ) -> Result<Trained, TrainError> {
        let grown = self.ensemble.rounds().saturating_sub(self.resumed);
        let stopped = matches!(
            self.reason,
            Some(StopReason::Cancelled | StopReason::Deadline)
        );
        if stopped && self.config.checkpoint_every_ms.is_some() {
            // All rounds, those past the best one too: an early stop counts on from them.
            self.control
                .checkpointed(self.model(self.ensemble.clone()).to_bytes());
        }
        let best = self.stopping.as_ref().and_then(Stopping::best_round);
        if let Some(best) = best.filter(|best| *best < self.ensemble.rounds()) {
            self.ensemble.trees.truncate(best * self.ensemble.outputs());
            backend.restart(number, &self.ensemble)?;
        }
        let points = self.points(number, backend, &mut Scores::default())?;
        let trees = std::mem::take(&mut self.ensemble.trees);
        let ensemble = Ensemble {
            trees,
            ..self.ensemble.clone()
        };
        Ok(Trained {
            points,
            reason: self.reason.unwrap_or(StopReason::Completed),
            model: self.model(ensemble),
            rounds: u32::try_from(grown).unwrap_or(u32::MAX),
            spent: Spent::default(),
        })
    }

    fn model(&self, ensemble: Ensemble) -> Model {
        Model {
            features: self.train.feature_names().to_vec(),
            origin: Some(Origin::of(&self.config, &self.train)),
            body: Body::Trees(ensemble),
        }
    }

    fn points(
        &self,
        number: usize,
        backend: &mut dyn Backend,
        scores: &mut Scores,
    ) -> Result<Vec<Point>, TrainError> {
        let round = u32::try_from(self.ensemble.rounds()).unwrap_or(u32::MAX);
        let mut points = Vec::with_capacity(self.config.metrics.len());
        for metric in &self.config.metrics {
            points.push(Point {
                round,
                metric: *metric,
                train: self.measure(*metric, Part::Train, number, backend, scores)?,
                valid: self.measure(*metric, Part::Valid, number, backend, scores)?,
            });
        }
        Ok(points)
    }

    /// None where there is no such matrix or it has no label.
    fn measure(
        &self,
        metric: Metric,
        part: Part,
        number: usize,
        backend: &mut dyn Backend,
        scores: &mut Scores,
    ) -> Result<Option<f64>, TrainError> {
        let (data, scores) = match part {
            Part::Train => (Some(&self.train), &mut scores.train),
            Part::Valid => (self.valid.as_ref(), &mut scores.valid),
        };
        let Some(labels) = data.and_then(|data| data.label()) else {
            return Ok(None);
        };
        let scores = match scores {
            Some(scores) => scores,
            None => scores.insert(self.ensemble.scores(&backend.margins(number, part)?)),
        };
        Ok(Some(evaluate(metric, scores, labels)))
    }
}
