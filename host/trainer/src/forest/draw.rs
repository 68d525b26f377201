//! Which rows a tree sees and how often, and which features a node tries: counter-based draws, so that a tree depends on its number
//! alone.

use crate::math::hash3;

/// Streams of hashes, apart from each other.
const ROWS: u64 = 1 << 62;
const FEATURES: u64 = 2 << 62;

/// How often each of `count` rows is drawn by tree `tree`: as many draws as rows, with replacement.
pub(super) fn bootstrap(seed: u64, tree: u64, count: usize) -> Vec<u16> {
    let mut times = vec![0_u16; count];
    for draw in 0..count as u64 {
        let row = below(hash3(seed, ROWS | tree, draw), count);
        if let Some(times) = times.get_mut(row) {
            // A row drawn 65,535 times has no better chance than all rows of a machine failing at once.
            *times = times.saturating_add(1);
        }
    }
    times
}

/// A number under `limit`, from a hash: the upper half of their product.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the product's upper half is under limit"
)]
fn below(hash: u64, limit: usize) -> usize {
    ((u128::from(hash) * limit as u128) >> 64) as usize
}

/// The key of a node: of the root by tree, of a child by its side.
pub(super) fn root_key(seed: u64, tree: u64) -> u64 {
    hash3(seed, FEATURES | tree, 0)
}

pub(super) fn child_key(key: u64, is_right: bool) -> u64 {
    hash3(key, u64::from(is_right), 1)
}

/// Draws features one by one without replacement.
pub(super) struct Features {
    /// The numbers of the features, in order between two nodes.
    order: Vec<usize>,
    swaps: Vec<usize>,
}

impl Features {
    pub(super) fn new(count: usize) -> Self {
        Self {
            order: (0..count).collect(),
            swaps: Vec::new(),
        }
    }

    /// The next feature of the node of `key`; none when all were drawn.
    pub(super) fn draw(&mut self, key: u64) -> Option<usize> {
        let drawn = self.swaps.len();
        let left = self
            .order
            .len()
            .checked_sub(drawn)
            .filter(|left| *left > 0)?;
        let other = drawn + below(hash3(key, 2, drawn as u64), left);
        self.order.swap(drawn, other);
        self.swaps.push(other);
        self.order.get(drawn).copied()
    }

    /// Puts the features back in order, for the next node.
    pub(super) fn reset(&mut self) {
        while let Some(other) = self.swaps.pop() {
            self.order.swap(self.swaps.len(), other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bootstrap_draws_as_many_rows_as_there_are_and_misses_a_third() {
        let times = bootstrap(3, 7, 10_000);
        assert_eq!(times.iter().map(|n| usize::from(*n)).sum::<usize>(), 10_000);
        let missed = times.iter().filter(|n| **n == 0).count();
        assert!((3_500..3_860).contains(&missed), "{missed}");
        assert_ne!(times, bootstrap(3, 8, 10_000));
    }

    #[test]
    fn each_feature_is_drawn_once_and_a_reset_forgets() {
        let mut features = Features::new(20);
        let draw = |features: &mut Features| -> Vec<usize> {
            std::iter::from_fn(|| features.draw(99)).collect()
        };
        let first = draw(&mut features);
        features.reset();
        assert_eq!(first, draw(&mut features));
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..20).collect::<Vec<_>>());
        assert_ne!(first, sorted);
    }
}
