//! Histograms of packed gradients: for every feature and bin the exact sum over a node's rows.

use super::gradient::{Sum, unpack};
use crate::data::{GROUP, Matrix};
use crate::error::TrainError;
use crate::threads::Pool;

/// Bins of a feature, the one for missing values among them.
pub(super) const BINS: usize = 256;
/// Rows whose packed words cannot overflow either half: 2^16 rows of at most 2^15.
pub(crate) const BLOCK: usize = 1 << 16;
/// Rows below which handing work to other threads costs more than it saves.
const PARALLEL_ROWS: usize = 1 << 13;

/// One group of [`GROUP`] features.
type GroupSums = Vec<Sum>;

/// All features of one node, by group.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    groups: Vec<GroupSums>,
}

impl Histogram {
    /// Sums over `rows` of the node.
    pub(super) fn build(
        pool: &Pool,
        data: &Matrix,
        packed: &[u64],
        rows: &[u32],
    ) -> Result<Self, TrainError> {
        if pool.threads() == 1 || rows.len() < PARALLEL_ROWS {
            let groups = (0..data.groups())
                .map(|group| sums(data.group(group), packed, rows))
                .collect();
            return Ok(Self { groups });
        }
        let pieces = (2 * pool.threads()).div_ceil(data.groups()).max(1);
        let length = rows.len().div_ceil(pieces);
        let mut parts = Vec::new();
        for group in 0..data.groups() {
            parts.extend(rows.chunks(length).map(|rows| (group, rows)));
        }
        let sum = |(group, rows): (usize, &[u32])| (group, sums(data.group(group), packed, rows));
        let mut groups: Vec<GroupSums> = vec![vec![Sum::default(); GROUP * BINS]; data.groups()];
        for (group, part) in pool.map(parts, sum)? {
            for (total, sum) in groups[group].iter_mut().zip(part) {
                *total = total.add(sum);
            }
        }
        Ok(Self { groups })
    }

    /// Bytes of one over so many groups of features.
    pub(super) fn bytes(groups: usize) -> usize {
        groups.max(1) * GROUP * BINS * size_of::<Sum>()
    }

    /// The sibling's histogram: exact, because sums are integers.
    pub(super) fn subtract(mut self, child: &Self) -> Self {
        for (own, other) in self.groups.iter_mut().zip(&child.groups) {
            for (total, sum) in own.iter_mut().zip(other) {
                *total = total.sub(*sum);
            }
        }
        self
    }

    /// The bins of one feature.
    pub(super) fn feature(&self, feature: usize) -> &[Sum] {
        let from = feature % GROUP * BINS;
        &self.groups[feature / GROUP][from..from + BINS]
    }
}

fn sums(records: &[[u8; GROUP]], packed: &[u64], rows: &[u32]) -> GroupSums {
    let mut totals = vec![Sum::default(); GROUP * BINS];
    let mut words = vec![0_u64; GROUP * BINS];
    for (number, block) in rows.chunks(BLOCK).enumerate() {
        if number > 0 {
            words.fill(0);
        }
        accumulate(&mut words, records, packed, block);
        for (total, word) in totals.iter_mut().zip(&words) {
            *total = total.add(unpack(*word));
        }
    }
    totals
}

/// The hot loop of training.
fn accumulate(words: &mut [u64], records: &[[u8; GROUP]], packed: &[u64], rows: &[u32]) {
    let Some(words) = words.first_chunk_mut::<{ GROUP * BINS }>() else {
        return;
    };
    for row in rows {
        let row = *row as usize;
        let (record, word) = (&records[row], packed[row]);
        for (place, bin) in record.iter().enumerate() {
            let slot = &mut words[place * BINS + usize::from(*bin)];
            *slot = slot.wrapping_add(word);
        }
    }
}
