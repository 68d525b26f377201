//! How good scores are. Sums run in one fixed order; ranks are exact.

use crate::config::Metric;
use crate::math;

/// The least distance of a probability from 0 and 1 in a log-loss (scikit-learn's for f32).
const PROBABILITY_MIN: f64 = 1.192_092_9e-7;

/// The metric of `scores` against `labels`. `scores` has one number a row, or one a class, row by row. NaN where it has no meaning:
/// no rows, only one class for AUC and average precision, or a metric that does not fit several classes (see
/// [`Metric::fits_classes`]).
pub fn evaluate(metric: Metric, scores: &[f32], labels: &[f32]) -> f64 {
    if labels.is_empty() || scores.is_empty() || !scores.len().is_multiple_of(labels.len()) {
        return f64::NAN;
    }
    let outputs = scores.len() / labels.len();
    if outputs > 1 {
        return of_classes(metric, scores, labels, outputs);
    }
    match metric {
        Metric::Auc => auc(scores, labels),
        Metric::AveragePrecision => average_precision(scores, labels),
        Metric::LogLoss => mean(scores, labels, |score, label| {
            let p = score.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN);
            -(label * math::ln(p) + (1.0 - label) * math::ln(1.0 - p))
        }),
        Metric::Accuracy => mean(scores, labels, |score, label| {
            f64::from(u8::from((score > 0.5) == (label > 0.5)))
        }),
        Metric::Rmse => mean(scores, labels, |score, label| {
            (score - label) * (score - label)
        })
        .sqrt(),
    }
}

/// Log-loss of the label's class; accuracy of the first of the most probable classes.
fn of_classes(metric: Metric, scores: &[f32], labels: &[f32], classes: usize) -> f64 {
    let of = |row: &[f32], label: f32| match metric {
        Metric::LogLoss => {
            let own = class(label).and_then(|class| row.get(class));
            let p = f64::from(own.copied().unwrap_or_default());
            -math::ln(p.clamp(PROBABILITY_MIN, 1.0 - PROBABILITY_MIN))
        }
        Metric::Accuracy => {
            let mut best = 0;
            for (class, p) in row.iter().enumerate() {
                if *p > row[best] {
                    best = class;
                }
            }
            f64::from(u8::from(class(label) == Some(best)))
        }
        Metric::Auc | Metric::AveragePrecision | Metric::Rmse => f64::NAN,
    };
    let rows = scores.chunks_exact(classes).zip(labels);
    let sum: f64 = rows.map(|(row, label)| of(row, *label)).sum();
    sum / labels.len() as f64
}

/// The class that a label names, if it names one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "whole and not negative"
)]
fn class(label: f32) -> Option<usize> {
    (label >= 0.0 && label.fract() == 0.0).then_some(label as usize)
}

fn mean(scores: &[f32], labels: &[f32], of: impl Fn(f64, f64) -> f64) -> f64 {
    let sum: f64 = scores
        .iter()
        .zip(labels)
        .map(|(score, label)| of(f64::from(*score), f64::from(*label)))
        .sum();
    sum / scores.len() as f64
}

/// Positives and negatives with each distinct score, highest score first.
fn by_score(scores: &[f32], labels: &[f32]) -> Vec<(u64, u64)> {
    let mut pairs: Vec<(f32, bool)> = scores
        .iter()
        .zip(labels)
        .map(|(score, label)| (*score, *label > 0.5))
        .collect();
    pairs.sort_unstable_by(|one, other| other.0.total_cmp(&one.0));
    let count = |run: &[(f32, bool)]| {
        let positives = run.iter().filter(|(_, positive)| *positive).count() as u64;
        (positives, run.len() as u64 - positives)
    };
    pairs
        .chunk_by(|one, other| one.0 == other.0)
        .map(count)
        .collect()
}

/// Area under the ROC curve by ranks; a tie counts half. Twice the area is summed as an integer, so it is exact.
fn auc(scores: &[f32], labels: &[f32]) -> f64 {
    let (mut above, mut twice, mut negatives) = (0_u128, 0_u128, 0_u128);
    for (positive, negative) in by_score(scores, labels) {
        let (positive, negative) = (u128::from(positive), u128::from(negative));
        twice += negative * (2 * above + positive);
        above += positive;
        negatives += negative;
    }
    if above == 0 || negatives == 0 {
        return f64::NAN;
    }
    twice as f64 / (2.0 * above as f64 * negatives as f64)
}

/// Area under the precision-recall curve as a step function; a tie is one step.
fn average_precision(scores: &[f32], labels: &[f32]) -> f64 {
    let (mut positives, mut seen, mut area) = (0_u64, 0_u64, 0.0);
    for (positive, negative) in by_score(scores, labels) {
        positives += positive;
        seen += positive + negative;
        area += positive as f64 * (positives as f64 / seen as f64);
    }
    if positives == 0 {
        f64::NAN
    } else {
        area / positives as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auc_counts_ties_half() {
        assert_eq!(
            evaluate(Metric::Auc, &[0.1, 0.4, 0.35, 0.8], &[0.0, 0.0, 1.0, 1.0]),
            0.75
        );
        assert_eq!(evaluate(Metric::Auc, &[0.5; 4], &[0.0, 0.0, 1.0, 1.0]), 0.5);
        assert!(evaluate(Metric::Auc, &[0.5; 2], &[1.0; 2]).is_nan());
    }

    #[test]
    fn several_classes_are_measured_as_scikit_learn_does() {
        let (scores, labels) = (
            [0.2, 0.5, 0.3, 0.6, 0.3, 0.1, 0.1, 0.1, 0.8],
            [1.0, 2.0, 2.0],
        );
        assert!((evaluate(Metric::LogLoss, &scores, &labels) - 1.072_958_612).abs() < 1e-6);
        assert!((evaluate(Metric::Accuracy, &scores, &labels) - 2.0 / 3.0).abs() < 1e-12);
        assert!(evaluate(Metric::Auc, &scores, &labels).is_nan());
        // A label that no class has is never right.
        assert_eq!(evaluate(Metric::Accuracy, &scores, &[7.0; 3]), 0.0);
    }

    #[test]
    fn the_other_metrics_are_what_scikit_learn_says() {
        let (scores, labels) = ([0.1, 0.4, 0.35, 0.8], [0.0, 0.0, 1.0, 1.0]);
        assert!(
            (evaluate(Metric::AveragePrecision, &scores, &labels) - 0.833_333_333).abs() < 1e-8
        );
        assert!((evaluate(Metric::LogLoss, &scores, &labels) - 0.472_287_999).abs() < 1e-6);
        assert_eq!(evaluate(Metric::Accuracy, &scores, &labels), 0.75);
        assert!((evaluate(Metric::Rmse, &scores, &labels) - 0.397_649_342).abs() < 1e-6);
    }
}
