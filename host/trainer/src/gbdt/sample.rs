//! Which rows and features a tree sees: drawn by a counter-based hash, so that a resumed run draws the same.

use crate::math::hash3;

/// Puts the rows of round `round` into `rows`, rising.
pub(super) fn rows(seed: u64, round: u64, count: usize, fraction: f64, rows: &mut Vec<u32>) {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a matrix has at most 2^30 rows"
    )]
    let all = 0..count as u32;
    rows.clear();
    if fraction >= 1.0 {
        rows.extend(all);
        return;
    }
    let limit = threshold(fraction);
    let is_drawn = |row: &u32| hash3(seed, 2 * round, u64::from(*row)) <= limit;
    rows.extend(all.filter(is_drawn));
    // A tree over nothing would be no tree.
    if rows.is_empty() {
        rows.push(0);
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
