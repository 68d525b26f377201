//! Which rows and features a tree sees: drawn by a counter-based hash, so that a resumed run draws the same.

use crate::math::hash3;

/// Rows of tree `tree`, rising.
pub(super) fn rows(seed: u64, tree: u64, count: usize, fraction: f64) -> Vec<u32> {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a matrix has at most 2^30 rows"
    )]
    let all = 0..count as u32;
    if fraction >= 1.0 {
        return all.collect();
    }
    let limit = threshold(fraction);
    let chosen: Vec<u32> = all
        .clone()
        .filter(|row| hash3(seed, 2 * tree, u64::from(*row)) <= limit)
        .collect();
    // A tree over nothing would be no tree.
    if chosen.is_empty() {
        all.take(1).collect()
    } else {
        chosen
    }
}

/// Features of tree `tree`, rising; at least one.
pub(super) fn features(seed: u64, tree: u64, count: usize, fraction: f64) -> Vec<usize> {
    if fraction >= 1.0 {
        return (0..count).collect();
    }
    let wanted = wanted(count, fraction);
    let mut drawn: Vec<(u64, usize)> = (0..count)
        .map(|feature| (hash3(seed, 2 * tree + 1, feature as u64), feature))
        .collect();
    drawn.sort_unstable();
    let mut chosen: Vec<usize> = drawn
        .into_iter()
        .take(wanted)
        .map(|(_, feature)| feature)
        .collect();
    chosen.sort_unstable();
    chosen
}

/// How many features of `count` a tree sees.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a fraction of a count"
)]
pub(super) fn wanted(count: usize, fraction: f64) -> usize {
    ((count as f64 * fraction).round() as usize).clamp(1, count)
}

/// The highest hash of a row that is drawn.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the conversion saturates"
)]
pub(super) fn threshold(fraction: f64) -> u64 {
    (fraction * 18_446_744_073_709_551_616.0) as u64
}
