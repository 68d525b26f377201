//! Sums whose order depends on the number of rows alone: rows in blocks, lanes in a block, blocks added in their order. So any
//! number of threads gives the same bits. Refuses to know what is summed.

use std::iter::Sum;
use std::ops::{Add, AddAssign, Mul, Range};

/// Values that are added side by side, so that the compiler may use vectors without changing the order.
const LANES: usize = 8;
/// Fewest rows of a block: its working values stay in the first cache.
const BLOCK_ROWS: usize = 2_048;
/// Most blocks, so that their partial sums stay small for any number of rows.
const BLOCKS_MAX: usize = 256;

/// The blocks of `rows` rows.
pub(super) fn blocks(rows: usize) -> Vec<Range<usize>> {
    let length = BLOCK_ROWS.max(rows.div_ceil(BLOCKS_MAX));
    (0..rows)
        .step_by(length)
        .map(|begin| begin..rows.min(begin + length))
        .collect()
}

/// The sum of products of two slices of one length.
pub(super) fn dot<T>(one: &[T], other: &[T]) -> T
where
    T: Copy + Default + Sum + Add<Output = T> + AddAssign + Mul<Output = T>,
{
    let mut lanes = [T::default(); LANES];
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let tail = ones.remainder().iter().zip(others.remainder());
    let tail: T = tail.map(|(x, y)| *x * *y).sum();
    for (x, y) in ones.zip(others) {
        for lane in 0..LANES {
            lanes[lane] += x[lane] * y[lane];
        }
    }
    lanes.into_iter().sum::<T>() + tail
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_row_once() {
        for rows in [1, 2_047, 2_048, 2_049, 1_000_000] {
            let blocks = blocks(rows);
            assert!(blocks.len() <= BLOCKS_MAX);
            let mut next = 0;
            for block in blocks {
                assert!(block.start == next && !block.is_empty());
                next = block.end;
            }
            assert_eq!(next, rows);
        }
    }

    #[test]
    fn a_dot_product_takes_the_tail_too() {
        let one: Vec<f64> = (0..19).map(f64::from).collect();
        assert_eq!(dot(&one, &one), 2_109.0);
        let one: Vec<f32> = (0_u8..19).map(f32::from).collect();
        assert_eq!(dot(&one, &one), 2_109.0);
    }
}
