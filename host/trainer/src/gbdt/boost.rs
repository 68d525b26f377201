//! Boosting: tree after tree, measured as asked, until the rounds, the early stop, the deadline or a cancel end it. Between two
//! trees it can be stopped, and resumed bit-identically from the model so far.

use super::gradient::{Gradients, Sum, unpack};
use super::grow::{Soil, histograms_max};
use super::sample;
use super::split::Rules;
use crate::config::{Config, EarlyStop, Gbdt, Metric, Objective, Point, StopReason};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::metrics::evaluate;
use crate::model::{Model, Tree};
use crate::threads::Pool;
use std::sync::Arc;

/// What the run is asked after every tree.
pub(crate) trait Control {
    /// Why it should end now, if it should.
    fn stop(&self) -> Option<StopReason>;
    /// A measurement was made.
    fn measured(&self, point: &Point);
    /// A tree was added; a checkpoint may be taken.
    fn grown(&self, model: &Model);
}

/// Training in progress.
pub(crate) struct Boosting<'a> {
    config: &'a Config,
    gbdt: &'a Gbdt,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    pool: Pool,
    model: Model,
    gradients: Gradients,
    margins: Vec<f64>,
    valid_margins: Vec<f64>,
    packed: Arc<Vec<u64>>,
}

/// The best round so far, for an early stop.
struct Best {
    value: f64,
    round: usize,
}

impl<'a> Boosting<'a> {
    pub(crate) fn new(
        config: &'a Config,
        train: Arc<Matrix>,
        valid: Option<Arc<Matrix>>,
        threads: usize,
    ) -> Result<Self, TrainError> {
        let gbdt = config.checked_gbdt()?;
        check_data(gbdt, config, &train, valid.as_deref())?;
        let model = match &config.resume_from {
            Some(bytes) => resumed(bytes, gbdt, &train)?,
            None => Model::empty(
                gbdt.objective,
                base_score(gbdt, &train),
                train.feature_names().to_vec(),
            ),
        };
        let margins = model.margins(&train)?;
        let valid_margins = valid
            .as_deref()
            .map(|valid| model.margins(valid))
            .transpose()?
            .unwrap_or_default();
        let gradients = Gradients::new(gbdt, &train);
        let packed = Arc::new(vec![0; train.rows()]);
        Ok(Self {
            config,
            gbdt,
            pool: Pool::new(threads)?,
            model,
            gradients,
            margins,
            valid_margins,
            packed,
            train,
            valid,
        })
    }

    /// Trains to the end; yields the model, why it ended, its measurements, the trees grown and the workers' CPU milliseconds.
    pub(crate) fn run(
        mut self,
        control: &dyn Control,
    ) -> Result<(Model, StopReason, Vec<Point>, u32, u64), TrainError> {
        let resumed = self.model.trees.len();
        let rounds = self.gbdt.rounds as usize;
        let (mut best, over) = self.remembered();
        let mut reason = if over {
            StopReason::EarlyStopped
        } else {
            StopReason::Completed
        };
        while !over && self.model.trees.len() < rounds {
            if let Some(stop) = control.stop() {
                reason = stop;
                break;
            }
            let tree = self.tree()?;
            self.model.trees.push(tree);
            let round = self.model.trees.len();
            let every = self.config.metric_every as usize;
            if every > 0 && round.is_multiple_of(every) {
                self.measure()
                    .iter()
                    .for_each(|point| control.measured(point));
            }
            control.grown(&self.model);
            if let Some(stop) = &self.config.early_stop {
                let value = self.valid_metric(stop.metric);
                if is_over(stop, value, round, &mut best) {
                    reason = StopReason::EarlyStopped;
                    break;
                }
            }
        }
        let grown = self.model.trees.len().saturating_sub(resumed);
        self.keep_best(best)?;
        let points = self.measure();
        let grown = u32::try_from(grown).unwrap_or(u32::MAX);
        Ok((self.model, reason, points, grown, self.pool.finish()))
    }

    /// What an early stop had seen when the checkpoint was taken, measured again tree by tree; and whether it was over by then.
    fn remembered(&self) -> (Option<Best>, bool) {
        let mut best = None;
        let (Some(stop), Some(valid)) = (&self.config.early_stop, &self.valid) else {
            return (best, false);
        };
        let base = base_margin(self.model.objective, self.model.base_score);
        let mut margins = vec![base; valid.rows()];
        for (before, tree) in self.model.trees.iter().enumerate() {
            tree.add_to(valid, &mut margins);
            let value = self.metric(stop.metric, valid, &margins);
            if is_over(stop, value, before + 1, &mut best) {
                return (best, true);
            }
        }
        (best, false)
    }

    /// With an early stop the model is that of its best round.
    fn keep_best(&mut self, best: Option<Best>) -> Result<(), TrainError> {
        let Some(best) = best.filter(|best| best.round < self.model.trees.len()) else {
            return Ok(());
        };
        self.model.trees.truncate(best.round);
        self.margins = self.model.margins(&self.train)?;
        if let Some(valid) = &self.valid {
            self.valid_margins = self.model.margins(valid)?;
        }
        Ok(())
    }

    fn tree(&mut self) -> Result<Tree, TrainError> {
        let number = self.model.trees.len() as u64;
        // The words are free again when the last tree's histograms are: nobody else holds them between trees.
        let mut packed = Arc::try_unwrap(std::mem::take(&mut self.packed))
            .unwrap_or_else(|_| vec![0; self.train.rows()]);
        self.gradients
            .compute(&self.train, &self.margins, &mut packed);
        self.packed = Arc::new(packed);
        let rows = sample::rows(
            self.config.seed,
            number,
            self.train.rows(),
            self.gbdt.subsample,
        );
        let features = sample::features(
            self.config.seed,
            number,
            self.train.features(),
            self.gbdt.column_sample,
        );
        let total = rows.iter().fold(Sum::default(), |sum, row| {
            sum.add(unpack(self.packed[*row as usize]))
        });
        let rules = Rules {
            l2: self.gbdt.l2,
            min_gain: self.gbdt.min_gain,
            min_child_weight: self.gbdt.min_child_weight,
            g_unit: 1.0 / self.gradients.g_scale,
            h_unit: 1.0 / self.gradients.h_scale,
        };
        let soil = Soil {
            pool: &self.pool,
            data: &self.train,
            packed: &self.packed,
            gbdt: self.gbdt,
            rules,
            features: &features,
            histograms_max: histograms_max(self.train.groups()),
        };
        let sampled = rows.len() < self.train.rows();
        let grown = soil.grow(rows, total)?;
        if sampled {
            grown.tree.add_to(&self.train, &mut self.margins);
        } else {
            for (node, rows) in &grown.leaves {
                let value = grown
                    .tree
                    .nodes
                    .get(*node)
                    .map_or(0.0, |node| f64::from(node.value));
                rows.iter()
                    .for_each(|row| self.margins[*row as usize] += value);
            }
        }
        if let Some(valid) = &self.valid {
            grown.tree.add_to(valid, &mut self.valid_margins);
        }
        Ok(grown.tree)
    }

    fn measure(&self) -> Vec<Point> {
        let round = u32::try_from(self.model.trees.len()).unwrap_or(u32::MAX);
        let point = |metric: &Metric| Point {
            round,
            metric: *metric,
            train: Some(self.metric(*metric, &self.train, &self.margins)),
            valid: self
                .valid
                .as_ref()
                .filter(|valid| valid.label().is_some())
                .map(|_| self.valid_metric(*metric)),
        };
        self.config.metrics.iter().map(point).collect()
    }

    fn valid_metric(&self, metric: Metric) -> f64 {
        self.valid.as_ref().map_or(f64::NAN, |valid| {
            self.metric(metric, valid, &self.valid_margins)
        })
    }

    fn metric(&self, metric: Metric, data: &Matrix, margins: &[f64]) -> f64 {
        let scores: Vec<f32> = margins
            .iter()
            .map(|margin| self.model.score_of(*margin))
            .collect();
        evaluate(metric, &scores, data.label().unwrap_or_default())
    }
}

/// Whether `rounds` rounds went by without an improvement over `min_delta`.
fn is_over(stop: &EarlyStop, value: f64, round: usize, best: &mut Option<Best>) -> bool {
    let improves = best.as_ref().is_none_or(|best| {
        let gain = if stop.metric.higher_is_better() {
            value - best.value
        } else {
            best.value - value
        };
        gain > stop.min_delta
    });
    if improves {
        *best = Some(Best { value, round });
        return false;
    }
    best.as_ref()
        .is_some_and(|best| round - best.round >= stop.rounds as usize)
}

fn check_data(
    gbdt: &Gbdt,
    config: &Config,
    train: &Matrix,
    valid: Option<&Matrix>,
) -> Result<(), TrainError> {
    let Some(labels) = train.label() else {
        return Err(TrainError::Data(
            "the training matrix has no label; name one in its spec".to_owned(),
        ));
    };
    if config.early_stop.is_some() && valid.is_none_or(|valid| valid.label().is_none()) {
        return Err(TrainError::Invalid(
            "early_stop needs a validation matrix with a label".to_owned(),
        ));
    }
    if valid.is_some_and(|valid| valid.feature_names() != train.feature_names()) {
        return Err(TrainError::Data(
            "the features of the validation matrix are not those of the training matrix".to_owned(),
        ));
    }
    let labels = labels
        .iter()
        .chain(valid.and_then(Matrix::label).into_iter().flatten());
    let bad = |label: &&f32| **label != 0.0 && **label != 1.0;
    if gbdt.objective == Objective::BinaryLogistic
        && let Some(label) = labels.into_iter().find(bad)
    {
        return Err(TrainError::Data(format!(
            "binary-logistic needs labels 0 and 1; there is a {label}"
        )));
    }
    Ok(())
}

fn resumed(bytes: &[u8], gbdt: &Gbdt, train: &Matrix) -> Result<Model, TrainError> {
    let model = Model::from_bytes(bytes)?;
    if model.features != train.feature_names() || model.objective != gbdt.objective {
        return Err(TrainError::Invalid(
            "the checkpoint is of other features or another objective".to_owned(),
        ));
    }
    Ok(model)
}

/// The weighted mean of the labels, rounded to f32 as every reader of an exported model does.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the point"
)]
fn base_score(gbdt: &Gbdt, train: &Matrix) -> f32 {
    if let Some(score) = gbdt.base_score {
        return score as f32;
    }
    let labels = train.label().unwrap_or_default();
    let (mut sum, mut weight) = (0.0, 0.0);
    for (row, label) in labels.iter().enumerate() {
        let own = train
            .weight()
            .map_or(1.0, |weights| f64::from(weights[row]));
        sum += own * f64::from(*label);
        weight += own;
    }
    let mean = if weight > 0.0 { sum / weight } else { 0.0 };
    match gbdt.objective {
        Objective::BinaryLogistic => mean.clamp(1e-6, 1.0 - 1e-6) as f32,
        _ => mean as f32,
    }
}

/// The margin that a base score stands for.
pub(crate) fn base_margin(objective: Objective, base_score: f32) -> f64 {
    let score = f64::from(base_score);
    match objective {
        Objective::BinaryLogistic => math::ln(score / (1.0 - score)),
        _ => score,
    }
}
