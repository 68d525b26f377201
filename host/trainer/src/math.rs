//! `exp`, `ln` and the sigmoid from IEEE additions, multiplications and divisions alone, so that every platform
//! computes the same bits. Refuses libm and fused multiply-add.

const LN2_HI: f64 = 0.693_147_180_369_123_8;
const LN2_LO: f64 = 1.908_214_929_270_587_7e-10;

/// e to the power of `x`; `x` is clamped to [-700, 700], where the result is still normal.
#[expect(
    clippy::cast_possible_truncation,
    reason = "x is clamped, so k is within 1100"
)]
pub(crate) fn exp(x: f64) -> f64 {
    let x = x.clamp(-700.0, 700.0);
    let k = (x * std::f64::consts::LOG2_E).round();
    let r = (x - k * LN2_HI) - k * LN2_LO;
    // |r| <= 0.347: the Taylor series to degree 14 is exact to the last bits.
    let mut sum = 1.0;
    for n in (1..=14).rev() {
        sum = 1.0 + sum * r / f64::from(n);
    }
    sum * pow2(k as i32)
}

/// The natural logarithm of a positive finite number; anything else yields NaN.
#[expect(clippy::cast_possible_wrap, reason = "an exponent has 11 bits")]
pub(crate) fn ln(x: f64) -> f64 {
    if !(x > 0.0 && x.is_finite()) {
        return f64::NAN;
    }
    if x < f64::MIN_POSITIVE {
        return ln(x * pow2(54)) - 54.0 * std::f64::consts::LN_2;
    }
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64) - 1023;
    let mut m = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if m > std::f64::consts::SQRT_2 {
        m *= 0.5;
        exponent += 1;
    }
    let s = (m - 1.0) / (m + 1.0);
    let s2 = s * s;
    let mut sum = 0.0;
    for n in (0..13).rev() {
        sum = sum * s2 + 1.0 / f64::from(2 * n + 1);
    }
    #[expect(clippy::cast_precision_loss, reason = "an exponent has 11 bits")]
    let e = exponent as f64;
    e * LN2_HI + (2.0 * s * sum + e * LN2_LO)
}

/// `1 / (1 + exp(-x))` without overflow.
pub(crate) fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + exp(-x))
    } else {
        let e = exp(x);
        e / (1.0 + e)
    }
}

/// Turns the margins of one row into probabilities that sum to one, in the order of the classes.
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

/// Two to the power of `k`, which is clamped to the normal range.
pub(crate) fn pow2(k: i32) -> f64 {
    let biased = (k.clamp(-1022, 1023) + 1023).unsigned_abs();
    f64::from_bits(u64::from(biased) << 52)
}

/// The smallest `k` with `x <= 2^k`, for a positive finite `x`; limited to the normal range.
pub(crate) fn ceil_log2(x: f64) -> i32 {
    let mut k = -1022;
    while k < 1023 && pow2(k) < x {
        k += 1;
    }
    k
}

/// A counter-based hash (splitmix64's finaliser over a mix of the three): the same draw whatever the order of asking.
pub(crate) fn hash3(seed: u64, stream: u64, index: u64) -> u64 {
    let mut z = seed
        .wrapping_add(stream.wrapping_mul(0x9E37_79B9_7F4A_7C15))
        .wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = mix(z) ^ index.wrapping_mul(0xD6E8_FEB8_6659_FD93);
    mix(z)
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agrees_with_libm_to_a_few_units_in_the_last_place() {
        for i in -4000..4000 {
            let x = f64::from(i) * 0.01;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-14, "exp({x})");
            let y = x.exp();
            assert!((ln(y) - y.ln()).abs() < 1e-13, "ln({y})");
        }
        assert!(ln(0.0).is_nan() && ln(-1.0).is_nan());
        assert!((ln(1e-310) - 1e-310_f64.ln()).abs() < 1e-9);
    }

    #[test]
    fn powers_of_two() {
        assert_eq!(ceil_log2(1.0), 0);
        assert_eq!(ceil_log2(1.5), 1);
        assert_eq!(ceil_log2(0.25), -2);
        assert_eq!(pow2(10), 1024.0);
    }
}
