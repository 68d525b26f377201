//! The trainer's `exp`, `ln`, sigmoid and softmax, operation for operation (`host/trainer/src/math.rs`), without std. A test of the
//! trainer compares them bit for bit.

const LN2_HI: f64 = 0.693_147_180_369_123_8;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// To the nearest whole number, halves away from 0, for `x` within a million.
#[expect(clippy::cast_possible_truncation, reason = "x is small")]
fn round(x: f64) -> i32 {
    let whole = x as i32;
    let rest = x - f64::from(whole);
    whole + i32::from(rest >= 0.5) - i32::from(rest <= -0.5)
}

fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let whole = round(x * core::f64::consts::LOG2_E);
    let k = f64::from(whole);
    let r = (x - k * LN2_HI) - k * LN2_LO;
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + sum * r / f64::from(n);
    }
    sum * pow2(whole)
}

/// Of a positive normal number.
fn ln(x: f64) -> f64 {
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i32) - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > core::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut sum = 0.0;
    for n in (0..13).rev() {
        sum = sum * s2 + 1.0 / f64::from(2 * n + 1);
    }
    let e = f64::from(exponent);
    e * LN2_HI + (2.0 * s * sum + e * LN2_LO)
}

fn pow2(k: i32) -> f64 {
    let biased = (k.clamp(-1022, 1023) + 1023).unsigned_abs();
    f64::from_bits(u64::from(biased) << 52)
}

pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + exp(-x))
    } else {
        let e = exp(x);
        e / (1.0 + e)
    }
}

/// The log-odds of a probability.
pub(crate) fn log_odds(p: f64) -> f64 {
    ln(p / (1.0 - p))
}

pub(crate) fn softmax(margins: &mut [f64]) {
    let highest = margins.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for margin in &mut *margins {
        *margin = exp(*margin - highest);
        sum += *margin;
    }
    for part in margins {
        *part /= sum;
    }
}
