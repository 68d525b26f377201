//! Grows one tree: a line of nodes that may still be split, the next ones chosen by the growth rule. The work on rows and histograms
//! is spread over threads; what is decided never depends on how.

use super::gradient::Sum;
use super::histogram::{Counter, Histogram};
use super::part::{Cut, part};
use super::split::{Rules, Split, best};
use crate::config::{Gbdt, Growth};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::model::{Node, Tree};
use crate::threads::Pool;
use std::ops::Range;

/// Bytes of histograms that waiting nodes may hold. A node over it has its children counted from their rows again: slower, the
/// same tree, and no settings can make a run hold more.
const HISTOGRAM_BYTES_MAX: usize = 256 << 20;

/// How many waiting nodes may hold a histogram.
pub(super) fn histograms_max(features: usize) -> usize {
    HISTOGRAM_BYTES_MAX / Histogram::bytes(features)
}

/// What one tree is grown from.
pub(super) struct Soil<'a> {
    pub(super) pool: &'a Pool,
    pub(super) data: &'a Matrix,
    pub(super) counter: Counter<'a>,
    pub(super) gbdt: &'a Gbdt,
    pub(super) rules: Rules,
    pub(super) features: &'a [usize],
    pub(super) histograms_max: usize,
}

/// Row numbers of a tree: those of each node lie together and rise.
pub(super) struct Rows<'a> {
    pub(super) rows: &'a mut [u32],
    /// As many, for parting.
    pub(super) spare: &'a mut [u32],
}

/// A tree, and which rows ended in which leaf.
pub(super) struct Grown {
    pub(super) tree: Tree,
    pub(super) leaves: Vec<(usize, Range<usize>)>,
}

/// A node that may be split.
struct Open {
    candidate: Candidate,
    histogram: Option<Histogram>,
    split: Split,
}

/// A node whose fate is not known yet.
#[derive(Clone)]
struct Candidate {
    node: usize,
    depth: u8,
    rows: Range<usize>,
    total: Sum,
}

/// Two children and what is left of their parent.
struct Family {
    parent: Option<Histogram>,
    children: [Candidate; 2],
}

impl Soil<'_> {
    /// Grows a tree over rows that are not none.
    pub(super) fn grow(&self, mut rows: Rows<'_>) -> Result<Grown, TrainError> {
        let counted = self.counter.count(self.pool, &[&*rows.rows])?.pop();
        let first = self.features.first().copied().unwrap_or_default();
        let total = counted.as_ref().map(|all| all.total(first));
        let root = Candidate {
            node: 0,
            depth: 0,
            rows: 0..rows.rows.len(),
            total: total.unwrap_or_default(),
        };
        let mut grown = Grown {
            tree: Tree {
                nodes: vec![self.leaf(root.total)],
            },
            leaves: Vec::new(),
        };
        let mut line: Vec<Open> = Vec::new();
        self.admit(vec![(root, counted)], &mut line, &mut grown)?;
        let mut leaves = 1;
        while leaves < self.gbdt.leaf_limit() {
            let chosen = self.next(&mut line, self.gbdt.leaf_limit() - leaves);
            if chosen.is_empty() {
                break;
            }
            leaves += chosen.len();
            let families = self.split(chosen, &mut rows, &mut grown)?;
            let candidates = self.histograms(families, &rows)?;
            self.admit(candidates, &mut line, &mut grown)?;
        }
        let rest = line.into_iter().map(|open| open.candidate);
        grown.leaves.extend(rest.map(|one| (one.node, one.rows)));
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

    /// The nodes to split next, at most `most`: the highest level from the left, or the one with the highest gain, ties to the older
    /// node.
    fn next(&self, line: &mut Vec<Open>, most: usize) -> Vec<Open> {
        match self.gbdt.growth {
            // The line is one level, in order, or empty.
            Growth::Depthwise => {
                let rest = line.split_off(most.min(line.len()));
                std::mem::replace(line, rest)
            }
            Growth::Lossguide => {
                let better = |one: &Open, other: &Open| {
                    let by_age = other.candidate.node.cmp(&one.candidate.node);
                    one.split.gain.total_cmp(&other.split.gain).then(by_age)
                };
                let best = line.iter().enumerate().max_by(|a, b| better(a.1, b.1));
                let place = best.map(|(place, _)| place);
                place
                    .map(|place| line.swap_remove(place))
                    .into_iter()
                    .collect()
            }
        }
    }

    fn can_split(&self, candidate: &Candidate) -> bool {
        candidate.depth < self.gbdt.depth_limit() && candidate.rows.len() > 1
    }

    /// Puts nodes into the line if they can be split, else among the leaves.
    fn admit(
        &self,
        candidates: Vec<(Candidate, Option<Histogram>)>,
        line: &mut Vec<Open>,
        grown: &mut Grown,
    ) -> Result<(), TrainError> {
        let splits = self.search(&candidates)?;
        for ((candidate, histogram), split) in candidates.into_iter().zip(splits) {
            match split {
                Some(split) => line.push(Open {
                    histogram: histogram.filter(|_| line.len() < self.histograms_max),
                    candidate,
                    split,
                }),
                None => grown.leaves.push((candidate.node, candidate.rows)),
            }
        }
        Ok(())
    }

    /// The best split of each node: features are shared out where there are few nodes.
    fn search(
        &self,
        candidates: &[(Candidate, Option<Histogram>)],
    ) -> Result<Vec<Option<Split>>, TrainError> {
        let busy = 2 * self.pool.threads();
        let pieces = match self.pool.threads() {
            1 => 1,
            _ => busy.div_ceil(candidates.len().max(1)),
        };
        let length = self.features.len().div_ceil(pieces).max(1);
        let mut looks = Vec::new();
        for (place, (candidate, histogram)) in candidates.iter().enumerate() {
            if let Some(histogram) = histogram
                && self.can_split(candidate)
            {
                let parts = self.features.chunks(length);
                looks.extend(parts.map(|features| (place, candidate.total, histogram, features)));
            }
        }
        let found = self
            .pool
            .map(looks, |(place, total, histogram, features)| {
                (
                    place,
                    best(&self.rules, self.data, histogram, features, total),
                )
            })?;
        let mut splits: Vec<Option<Split>> = vec![None; candidates.len()];
        for (place, split) in found {
            // Features come in rising order, so only a strictly better one replaces.
            if let (Some(kept), Some(split)) = (splits.get_mut(place), split)
                && kept.is_none_or(|kept| split.gain > kept.gain)
            {
                *kept = Some(split);
            }
        }
        Ok(splits)
    }

    /// Parts the rows of nodes and gives each two children.
    fn split(
        &self,
        chosen: Vec<Open>,
        rows: &mut Rows<'_>,
        grown: &mut Grown,
    ) -> Result<Vec<Family>, TrainError> {
        let cuts: Vec<Cut<'_>> = chosen
            .iter()
            .map(|open| Cut {
                rows: open.candidate.rows.clone(),
                column: self.data.column(open.split.feature),
                bin: open.split.bin,
                default_left: open.split.default_left,
            })
            .collect();
        let lefts = part(self.pool, rows.rows, rows.spare, &cuts)?;
        let families = chosen.into_iter().zip(lefts).map(|(open, lefts)| {
            let place = grown.tree.nodes.len();
            let (parent, split) = (open.candidate, open.split);
            self.connect(&mut grown.tree, parent.node, place, &split);
            let sums = [split.left, parent.total.sub(split.left)];
            grown.tree.nodes.extend(sums.map(|sum| self.leaf(sum)));
            let middle = parent.rows.start + lefts;
            let child = |side: usize, rows| Candidate {
                node: place + side,
                depth: parent.depth + 1,
                rows,
                total: sums[side],
            };
            Family {
                parent: open.histogram,
                children: [
                    child(0, parent.rows.start..middle),
                    child(1, middle..parent.rows.end),
                ],
            }
        });
        Ok(families.collect())
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^16 nodes and 2^14 features; gains are for people"
    )]
    fn connect(&self, tree: &mut Tree, node: usize, left: usize, split: &Split) {
        let cuts = self.data.cuts(split.feature);
        if let Some(parent) = tree.nodes.get_mut(node) {
            parent.feature = split.feature as u32;
            parent.threshold = cuts
                .get(usize::from(split.bin))
                .copied()
                .unwrap_or(f32::MAX);
            parent.default_left = split.default_left;
            parent.left = left as u32;
            parent.gain = split.gain as f32;
        }
    }

    /// Histograms of both children for the price of the smaller one; of both from their rows where the parent kept none.
    fn histograms(
        &self,
        families: Vec<Family>,
        rows: &Rows<'_>,
    ) -> Result<Vec<(Candidate, Option<Histogram>)>, TrainError> {
        let smaller =
            |[left, right]: &[Candidate; 2]| usize::from(left.rows.len() > right.rows.len());
        let mut wanted = Vec::new();
        for family in &families {
            let [left, right] = &family.children;
            let splits = self.can_split(left) || self.can_split(right);
            match (&family.parent, splits) {
                (Some(_), true) => wanted.push(&family.children[smaller(&family.children)]),
                (None, true) => wanted.extend([left, right]),
                (_, false) => {}
            }
        }
        // A child of one row is counted too: its sibling may need what is left.
        let slices: Vec<&[u32]> = wanted
            .iter()
            .map(|one| &rows.rows[one.rows.clone()])
            .collect();
        let mut counted = self.counter.count(self.pool, &slices)?.into_iter();
        let mut shared = Vec::with_capacity(families.len());
        for Family { parent, children } in families {
            let splits = children.iter().any(|child| self.can_split(child));
            let own = match (splits, &parent) {
                (false, _) => [None, None],
                (true, Some(_)) => [counted.next(), None],
                (true, None) => [counted.next(), counted.next()],
            };
            shared.push((parent, children, own));
        }
        let both = self.pool.map(shared, |(parent, children, [one, other])| {
            // What is left of the parent is the larger child's; without a parent both were counted, the left one first.
            let counted_left = parent.is_none() || smaller(&children) == 0;
            let other = match (parent, &one) {
                (Some(mut parent), Some(one)) => {
                    parent.subtract(one);
                    Some(parent)
                }
                _ => other,
            };
            let [left, right] = children;
            let (ours, theirs) = if counted_left {
                (one, other)
            } else {
                (other, one)
            };
            [(left, ours), (right, theirs)]
        })?;
        Ok(both.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::super::gradient::Gradients;
    use super::super::histogram::Tables;
    use super::*;
    use crate::data::MatrixInput;

    fn data() -> Matrix {
        let column = |n: u64| -> Vec<f32> {
            (0..3_000)
                .map(|row| f32::from((crate::math::hash3(n, 0, row) % 1_000) as u16))
                .collect()
        };
        let label = column(20).iter().map(|x| f32::from(*x > 400.0)).collect();
        let input = MatrixInput {
            columns: (0..11).map(|n| (format!("f{n}"), column(n))).collect(),
            label: Some(label),
            weight: None,
            max_bins: 64,
        };
        Matrix::build(input).unwrap()
    }

    #[test]
    fn a_tree_does_not_depend_on_which_histograms_are_kept() {
        let data = data();
        let pool = Pool::new(1).unwrap();
        for growth in [Growth::Depthwise, Growth::Lossguide] {
            let gbdt = Gbdt {
                growth,
                ..Gbdt::default()
            };
            let mut gradients = Gradients::new(&gbdt, &data);
            let mut packed = [vec![0; data.rows()]];
            let margins = vec![0.0; data.rows()];
            gradients
                .compute(&pool, &data, &margins, &mut packed)
                .unwrap();
            let [packed] = packed;
            let features: Vec<usize> = (0..11).collect();
            let tables = Tables::default();
            let grow = |histograms_max| {
                let soil = Soil {
                    pool: &pool,
                    data: &data,
                    counter: Counter::new(&data, &packed, &features, &tables),
                    gbdt: &gbdt,
                    rules: Rules::new(&gbdt, 1.0 / gradients.g_scale, 1.0 / gradients.h_scale),
                    features: &features,
                    histograms_max,
                };
                let rows = Rows {
                    rows: &mut (0..3_000).collect::<Vec<u32>>(),
                    spare: &mut vec![0; 3_000],
                };
                soil.grow(rows).unwrap().tree
            };
            let all = grow(usize::MAX);
            assert!(all.nodes.len() > 31);
            assert!(all == grow(0) && all == grow(2));
        }
    }
}
