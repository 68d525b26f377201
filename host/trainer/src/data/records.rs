//! The bins of each row beside each other, for histograms: [`LANES`] features a word, the first feature lowest. No record lies across
//! more lines of the cache than it must. It refuses to know what the bins mean.

use super::matrix::LANES;
use super::shared::Slab;

/// Words of a line of the cache.
const LINE: usize = 8;

/// Words of a record, filled up so that a line holds whole records, or a record whole lines.
pub(super) fn record_words(features: usize) -> usize {
    let words = features.div_ceil(LANES).max(1);
    if words < LINE {
        words.next_power_of_two()
    } else {
        words.next_multiple_of(LINE)
    }
}

/// The records of all rows.
#[derive(Debug)]
pub(super) struct Records {
    words: Slab<u64>,
    /// The first word of the first record, which begins a line.
    from: usize,
}

impl Default for Records {
    fn default() -> Self {
        Self::mapped(Vec::new().into())
    }
}

impl Records {
    pub(super) fn of(columns: &[Slab<u8>], rows: usize) -> Self {
        let stride = record_words(columns.len());
        let mut words = vec![0_u64; rows * stride + LINE];
        let from = words
            .as_ptr()
            .align_offset(LINE * size_of::<u64>())
            .min(LINE);
        for (word, columns) in columns.chunks(LANES).enumerate() {
            for (place, column) in columns.iter().enumerate() {
                let own = words.iter_mut().skip(from + word).step_by(stride);
                for (record, bin) in own.zip(column.iter()) {
                    *record |= u64::from(*bin) << (8 * place);
                }
            }
        }
        let words = words.into();
        Self { words, from }
    }

    /// A section of a shared file begins a line.
    pub(super) fn mapped(words: Slab<u64>) -> Self {
        Self { words, from: 0 }
    }

    /// The words of so many words of records.
    pub(super) fn words(&self, count: usize) -> &[u64] {
        self.words
            .get(self.from..self.from + count)
            .unwrap_or_default()
    }
}
