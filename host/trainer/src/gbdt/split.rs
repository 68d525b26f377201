//! The best split of a node: every cut of every feature, missing values tried on both sides. Ties go to the lower feature, then the
//! lower bin, then to missing values on the left, whatever the order of looking.

use super::gradient::Sum;
use super::histogram::Histogram;
use crate::data::{MISSING, Matrix};

/// What decides whether and how a node is split.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rules {
    pub(super) l2: f64,
    pub(super) min_gain: f64,
    pub(super) min_child_weight: f64,
    /// Units in one quantum.
    pub(super) g_unit: f64,
    pub(super) h_unit: f64,
}

impl Rules {
    fn score(&self, sum: Sum) -> f64 {
        let g = sum.g as f64 * self.g_unit;
        let h = sum.h as f64 * self.h_unit;
        g * g / (h + self.l2 + f64::MIN_POSITIVE)
    }

    /// The leaf's value before shrinkage.
    pub(super) fn leaf(&self, sum: Sum) -> f64 {
        let g = sum.g as f64 * self.g_unit;
        let h = sum.h as f64 * self.h_unit;
        if sum.h == 0 { 0.0 } else { -g / (h + self.l2) }
    }

    pub(super) fn hessian(&self, sum: Sum) -> f64 {
        sum.h as f64 * self.h_unit
    }

    fn allows(&self, sum: Sum) -> bool {
        sum.h > 0 && self.hessian(sum) >= self.min_child_weight
    }
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
    let missing = bins[usize::from(MISSING)];
    let has_missing = missing != Sum::default();
    let mut best: Option<Split> = None;
    let mut left = Sum::default();
    // With missing values the cut after the last bin parts them from the rest.
    let last = if has_missing {
        cuts
    } else {
        cuts.saturating_sub(1)
    };
    if cuts == 0 && !has_missing {
        return None;
    }
    for (bin, sum) in bins.iter().enumerate().take(last + 1) {
        if *sum == Sum::default() && bin != last {
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
                #[expect(clippy::cast_possible_truncation, reason = "at most 255 bins")]
                let bin = bin as u8;
                best = Some(Split {
                    feature: 0,
                    bin,
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
            let heavier_left = left.h >= total.h - left.h;
            consider(left, heavier_left);
        }
    }
    best
}
