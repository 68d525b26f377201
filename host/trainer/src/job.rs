//! From settings to a training, by algorithm: everything that can be refused is refused here, before there is a run.

use crate::config::{Algorithm, Config};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::model::Ensemble;
use crate::nets;
use crate::rounds::{Backend, Control, Trained, Variant, drive, resumed};
use crate::{forest, gbdt};
use std::sync::Arc;

/// A training that was checked and has not begun.
pub(crate) enum Job {
    /// Grows trees; a device may take several at once.
    Trees(TreePlan),
    /// Trains by itself on the processor.
    Alone(Box<dyn Alone>),
}

/// A training that is not made of trees.
pub(crate) trait Alone: Send {
    /// Bytes that it is expected to hold besides the matrices.
    fn memory(&self) -> u64;
    /// Trains to the end on at most so many threads.
    fn run(self: Box<Self>, threads: usize, control: &dyn Control) -> Result<Trained, TrainError>;
}

/// What a variant of trees is grown from: the settings, the data, and the ensemble to begin with.
pub(crate) struct TreePlan {
    pub(crate) config: Arc<Config>,
    pub(crate) train: Arc<Matrix>,
    pub(crate) valid: Option<Arc<Matrix>>,
    /// With the base scores, and the trees of the checkpoint that is resumed.
    pub(crate) ensemble: Ensemble,
    /// Rounds to have at the end.
    pub(crate) rounds: u32,
}

/// Checks everything that can be refused.
///
/// # Errors
/// [`TrainError::Invalid`] and [`TrainError::Data`] for what cannot be trained.
pub(crate) fn prepare(
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
) -> Result<Job, TrainError> {
    config.check()?;
    match &config.algorithm {
        Algorithm::Gbdt(_) => gbdt::plan(config, train, valid).map(Job::Trees),
        Algorithm::RandomForest(_) => forest::plan(config, train, valid).map(Job::Trees),
        Algorithm::Logistic(_) | Algorithm::Mlp(_) => {
            nets::plan(config, train, valid).map(Job::Alone)
        }
    }
}

impl Job {
    /// Bytes that it is expected to hold besides the matrices.
    pub(crate) fn memory(&self) -> u64 {
        match self {
            Self::Trees(plan) => plan.memory(),
            Self::Alone(alone) => alone.memory(),
        }
    }

    /// Trains to the end on the processor.
    pub(crate) fn run(self, threads: usize, control: &dyn Control) -> Result<Trained, TrainError> {
        match self {
            Self::Trees(plan) => plan.run(threads, control),
            Self::Alone(alone) => alone.run(threads, control),
        }
    }
}

impl TreePlan {
    /// Adds the trees of the checkpoint that the settings name to `ensemble`, which has none.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] and [`TrainError::Data`] for a checkpoint of other data or settings, or a damaged one.
    pub(crate) fn new(
        config: Arc<Config>,
        train: Arc<Matrix>,
        valid: Option<Arc<Matrix>>,
        mut ensemble: Ensemble,
        rounds: u32,
    ) -> Result<Self, TrainError> {
        if let Some((model, _)) = resumed(&config, &train)? {
            ensemble.take_trees_of(model)?;
        }
        Ok(Self {
            config,
            train,
            valid,
            ensemble,
            rounds,
        })
    }

    /// The loop's side of this plan.
    pub(crate) fn variant<'a>(&self, control: &'a dyn Control) -> Variant<'a> {
        Variant::new(
            Arc::clone(&self.config),
            Arc::clone(&self.train),
            self.valid.clone(),
            self.ensemble.clone(),
            self.rounds,
            control,
        )
    }

    /// Margins (8 bytes) and packed gradients (8 bytes) of each row and output, and row numbers.
    fn memory(&self) -> u64 {
        let outputs = self.ensemble.outputs() as u64;
        let valid = self.valid.as_ref().map_or(0, |valid| valid.rows() as u64);
        let rows = self.train.rows() as u64;
        rows * (16 * outputs + 16) + 8 * valid * outputs
    }

    fn run(self, threads: usize, control: &dyn Control) -> Result<Trained, TrainError> {
        let backend: Box<dyn Backend> = match &self.config.algorithm {
            Algorithm::RandomForest(_) => forest::backend(&self, threads)?,
            _ => Box::new(gbdt::Cpu::new(&self, threads)?),
        };
        let variant = self.variant(control);
        let mut ends = drive(backend, vec![variant]);
        ends.pop().unwrap_or_else(|| {
            Err(TrainError::WorkerLost(
                "the loop lost its only variant".to_owned(),
            ))
        })
    }
}
