//! A forest on the processor: as many trees at once as there are threads, handed out one a round.

use super::device::Cards;
use super::grow::Soil;
use super::split::{Classes, Criterion, Mean};
use super::target::Labels;
use crate::config::{Algorithm, Forest};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::TreePlan;
use crate::model::{Ensemble, Tree};
use crate::rounds::{Backend, Part, Spent, Turn};
use crate::threads::Pool;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One variant on threads of its own.
pub(crate) struct Cpu<C> {
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    soil: Soil<C>,
    pool: Pool,
    /// They grow there instead of here.
    cards: Option<Cards>,
    device_time: Duration,
    /// Trees to have at the end.
    rounds: usize,
    /// All trees so far.
    ensemble: Ensemble,
    train_margins: Behind,
    valid_margins: Behind,
    /// Trees that are grown and not asked for yet.
    ahead: VecDeque<Vec<Tree>>,
}

/// Margins that follow the trees only when somebody measures.
#[derive(Default)]
struct Behind {
    margins: Vec<f64>,
    trees: usize,
}

impl Behind {
    fn catch_up(
        &mut self,
        pool: &Pool,
        ensemble: &Ensemble,
        data: &Matrix,
    ) -> Result<(), TrainError> {
        if self.margins.is_empty() {
            self.margins = ensemble.base_margins(data.rows());
        }
        ensemble.add(self.trees, pool, data, &mut self.margins)?;
        self.trees = ensemble.trees.len();
        Ok(())
    }
}

/// The backend of a forest's plan.
pub(crate) fn backend(plan: &TreePlan, threads: usize) -> Result<Box<dyn Backend>, TrainError> {
    backend_with(plan, threads, None)
}

/// The same, with cards for the trees to grow on.
pub(super) fn backend_with(
    plan: &TreePlan,
    threads: usize,
    cards: Option<Cards>,
) -> Result<Box<dyn Backend>, TrainError> {
    let Algorithm::RandomForest(forest) = &plan.config.algorithm else {
        return Err(TrainError::Invalid(
            "these settings are not of random-forest".to_owned(),
        ));
    };
    Ok(if forest.outputs() > 1 {
        let mut cpu = Cpu::new(plan, forest, Classes(forest.outputs()), threads)?;
        cpu.cards = cards;
        Box::new(cpu)
    } else {
        let mut cpu = Cpu::new(plan, forest, Mean, threads)?;
        cpu.cards = cards;
        Box::new(cpu)
    })
}

impl<C: Criterion> Cpu<C> {
    fn new(
        plan: &TreePlan,
        forest: &Forest,
        criterion: C,
        threads: usize,
    ) -> Result<Self, TrainError> {
        Ok(Self {
            train: Arc::clone(&plan.train),
            valid: plan.valid.clone(),
            soil: Soil {
                criterion,
                seed: plan.config.seed,
                labels: Labels::of(forest, &plan.train),
                forest: forest.clone(),
            },
            pool: Pool::new(threads)?,
            cards: None,
            device_time: Duration::ZERO,
            rounds: plan.rounds as usize,
            ensemble: Ensemble {
                trees: Vec::new(),
                ..plan.ensemble.clone()
            },
            train_margins: Behind::default(),
            valid_margins: Behind::default(),
            ahead: VecDeque::new(),
        })
    }

    /// Grows the trees from `round` on, one a thread.
    fn grow_ahead(&mut self, round: usize) -> Result<(), TrainError> {
        if let Some(cards) = &mut self.cards {
            let begun = Instant::now();
            let grown = cards.grow(&self.soil, &self.train, round, self.rounds)?;
            self.device_time += begun.elapsed();
            self.ahead.extend(grown);
            return Ok(());
        }
        let to = (round + self.pool.threads()).min(self.rounds);
        let (soil, train) = (&self.soil, &self.train);
        let trees = (round..to.max(round + 1)).collect();
        let grown = self.pool.map(trees, |tree| soil.grow(train, tree as u64))?;
        self.ahead.extend(grown);
        Ok(())
    }
}

impl<C: Criterion> Backend for Cpu<C> {
    fn restart(&mut self, _: usize, ensemble: &Ensemble) -> Result<(), TrainError> {
        self.ensemble = ensemble.clone();
        self.train_margins = Behind::default();
        self.valid_margins = Behind::default();
        self.ahead.clear();
        Ok(())
    }

    fn grow(&mut self, turns: &[Turn]) -> Result<Vec<Vec<Tree>>, TrainError> {
        let mut grown = Vec::with_capacity(turns.len());
        for turn in turns {
            if self.ahead.is_empty() {
                self.grow_ahead(turn.round)?;
            }
            let trees = self.ahead.pop_front().unwrap_or_default();
            self.ensemble.trees.extend(trees.iter().cloned());
            grown.push(trees);
        }
        Ok(grown)
    }

    fn margins(&mut self, _: usize, part: Part) -> Result<Cow<'_, [f64]>, TrainError> {
        let (data, behind) = match part {
            Part::Train => (Some(&self.train), &mut self.train_margins),
            Part::Valid => (self.valid.as_ref(), &mut self.valid_margins),
        };
        if let Some(data) = data {
            behind.catch_up(&self.pool, &self.ensemble, data)?;
        }
        Ok(Cow::Borrowed(&behind.margins))
    }

    fn finish(self: Box<Self>) -> Spent {
        Spent {
            device_ms: u64::try_from(self.device_time.as_millis()).unwrap_or(u64::MAX),
            peak_device: self.cards.as_ref().map_or(0, Cards::bytes),
            cpu_ms: self.pool.finish(),
        }
    }
}
