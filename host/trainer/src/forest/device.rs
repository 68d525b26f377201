//! A forest whose trees grow on cards: what the cards must know, and trees out of what they grew, numbered as on the processor.

use super::grow::{Soil, tried};
use super::split::{Classes, Criterion, Mean, Sums};
use super::target::Labels;
use crate::config::Forest;
use crate::cuda::{ForestCard, ForestRow, Gpu, Grounds, Grown};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::job::TreePlan;
use crate::model::{Node, Tree};
use crate::rounds::Backend;
use std::sync::Arc;

/// The cards of one forest.
pub(super) struct Cards(Vec<ForestCard>);

/// The backend of a forest's plan on cards. Margins are added up on the processor, by one thread.
///
/// # Errors
/// [`TrainError::OutOfMemory`] and [`TrainError::DeviceFault`].
pub(crate) fn backend_on_cards(
    plan: &TreePlan,
    forest: &Forest,
    gpus: Vec<Box<dyn Gpu>>,
) -> Result<Box<dyn Backend>, TrainError> {
    let labels = Labels::of(forest, &plan.train);
    let row = |row: &super::target::Row| ForestRow {
        weight: row.weight,
        label: row.label,
    };
    let classes = if forest.outputs() > 1 {
        forest.outputs()
    } else {
        0
    };
    let grounds = Grounds {
        data: &plan.train,
        labels: labels.rows.iter().map(row).collect(),
        seed: plan.config.seed,
        width: if classes == 0 {
            Mean.width()
        } else {
            Classes(classes).width()
        },
        classes,
        tried: tried(forest.max_features, plan.train.features()),
        min_leaf: forest.min_leaf,
        depth_limit: if forest.max_depth == 0 {
            u8::MAX
        } else {
            forest.max_depth
        },
        bootstrap: forest.bootstrap,
    };
    let mut cards = Vec::with_capacity(gpus.len());
    for gpu in gpus {
        cards.push(ForestCard::new(gpu, &grounds, plan.rounds as usize)?);
    }
    super::cpu::backend_with(plan, 1, Some(Cards(cards)))
}

impl Cards {
    /// Grows `from..` up to `to`, each card its share at once; yields the trees of as many rounds as fit, one at least.
    pub(super) fn grow<C: Criterion>(
        &mut self,
        soil: &Soil<C>,
        data: &Arc<Matrix>,
        from: usize,
        to: usize,
    ) -> Result<Vec<Vec<Tree>>, TrainError> {
        let share = (to - from).max(1).div_ceil(self.0.len().max(1));
        let mut first = from;
        let mut grown = Vec::new();
        let parts: Vec<Result<Vec<Grown>, TrainError>> = std::thread::scope(|scope| {
            let mut workers = Vec::new();
            for card in &mut self.0 {
                let count = share.min(card.trees()).min(to.max(from + 1) - first);
                let own = first;
                first += count;
                workers.push(scope.spawn(move || {
                    if count == 0 {
                        Ok(Vec::new())
                    } else {
                        card.grow(own as u64, count)
                    }
                }));
            }
            let lost = |_| {
                Err(TrainError::WorkerLost(
                    "a card's thread panicked; please report this".to_owned(),
                ))
            };
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_else(lost))
                .collect()
        });
        for part in parts {
            for tree in part? {
                grown.push(trees_of(soil, data, &tree)?);
            }
        }
        Ok(grown)
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(ForestCard::bytes).sum()
    }
}

/// One tree an output, its nodes in the order in which the processor splits them: depth first, left before right.
///
/// # Errors
/// [`TrainError::DeviceFault`] where children do not sum to their parent.
fn trees_of<C: Criterion>(
    soil: &Soil<C>,
    data: &Matrix,
    grown: &Grown,
) -> Result<Vec<Tree>, TrainError> {
    let broken = || TrainError::DeviceFault("a tree of a forest came back broken".to_owned());
    let width = soil.criterion.width();
    let sums = |place: usize| {
        grown
            .sums
            .get(place * width..(place + 1) * width)
            .ok_or_else(broken)
    };
    let total = super::split::weight(sums(0)?).max(1) as f64;
    let mut shape = vec![super::grow::LEAF];
    let mut leaves: Vec<(usize, Sums)> = Vec::new();
    let mut line = vec![(0_usize, 0_usize)];
    while let Some((from, place)) = line.pop() {
        let own = grown.nodes.get(from).ok_or_else(broken)?;
        let own_sums = sums(from)?;
        let child = own.child as usize;
        if child == 0 {
            leaves.push((place, own_sums.to_vec()));
            continue;
        }
        let mut both = sums(child)?
            .iter()
            .zip(sums(child + 1)?)
            .map(|(left, right)| left + right);
        if child <= from || !own_sums.iter().all(|sum| both.next() == Some(*sum)) {
            return Err(broken());
        }
        let feature = own.feature as usize;
        let left = shape.len();
        if let Some(node) = shape.get_mut(place).filter(|_| feature < data.features()) {
            let score = soil.criterion.score(own_sums.iter().copied());
            *node = Node {
                feature: own.feature,
                threshold: data
                    .cuts(feature)
                    .get(own.bin as usize)
                    .copied()
                    .unwrap_or(f32::MAX),
                default_left: own.default_left != 0,
                left: u32::try_from(left).map_err(|_| broken())?,
                gain: soil.gain(own.score - score, total),
                ..*node
            };
        }
        shape.extend([super::grow::LEAF; 2]);
        line.extend([(child + 1, left + 1), (child, left)]);
    }
    Ok(soil.trees(shape, &leaves))
}
