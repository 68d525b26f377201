//! Grows one tree: a line of nodes that may still be split, the next one chosen by the growth rule. The work on rows and histograms
//! may be spread over threads; what is decided never depends on how.

use super::gradient::Sum;
use super::histogram::Histogram;
use super::split::{Rules, Split, best};
use crate::config::{Gbdt, Growth};
use crate::data::{MISSING, Matrix};
use crate::error::TrainError;
use crate::model::{Node, Tree};
use crate::threads::Pool;
use std::sync::Arc;

/// Bytes of histograms that waiting nodes may hold. A node over it has its children counted from their rows again: slower, the
/// same tree, and no settings can make a run hold more.
const HISTOGRAM_BYTES_MAX: usize = 256 << 20;

/// How many waiting nodes may hold a histogram.
pub(super) fn histograms_max(groups: usize) -> usize {
    HISTOGRAM_BYTES_MAX / Histogram::bytes(groups)
}

/// What one tree is grown from.
pub(super) struct Soil<'a> {
    pub(super) pool: &'a Pool,
    pub(super) data: &'a Arc<Matrix>,
    pub(super) packed: &'a Arc<Vec<u64>>,
    pub(super) gbdt: &'a Gbdt,
    pub(super) rules: Rules,
    pub(super) features: &'a [usize],
    pub(super) histograms_max: usize,
}

/// A tree and which rows ended in which leaf.
pub(super) struct Grown {
    pub(super) tree: Tree,
    pub(super) leaves: Vec<(usize, Arc<Vec<u32>>)>,
}

/// A node that may be split.
struct Open {
    node: usize,
    depth: u8,
    rows: Arc<Vec<u32>>,
    histogram: Option<Histogram>,
    total: Sum,
    split: Split,
}

/// A node whose fate is not known yet.
struct Candidate {
    node: usize,
    depth: u8,
    rows: Arc<Vec<u32>>,
    total: Sum,
}

impl Soil<'_> {
    /// Grows a tree over `rows`, which is not empty.
    pub(super) fn grow(&self, rows: Vec<u32>, total: Sum) -> Result<Grown, TrainError> {
        let mut grown = Grown {
            tree: Tree {
                nodes: vec![self.leaf(total)],
            },
            leaves: Vec::new(),
        };
        let root = Candidate {
            node: 0,
            depth: 0,
            rows: Arc::new(rows),
            total,
        };
        let mut line: Vec<Open> = Vec::new();
        let mut leaves = 1;
        self.admit(root, None, &mut line, &mut grown)?;
        while leaves < self.gbdt.leaf_limit() {
            let Some(open) = self.next(&mut line) else {
                break;
            };
            self.split(open, &mut line, &mut grown)?;
            leaves += 1;
        }
        grown
            .leaves
            .extend(line.into_iter().map(|open| (open.node, open.rows)));
        Ok(grown)
    }

    fn leaf(&self, total: Sum) -> Node {
        #[expect(clippy::cast_possible_truncation, reason = "a model holds f32 values")]
        let value = (self.rules.leaf(total) * self.gbdt.learning_rate) as f32;
        #[expect(clippy::cast_possible_truncation, reason = "a model holds f32 values")]
        let cover = self.rules.hessian(total) as f32;
        Node {
            feature: 0,
            threshold: 0.0,
            default_left: false,
            left: 0,
            value,
            gain: 0.0,
            cover,
        }
    }

    /// The node to split next: by level from the left, or the highest gain with ties to the older node.
    fn next(&self, line: &mut Vec<Open>) -> Option<Open> {
        let place = match self.gbdt.growth {
            Growth::Depthwise => {
                line.iter()
                    .enumerate()
                    .min_by_key(|(_, open)| (open.depth, open.node))?
                    .0
            }
            Growth::Lossguide => {
                let better = |one: &Open, other: &Open| {
                    one.split
                        .gain
                        .total_cmp(&other.split.gain)
                        .then(other.node.cmp(&one.node))
                };
                line.iter()
                    .enumerate()
                    .max_by(|one, other| better(one.1, other.1))?
                    .0
            }
        };
        Some(line.swap_remove(place))
    }

    /// Puts a node into the line if it can be split, else among the leaves.
    fn admit(
        &self,
        candidate: Candidate,
        histogram: Option<Histogram>,
        line: &mut Vec<Open>,
        grown: &mut Grown,
    ) -> Result<(), TrainError> {
        let Candidate {
            node,
            depth,
            rows,
            total,
        } = candidate;
        if depth < self.gbdt.depth_limit() && rows.len() > 1 {
            let histogram = match histogram {
                Some(histogram) => histogram,
                None => Histogram::build(self.pool, self.data, self.packed, &rows)?,
            };
            if let Some(split) = best(&self.rules, self.data, &histogram, self.features, total) {
                let histogram = (line.len() < self.histograms_max).then_some(histogram);
                line.push(Open {
                    node,
                    depth,
                    rows,
                    histogram,
                    total,
                    split,
                });
                return Ok(());
            }
        }
        grown.leaves.push((node, rows));
        Ok(())
    }

    fn split(&self, open: Open, line: &mut Vec<Open>, grown: &mut Grown) -> Result<(), TrainError> {
        let Open {
            node,
            depth,
            rows,
            histogram,
            total,
            split,
        } = open;
        let (left_rows, right_rows) = part(self.data.column(split.feature), &rows, &split);
        let (left_sum, right_sum) = (split.left, total.sub(split.left));
        let left = grown.tree.nodes.len();
        grown
            .tree
            .nodes
            .extend([self.leaf(left_sum), self.leaf(right_sum)]);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "at most 2^16 nodes and 2^14 features; gains are for people"
        )]
        if let Some(parent) = grown.tree.nodes.get_mut(node) {
            parent.feature = split.feature as u32;
            parent.threshold = self
                .data
                .cuts(split.feature)
                .get(usize::from(split.bin))
                .copied()
                .unwrap_or(f32::MAX);
            parent.default_left = split.default_left;
            parent.left = left as u32;
            parent.gain = split.gain as f32;
        }
        let (left_rows, right_rows) = (Arc::new(left_rows), Arc::new(right_rows));
        let (left_histogram, right_histogram) =
            self.children(histogram, depth + 1, &left_rows, &right_rows)?;
        let left_child = Candidate {
            node: left,
            depth: depth + 1,
            rows: left_rows,
            total: left_sum,
        };
        let right_child = Candidate {
            node: left + 1,
            depth: depth + 1,
            rows: right_rows,
            total: right_sum,
        };
        self.admit(left_child, left_histogram, line, grown)?;
        self.admit(right_child, right_histogram, line, grown)
    }

    /// Histograms of both children for the price of the smaller one; none where they cannot be split anyway or the parent kept none.
    fn children(
        &self,
        parent: Option<Histogram>,
        depth: u8,
        left: &Arc<Vec<u32>>,
        right: &Arc<Vec<u32>>,
    ) -> Result<(Option<Histogram>, Option<Histogram>), TrainError> {
        let Some(parent) = parent.filter(|_| depth < self.gbdt.depth_limit()) else {
            return Ok((None, None));
        };
        let left_is_smaller = left.len() <= right.len();
        let smaller = Histogram::build(
            self.pool,
            self.data,
            self.packed,
            if left_is_smaller { left } else { right },
        )?;
        let larger = parent.subtract(&smaller);
        Ok(if left_is_smaller {
            (Some(smaller), Some(larger))
        } else {
            (Some(larger), Some(smaller))
        })
    }
}

/// Parts the rows of a node, keeping their order.
fn part(column: &[u8], rows: &[u32], split: &Split) -> (Vec<u32>, Vec<u32>) {
    let mut left = vec![0; rows.len()];
    let mut right = vec![0; rows.len()];
    let (mut lefts, mut rights) = (0, 0);
    // Without a branch in the loop: both sides are written, one is kept.
    for row in rows {
        let bin = column[*row as usize];
        let goes_left = if bin == MISSING {
            split.default_left
        } else {
            bin <= split.bin
        };
        left[lefts] = *row;
        right[rights] = *row;
        lefts += usize::from(goes_left);
        rights += usize::from(!goes_left);
    }
    left.truncate(lefts);
    right.truncate(rights);
    (left, right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::MatrixInput;
    use crate::gbdt::gradient::{Gradients, unpack};

    #[test]
    fn a_tree_does_not_depend_on_which_histograms_are_kept() {
        let column = |n: u64| -> Vec<f32> {
            (0..3_000)
                .map(|row| f32::from((crate::math::hash3(n, 0, row) % 1_000) as u16))
                .collect()
        };
        let label = column(9).iter().map(|x| f32::from(*x > 400.0)).collect();
        let input = MatrixInput {
            columns: (0..3).map(|n| (format!("f{n}"), column(n))).collect(),
            label: Some(label),
            weight: None,
            max_bins: 64,
        };
        let data = Arc::new(Matrix::build(input).unwrap());
        let pool = Pool::new(1).unwrap();
        for growth in [Growth::Depthwise, Growth::Lossguide] {
            let gbdt = Gbdt {
                growth,
                ..Gbdt::default()
            };
            let mut gradients = Gradients::new(&gbdt, &data);
            let mut packed = [vec![0; data.rows()]];
            gradients.compute(&data, &vec![0.0; data.rows()], &mut packed);
            let [packed] = packed;
            let total = packed
                .iter()
                .fold(Sum::default(), |sum, word| sum.add(unpack(*word)));
            let packed = Arc::new(packed);
            let grow = |histograms_max| {
                let soil = Soil {
                    pool: &pool,
                    data: &data,
                    packed: &packed,
                    gbdt: &gbdt,
                    rules: Rules {
                        l2: 1.0,
                        min_gain: 0.0,
                        min_child_weight: 1.0,
                        g_unit: 1.0 / gradients.g_scale,
                        h_unit: 1.0 / gradients.h_scale,
                    },
                    features: &[0, 1, 2],
                    histograms_max,
                };
                soil.grow((0..3_000).collect(), total).unwrap().tree
            };
            let all = grow(usize::MAX);
            assert!(all.nodes.len() > 31);
            assert_eq!(all, grow(0));
            assert_eq!(all, grow(2));
        }
    }
}
