//! The best split of a node: every cut of every feature, missing values tried on both sides. Ties go to the lower feature, then the
//! lower bin, then to missing values on the left, whatever the order of looking.

use super::gradient::Sum;
use super::histogram::Histogram;
use crate::config::Gbdt;
use crate::data::{MISSING, Matrix};

/// What decides whether and how a node is split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) l2: f64,
    pub(super) min_gain: f64,
    /// Units in one quantum.
    pub(super) g_unit: f64,
    pub(super) h_unit: f64,
    /// Least hessian of a child, in quanta; at least one.
    pub(super) min_h: i64,
}

impl Rules {
    /// For gradients and hessians whose quanta are so many units.
    pub(super) fn new(gbdt: &Gbdt, g_unit: f64, h_unit: f64) -> Self {
        Self {
            l2: gbdt.l2,
            min_gain: gbdt.min_gain,
            g_unit,
            h_unit,
            min_h: least(|h| h as f64 * h_unit >= gbdt.min_child_weight),
        }
    }

    fn score(&self, sum: Sum) -> f64 {
        let (g, h) = (self.gradient(sum), self.hessian(sum));
        g * g / (h + self.l2 + f64::MIN_POSITIVE)
    }

    fn gradient(&self, sum: Sum) -> f64 {
        sum.g as f64 * self.g_unit
    }

    pub(super) fn hessian(&self, sum: Sum) -> f64 {
        sum.h as f64 * self.h_unit
    }

    /// The leaf's value before shrinkage.
    pub(super) fn leaf(&self, sum: Sum) -> f64 {
        let g = self.gradient(sum);
        if sum.h == 0 {
            0.0
        } else {
            -g / (self.hessian(sum) + self.l2)
        }
    }

    fn allows(&self, sum: Sum) -> bool {
        sum.h >= self.min_h
    }
}

/// The least number from 1 on that `holds`, which holds of every larger number too.
fn least(holds: impl Fn(i64) -> bool) -> i64 {
    let (mut low, mut high) = (1, i64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        if holds(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// A split: rows with `bin <= bin` go left; `bin` may be the last one, which parts missing values from all others.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Split {
    pub(super) feature: usize,
    pub(super) bin: u8,
    pub(super) default_left: bool,
    pub(super) gain: f64,
    pub(super) left: Sum,
}

/// The best split, or none that gains more than `min_gain`.
pub(super) fn best(
    rules: &Rules,
    data: &Matrix,
    histogram: &Histogram,
    features: &[usize],
    total: Sum,
) -> Option<Split> {
    let parent = rules.score(total);
    let mut best: Option<Split> = None;
    for feature in features {
        let bins = histogram.feature(*feature);
        let cuts = data.cuts(*feature).len();
        if let Some(split) = of_feature(rules, bins, cuts, total, parent) {
            let split = Split {
                feature: *feature,
                ..split
            };
            // Features come in rising order, so only a strictly better one replaces.
            if best.is_none_or(|best| split.gain > best.gain) {
                best = Some(split);
            }
        }
    }
    best.filter(|split| split.gain > rules.min_gain.max(1e-12))
}

fn of_feature(rules: &Rules, bins: &[Sum], cuts: usize, total: Sum, parent: f64) -> Option<Split> {
    let missing = bins.get(usize::from(MISSING)).copied().unwrap_or_default();
    let has_missing = missing != Sum::default();
    // With missing values the cut after the last bin parts them from the rest.
    let count = if has_missing { cuts + 1 } else { cuts };
    let mut best: Option<Split> = None;
    let mut left = Sum::default();
    for (bin, sum) in bins.iter().enumerate().take(count) {
        if *sum == Sum::default() && bin + 1 != count {
            // The same rows part here as at the bin before.
            continue;
        }
        left = left.add(*sum);
        let mut consider = |left: Sum, default_left: bool| {
            let right = total.sub(left);
            if !rules.allows(left) || !rules.allows(right) {
                return;
            }
            let gain = rules.score(left) + rules.score(right) - parent;
            if best.is_none_or(|best| gain > best.gain) {
                best = Some(Split {
                    feature: 0,
                    bin: u8::try_from(bin).unwrap_or(MISSING),
                    default_left,
                    gain,
                    left,
                });
            }
        };
        if has_missing {
            if bin < cuts {
                consider(left.add(missing), true);
            }
            consider(left, false);
        } else {
            // Nobody knows where a missing value belongs: with the heavier side.
            consider(left, left.h >= total.h - left.h);
        }
    }
    best
}
