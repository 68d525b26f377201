//! Training of the fake host: a closure of the test.
#![expect(
    missing_docs,
    clippy::module_inception,
    reason = "mirrors the bindings, which wit/ documents"
)]

use super::with;
use crate::training::{Config, Event, RunOutcome};

/// What a test's trainer is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    /// Rows to learn from.
    pub train_rows: u64,
    /// Rows to validate on.
    pub valid_rows: Option<u64>,
    /// Names of the features.
    pub features: Vec<String>,
    /// The label.
    pub label: Option<String>,
    /// The guest's config.
    pub config: Config,
}

/// What a test's trainer answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Sent before the end, in order.
    pub events: Vec<Event>,
    /// The end.
    pub outcome: RunOutcome,
    /// Digest of the model.
    pub digest: String,
}

pub mod training {
    use super::super::dataset::Matrix;
    use super::{TrainRequest, Trained, with};
    pub use crate::bindings::airlock::operator::training::{
        Config, Event, Format, Metric, RunOutcome, StopReason, TrainError,
    };
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    pub struct Run {
        events: RefCell<VecDeque<Event>>,
        cancelled: Cell<bool>,
        trained: Trained,
    }

    impl Run {
        pub fn next(&self, _timeout_ms: u32) -> Option<Event> {
            self.events.borrow_mut().pop_front()
        }

        pub fn cancel(&self) {
            self.cancelled.set(true);
            // What a host still has to say: its last checkpoint.
            let last = |event: &Event| matches!(event, Event::Checkpointed(_));
            self.events.borrow_mut().retain(last);
        }

        pub fn wait(&self) -> Result<RunOutcome, TrainError> {
            let mut outcome = self.trained.outcome.clone();
            if self.cancelled.get() {
                outcome.reason = StopReason::Cancelled;
            }
            Ok(outcome)
        }

        pub fn model(&self) -> Result<Model, TrainError> {
            Ok(Model(self.trained.digest.clone()))
        }
    }

    pub fn start_search(
        train: &Matrix,
        valid: Option<&Matrix>,
        configs: &[Config],
        _parallel: u32,
    ) -> Result<Vec<Run>, TrainError> {
        let started = configs.iter().map(|config| start(train, valid, config));
        started.collect()
    }

    pub fn start(
        train: &Matrix,
        valid: Option<&Matrix>,
        config: &Config,
    ) -> Result<Run, TrainError> {
        with(|state| {
            if state.denied.contains("training") {
                return Err(TrainError::Denied("grant `training`".into()));
            }
            let request = TrainRequest {
                train_rows: train.rows(),
                valid_rows: valid.map(Matrix::rows),
                features: train.spec.features.clone(),
                label: train.spec.label.clone(),
                config: config.clone(),
            };
            let trained = match &mut state.trainer {
                Some(trainer) => trainer(&request)?,
                None => return Err(TrainError::Invalid("call Host::on_train".into())),
            };
            Ok(Run {
                events: RefCell::new(trained.events.clone().into()),
                cancelled: Cell::new(false),
                trained,
            })
        })
    }

    pub struct Model(String);

    impl Model {
        pub fn load(artifact: &str, _format: Format) -> Result<Self, TrainError> {
            Ok(Self(artifact.to_owned()))
        }

        pub fn save(&self, _format: Format) -> Result<String, TrainError> {
            Ok(self.0.clone())
        }

        pub fn score(&self, data: &Matrix) -> Result<Scores, TrainError> {
            with(|state| match &mut state.scorer {
                Some(scorer) => Ok(Scores(scorer(&self.0, data.rows()))),
                None => Err(TrainError::Invalid("call Host::on_score".into())),
            })
        }

        pub fn importance(&self) -> Vec<(String, f64)> {
            Vec::new()
        }

        pub fn digest(&self) -> String {
            self.0.clone()
        }

        pub fn outputs(&self) -> u32 {
            1
        }
    }

    pub struct Scores(Vec<f32>);

    impl Scores {
        pub fn evaluate(&self, _metrics: &[Metric]) -> Result<Vec<(Metric, f64)>, TrainError> {
            Ok(Vec::new())
        }

        pub fn read(&self, offset: u64, limit: u32) -> Vec<f32> {
            let from = usize::try_from(offset).unwrap_or(usize::MAX);
            let rest = self.0.iter().skip(from);
            rest.take(limit as usize).copied().collect()
        }
    }
}
