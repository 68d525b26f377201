//! Parts the rows of nodes in place, keeping their order, on all threads.

use crate::data::MISSING;
use crate::error::TrainError;
use crate::threads::Pool;
use std::ops::Range;

/// Rows that one thread parts at a time.
const PIECE_ROWS: usize = 1 << 14;

/// How the rows of one node are parted: those with `bin <= bin` go left.
pub(super) struct Cut<'a> {
    pub(super) rows: Range<usize>,
    pub(super) column: &'a [u8],
    pub(super) bin: u8,
    pub(super) default_left: bool,
}

/// A piece of one node's rows, and room for as many.
struct Piece<'a> {
    node: usize,
    rows: &'a mut [u32],
    spare: &'a mut [u32],
}

/// Parts the rows of each cut, whose ranges are apart from each other. Yields how many go left of each.
pub(super) fn part(
    pool: &Pool,
    rows: &mut [u32],
    spare: &mut [u32],
    cuts: &[Cut<'_>],
) -> Result<Vec<usize>, TrainError> {
    let length = if pool.threads() == 1 {
        usize::MAX
    } else {
        PIECE_ROWS
    };
    let parted = pool.map(pieces(rows, spare, cuts, length), |piece| {
        let cut = cuts.get(piece.node);
        (piece.node, cut.map_or(0, |cut| part_piece(piece, cut)))
    })?;
    let mut counts: Vec<Vec<usize>> = vec![Vec::new(); cuts.len()];
    for (node, count) in parted {
        counts[node].push(count);
    }
    let mut lefts = Vec::with_capacity(cuts.len());
    for (cut, counts) in cuts.iter().zip(&counts) {
        if counts.len() > 1 {
            let range = cut.rows.clone();
            join(&mut rows[range.clone()], &mut spare[range], counts, length);
        }
        lefts.push(counts.iter().sum());
    }
    Ok(lefts)
}

/// Pieces of at most `length` rows, those of a node in their order.
fn pieces<'a>(
    rows: &'a mut [u32],
    spare: &'a mut [u32],
    cuts: &[Cut<'_>],
    length: usize,
) -> Vec<Piece<'a>> {
    let mut order: Vec<(usize, &Cut<'_>)> = cuts.iter().enumerate().collect();
    order.sort_unstable_by_key(|(_, cut)| cut.rows.start);
    let (mut rest, mut done) = ((rows, spare), 0);
    let mut pieces = Vec::new();
    for (node, cut) in order {
        let (before, own) = (cut.rows.start - done, cut.rows.len());
        let rows = rest.0.split_at_mut(before).1.split_at_mut(own);
        let spare = rest.1.split_at_mut(before).1.split_at_mut(own);
        let both = rows.0.chunks_mut(length).zip(spare.0.chunks_mut(length));
        pieces.extend(both.map(|(rows, spare)| Piece { node, rows, spare }));
        (rest, done) = ((rows.1, spare.1), cut.rows.end);
    }
    pieces
}

/// Puts the rows that go left to the front, the others behind them. Yields how many go left.
fn part_piece(piece: Piece<'_>, cut: &Cut<'_>) -> usize {
    let Piece { rows, spare, .. } = piece;
    let (mut lefts, mut rights) = (0, 0);
    let mut goes_left = [false; 256];
    for (bin, goes_left) in (0..=u8::MAX).zip(&mut goes_left) {
        *goes_left = if bin == MISSING {
            cut.default_left
        } else {
            bin <= cut.bin
        };
    }
    // Without a branch in the loop: both sides are written, one is kept. `lefts` never overtakes the row that is read.
    for place in 0..rows.len() {
        let row = rows[place];
        let goes_left = goes_left[usize::from(cut.column[row as usize])];
        rows[lefts] = row;
        spare[rights] = row;
        lefts += usize::from(goes_left);
        rights += usize::from(!goes_left);
    }
    rows[lefts..].copy_from_slice(&spare[..rights]);
    lefts
}

/// Puts the left rows of all pieces to the front of the node, the right ones behind them.
fn join(rows: &mut [u32], spare: &mut [u32], counts: &[usize], length: usize) {
    let (mut lefts, mut rights) = (0, 0);
    for (piece, count) in counts.iter().enumerate() {
        let from = piece * length;
        let (middle, to) = (from + count, (from + length).min(rows.len()));
        spare[rights..rights + to - middle].copy_from_slice(&rows[middle..to]);
        rows.copy_within(from..middle, lefts);
        lefts += count;
        rights += to - middle;
    }
    rows[lefts..].copy_from_slice(&spare[..rights]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parting_keeps_the_order_and_does_not_depend_on_threads(
            seed in any::<u64>(), sizes in prop::collection::vec(0_usize..50_000, 1..4), bin in 0_u8..255, default_left in any::<bool>(),
        ) {
            let total: usize = sizes.iter().sum();
            let column: Vec<u8> = (0..total as u64).map(|row| (crate::math::hash3(seed, 1, row) >> 56) as u8).collect();
            let all: Vec<u32> = (0..u32::try_from(total).unwrap()).collect();
            let mut from = 0;
            let cuts: Vec<Cut<'_>> = sizes.iter().map(|size| {
                from += size;
                Cut { rows: from - size..from, column: &column, bin, default_left }
            }).collect();
            let goes_left = |row: &u32| match column[*row as usize] {
                MISSING => default_left,
                own => own <= bin,
            };
            for threads in [1, 3] {
                let (mut rows, mut spare) = (all.clone(), vec![0; total]);
                let lefts = part(&Pool::new(threads).unwrap(), &mut rows, &mut spare, &cuts).unwrap();
                for (cut, lefts) in cuts.iter().zip(lefts) {
                    let (left, right): (Vec<u32>, Vec<u32>) = all[cut.rows.clone()].iter().partition(|row| goes_left(row));
                    prop_assert_eq!(lefts, left.len());
                    prop_assert!(rows[cut.rows.clone()] == [left, right].concat());
                }
            }
        }
    }
}
