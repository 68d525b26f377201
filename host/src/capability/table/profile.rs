//! Columns in numbers: statistics and quantiles, of many columns at once. It refuses to decide what they mean.

use super::column::Values;
use super::part::hash;
use super::{Answer, COLUMNS_MAX, Part, invalid, threads};
use crate::sandbox::bindings::airlock::operator::dataset::{Column, ColumnProfile, Stats};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use arrow_array::Array as _;
use arrow_buffer::NullBuffer;
use std::borrow::Cow;

/// Values that are summed before they join the others: few enough to stay in the nearest cache.
const BLOCK: usize = 1_024;
/// The most values that quantiles are found from. One from each of so many stretches: by Hoeffding's inequality the share of values
/// up to an answer is off by over 0.01 with a probability of at most 2 exp(-2 * 65,536 * 0.01^2) = 4e-6.
const SAMPLE_MAX: usize = 65_536;
/// The most probabilities of one call.
const PROBABILITIES_MAX: usize = 1_024;

impl Part {
    /// Statistics of one column.
    pub(in super::super) fn stats(&self, column: &str) -> Answer<Stats> {
        Ok(self.stats_of(self.table.column(column)?))
    }

    /// Statistics and quantiles of these columns, or of all.
    pub(in super::super) fn profile(
        &self,
        columns: &[String],
        probabilities: &[f64],
    ) -> Answer<Vec<ColumnProfile>> {
        if probabilities.len() > PROBABILITIES_MAX {
            return Err(CapabilityError::TooLarge(PROBABILITIES_MAX as u64));
        }
        if columns.len() > COLUMNS_MAX {
            return Err(CapabilityError::TooLarge(COLUMNS_MAX as u64));
        }
        if let Some(wrong) = probabilities
            .iter()
            .find(|share| !(0.0..=1.0).contains(*share))
        {
            return Err(invalid(format!("a probability is 0.0 to 1.0, not {wrong}")));
        }
        let wanted: Vec<(&str, &Values)> = if columns.is_empty() {
            let all = self.table.columns.iter();
            all.map(|(name, values)| (name.as_str(), values)).collect()
        } else {
            let named = columns.iter();
            named
                .map(|name| Ok((name.as_str(), self.table.column(name)?)))
                .collect::<Answer<_>>()?
        };
        let profile = |(name, values): &(&str, &Values)| {
            let stats = self.stats_of(values);
            ColumnProfile {
                column: Column {
                    name: (*name).to_owned(),
                    kind: values.kind(),
                },
                quantiles: self.quantiles(values, &stats, probabilities),
                stats,
            }
        };
        threads::each(&wanted, profile)
    }

    fn stats_of(&self, values: &Values) -> Stats {
        let rows = self.rows() as u64;
        if matches!(values, Values::Text(_) | Values::Float64List(_)) {
            let nulls = self.numbers().filter(|row| values.is_null(*row)).count();
            return Stats {
                nulls: nulls as u64,
                ..Moments::default().stats(rows)
            };
        }
        let (mut moments, mut there) = (Moments::default(), 0);
        self.blocks(values, |block| {
            there += block.len() as u64;
            moments.add(block);
        });
        Stats {
            nulls: rows - there,
            ..moments.stats(rows)
        }
    }

    /// Calls `each` with the numbers of a column, nulls and NaN left out, in order, a block at a time.
    fn blocks<'a>(&'a self, values: &'a Values, mut each: impl FnMut(&[f64])) {
        let mut buffer = Vec::with_capacity(BLOCK);
        for from in (0..self.rows()).step_by(BLOCK) {
            let to = self.rows().min(from + BLOCK);
            let block = self.block(values, from, to, &mut buffer);
            if !block.is_empty() {
                each(&block);
            }
        }
    }

    /// The numbers of rows `from..to`. Where the table holds them as they are wanted, nothing is copied.
    #[expect(
        clippy::cast_precision_loss,
        reason = "integers over 2^53 lose low bits, as in every tool that takes float features"
    )]
    fn block<'a>(
        &self,
        values: &'a Values,
        from: usize,
        to: usize,
        buffer: &'a mut Vec<f64>,
    ) -> Cow<'a, [f64]> {
        buffer.clear();
        match (&self.rows, values) {
            (None, Values::Float64(array)) => {
                let raw = array.values().get(from..to).unwrap_or_default();
                if array.null_count() == 0 && !raw.iter().any(|value| value.is_nan()) {
                    return Cow::Borrowed(raw);
                }
                valid(array.nulls(), from, raw, |run| {
                    buffer.extend_from_slice(run);
                });
                buffer.retain(|value| !value.is_nan());
            }
            (None, Values::Int64(array) | Values::Timestamp(array)) => {
                let raw = array.values().get(from..to).unwrap_or_default();
                valid(array.nulls(), from, raw, |run| {
                    buffer.extend(run.iter().map(|value| *value as f64));
                });
            }
            _ => {
                let number = |at| values.number(self.number(at));
                buffer.extend((from..to).filter_map(number));
                buffer.retain(|value| !value.is_nan());
            }
        }
        Cow::Borrowed(buffer)
    }

    /// For each probability the smallest value that so many do not exceed.
    fn quantiles(&self, values: &Values, stats: &Stats, probabilities: &[f64]) -> Vec<f64> {
        let count = usize::try_from(stats.rows - stats.nulls).unwrap_or(usize::MAX);
        if probabilities.is_empty() || stats.min.is_nan() {
            return Vec::new();
        }
        let mut sample = self.sample(values, count);
        sample.sort_unstable_by(f64::total_cmp);
        let at = |share: &f64| match *share {
            0.0 => stats.min,
            1.0 => stats.max,
            share => {
                let place = place(share, sample.len());
                sample.get(place).copied().unwrap_or(stats.max)
            }
        };
        probabilities.iter().map(at).collect()
    }

    /// All values of a column that has `count`, or one of each of `SAMPLE_MAX` equal stretches.
    fn sample(&self, values: &Values, count: usize) -> Vec<f64> {
        let mut sample = Vec::with_capacity(count.min(SAMPLE_MAX));
        if count <= SAMPLE_MAX {
            self.blocks(values, |block| sample.extend_from_slice(block));
            return sample;
        }
        // The value that is next, counted from the column's first; ascending, since each is in its own stretch.
        let chosen = |stretch: usize| {
            let (from, to) = (
                stretch * count / SAMPLE_MAX,
                (stretch + 1) * count / SAMPLE_MAX,
            );
            from + usize::try_from(hash(0, stretch as u64) % (to - from).max(1) as u64).unwrap_or(0)
        };
        let (mut passed, mut next) = (0, chosen(0));
        self.blocks(values, |block| {
            while let Some(value) = next.checked_sub(passed).and_then(|at| block.get(at)) {
                sample.push(*value);
                next = if sample.len() < SAMPLE_MAX {
                    chosen(sample.len())
                } else {
                    usize::MAX
                };
            }
            passed += block.len();
        });
        sample
    }
}

/// Calls `each` with every run of values that are not null; `raw` are the values of the rows from `from` on.
fn valid<T>(nulls: Option<&NullBuffer>, from: usize, raw: &[T], mut each: impl FnMut(&[T])) {
    let Some(nulls) = nulls else {
        each(raw);
        return;
    };
    for (start, end) in nulls.slice(from, raw.len()).valid_slices() {
        each(raw.get(start..end).unwrap_or_default());
    }
}

/// Where the quantile lies among sorted values.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of values is under 2^32 and the share between 0 and 1"
)]
fn place(share: f64, count: usize) -> usize {
    ((share * count as f64).ceil() as usize).saturating_sub(1)
}

/// Count, mean, squared distances from the mean, least and greatest of values that are no NaN.
#[derive(Clone, Copy)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
    min: f64,
    max: f64,
}

impl Default for Moments {
    fn default() -> Self {
        Self {
            count: 0.0,
            mean: 0.0,
            squares: 0.0,
            min: f64::INFINITY,
            max: f64::NEG_INFINITY,
        }
    }
}

impl Moments {
    /// Adds a block: its own mean and squares first, then both joined (Chan, Golub and `LeVeque`).
    #[expect(clippy::cast_precision_loss, reason = "a block is small")]
    fn add(&mut self, block: &[f64]) {
        let count = block.len() as f64;
        let sum = lanes(block, |value| value);
        let mean = sum / count;
        let squares = lanes(block, |value| (value - mean) * (value - mean));
        let total = self.count + count;
        let distance = mean - self.mean;
        self.mean += distance * count / total;
        self.squares += squares + distance * distance * self.count * count / total;
        self.count = total;
        for value in block {
            self.min = self.min.min(*value);
            self.max = self.max.max(*value);
        }
    }

    fn stats(&self, rows: u64) -> Stats {
        let known = |enough: bool, value: f64| if enough { value } else { f64::NAN };
        let finite = self.min.is_finite() && self.max.is_finite();
        // Infinite minus infinite is no number, so blocks joined one by one do not know.
        let mean = if finite {
            self.mean
        } else {
            self.min + self.max
        };
        let spread = (self.squares / (self.count - 1.0)).sqrt();
        Stats {
            rows,
            nulls: 0,
            mean: known(self.count > 0.0, mean),
            stddev: known(self.count > 1.0 && finite, spread),
            min: known(self.count > 0.0, self.min),
            max: known(self.count > 0.0, self.max),
        }
    }
}

/// The sum of `f` over all values, in four sums that do not wait for each other.
fn lanes(values: &[f64], f: impl Fn(f64) -> f64) -> f64 {
    let (fours, rest) = values.as_chunks::<4>();
    let mut sums = [0.0; 4];
    for four in fours {
        for (sum, value) in sums.iter_mut().zip(four) {
            *sum += f(*value);
        }
    }
    sums.iter().sum::<f64>() + rest.iter().map(|value| f(*value)).sum::<f64>()
}
