//! Histograms of packed gradients: for every feature and bin the exact sum over a node's rows.

use super::gradient::{Sum, unpack};
use crate::data::{LANES, Matrix};
use crate::error::TrainError;
use crate::threads::Pool;
use std::sync::{Mutex, PoisonError};

/// Bins of a feature, the one for missing values among them.
pub(super) const BINS: usize = 256;
/// Rows whose packed words cannot overflow either half: 2^16 rows of at most 2^15.
pub(crate) const BLOCK: usize = 1 << 16;
/// Rows that are read for one group of features after the other while they are in the cache.
const CACHED: usize = 1 << 11;
/// Rows below which handing work to another thread costs more than it saves.
const PIECE_ROWS: usize = 1 << 13;
/// Pieces for each thread, so that a slow thread does not hold the others up.
const PIECES: usize = 4;

type Table = [u64; BINS];

/// All features of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Histogram {
    /// Feature by feature, [`BINS`] each.
    sums: Vec<Sum>,
}

/// What histograms are counted from, and the tables that counting uses again and again.
pub(super) struct Counter<'a> {
    data: &'a Matrix,
    packed: &'a [u64],
    /// Groups with features that are looked at.
    groups: Vec<usize>,
    tables: &'a Tables,
}

/// Tables that no thread uses at the moment.
#[derive(Default)]
pub(super) struct Tables(Mutex<Vec<Vec<Table>>>);

impl Histogram {
    /// Bytes of one over so many features.
    pub(super) fn bytes(features: usize) -> usize {
        features.max(1) * BINS * size_of::<Sum>()
    }

    fn empty(features: usize) -> Self {
        Self {
            sums: vec![Sum::default(); features * BINS],
        }
    }

    fn add(&mut self, other: &Self) {
        for (total, sum) in self.sums.iter_mut().zip(&other.sums) {
            *total = total.add(*sum);
        }
    }

    /// The sibling's histogram: exact, because sums are integers.
    pub(super) fn subtract(&mut self, child: &Self) {
        for (total, sum) in self.sums.iter_mut().zip(&child.sums) {
            *total = total.sub(*sum);
        }
    }

    /// The sum over all rows, from a feature that was counted.
    pub(super) fn total(&self, feature: usize) -> Sum {
        let bins = self.feature(feature).iter();
        bins.fold(Sum::default(), |total, sum| total.add(*sum))
    }

    /// The bins of one feature.
    pub(super) fn feature(&self, feature: usize) -> &[Sum] {
        let from = feature * BINS;
        self.sums.get(from..from + BINS).unwrap_or_default()
    }
}

impl<'a> Counter<'a> {
    /// Counts `packed` for `features`, which rise; what is counted of other features is of no meaning.
    pub(super) fn new(
        data: &'a Matrix,
        packed: &'a [u64],
        features: &[usize],
        tables: &'a Tables,
    ) -> Self {
        let mut groups: Vec<usize> = features.iter().map(|feature| feature / LANES).collect();
        groups.dedup();
        Self {
            data,
            packed,
            groups,
            tables,
        }
    }

    /// The histograms of several nodes, each given by its rows, which rise.
    pub(super) fn count(
        &self,
        pool: &Pool,
        nodes: &[&[u32]],
    ) -> Result<Vec<Histogram>, TrainError> {
        let rows: usize = nodes.iter().map(|rows| rows.len()).sum();
        let length = match pool.threads() {
            1 => usize::MAX,
            threads => rows.div_ceil(PIECES * threads).max(PIECE_ROWS),
        };
        let mut pieces = Vec::new();
        for (node, rows) in nodes.iter().enumerate() {
            pieces.extend(rows.chunks(length).map(|rows| (node, rows)));
        }
        let counted = pool.map(pieces, |(node, rows)| (node, self.sums(rows)))?;
        let mut histograms: Vec<Option<Histogram>> = vec![None; nodes.len()];
        for (node, part) in counted {
            match histograms.get_mut(node) {
                Some(Some(whole)) => whole.add(&part),
                Some(empty) => *empty = Some(part),
                None => {}
            }
        }
        let features = self.data.features();
        let filled =
            |histogram: Option<Histogram>| histogram.unwrap_or_else(|| Histogram::empty(features));
        Ok(histograms.into_iter().map(filled).collect())
    }

    fn sums(&self, rows: &[u32]) -> Histogram {
        let mut histogram = Histogram::empty(self.data.features());
        let mut tables = self.tables.take(self.data.features());
        for block in rows.chunks(BLOCK) {
            for rows in block.chunks(CACHED) {
                self.accumulate(&mut tables, rows);
            }
            for group in &self.groups {
                let (from, to) = self.data.lanes(*group);
                let sums = histogram.sums.get_mut(from * BINS..to * BINS);
                let words = tables.get_mut(from..to).unwrap_or_default();
                let words = words.as_flattened_mut();
                for (total, word) in sums.into_iter().flatten().zip(words) {
                    *total = total.add(unpack(*word));
                    *word = 0;
                }
            }
        }
        self.tables.give_back(tables);
        histogram
    }

    /// Adds rows that stay in the cache to the tables of every group.
    fn accumulate(&self, tables: &mut [Table], rows: &[u32]) {
        let (Some(first), Some(last)) = (rows.first(), rows.last()) else {
            return;
        };
        let (first, last) = (*first as usize, *last as usize);
        let records = self.data.records();
        let stride = self.data.record_words();
        let mut words = [0_u64; CACHED];
        let words = words.get_mut(..rows.len()).unwrap_or_default();
        let neighbours = last - first + 1 == rows.len();
        if neighbours {
            words.copy_from_slice(&self.packed[first..=last]);
        } else {
            for (word, row) in words.iter_mut().zip(rows) {
                *word = self.packed[*row as usize];
                prefetch(records, *row as usize * stride);
            }
        }
        for group in &self.groups {
            let (from, to) = self.data.lanes(*group);
            let tables = tables.get_mut(from..to).unwrap_or_default();
            if neighbours {
                let own = records.iter().skip(first * stride + group).step_by(stride);
                add(tables, own.copied().zip(words.iter().copied()));
            } else {
                let own = rows
                    .iter()
                    .map(|row| records[*row as usize * stride + group]);
                add(tables, own.zip(words.iter().copied()));
            }
        }
    }
}

/// Asks for the line of the cache that holds `records[place]`.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "there is no safe word for a prefetch")]
fn prefetch(records: &[u64], place: usize) {
    use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
    // SAFETY: a prefetch reads nothing and cannot fault, whatever the address.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(records.as_ptr().wrapping_add(place).cast()) };
}

#[cfg(not(target_arch = "x86_64"))]
fn prefetch(_: &[u64], _: usize) {}

/// Adds each word to the bins of its record, by the number of features of the group.
fn add(tables: &mut [Table], rows: impl Iterator<Item = (u64, u64)>) {
    match tables.len() {
        1 => add_to::<1>(tables, rows),
        2 => add_to::<2>(tables, rows),
        3 => add_to::<3>(tables, rows),
        4 => add_to::<4>(tables, rows),
        5 => add_to::<5>(tables, rows),
        6 => add_to::<6>(tables, rows),
        7 => add_to::<7>(tables, rows),
        _ => add_to::<LANES>(tables, rows),
    }
}

/// The hot loop of training.
#[expect(clippy::cast_possible_truncation, reason = "the lowest byte is taken")]
fn add_to<const WIDTH: usize>(tables: &mut [Table], rows: impl Iterator<Item = (u64, u64)>) {
    let Some(tables) = tables.first_chunk_mut::<WIDTH>() else {
        return;
    };
    for (record, word) in rows {
        // The width is known, so the loop is unrolled; a byte never points outside of a table.
        for (place, table) in tables.iter_mut().enumerate() {
            let slot = &mut table[usize::from((record >> (8 * place)) as u8)];
            *slot = slot.wrapping_add(word);
        }
    }
}

impl Tables {
    /// Tables of zeros.
    fn take(&self, features: usize) -> Vec<Table> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.pop().unwrap_or_else(|| vec![[0; BINS]; features])
    }

    fn give_back(&self, tables: Vec<Table>) {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(tables);
    }
}
