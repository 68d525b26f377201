//! The variants of a batch as lanes: one for each tree of a round. Owns the settings that the kernels read.

use super::layout::{FOREST_WIDTH_MAX, Settings};
use super::shape::{Shape, steps};
use crate::config::{Algorithm, Config, Gbdt, Growth, Objective};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::gbdt::Scales;
use crate::job::TreePlan;

/// One variant.
pub(crate) struct Lanes {
    pub(crate) gbdt: Gbdt,
    pub(crate) first: usize,
    pub(crate) outputs: usize,
    /// Plans of a tree.
    pub(crate) steps: u32,
    pub(crate) h_unit: f64,
    /// Rounds to have at the end.
    rounds: usize,
    /// Rounds after which somebody wants what there is; 0 where nobody does before the end.
    looked_at_every: usize,
    /// What each output's margins begin at.
    pub(crate) base: Vec<f64>,
}

impl Lanes {
    /// Rounds that may be grown after so many before somebody asks for the margins; one at least.
    pub(crate) fn rounds_ahead(&self, rounds: usize) -> usize {
        let left = self.rounds.saturating_sub(rounds);
        let unseen = match self.looked_at_every {
            0 => left,
            every => every - rounds % every,
        };
        left.min(unseen).max(1)
    }
}

/// All variants, and what the kernels read of them.
pub(crate) struct Batch {
    pub(crate) variants: Vec<Lanes>,
    pub(crate) settings: Vec<Settings>,
    pub(crate) class_weights: Vec<f64>,
    pub(crate) table: Vec<f64>,
}

impl Batch {
    /// # Errors
    /// [`TrainError::Invalid`] for a variant that is no gradient boosting: nothing else grows on a device.
    pub(crate) fn new(plans: &[&TreePlan], train: &Matrix) -> Result<Self, TrainError> {
        let mut batch = Self {
            variants: Vec::with_capacity(plans.len()),
            settings: Vec::new(),
            class_weights: Vec::new(),
            table: Vec::new(),
        };
        for plan in plans {
            let Algorithm::Gbdt(gbdt) = &plan.config.algorithm else {
                return Err(TrainError::Invalid(
                    "only variants of gbdt train at once on a GPU".to_owned(),
                ));
            };
            batch.add(gbdt, plan, train);
        }
        Ok(batch)
    }

    fn add(&mut self, gbdt: &Gbdt, plan: &TreePlan, train: &Matrix) {
        let scales = Scales::new(gbdt, train);
        let outputs = gbdt.outputs();
        let first = self.settings.len();
        let own = Settings {
            l2: gbdt.l2,
            min_gain: gbdt.min_gain,
            min_h: scales.min_h,
            learning_rate: gbdt.learning_rate,
            g_scale: scales.g_scale,
            h_scale: scales.h_scale,
            seed: plan.config.seed,
            sample_limit: scales.sample_limit,
            class_weight_at: small(self.class_weights.len()),
            classes: small(scales.class_weights.len()),
            objective: match gbdt.objective {
                Objective::BinaryLogistic => 0,
                Objective::SquaredError => 1,
                Objective::Softmax => 2,
            },
            growth: u32::from(gbdt.growth == Growth::Lossguide),
            depth_limit: u32::from(gbdt.depth_limit()),
            leaf_limit: small(gbdt.leaf_limit()),
            features_wanted: small(scales.features_wanted),
            sampled: u32::from(gbdt.subsample < 1.0),
            output: 0,
            first_lane: small(first),
            outputs: small(outputs),
            variant: small(self.variants.len()),
        };
        let lanes = (0..small(outputs)).map(|output| Settings { output, ..own });
        self.settings.extend(lanes);
        self.class_weights.extend(scales.class_weights);
        self.table = scales.table;
        self.variants.push(Lanes {
            gbdt: gbdt.clone(),
            first,
            outputs,
            steps: steps(gbdt, train.rows() as u64),
            h_unit: 1.0 / scales.h_scale,
            rounds: plan.rounds as usize,
            looked_at_every: looked_at_every(&plan.config),
            base: plan.ensemble.base_margins(1),
        });
    }

    /// What a card with so many rows of `train` needs.
    pub(crate) fn shape(&self, train: &Matrix, rows: usize, valid_rows: usize) -> Shape {
        let settings = self.variants.iter().map(|variant| &variant.gbdt);
        let shape = Shape::of(train, rows, valid_rows, settings);
        Shape {
            class_weights: self.class_weights.len() as u64,
            table: self.table.len() as u64,
            ..shape
        }
    }

    /// Whether any variant has this objective.
    pub(crate) fn has(&self, objective: Objective) -> bool {
        let mut variants = self.variants.iter();
        variants.any(|variant| variant.gbdt.objective == objective)
    }
}

/// Rounds after which somebody wants what there is; 0 where nobody does before the end.
fn looked_at_every(config: &Config) -> usize {
    let each = config.early_stop.is_some() || config.checkpoint_every_ms == Some(0);
    if each {
        1
    } else {
        config.metric_every as usize
    }
}

/// Whether an algorithm trains on cards.
///
/// # Errors
/// [`TrainError::Invalid`] that says why not.
pub(crate) fn trains_on_cards(algorithm: &Algorithm) -> Result<(), TrainError> {
    let classes_max = FOREST_WIDTH_MAX - 2;
    match algorithm {
        Algorithm::Gbdt(_) => Ok(()),
        Algorithm::RandomForest(forest) if forest.outputs() <= classes_max => Ok(()),
        Algorithm::RandomForest(forest) => Err(TrainError::Invalid(format!(
            "a forest of {} classes does not train on a GPU, which takes at most {classes_max}; use device cpu or best",
            forest.outputs()
        ))),
        Algorithm::Logistic(_) | Algorithm::Mlp(_) => Err(TrainError::Invalid(
            "only gbdt and random-forest train on a GPU; use device cpu or best for other algorithms".to_owned(),
        )),
    }
}

/// Counts that were limited long before fit into 32 bits.
pub(crate) fn small(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
