//! Cut points of one feature: exact quantiles over all its values. Refuses nothing: its caller has refused
//! infinities, and missing values are not counted.

/// Cuts in rising order. A value belongs to the bin whose number is the count of cuts not greater than it, so
/// `x < cuts[b]` is the same question as `bin(x) <= b`.
pub(super) fn find(values: &[f32], max_bins: usize) -> Vec<f32> {
    let present = values.iter().filter(|v| !v.is_nan());
    let keys = sorted(present.map(|v| to_key(*v)).collect());
    let distinct = runs(&keys).count();
    if distinct <= max_bins {
        let values: Vec<f32> = runs(&keys).map(|run| run.0).collect();
        return values.windows(2).map(|w| between(w[0], w[1])).collect();
    }
    greedy(&keys, max_bins)
}

/// Finds the bins of values that are not missing.
pub(super) struct Binner<'a> {
    cuts: &'a [f32],
    /// By the upper bits of a value's key: the bins of the lowest and the highest such value.
    ends: Vec<(u8, u8)>,
}

/// Bits of a key that [`Binner`] looks up: few values share them with a cut.
const LOOK_UP_BITS: u32 = 16;

impl<'a> Binner<'a> {
    pub(super) fn new(cuts: &'a [f32]) -> Self {
        let rest = u32::BITS - LOOK_UP_BITS;
        let keys: Vec<u32> = cuts.iter().map(|cut| to_key(*cut)).collect();
        let mut below = 0_u8;
        let ends = (0..1_u32 << LOOK_UP_BITS).map(|upper| {
            let reach = |bin: u8, highest: u32| {
                let more = keys.iter().skip(usize::from(bin));
                more.take_while(|key| **key <= highest)
                    .fold(bin, |bin, _| bin + 1)
            };
            let low = reach(below, upper << rest);
            below = reach(low, upper << rest | ((1 << rest) - 1));
            (low, below)
        });
        Self {
            cuts,
            ends: ends.collect(),
        }
    }

    /// The number of cuts that are not greater than `x`.
    #[expect(clippy::cast_possible_truncation, reason = "at most 254 cuts")]
    pub(super) fn bin(&self, x: f32) -> u8 {
        let upper = to_key(x) >> (u32::BITS - LOOK_UP_BITS);
        let (low, high) = self.ends.get(upper as usize).copied().unwrap_or_default();
        if low == high {
            return low;
        }
        let between = self.cuts.get(usize::from(low)..usize::from(high));
        low + between.unwrap_or_default().partition_point(|cut| *cut <= x) as u8
    }
}

/// Distinct values, rising, each with how often it is there.
fn runs(keys: &[u32]) -> impl Iterator<Item = (f32, usize)> {
    keys.chunk_by(|a, b| a == b)
        .map(|run| (run.first().copied().map_or(f32::NAN, from_key), run.len()))
}

/// Values below which comparing sorts faster than counting.
const COUNTING_FROM: usize = 1 << 12;
/// Bits of a digit.
const DIGIT_BITS: u32 = 11;
/// Where each digit of a key begins.
const DIGITS: [u32; 3] = [0, DIGIT_BITS, 2 * DIGIT_BITS];

/// Sorts by digits, the lowest first; a digit that all keys share is passed over.
fn sorted(mut keys: Vec<u32>) -> Vec<u32> {
    if keys.len() < COUNTING_FROM {
        keys.sort_unstable();
        return keys;
    }
    let mut other = vec![0; keys.len()];
    let digit = |key: u32, shift: u32| (key >> shift) as usize & ((1 << DIGIT_BITS) - 1);
    let mut counts = DIGITS.map(|shift| (shift, vec![0_usize; 1 << DIGIT_BITS]));
    for key in &keys {
        for (shift, counts) in &mut counts {
            counts[digit(*key, *shift)] += 1;
        }
    }
    for (shift, mut places) in counts {
        if places.contains(&keys.len()) {
            continue;
        }
        let mut next = 0;
        for place in &mut places {
            next += std::mem::replace(place, next);
        }
        for key in &keys {
            let place = &mut places[digit(*key, shift)];
            other[*place] = *key;
            *place += 1;
        }
        std::mem::swap(&mut keys, &mut other);
    }
    keys
}

/// Bins of about equal weight; a value that fills a bin alone gets one alone (LightGBM's greedy rule).
fn greedy(keys: &[u32], max_bins: usize) -> Vec<f32> {
    let total = keys.len();
    let big = |count: usize| count * max_bins >= total;
    let (mut rest, mut rest_bins) = (total, max_bins);
    for (_, count) in runs(keys).filter(|run| big(run.1)) {
        rest -= count;
        rest_bins -= 1;
    }
    let mut cuts = Vec::with_capacity(max_bins);
    let mut filled = 0;
    for ((value, count), (next, next_count)) in runs(keys).zip(runs(keys).skip(1)) {
        filled += count;
        if !big(count) {
            rest -= count;
        }
        let full = filled * rest_bins.max(1) >= rest + filled;
        let before_big = big(next_count) && 2 * filled * rest_bins.max(1) >= rest + filled;
        if big(count) || full || before_big {
            cuts.push(between(value, next));
            if !big(count) {
                rest_bins = rest_bins.saturating_sub(1);
            }
            filled = 0;
            if cuts.len() + 1 == max_bins {
                break;
            }
        }
    }
    cuts
}

/// A cut with `low < cut <= high`: the midpoint, or `high` where there is no number between.
#[expect(
    clippy::cast_possible_truncation,
    reason = "rounding to f32 is the point"
)]
fn between(low: f32, high: f32) -> f32 {
    let mid = (f64::midpoint(f64::from(low), f64::from(high))) as f32;
    if mid > low { mid } else { high }
}

/// Orders like the number.
fn to_key(x: f32) -> u32 {
    let bits = x.to_bits();
    if bits >> 31 == 1 {
        !bits
    } else {
        bits | 1 << 31
    }
}

fn from_key(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 {
        key & !(1 << 31)
    } else {
        !key
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bin(cuts: &[f32], x: f32) -> u8 {
        Binner::new(cuts).bin(x)
    }

    #[test]
    fn few_distinct_values_get_a_bin_each() {
        let cuts = find(&[3.0, 1.0, 2.0, 1.0, f32::NAN], 255);
        assert_eq!(cuts, [1.5, 2.5]);
        assert_eq!([1.0, 1.5, 2.0, 9.0].map(|x| bin(&cuts, x)), [0, 1, 1, 2]);
        assert!(find(&[7.0; 9], 255).is_empty());
        assert!(find(&[f32::NAN], 255).is_empty());
    }

    #[test]
    fn neighbouring_floats_are_still_separated() {
        let a = 1.0_f32;
        let b = a.next_up();
        let cuts = find(&[a, b], 2);
        assert_eq!([bin(&cuts, a), bin(&cuts, b)], [0, 1]);
    }

    #[test]
    fn a_frequent_value_keeps_a_bin_and_the_rest_share() {
        let mut values = vec![0.0; 900];
        values.extend((1..=100).map(|i| i as f32));
        let cuts = find(&values, 16);
        assert!(cuts.len() >= 12, "{cuts:?}");
        assert_eq!(bin(&cuts, 0.0), 0);
        assert_eq!(bin(&cuts, 1.0), 1);
    }

    #[test]
    fn many_values_are_sorted_as_few_are() {
        let values: Vec<f32> = (0..20_000_u64)
            .map(|n| (crate::math::hash3(1, 2, n).cast_signed() as f32) * 1e-12)
            .collect();
        let mut keys: Vec<u32> = values.iter().map(|x| to_key(*x)).collect();
        let by_digit = sorted(keys.clone());
        keys.sort_unstable();
        assert!(keys == by_digit);
        let cuts = find(&values, 255);
        let binner = Binner::new(&cuts);
        for x in values.iter().chain(&cuts) {
            assert_eq!(
                usize::from(binner.bin(*x)),
                cuts.partition_point(|cut| cut <= x)
            );
        }
    }

    proptest! {
        #[test]
        fn cuts_rise_stay_within_the_limit_and_follow_the_order(
            values in prop::collection::vec(-1e6_f32..1e6, 1..400), max_bins in 2_usize..40,
        ) {
            let cuts = find(&values, max_bins);
            prop_assert!(cuts.len() < max_bins);
            prop_assert!(cuts.windows(2).all(|w| w[0] < w[1]));
            let binner = Binner::new(&cuts);
            for v in values {
                let b = usize::from(binner.bin(v));
                prop_assert!(b == 0 || cuts[b - 1] <= v);
                prop_assert!(b == cuts.len() || v < cuts[b]);
            }
        }
    }
}
