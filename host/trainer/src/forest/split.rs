//! The best cut of one feature in one node. The sums of a bin lie together: draws, weight, then the weighted labels or the weight of
//! each class.

use super::target::Row;
use crate::data::MISSING;

/// Places of the first two sums of a bin.
const DRAWS: usize = 0;
const WEIGHT: usize = 1;
const REST: usize = 2;
const BINS: usize = 256;

/// What makes a node good: the sum over its children of [`Criterion::score`] is to be large.
pub(super) trait Criterion: Copy + Send + Sync + 'static {
    /// Sums of a bin.
    fn width(self) -> usize;
    /// Adds a row that was drawn `times` times.
    fn add(self, sums: &mut [i64], row: Row, times: u16);
    /// Weight times the sum of squared means.
    fn score(self, sums: impl Iterator<Item = i64>) -> f64;
}

/// Values, and labels 0 and 1: the mean of the labels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mean;

impl Criterion for Mean {
    fn width(self) -> usize {
        REST + 1
    }

    fn add(self, sums: &mut [i64], row: Row, times: u16) {
        if let [draws, weight, sum] = sums {
            let own = i64::from(times) * i64::from(row.weight);
            *draws += i64::from(times);
            *weight += own;
            *sum += own * i64::from(row.label);
        }
    }

    fn score(self, sums: impl Iterator<Item = i64>) -> f64 {
        score(sums)
    }
}

/// Three classes or more: the share of each.
#[derive(Debug, Clone, Copy)]
pub(super) struct Classes(pub(super) usize);

impl Criterion for Classes {
    fn width(self) -> usize {
        REST + self.0
    }

    fn add(self, sums: &mut [i64], row: Row, times: u16) {
        let own = i64::from(times) * i64::from(row.weight);
        sums[DRAWS] += i64::from(times);
        sums[WEIGHT] += own;
        let class = usize::try_from(row.label).unwrap_or_default();
        if let Some(sum) = sums.get_mut(REST + class) {
            *sum += own;
        }
    }

    fn score(self, sums: impl Iterator<Item = i64>) -> f64 {
        score(sums)
    }
}

fn score(mut sums: impl Iterator<Item = i64>) -> f64 {
    let weight = sums.nth(WEIGHT).unwrap_or_default() as f64;
    let squares: f64 = sums.map(|sum| sum as f64 * sum as f64).sum();
    squares / weight
}

/// Draws, weight and the rest of a node or a bin.
pub(super) type Sums = Vec<i64>;

pub(super) fn draws(sums: &[i64]) -> i64 {
    sums.get(DRAWS).copied().unwrap_or_default()
}

pub(super) fn weight(sums: &[i64]) -> i64 {
    sums.get(WEIGHT).copied().unwrap_or_default()
}

pub(super) fn rest(sums: &[i64]) -> &[i64] {
    sums.get(REST..).unwrap_or_default()
}

/// A cut: rows with `bin <= bin` go left.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) bin: u8,
    pub(super) default_left: bool,
    /// Of both children together.
    pub(super) score: f64,
    pub(super) left: Sums,
}

impl Split {
    /// Higher scores first; then the lower feature and bin, whatever the order of looking.
    pub(super) fn is_better_than(&self, other: &Self) -> bool {
        self.score > other.score
            || (self.score == other.score
                && (self.feature, self.bin, !self.default_left)
                    < (other.feature, other.bin, !other.default_left))
    }
}

/// The sums of one feature's bins, used again for every node and feature.
pub(super) struct Tally<C> {
    criterion: C,
    sums: Vec<i64>,
    /// Bins with rows, one bit each.
    touched: [u64; BINS / 64],
}

/// What a feature is to a node.
pub(super) enum Found {
    /// All rows are in one bin.
    Constant,
    /// No cut leaves enough rows on both sides.
    NoCut,
    Cut(Split),
}

impl<C: Criterion> Tally<C> {
    pub(super) fn new(criterion: C) -> Self {
        Self {
            sums: vec![0; BINS * criterion.width()],
            criterion,
            touched: [0; BINS / 64],
        }
    }

    /// The best cut of `feature`, whose bins are `column`, over the rows of a node. `last` is its highest bin.
    pub(super) fn best(
        &mut self,
        feature: usize,
        column: &[u8],
        last: u8,
        node: &Node<'_>,
    ) -> Found {
        self.fill(column, node);
        let bins: Vec<u8> = self.bins().collect();
        let found = self.look(feature, &bins, last, node);
        self.clear(&bins);
        found
    }

    fn fill(&mut self, column: &[u8], node: &Node<'_>) {
        let width = self.criterion.width();
        for row in node.rows {
            let row = *row as usize;
            let bin = usize::from(column[row]);
            self.touched[bin / 64] |= 1 << (bin % 64);
            let sums = &mut self.sums[bin * width..(bin + 1) * width];
            self.criterion.add(sums, node.labels[row], node.times[row]);
        }
    }

    /// Bins with rows, rising; the missing one is the last.
    fn bins(&self) -> impl Iterator<Item = u8> {
        self.touched
            .into_iter()
            .zip(0_u8..)
            .flat_map(|(word, place)| {
                let mut rest = word;
                std::iter::from_fn(move || {
                    let bit = rest.trailing_zeros();
                    rest &= rest.wrapping_sub(1);
                    u8::try_from(bit)
                        .ok()
                        .filter(|bit| *bit < 64)
                        .map(|bit| place * 64 + bit)
                })
            })
    }

    fn clear(&mut self, bins: &[u8]) {
        let width = self.criterion.width();
        for bin in bins {
            let from = usize::from(*bin) * width;
            self.sums[from..from + width].fill(0);
        }
        self.touched = [0; BINS / 64];
    }

    fn of(&self, bin: u8) -> &[i64] {
        let width = self.criterion.width();
        let from = usize::from(bin) * width;
        &self.sums[from..from + width]
    }

    fn look(&self, feature: usize, bins: &[u8], last: u8, node: &Node<'_>) -> Found {
        if bins.len() < 2 {
            return Found::Constant;
        }
        let (values, missing) = match bins.split_last() {
            Some((&MISSING, values)) => (values, Some(self.of(MISSING))),
            _ => (bins, None),
        };
        let mut best: Option<Split> = None;
        let mut left: Sums = vec![0; self.criterion.width()];
        for (place, bin) in values.iter().enumerate() {
            for (sum, own) in left.iter_mut().zip(self.of(*bin)) {
                *sum += own;
            }
            let next = values.get(place + 1);
            // Halfway to the next bin with rows; the cut that parts missing values from all others lies over every bin.
            let cut = next.map_or(last, |next| bin + (next - bin - 1) / 2);
            let mut consider = |left: &[i64], default_left: bool| {
                let score = self.score(left, node);
                let improves = |best: &Split| score.is_some_and(|score| score > best.score);
                if let Some(score) = score
                    && best.as_ref().is_none_or(improves)
                {
                    best = Some(Split {
                        feature,
                        bin: cut,
                        default_left,
                        score,
                        left: left.to_vec(),
                    });
                }
            };
            match missing {
                Some(missing) => {
                    if next.is_some() {
                        let both: Sums = left.iter().zip(missing).map(|(a, b)| a + b).collect();
                        consider(&both, true);
                    }
                    consider(&left, false);
                }
                // Nobody knows where a missing value belongs: with the heavier side.
                None if next.is_some() => consider(&left, 2 * weight(&left) >= weight(node.sums)),
                None => {}
            }
        }
        best.map_or(Found::NoCut, Found::Cut)
    }

    /// None where a side has too few rows.
    fn score(&self, left: &[i64], node: &Node<'_>) -> Option<f64> {
        let right = draws(node.sums) - draws(left);
        (draws(left) >= node.min_leaf && right >= node.min_leaf).then(|| {
            let rights = node.sums.iter().zip(left).map(|(all, left)| all - left);
            self.criterion.score(left.iter().copied()) + self.criterion.score(rights)
        })
    }
}

/// The node that is looked at.
pub(super) struct Node<'a> {
    pub(super) rows: &'a [u32],
    /// By row of the matrix.
    pub(super) labels: &'a [Row],
    /// By row of the matrix.
    pub(super) times: &'a [u16],
    pub(super) sums: &'a [i64],
    pub(super) min_leaf: i64,
}
