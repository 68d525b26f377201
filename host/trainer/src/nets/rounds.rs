//! The rounds of a net: Newton steps or epochs, measured, stopped, handed over as checkpoints and gone on with, as trees are. Refuses
//! to know what a round computes.

use super::adam::{Adam, Moments};
use super::newton::Newton;
use crate::config::{Algorithm, Config, Metric, Point, StopReason};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::Alone;
use crate::metrics::evaluate;
use crate::model::{Body, Model, Origin};
use crate::rounds::{self, Control, Spent, Stopping, Trained};
use crate::threads::Pool;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a net does in its rounds.
pub(super) trait Learner {
    /// Rounds so far, those before a checkpoint among them.
    fn rounds(&self) -> usize;
    /// Whether another round would change nothing that matters.
    fn is_done(&self) -> bool;
    fn round(&mut self, pool: &Pool) -> Result<(), TrainError>;
    /// The model so far.
    fn body(&self) -> Body;
    /// What going on needs and the model does not say.
    fn moments(&self) -> Option<&Moments>;
    /// What a person should know where all rounds are over and it is not done; none where rounds have no end of their own.
    fn unfinished(&self) -> Option<String>;
}

/// What a checkpoint holds after the model.
#[derive(Serialize, Deserialize)]
struct State {
    best: Option<Best>,
    moments: Option<Moments>,
}

/// The best round that an early stop has seen: its value, its number, and its model's bytes.
#[derive(Serialize, Deserialize, Clone)]
struct Best {
    value: f64,
    round: u64,
    model: Vec<u8>,
}

/// A training that was checked.
pub(super) struct Plan {
    config: Arc<Config>,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    limit: usize,
    resumed: Option<(Model, State)>,
}

impl Plan {
    /// Reads the checkpoint, if the settings name one.
    ///
    /// # Errors
    /// [`TrainError::Data`] and [`TrainError::Invalid`] for a checkpoint that cannot be resumed.
    pub(super) fn new(
        config: Arc<Config>,
        train: Arc<Matrix>,
        valid: Option<Arc<Matrix>>,
        limit: u32,
    ) -> Result<Self, TrainError> {
        let resumed = match rounds::resumed(&config, &train)? {
            Some((model, state)) => Some((model, state_of(state)?)),
            None => None,
        };
        Ok(Self {
            config,
            train,
            valid,
            limit: limit as usize,
            resumed,
        })
    }

    fn learner(&self, pool: &Pool) -> Result<Box<dyn Learner>, TrainError> {
        let train = Arc::clone(&self.train);
        let before = self.resumed.as_ref();
        match (&self.config.algorithm, before.map(|(model, _)| &model.body)) {
            (Algorithm::Logistic(settings), None) => {
                Ok(Box::new(Newton::new(settings, train, None, pool)?))
            }
            (Algorithm::Logistic(settings), Some(Body::Linear(model))) => {
                Ok(Box::new(Newton::new(settings, train, Some(model), pool)?))
            }
            (Algorithm::Mlp(settings), None) => Ok(Box::new(Adam::new(
                settings,
                self.config.seed,
                train,
                None,
            )?)),
            (Algorithm::Mlp(settings), Some(Body::Mlp(model))) => {
                let moments = before.and_then(|(_, state)| state.moments.clone());
                let moments = moments
                    .ok_or_else(|| contradiction("it has no state of Adam; it is a model"))?;
                let from = Some((model.clone(), moments));
                Ok(Box::new(Adam::new(
                    settings,
                    self.config.seed,
                    train,
                    from,
                )?))
            }
            _ => Err(contradiction("its model is of another kind")),
        }
    }
}

fn contradiction(why: &str) -> TrainError {
    TrainError::Data(format!(
        "the checkpoint in resume_from cannot be resumed by these settings: {why}; resume with those it was made with, or leave it out"
    ))
}

fn state_of(bytes: &[u8]) -> Result<State, TrainError> {
    if bytes.is_empty() {
        return Err(contradiction("it is a model and no checkpoint"));
    }
    postcard::from_bytes(bytes)
        .map_err(|error| contradiction(&format!("its state is damaged ({error})")))
}

impl Alone for Plan {
    /// A net reads rows in f32 or keeps two f64 a row; its parameters and their pieces come on top.
    fn memory(&self) -> u64 {
        let rows = self.train.rows() as u64;
        match &self.config.algorithm {
            Algorithm::Mlp(settings) => {
                let parameters = super::parameters(settings, self.train.features());
                rows * (4 * self.train.features() as u64 + 4 + 20) + parameters as u64 * 4 * 20
            }
            _ => rows * 16,
        }
    }

    fn run(self: Box<Self>, threads: usize, control: &dyn Control) -> Result<Trained, TrainError> {
        let pool = Pool::new(threads)?;
        let learner = self.learner(&pool)?;
        let mut training = Training {
            begun: learner.rounds(),
            learner,
            stopping: self.config.early_stop.as_ref().map(Stopping::new),
            best: None,
            plan: &self,
            control,
        };
        training.remember()?;
        let reason = training.rounds(&pool)?;
        let mut trained = training.end(reason)?;
        trained.spent = Spent {
            cpu_ms: pool.finish(),
            ..Spent::default()
        };
        Ok(trained)
    }
}

/// Training in progress.
struct Training<'a> {
    plan: &'a Plan,
    learner: Box<dyn Learner>,
    begun: usize,
    stopping: Option<Stopping>,
    best: Option<(Best, Body)>,
    control: &'a dyn Control,
}

impl Training<'_> {
    /// Shows an early stop the best round that it had seen.
    fn remember(&mut self) -> Result<(), TrainError> {
        let state = self.plan.resumed.as_ref().map(|(_, state)| state);
        let best = state.and_then(|state| state.best.clone());
        if let (Some(stopping), Some(best)) = (&mut self.stopping, best) {
            let model = Model::from_bytes(&best.model)?;
            model.fits(&self.plan.train)?;
            let round = usize::try_from(best.round).unwrap_or(usize::MAX);
            if round > self.begun {
                return Err(contradiction("its best round is later than itself"));
            }
            stopping.is_over(best.value, round);
            self.best = Some((best, model.body));
        }
        Ok(())
    }

    fn rounds(&mut self, pool: &Pool) -> Result<StopReason, TrainError> {
        while self.learner.rounds() < self.plan.limit && !self.learner.is_done() {
            if let Some(reason) = self.control.stop() {
                if self.plan.config.checkpoint_every_ms.is_some() {
                    self.checkpoint();
                }
                return Ok(reason);
            }
            let before = self.learner.rounds();
            self.learner.round(pool)?;
            if self.learner.rounds() == before {
                break;
            }
            let every = self.plan.config.metric_every as usize;
            if every > 0 && self.learner.rounds().is_multiple_of(every) {
                let model = self.model(self.learner.body());
                for point in self.points(&model)? {
                    self.control.measured(&point);
                }
            }
            if self.is_over()? {
                return Ok(StopReason::EarlyStopped);
            }
            if self.control.wants_checkpoint() {
                self.checkpoint();
            }
        }
        if !self.learner.is_done()
            && let Some(text) = self.learner.unfinished()
        {
            self.control.warned(text);
        }
        Ok(StopReason::Completed)
    }

    /// Measures what an early stop looks at, and keeps the model where it is the best so far.
    fn is_over(&mut self) -> Result<bool, TrainError> {
        let metric = self.plan.config.early_stop.as_ref().map(|stop| stop.metric);
        let (Some(metric), Some(valid)) = (metric, &self.plan.valid) else {
            return Ok(false);
        };
        let model = self.model(self.learner.body());
        let scores = model.score(valid)?;
        let value = evaluate(metric, &scores, valid.label().unwrap_or_default());
        let round = self.learner.rounds();
        let Some(stopping) = &mut self.stopping else {
            return Ok(false);
        };
        let is_over = stopping.is_over(value, round);
        if stopping.best_round() == Some(round) {
            let best = Best {
                value,
                round: round as u64,
                model: model.to_bytes(),
            };
            self.best = Some((best, model.body));
        }
        Ok(is_over)
    }

    fn checkpoint(&self) {
        let state = State {
            best: self.best.as_ref().map(|(best, _)| best.clone()),
            moments: self.learner.moments().cloned(),
        };
        // Numbers and bytes always serialise.
        let state = postcard::to_stdvec(&state).unwrap_or_default();
        let model = self.model(self.learner.body());
        self.control.checkpointed(model.to_checkpoint(&state));
    }

    fn end(self, reason: StopReason) -> Result<Trained, TrainError> {
        let rounds = self.learner.rounds().saturating_sub(self.begun);
        let body = match &self.best {
            Some((_, body)) => body.clone(),
            None => self.learner.body(),
        };
        let model = self.model(body);
        Ok(Trained {
            points: self.points(&model)?,
            model,
            reason,
            rounds: u32::try_from(rounds).unwrap_or(u32::MAX),
            spent: Spent::default(),
        })
    }

    fn model(&self, body: Body) -> Model {
        Model {
            features: self.plan.train.feature_names().to_vec(),
            origin: Some(Origin::of(&self.plan.config, &self.plan.train)),
            body,
        }
    }

    fn points(&self, model: &Model) -> Result<Vec<Point>, TrainError> {
        let metrics = &self.plan.config.metrics;
        if metrics.is_empty() {
            return Ok(Vec::new());
        }
        let train = measure(model, Some(&self.plan.train), metrics)?;
        let valid = measure(model, self.plan.valid.as_ref(), metrics)?;
        let round = u32::try_from(model.rounds()).unwrap_or(u32::MAX);
        let values = train.into_iter().zip(valid);
        let point = |(metric, (train, valid)): (&Metric, _)| Point {
            round,
            metric: *metric,
            train,
            valid,
        };
        Ok(metrics.iter().zip(values).map(point).collect())
    }
}

/// One value a metric; none where there is no such matrix or it has no label.
fn measure(
    model: &Model,
    data: Option<&Arc<Matrix>>,
    metrics: &[Metric],
) -> Result<Vec<Option<f64>>, TrainError> {
    let Some((data, labels)) = data.and_then(|data| Some((data, data.label()?))) else {
        return Ok(vec![None; metrics.len()]);
    };
    let scores = model.score(data)?;
    let value = |metric: &Metric| Some(evaluate(*metric, &scores, labels));
    Ok(metrics.iter().map(value).collect())
}
