//! Boosting on the processor: gradients from margins, a tree for each output, the tree's leaves back into the margins.

use super::gradient::Gradients;
use super::grow::{Grown, Rows, Soil, histograms_max};
use super::histogram::{Counter, Tables};
use super::sample;
use super::split::Rules;
use crate::config::{Algorithm, Config, Gbdt};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::TreePlan;
use crate::model::{BLOCK_ROWS, Ensemble, Tree};
use crate::rounds::{Backend, Part, Spent, Turn};
use crate::threads::Pool;
use std::borrow::Cow;
use std::sync::Arc;

/// One variant on threads of its own.
pub(crate) struct Cpu {
    config: Arc<Config>,
    gbdt: Gbdt,
    train: Arc<Matrix>,
    valid: Option<Arc<Matrix>>,
    pool: Pool,
    gradients: Gradients,
    outputs: usize,
    margins: Vec<f64>,
    valid_margins: Vec<f64>,
    /// Gradients of each output, one word a row.
    packed: Vec<Vec<u64>>,
    rows: Vec<u32>,
    spare: Vec<u32>,
    tables: Tables,
}

impl Cpu {
    pub(crate) fn new(plan: &TreePlan, threads: usize) -> Result<Self, TrainError> {
        let Algorithm::Gbdt(gbdt) = &plan.config.algorithm else {
            return Err(TrainError::Invalid(
                "these settings are not of gbdt".to_owned(),
            ));
        };
        let outputs = plan.ensemble.outputs();
        let rows = plan.train.rows();
        let valid_rows = plan.valid.as_ref().map_or(0, |valid| valid.rows());
        Ok(Self {
            gradients: Gradients::new(gbdt, &plan.train),
            margins: plan.ensemble.base_margins(rows),
            valid_margins: plan.ensemble.base_margins(valid_rows),
            packed: vec![vec![0; rows]; outputs],
            rows: Vec::new(),
            spare: vec![0; rows],
            tables: Tables::default(),
            pool: Pool::new(threads)?,
            outputs,
            gbdt: gbdt.clone(),
            config: Arc::clone(&plan.config),
            train: Arc::clone(&plan.train),
            valid: plan.valid.clone(),
        })
    }

    fn rules(&self) -> Rules {
        let gradients = &self.gradients;
        Rules::new(&self.gbdt, 1.0 / gradients.g_scale, 1.0 / gradients.h_scale)
    }

    /// The trees of one round: all from the margins before it.
    fn round(&mut self, round: usize) -> Result<Vec<Tree>, TrainError> {
        self.gradients
            .compute(&self.pool, &self.train, &self.margins, &mut self.packed)?;
        (0..self.outputs)
            .map(|output| self.tree(round, output))
            .collect()
    }

    fn tree(&mut self, round: usize, output: usize) -> Result<Tree, TrainError> {
        let packed = &self.packed[output];
        sample::rows(
            self.config.seed,
            round as u64,
            self.train.rows(),
            self.gbdt.subsample,
            &mut self.rows,
        );
        let features = sample::features(
            self.config.seed,
            (round * self.outputs + output) as u64,
            self.train.features(),
            self.gbdt.column_sample,
        );
        let soil = Soil {
            pool: &self.pool,
            data: &self.train,
            counter: Counter::new(&self.train, packed, &features, &self.tables),
            gbdt: &self.gbdt,
            rules: self.rules(),
            features: &features,
            histograms_max: histograms_max(self.train.features()),
        };
        let sampled = self.rows.len() < self.train.rows();
        let count = self.rows.len();
        let rows = Rows {
            rows: &mut self.rows,
            spare: &mut self.spare[..count],
        };
        let grown = soil.grow(rows)?;
        if sampled {
            add(
                &grown.tree,
                &self.pool,
                &self.train,
                &mut self.margins,
                output,
                self.outputs,
            )?;
        } else {
            self.add_leaves(&grown, output)?;
        }
        if let Some(valid) = &self.valid {
            add(
                &grown.tree,
                &self.pool,
                valid,
                &mut self.valid_margins,
                output,
                self.outputs,
            )?;
        }
        Ok(grown.tree)
    }
}

impl Cpu {
    /// Adds the value of each leaf to the margins of its rows, which rise: each thread takes what lies in its part of the margins.
    fn add_leaves(&mut self, grown: &Grown, output: usize) -> Result<(), TrainError> {
        let (rows, outputs) = (&self.rows, self.outputs);
        let leaves: Vec<(f64, &[u32])> = grown
            .leaves
            .iter()
            .map(|(node, range)| {
                let value = grown.tree.nodes.get(*node).map_or(0.0, |leaf| leaf.value);
                (
                    f64::from(value),
                    rows.get(range.clone()).unwrap_or_default(),
                )
            })
            .collect();
        let length = self.train.rows().div_ceil(2 * self.pool.threads());
        let parts = self.margins.chunks_mut(length * outputs).enumerate();
        self.pool
            .map(parts.collect(), |(part, margins): (usize, &mut [f64])| {
                let (from, to) = (part * length, (part + 1) * length);
                for (value, rows) in &leaves {
                    let first = rows.partition_point(|row| (*row as usize) < from);
                    let own = rows.iter().skip(first).map(|row| *row as usize);
                    for row in own.take_while(|row| *row < to) {
                        margins[(row - from) * outputs + output] += value;
                    }
                }
            })?;
        Ok(())
    }
}

/// Adds each row's leaf to its margin of one output.
fn add(
    tree: &Tree,
    pool: &Pool,
    data: &Matrix,
    margins: &mut [f64],
    output: usize,
    outputs: usize,
) -> Result<(), TrainError> {
    let blocks = margins.chunks_mut(BLOCK_ROWS * outputs).enumerate();
    pool.map(
        blocks.collect(),
        |(number, margins): (usize, &mut [f64])| {
            tree.add_to(data, number * BLOCK_ROWS, margins, output, outputs);
        },
    )?;
    Ok(())
}

impl Backend for Cpu {
    fn restart(&mut self, _: usize, ensemble: &Ensemble) -> Result<(), TrainError> {
        self.margins = ensemble.margins(&self.train);
        if let Some(valid) = &self.valid {
            self.valid_margins = ensemble.margins(valid);
        }
        Ok(())
    }

    fn grow(&mut self, turns: &[Turn]) -> Result<Vec<Vec<Tree>>, TrainError> {
        turns.iter().map(|turn| self.round(turn.round)).collect()
    }

    fn margins(&mut self, _: usize, part: Part) -> Result<Cow<'_, [f64]>, TrainError> {
        Ok(Cow::Borrowed(match part {
            Part::Train => &self.margins,
            Part::Valid => &self.valid_margins,
        }))
    }

    fn finish(self: Box<Self>) -> Spent {
        Spent {
            cpu_ms: self.pool.finish(),
            ..Spent::default()
        }
    }
}
