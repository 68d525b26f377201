//! How much of everything a batch of variants needs on a card: pure arithmetic, done before anything is allocated.

use super::layout::{CANDIDATE_BYTES, Gradient, Head, Item, Node, Settings, State, Sum};
use crate::config::{Gbdt, Growth, Objective};
use crate::data::Matrix;

/// Features whose bins lie together on a device.
pub(crate) const GROUP: usize = 16;
/// Bins of a feature, the one for missing values among them.
const BINS: u64 = 256;
/// Rounds that may be launched before the first one is read: the host's turn is hidden behind them, and a cancel waits for them.
const RING_MAX: u64 = 8;
/// Nodes of a tree from which on a round takes long enough by itself.
const RING_NODES: u64 = 4_096;

/// Sizes of the arrays of one card.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) rows: u64,
    pub(crate) valid_rows: u64,
    pub(crate) features: u64,
    pub(crate) groups: u64,
    /// Trees that grow at a time: one for each output of each variant.
    pub(crate) lanes: u64,
    /// Variants, if one of them is a softmax.
    pub(crate) shares: u64,
    /// Histograms of a lane.
    pub(crate) slots: u64,
    /// Nodes of a tree.
    pub(crate) nodes: u64,
    /// Trees of a lane that may wait on the card.
    pub(crate) ring: u64,
    pub(crate) weighted: bool,
    pub(crate) class_weights: u64,
    pub(crate) table: u64,
}

impl Shape {
    /// What `variants` over `rows` of the rows of `train` need; `valid_rows` of those that are followed on the card.
    pub(crate) fn of<'a>(
        train: &Matrix,
        rows: usize,
        valid_rows: usize,
        variants: impl Iterator<Item = &'a Gbdt>,
    ) -> Self {
        let mut shape = Self {
            rows: rows as u64,
            valid_rows: valid_rows as u64,
            features: train.features() as u64,
            groups: train.features().div_ceil(GROUP) as u64,
            weighted: train.weight().is_some(),
            ..Self::default()
        };
        let (mut count, mut has_classes) = (0, false);
        for gbdt in variants {
            count += 1;
            has_classes |= gbdt.objective == Objective::Softmax;
            shape.lanes += gbdt.outputs() as u64;
            // All rows decide how a tree may grow, also where a card has few of them.
            shape.slots = shape.slots.max(slots(gbdt, train.rows() as u64));
            shape.nodes = shape.nodes.max(2 * leaves(gbdt, train.rows() as u64) - 1);
            shape.class_weights += gbdt.outputs().max(2) as u64;
        }
        shape.ring = if shape.nodes > RING_NODES {
            1
        } else {
            RING_MAX
        };
        shape.shares = if has_classes { count } else { 0 };
        shape
    }

    /// Bytes of all arrays.
    pub(crate) fn bytes(&self) -> u64 {
        self.shared_bytes() + self.lanes * self.lane_bytes()
    }

    /// Bytes that do not depend on the number of lanes: the matrices.
    fn shared_bytes(&self) -> u64 {
        let bins = self.rows * (self.groups * GROUP as u64 + self.features);
        let labels = self.rows * 4 * (1 + u64::from(self.weighted));
        let valid = self.valid_rows * self.features;
        let shares = self.shares * self.rows * 16;
        bins + labels + valid + shares + 4 * self.features + 8 * (self.class_weights + self.table)
    }

    fn lane_bytes(&self) -> u64 {
        let margins = 8 * (self.rows + self.valid_rows);
        let rows = self.rows * (size_of::<Gradient>() as u64 + 2 * 4);
        let trees = self.ring * (self.nodes * size_of::<Node>() as u64 + size_of::<Head>() as u64);
        let lists = self.slots * size_of::<Item>() as u64 + 2 * 4 * (self.slots + 1);
        let candidates = 2 * self.slots * self.features * CANDIDATE_BYTES;
        let fixed = size_of::<Settings>() as u64 + size_of::<State>() as u64 + 4;
        margins
            + rows
            + trees
            + lists
            + candidates
            + fixed
            + self.features
            + self.slots * self.histogram() * size_of::<Sum>() as u64
    }

    /// Sums of one histogram.
    pub(crate) fn histogram(&self) -> u64 {
        self.groups * GROUP as u64 * BINS
    }
}

/// Most leaves of a tree over so many rows.
fn leaves(gbdt: &Gbdt, rows: u64) -> u64 {
    let by_depth = 1_u64
        .checked_shl(u32::from(gbdt.depth_limit()))
        .unwrap_or(u64::MAX);
    by_depth.min(gbdt.leaf_limit() as u64).min(rows.max(1))
}

/// Most histograms of a tree: one for the root and one for each split whose children may be split too.
fn slots(gbdt: &Gbdt, rows: u64) -> u64 {
    let by_depth = 1_u64
        .checked_shl(u32::from(gbdt.depth_limit()) - 1)
        .unwrap_or(u64::MAX);
    by_depth.min(gbdt.leaf_limit() as u64).min(rows.max(1))
}

/// How often a tree is planned: once a level, or once a split.
pub(crate) fn steps(gbdt: &Gbdt, rows: u64) -> u32 {
    let steps = match gbdt.growth {
        Growth::Depthwise => u64::from(gbdt.depth_limit()),
        Growth::Lossguide => (leaves(gbdt, rows) - 1).max(1),
    };
    u32::try_from(steps).unwrap_or(u32::MAX)
}
