//! Cut points of one feature: exact quantiles over all its values. Refuses nothing: its caller has refused
//! infinities, and missing values are not counted.

/// Cuts in rising order. A value belongs to the bin whose number is the count of cuts not greater than it, so
/// `x < cuts[b]` is the same question as `bin(x) <= b`.
pub(super) fn find(values: &[f32], max_bins: usize) -> Vec<f32> {
    let distinct = distinct_counts(values);
    if distinct.len() <= max_bins {
        return distinct
            .windows(2)
            .map(|w| between(w[0].0, w[1].0))
            .collect();
    }
    greedy(&distinct, max_bins)
}

/// The bin of a value that is not missing.
#[expect(clippy::cast_possible_truncation, reason = "at most 254 cuts")]
pub(super) fn bin(cuts: &[f32], x: f32) -> u8 {
    cuts.partition_point(|cut| *cut <= x) as u8
}

fn distinct_counts(values: &[f32]) -> Vec<(f32, usize)> {
    let mut keys: Vec<u32> = values
        .iter()
        .filter(|v| !v.is_nan())
        .map(|v| to_key(*v))
        .collect();
    keys.sort_unstable();
    keys.chunk_by(|a, b| a == b)
        .map(|run| (from_key(run[0]), run.len()))
        .collect()
}

/// Bins of about equal weight; a value that fills a bin alone gets one alone (LightGBM's greedy rule).
fn greedy(distinct: &[(f32, usize)], max_bins: usize) -> Vec<f32> {
    let total: usize = distinct.iter().map(|d| d.1).sum();
    let big = |count: usize| count * max_bins >= total;
    let mut rest: usize = distinct.iter().map(|d| d.1).filter(|c| !big(*c)).sum();
    let mut rest_bins = max_bins - distinct.iter().filter(|d| big(d.1)).count();
    let mut cuts = Vec::with_capacity(max_bins);
    let mut filled = 0;
    for pair in distinct.windows(2) {
        let (value, count) = pair[0];
        filled += count;
        if !big(count) {
            rest -= count;
        }
        let full = filled * rest_bins.max(1) >= rest + filled;
        let before_big = big(pair[1].1) && 2 * filled * rest_bins.max(1) >= rest + filled;
        if big(count) || full || before_big {
            cuts.push(between(value, pair[1].0));
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

    proptest! {
        #[test]
        fn cuts_rise_stay_within_the_limit_and_follow_the_order(
            values in prop::collection::vec(-1e6_f32..1e6, 1..400), max_bins in 2_usize..40,
        ) {
            let cuts = find(&values, max_bins);
            prop_assert!(cuts.len() < max_bins);
            prop_assert!(cuts.windows(2).all(|w| w[0] < w[1]));
            for v in values {
                let b = usize::from(bin(&cuts, v));
                prop_assert!(b == 0 || cuts[b - 1] <= v);
                prop_assert!(b == cuts.len() || v < cuts[b]);
            }
        }
    }
}
