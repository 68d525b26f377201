//! Grows one tree of a forest on one thread, depth first, until its nodes are pure, small or deep enough.

use super::draw::{Features, bootstrap, child_key, root_key};
use super::split::{Criterion, Found, Node, Split, Sums, Tally, draws, rest, weight};
use super::target::Labels;
use crate::config::{Forest, Objective};
use crate::data::{MISSING, Matrix};
use crate::model;

/// What all trees of a forest are grown from.
#[derive(Debug)]
pub(super) struct Soil<C> {
    pub(super) criterion: C,
    pub(super) forest: Forest,
    pub(super) seed: u64,
    pub(super) labels: Labels,
}

/// A node that waits.
struct Open {
    place: usize,
    depth: u8,
    key: u64,
    from: usize,
    to: usize,
    sums: Sums,
}

/// One tree in growth.
struct Growth<'a, C> {
    soil: &'a Soil<C>,
    data: &'a Matrix,
    times: Vec<u16>,
    rows: Vec<u32>,
    spare: Vec<u32>,
    features: Features,
    tried: usize,
    tally: Tally<C>,
    total: f64,
    nodes: Vec<model::Node>,
    /// The sums of each leaf.
    leaves: Vec<(usize, Sums)>,
}

impl<C: Criterion> Soil<C> {
    /// The trees number `tree` of each output: one shape, and each output's values.
    pub(super) fn grow(&self, data: &Matrix, tree: u64) -> Vec<model::Tree> {
        let count = self.labels.rows.len();
        let mut times = if self.forest.bootstrap {
            bootstrap(self.seed, tree, count)
        } else {
            vec![1; count]
        };
        for (times, row) in times.iter_mut().zip(&self.labels.rows) {
            *times *= u16::from(row.weight > 0);
        }
        let rows = (0_u32..).zip(&times);
        let rows: Vec<u32> = rows.filter(|(_, n)| **n > 0).map(|(row, _)| row).collect();
        let mut sums = vec![0; self.criterion.width()];
        for row in &rows {
            let row = *row as usize;
            self.criterion
                .add(&mut sums, self.labels.rows[row], times[row]);
        }
        let mut growth = Growth {
            soil: self,
            data,
            spare: vec![0; rows.len()],
            rows,
            times,
            features: Features::new(data.features()),
            tried: tried(self.forest.max_features, data.features()),
            tally: Tally::new(self.criterion),
            total: weight(&sums).max(1) as f64,
            nodes: vec![LEAF],
            leaves: Vec::new(),
        };
        growth.grow(root_key(self.seed, tree), sums);
        self.trees(growth.nodes, &growth.leaves)
    }
}

pub(super) const LEAF: model::Node = model::Node {
    feature: 0,
    threshold: 0.0,
    default_left: false,
    left: 0,
    value: 0.0,
    gain: 0.0,
    cover: 0.0,
};

/// Features to try at a split.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a count"
)]
pub(super) fn tried(max_features: f64, count: usize) -> usize {
    let tried = if max_features == 0.0 {
        count.isqrt()
    } else {
        (max_features * count as f64) as usize
    };
    tried.clamp(1, count.max(1))
}

impl<C: Criterion> Growth<'_, C> {
    fn grow(&mut self, key: u64, sums: Sums) {
        let mut line = vec![Open {
            place: 0,
            depth: 0,
            key,
            from: 0,
            to: self.rows.len(),
            sums,
        }];
        while let Some(open) = line.pop() {
            match self.split(&open) {
                Some(split) => line.extend(self.part(&open, &split)),
                None => self.leaves.push((open.place, open.sums)),
            }
        }
    }

    /// The best split of a node among the features that it draws; none makes it a leaf.
    fn split(&mut self, open: &Open) -> Option<Split> {
        let limit = match self.soil.forest.max_depth {
            0 => u8::MAX,
            depth => depth,
        };
        let min_leaf = i64::from(self.soil.forest.min_leaf);
        if open.depth >= limit || draws(&open.sums) < 2 * min_leaf || self.is_pure(open) {
            return None;
        }
        let node = Node {
            rows: &self.rows[open.from..open.to],
            labels: &self.soil.labels.rows,
            times: &self.times,
            sums: &open.sums,
            min_leaf,
        };
        let (mut tried, mut varied) = (0, false);
        let mut best: Option<Split> = None;
        // Constant features are passed over as long as no other was found.
        while tried < self.tried || !varied {
            let Some(feature) = self.features.draw(open.key) else {
                break;
            };
            tried += 1;
            let last = u8::try_from(self.data.cuts(feature).len()).unwrap_or(MISSING - 1);
            let column = self.data.column(feature);
            let found = self.tally.best(feature, column, last, &node);
            varied |= !matches!(found, Found::Constant);
            if let Found::Cut(split) = found
                && best.as_ref().is_none_or(|best| split.is_better_than(best))
            {
                best = Some(split);
            }
        }
        self.features.reset();
        best
    }

    fn is_pure(&self, open: &Open) -> bool {
        let mut rows = self.rows[open.from..open.to].iter();
        let label = |row: &u32| self.soil.labels.rows[*row as usize].label;
        let Some(first) = rows.next().map(label) else {
            return true;
        };
        rows.all(|row| label(row) == first)
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "at most 2^31 nodes and 2^14 features; gains are for people"
    )]
    fn part(&mut self, open: &Open, split: &Split) -> [Open; 2] {
        let column = self.data.column(split.feature);
        let rows = &mut self.rows[open.from..open.to];
        let (mut lefts, mut rights) = (0, 0);
        // The order is kept, so that columns are read forwards. Without a branch: both sides are written, one is kept.
        for place in 0..rows.len() {
            let row = rows[place];
            let bin = column[row as usize];
            let goes_left = if bin == MISSING {
                split.default_left
            } else {
                bin <= split.bin
            };
            rows[lefts] = row;
            self.spare[rights] = row;
            lefts += usize::from(goes_left);
            rights += usize::from(!goes_left);
        }
        rows[lefts..].copy_from_slice(&self.spare[..rights]);
        let left = self.nodes.len();
        let own = self.soil.criterion.score(open.sums.iter().copied());
        let cuts = self.data.cuts(split.feature);
        self.nodes[open.place] = model::Node {
            feature: split.feature as u32,
            threshold: cuts
                .get(usize::from(split.bin))
                .copied()
                .unwrap_or(f32::MAX),
            default_left: split.default_left,
            left: left as u32,
            gain: self.soil.gain(split.score - own, self.total),
            ..self.nodes[open.place]
        };
        self.nodes.extend([LEAF, LEAF]);
        let rights = open
            .sums
            .iter()
            .zip(&split.left)
            .map(|(all, left)| all - left);
        let middle = open.from + lefts;
        [
            Open {
                place: left + 1,
                depth: open.depth + 1,
                key: child_key(open.key, true),
                from: middle,
                to: open.to,
                sums: rights.collect(),
            },
            Open {
                place: left,
                depth: open.depth + 1,
                key: child_key(open.key, false),
                from: open.from,
                to: middle,
                sums: split.left.clone(),
            },
        ]
    }
}

impl<C: Criterion> Soil<C> {
    /// The decrease of impurity, weighted by the node's share of the rows, over all outputs together.
    #[expect(clippy::cast_possible_truncation, reason = "gains are for people")]
    pub(super) fn gain(&self, score: f64, total: f64) -> f32 {
        let unit = match self.forest.objective() {
            Objective::SquaredError => self.labels.unit * self.labels.unit,
            // Gini counts both classes.
            Objective::BinaryLogistic => 2.0,
            Objective::Softmax => 1.0 / self.forest.outputs() as f64,
        };
        (score * unit / total).max(0.0) as f32
    }

    /// One tree an output. The weight of a node is known at its leaves and summed upwards: children come after their parents.
    #[expect(clippy::cast_possible_truncation, reason = "a model holds f32 values")]
    pub(super) fn trees(
        &self,
        mut shape: Vec<model::Node>,
        leaves: &[(usize, Sums)],
    ) -> Vec<model::Tree> {
        let mut covers = vec![0_i64; shape.len()];
        for (place, sums) in leaves {
            covers[*place] = weight(sums);
        }
        for place in (0..shape.len()).rev() {
            let left = shape[place].left as usize;
            if left != 0 {
                covers[place] = covers[left] + covers[left + 1];
            }
            shape[place].cover = (covers[place] as f64 * self.labels.weight_unit) as f32;
        }
        let tree = |output: usize| {
            let mut nodes = shape.clone();
            for (place, sums) in leaves {
                let sum = rest(sums).get(output).copied().unwrap_or_default() as f64;
                let mean = sum / weight(sums).max(1) as f64;
                nodes[*place].value = (self.labels.middle + mean * self.labels.unit) as f32;
            }
            model::Tree { nodes }
        };
        (0..self.forest.outputs()).map(tree).collect()
    }
}
