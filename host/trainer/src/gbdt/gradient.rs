//! From margins to integer gradients: one 64-bit word a row, the gradient in its upper half and the hessian in its lower.

use crate::config::{Gbdt, Objective};
use crate::data::Matrix;
use crate::error::TrainError;
use crate::math;
use crate::threads::Pool;

/// Bits of a gradient, without its sign.
const BITS: f64 = 32_768.0;
/// The sigmoid is tabled from -16 to 16 and interpolated: its error (8e-7) is far below one quantum (3e-5).
const TABLE_REACH: f64 = 16.0;
const TABLE_STEPS: usize = 4_096;
/// Rows that one thread takes at a time.
const PART_ROWS: usize = 1 << 14;

/// Sums of gradients and hessians, exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub(crate) g: i64,
    pub(crate) h: i64,
}

impl Sum {
    pub(crate) fn add(self, other: Self) -> Self {
        Self {
            g: self.g + other.g,
            h: self.h + other.h,
        }
    }

    pub(crate) fn sub(self, other: Self) -> Self {
        Self {
            g: self.g - other.g,
            h: self.h - other.h,
        }
    }
}

/// Puts a gradient and a hessian into one word that can be added: `h` is never negative, so nothing is borrowed.
pub(crate) fn pack(g: i32, h: u32) -> u64 {
    (i64::from(g) << 32)
        .cast_unsigned()
        .wrapping_add(u64::from(h))
}

/// The sums of at most [`super::histogram::BLOCK`] packed words.
#[expect(
    clippy::cast_possible_truncation,
    reason = "the lower half is taken on purpose"
)]
pub(crate) fn unpack(word: u64) -> Sum {
    Sum {
        g: word.cast_signed() >> 32,
        h: i64::from(word as u32),
    }
}

/// Computes gradients of one objective at one scale.
pub(crate) struct Gradients {
    objective: Objective,
    outputs: usize,
    /// By label, with classes; empty otherwise.
    pub(crate) class_weights: Vec<f64>,
    /// Whether every row weighs one.
    is_even: bool,
    /// The sigmoid at each step.
    pub(crate) table: Vec<f64>,
    /// Quanta in one unit of gradient, and of hessian.
    pub(crate) g_scale: f64,
    pub(crate) h_scale: f64,
}

impl Gradients {
    pub(crate) fn new(gbdt: &Gbdt, data: &Matrix) -> Self {
        let mut gradients = Self {
            objective: gbdt.objective,
            outputs: gbdt.outputs(),
            is_even: data.weight().is_none()
                && class_weights(gbdt).iter().all(|weight| *weight == 1.0),
            class_weights: class_weights(gbdt),
            table: sigmoid_table(),
            g_scale: 1.0,
            h_scale: 1.0,
        };
        let labels = data.label().unwrap_or_default();
        let heaviest = (0..data.rows())
            .map(|row| gradients.weight(data, labels, row))
            .fold(0.0, f64::max)
            .max(1e-30);
        // The largest |g| is 1 with classes; the largest h is 1/4 for two of them, and 1/2 (XGBoost's 2p(1-p)) for a softmax. The range
        // of a residual is known only when margins are: `rescale` sets its scale before each tree.
        (gradients.g_scale, gradients.h_scale) = match gbdt.objective {
            Objective::BinaryLogistic => (BITS / heaviest, 4.0 * BITS / heaviest),
            Objective::Softmax => (BITS / heaviest, 2.0 * BITS / heaviest),
            Objective::SquaredError => (1.0, BITS / heaviest),
        };
        gradients
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "labels of classes are whole and not negative"
    )]
    fn weight(&self, data: &Matrix, labels: &[f32], row: usize) -> f64 {
        let own = data.weight().map_or(1.0, |weights| f64::from(weights[row]));
        if self.class_weights.is_empty() {
            own
        } else {
            own * self.class_weights[labels[row] as usize]
        }
    }

    /// For squared error: the scale that this tree's largest residual needs, a power of two so that it is exact.
    fn rescale(&mut self, pool: &Pool, data: &Matrix, margins: &[f64]) -> Result<(), TrainError> {
        let labels = data.label().unwrap_or_default();
        let parts = margins.chunks(PART_ROWS).enumerate().collect();
        let largest = pool.map(parts, |(part, margins): (usize, &[f64])| {
            let rows = part * PART_ROWS..;
            let residual = |(row, margin): (usize, &f64)| {
                (margin - f64::from(labels[row])).abs() * self.weight(data, labels, row)
            };
            rows.zip(margins).map(residual).fold(0.0, f64::max)
        })?;
        let largest = largest.into_iter().fold(1e-30, f64::max);
        self.g_scale = BITS * math::pow2(-math::ceil_log2(largest));
        Ok(())
    }

    /// Fills `packed`, one word a row for each output, from margins that lie row by row.
    pub(crate) fn compute(
        &mut self,
        pool: &Pool,
        data: &Matrix,
        margins: &[f64],
        packed: &mut [Vec<u64>],
    ) -> Result<(), TrainError> {
        if self.objective == Objective::SquaredError {
            self.rescale(pool, data, margins)?;
        }
        // By part, then by output.
        let mut outputs: Vec<_> = packed
            .iter_mut()
            .map(|words| words.chunks_mut(PART_ROWS))
            .collect();
        let margins = margins.chunks(PART_ROWS * self.outputs).enumerate();
        let parts = margins.map(|(part, margins)| {
            let words = outputs.iter_mut().filter_map(Iterator::next).collect();
            (part * PART_ROWS, margins, words)
        });
        pool.map(parts.collect(), |(first, margins, words)| {
            self.of_part(data, first, margins, words);
        })?;
        Ok(())
    }

    /// Rows `first` and following.
    fn of_part(&self, data: &Matrix, first: usize, margins: &[f64], mut words: Vec<&mut [u64]>) {
        let labels = data.label().unwrap_or_default();
        if self.objective == Objective::Softmax {
            return self.of_classes(data, first, margins, &mut words);
        }
        let Some(words) = words.into_iter().next() else {
            return;
        };
        let own = labels.get(first..).unwrap_or_default();
        let rows = words.iter_mut().zip(margins).zip(own);
        if self.is_even && self.objective == Objective::BinaryLogistic {
            for ((word, margin), label) in rows {
                let p = self.sigmoid(*margin);
                *word = self.quantise(p - f64::from(*label), p * (1.0 - p));
            }
            return;
        }
        for (row, ((word, margin), label)) in (first..).zip(rows) {
            let weight = self.weight(data, labels, row);
            let (g, h) = if self.objective == Objective::BinaryLogistic {
                let p = self.sigmoid(*margin);
                (p - f64::from(*label), p * (1.0 - p))
            } else {
                (margin - f64::from(*label), 1.0)
            };
            *word = self.quantise(g * weight, h * weight);
        }
    }

    fn of_classes(&self, data: &Matrix, first: usize, margins: &[f64], words: &mut [&mut [u64]]) {
        let labels = data.label().unwrap_or_default();
        let mut shares = vec![0.0; self.outputs];
        for (place, margins) in margins.chunks_exact(self.outputs).enumerate() {
            shares.copy_from_slice(margins);
            math::softmax(&mut shares);
            let row = first + place;
            let weight = self.weight(data, labels, row);
            for (class, (p, words)) in shares.iter().zip(&mut *words).enumerate() {
                let is_own = f64::from(labels[row]) == class as f64;
                let g = p - if is_own { 1.0 } else { 0.0 };
                words[place] = self.quantise(g * weight, 2.0 * p * (1.0 - p) * weight);
            }
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "both are clamped to their range first"
    )]
    fn quantise(&self, g: f64, h: f64) -> u64 {
        let g = (g * self.g_scale).clamp(-BITS, BITS);
        let h = (h * self.h_scale).clamp(0.0, BITS);
        // A row that counts keeps at least one quantum of hessian, or a leaf could have none.
        let h = if h > 0.0 { (h + 0.5).max(1.0) } else { 0.0 };
        pack((g + 0.5_f64.copysign(g)) as i32, h as i32 as u32)
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the table; to 32 bits because that is one instruction"
    )]
    fn sigmoid(&self, margin: f64) -> f64 {
        let place = (margin.clamp(-TABLE_REACH, TABLE_REACH) + TABLE_REACH)
            * (TABLE_STEPS as f64 / (2.0 * TABLE_REACH));
        let index = (place as i32 as usize).min(TABLE_STEPS - 1);
        let (low, high) = (self.table[index], self.table[index + 1]);
        low + (high - low) * (place - index as f64)
    }
}

/// The weight of each label, 1 each where the settings have none.
fn class_weights(gbdt: &Gbdt) -> Vec<f64> {
    let (classes, positive) = match gbdt.objective {
        Objective::BinaryLogistic => (2, gbdt.scale_pos_weight),
        Objective::Softmax => (gbdt.outputs(), 1.0),
        Objective::SquaredError => return Vec::new(),
    };
    let mut weights = gbdt.class_weights.clone();
    if weights.is_empty() {
        weights = vec![1.0; classes];
    }
    weights[1] *= positive;
    weights
}

fn sigmoid_table() -> Vec<f64> {
    let step = 2.0 * TABLE_REACH / TABLE_STEPS as f64;
    (0..=TABLE_STEPS)
        .map(|n| math::sigmoid(n as f64 * step - TABLE_REACH))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_sums_are_the_sums() {
        let rows = [(-32_768, 32_768), (32_767, 1), (-1, 0), (5, 7)];
        let word = rows
            .iter()
            .fold(0_u64, |sum, (g, h)| sum.wrapping_add(pack(*g, *h)));
        assert_eq!(unpack(word), Sum { g: 3, h: 32_776 });
        let full = (0..65_536).fold(0_u64, |sum, _| sum.wrapping_add(pack(-32_768, 32_768)));
        assert_eq!(
            unpack(full),
            Sum {
                g: -(1 << 31),
                h: 1 << 31
            }
        );
    }
}
