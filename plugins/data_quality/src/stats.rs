//! Distributions and how far they are from each other: mean shift, population stability index, Kolmogorov-Smirnov, chi-square.
//! Pure numbers; it refuses to know tables and dates.

use std::collections::{BTreeMap, BTreeSet};

/// Steps of the probabilities at which a distribution is kept: percentiles.
const STEPS: u32 = 100;
/// Bins of the population stability index over numbers: tenths of the reference.
const PSI_BINS: u32 = 10;
/// The least share of a bin, so that an empty one does not make the index infinite.
const SHARE_MIN: f64 = 1e-4;
/// Values expected in the smaller sample under which categories are thrown together, as is usual for the test.
const EXPECTED_MIN: f64 = 5.0;
/// Steps after which a fraction is taken as it is; it needs about the root of the degrees of freedom.
const STEPS_MAX: f64 = 1e6;

/// 0, 0.01, ..., 1.
pub(crate) fn probabilities() -> Vec<f64> {
    (0..=STEPS)
        .map(|step| f64::from(step) / f64::from(STEPS))
        .collect()
}

/// Where a distribution function is known.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knot {
    value: f64,
    /// Its limit from the left.
    below: f64,
    /// The share of values up to and with this one.
    up_to: f64,
}

/// A distribution function: straight between knots, and a jump at a value that many rows share. Made of percentiles it is within
/// 0.01 of the true one everywhere (and the sample's 0.01 where the host looked at a sample), so the distance of two is within 0.02
/// (0.04) of the true distance.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Cdf(Vec<Knot>);

impl Cdf {
    /// From the values at evenly spaced probabilities from 0 to 1, ascending.
    #[expect(clippy::cast_precision_loss, reason = "a hundred steps")]
    pub(crate) fn of_quantiles(quantiles: &[f64]) -> Self {
        let last = quantiles.len().saturating_sub(1).max(1) as f64;
        let mut knots: Vec<Knot> = Vec::new();
        for (step, value) in quantiles.iter().enumerate() {
            let share = step as f64 / last;
            match knots.last_mut() {
                Some(knot) if knot.value >= *value => knot.up_to = share,
                _ => knots.push(Knot {
                    value: *value,
                    below: share,
                    up_to: share,
                }),
            }
        }
        // One value alone is all there is.
        if let [knot] = knots.as_mut_slice() {
            (knot.below, knot.up_to) = (0.0, 1.0);
        }
        Self(knots)
    }

    /// The mixture of several, each with its weight.
    pub(crate) fn mixed(parts: &[(f64, Self)]) -> Self {
        let total: f64 = parts.iter().map(|(weight, _)| weight).sum();
        let mut values: Vec<f64> = parts.iter().flat_map(|(_, cdf)| cdf.values()).collect();
        values.sort_by(f64::total_cmp);
        values.dedup();
        let sum = |f: &dyn Fn(&Self) -> f64| {
            let weighted = parts.iter().map(|(weight, cdf)| weight * f(cdf));
            weighted.sum::<f64>() / total
        };
        let knot = |value| Knot {
            value,
            below: sum(&|cdf| cdf.below(value)),
            up_to: sum(&|cdf| cdf.up_to(value)),
        };
        Self(values.into_iter().map(knot).collect())
    }

    fn values(&self) -> impl Iterator<Item = f64> + '_ {
        self.0.iter().map(|knot| knot.value)
    }

    /// Least and greatest value; none where nothing is known.
    pub(crate) fn range(&self) -> Option<(f64, f64)> {
        Some((self.0.first()?.value, self.0.last()?.value))
    }

    /// The knots round a value: the last one before it, and the first one that is not.
    fn round(&self, value: f64) -> (Option<&Knot>, Option<&Knot>) {
        let place = self.0.partition_point(|knot| knot.value < value);
        let before = place.checked_sub(1).and_then(|before| self.0.get(before));
        (before, self.0.get(place))
    }

    /// The share of values below `value`.
    pub(crate) fn below(&self, value: f64) -> f64 {
        match self.round(value) {
            (_, Some(knot)) if knot.value <= value => knot.below,
            (Some(before), Some(after)) => {
                let part = (value - before.value) / (after.value - before.value);
                before.up_to + (after.below - before.up_to) * if part.is_nan() { 0.5 } else { part }
            }
            (None, _) => 0.0,
            (Some(_), None) => 1.0,
        }
    }

    /// The share of values up to and with `value`.
    pub(crate) fn up_to(&self, value: f64) -> f64 {
        match self.round(value) {
            (_, Some(knot)) if knot.value <= value => knot.up_to,
            _ => self.below(value),
        }
    }

    /// The smallest value up to which the share `share` lies.
    fn quantile(&self, share: f64) -> Option<f64> {
        let place = self.0.partition_point(|knot| knot.up_to < share);
        let knot = self.0.get(place).or(self.0.last())?;
        let before = place.checked_sub(1).and_then(|before| self.0.get(before));
        Some(match before {
            Some(before) if knot.below > share => {
                let part = (share - before.up_to) / (knot.below - before.up_to);
                before.value + (knot.value - before.value) * part
            }
            _ => knot.value,
        })
    }

    /// The greatest distance of two distribution functions.
    pub(crate) fn ks(&self, other: &Self) -> f64 {
        let apart = |value| {
            let below = (self.below(value) - other.below(value)).abs();
            below.max((self.up_to(value) - other.up_to(value)).abs())
        };
        // Both are straight between knots, so no distance there is greater.
        self.values()
            .chain(other.values())
            .map(apart)
            .fold(0.0, f64::max)
    }

    /// The population stability index against `reference`, over its tenths.
    pub(crate) fn psi(&self, reference: &Self) -> f64 {
        let edge = |bin| reference.quantile(f64::from(bin) / f64::from(PSI_BINS));
        let mut edges: Vec<f64> = (1..PSI_BINS).filter_map(edge).collect();
        edges.dedup();
        let shares = |cdf: &Self| {
            let up_to = edges.iter().map(|edge| cdf.up_to(*edge));
            let ends: Vec<f64> = up_to.chain([1.0]).collect();
            let starts = std::iter::once(0.0).chain(ends.iter().copied());
            starts
                .zip(&ends)
                .map(|(start, end)| end - start)
                .collect::<Vec<f64>>()
        };
        psi(&shares(self), &shares(reference))
    }
}

/// The population stability index of shares in the same bins.
fn psi(now: &[f64], reference: &[f64]) -> f64 {
    let term = |(now, reference): (&f64, &f64)| {
        let (now, reference) = (now.max(SHARE_MIN), reference.max(SHARE_MIN));
        (now - reference) * (now / reference).ln()
    };
    now.iter().zip(reference).map(term).sum()
}

/// Count, mean and standard deviation of values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    pub(crate) count: f64,
    pub(crate) mean: f64,
    pub(crate) stddev: f64,
}

impl Moments {
    /// Those of all values together.
    pub(crate) fn pooled(parts: &[Self]) -> Self {
        let count: f64 = parts.iter().map(|part| part.count).sum();
        let mean = parts.iter().map(|part| part.count * part.mean).sum::<f64>() / count;
        let squares = |part: &Self| {
            let own = part.stddev * part.stddev * (part.count - 1.0).max(0.0);
            own + part.count * (part.mean - mean) * (part.mean - mean)
        };
        let squares: f64 = parts.iter().map(squares).sum();
        Self {
            count,
            mean,
            stddev: (squares / (count - 1.0).max(1.0)).sqrt(),
        }
    }

    /// How many of the reference's standard deviations this mean is away. Away from a constant it is infinite.
    pub(crate) fn shift_from(&self, reference: &Self) -> f64 {
        let distance = (self.mean - reference.mean).abs();
        if distance == 0.0 {
            0.0
        } else {
            distance / reference.stddev
        }
    }
}

/// How many rows have each value.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Counts {
    pub(crate) of: BTreeMap<String, u64>,
    /// Rows with values that are not named.
    pub(crate) others: u64,
}

/// Rows of both in the same bins, without the bins.
type Bins = Vec<(f64, f64)>;

impl Counts {
    pub(crate) fn add(&mut self, more: &Self) {
        for (value, rows) in &more.of {
            *self.of.entry(value.clone()).or_default() += rows;
        }
        self.others += more.others;
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
    fn bins(&self, reference: &Self) -> Bins {
        let values: BTreeSet<&String> = self.of.keys().chain(reference.of.keys()).collect();
        let rows =
            |counts: &Self, value: &String| counts.of.get(value).copied().unwrap_or(0) as f64;
        let mut bins: Bins = values
            .into_iter()
            .map(|value| (rows(self, value), rows(reference, value)))
            .collect();
        bins.push((self.others as f64, reference.others as f64));
        bins
    }

    /// The population stability index, a bin for each value.
    pub(crate) fn psi(&self, reference: &Self) -> f64 {
        let bins = self.bins(reference);
        let (now, before) = totals(&bins);
        let shares: (Vec<f64>, Vec<f64>) = bins
            .iter()
            .map(|(one, other)| (one / now.max(1.0), other / before.max(1.0)))
            .unzip();
        psi(&shares.0, &shares.1)
    }

    /// The p-value of the chi-square test that both come from the same distribution. Values that are rare in the smaller of both
    /// count as one.
    pub(crate) fn chi_square_p(&self, reference: &Self) -> f64 {
        let bins = self.bins(reference);
        let (now, before) = totals(&bins);
        let all = now + before;
        if now == 0.0 || before == 0.0 {
            return 1.0;
        }
        let smaller = now.min(before) / all;
        let rare = |bin: &(f64, f64)| (bin.0 + bin.1) * smaller < EXPECTED_MIN;
        let (few, mut bins): (Bins, Bins) = bins.into_iter().partition(rare);
        let few = totals(&few);
        if few.0 + few.1 > 0.0 {
            bins.push(few);
        }
        let term = |(one, other): &(f64, f64)| {
            let (a, b) = ((one + other) * now / all, (one + other) * before / all);
            (one - a).powi(2) / a + (other - b).powi(2) / b
        };
        let statistic: f64 = bins.iter().map(term).sum();
        let freedom = u32::try_from(bins.len())
            .unwrap_or(u32::MAX)
            .saturating_sub(1);
        chi_square_tail(statistic, freedom)
    }
}

fn totals(bins: &[(f64, f64)]) -> (f64, f64) {
    let add = |sum: (f64, f64), bin: &(f64, f64)| (sum.0 + bin.0, sum.1 + bin.1);
    bins.iter().fold((0.0, 0.0), add)
}

/// The probability that a chi-square variable with so many degrees of freedom is over `x`: the upper regularised gamma function
/// of `freedom / 2` and `x / 2`.
pub(crate) fn chi_square_tail(x: f64, freedom: u32) -> f64 {
    if freedom == 0 || x <= 0.0 {
        return 1.0;
    }
    let (shape, x) = (f64::from(freedom) / 2.0, x / 2.0);
    // x^shape e^-x / gamma(shape), by logarithms because both are huge.
    let front = (shape * x.ln() - x - ln_gamma_of_half(freedom)).exp();
    if x < shape + 1.0 {
        // The series of the lower part.
        let (mut term, mut sum, mut divisor) = (1.0 / shape, 1.0 / shape, shape);
        while term > sum * f64::EPSILON {
            divisor += 1.0;
            term *= x / divisor;
            sum += term;
        }
        return (1.0 - front * sum).clamp(0.0, 1.0);
    }
    // The continued fraction of the upper part, by the method of Lentz.
    let mut denominator = x + 1.0 - shape;
    let (mut above, mut below) = (f64::MAX, 1.0 / denominator);
    let (mut value, mut step) = (below, 0.0);
    loop {
        step += 1.0;
        let factor = -step * (step - shape);
        denominator += 2.0;
        below = 1.0 / (factor * below + denominator);
        above = denominator + factor / above;
        value *= above * below;
        if (above * below - 1.0).abs() < 4.0 * f64::EPSILON || step > STEPS_MAX {
            return (front * value).clamp(0.0, 1.0);
        }
    }
}

/// ln(gamma(n / 2)): from gamma(1/2) or gamma(1) upwards by gamma(x + 1) = x gamma(x).
fn ln_gamma_of_half(n: u32) -> f64 {
    let (start, base) = if n.is_multiple_of(2) {
        (2, 0.0)
    } else {
        (1, std::f64::consts::PI.sqrt().ln())
    };
    let steps = (start..n).step_by(2);
    base + steps.map(|step| (f64::from(step) / 2.0).ln()).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn percentiles(values: &mut [f64]) -> Cdf {
        values.sort_by(f64::total_cmp);
        let at = |share: f64| {
            #[expect(
                clippy::cast_precision_loss,
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "few values"
            )]
            let place = (share * values.len() as f64).ceil() as usize;
            values[place.saturating_sub(1)]
        };
        Cdf::of_quantiles(&probabilities().into_iter().map(at).collect::<Vec<_>>())
    }

    /// Evenly spread chance from a counter.
    fn chance(seed: u64, count: u64) -> impl Iterator<Item = f64> {
        (0..count).map(move |n| {
            let mut x = (seed << 32 | n).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            f64::from(u32::try_from((x ^ (x >> 31)) >> 32).unwrap()) / f64::from(u32::MAX)
        })
    }

    /// As it is defined, from all values.
    fn slow_ks(one: &[f64], other: &[f64]) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "few values")]
        let up_to = |values: &[f64], x: f64| {
            values.iter().filter(|value| **value <= x).count() as f64 / values.len() as f64
        };
        let all = one.iter().chain(other);
        all.map(|x| (up_to(one, *x) - up_to(other, *x)).abs())
            .fold(0.0, f64::max)
    }

    #[test]
    fn m2_ks_is_within_its_bound_of_the_exact_distance() {
        for (name, f) in [
            ("smooth", (|x| x * x * 10.0) as fn(f64) -> f64),
            ("few values", |x| (x * 4.0).floor()),
            ("mostly zero", |x| (x - 0.7).max(0.0)),
            ("constant", |_| 3.0),
        ] {
            for shift in [0.0, 0.1, 1.0, 20.0] {
                let mut one: Vec<f64> = chance(1, 600).map(f).collect();
                let mut other: Vec<f64> = chance(2, 600).map(|x| f(x) + shift).collect();
                let exact = slow_ks(&one, &other);
                let found = percentiles(&mut one).ks(&percentiles(&mut other));
                assert!(
                    (found - exact).abs() <= 0.021,
                    "{name} by {shift}: {found}, {exact}"
                );
            }
        }
    }

    #[test]
    fn m2_psi_is_that_of_the_definition() {
        let mut reference: Vec<f64> = chance(3, 2_000).collect();
        let reference = percentiles(&mut reference);
        let mut same: Vec<f64> = chance(4, 2_000).collect();
        let psi = percentiles(&mut same).psi(&reference);
        assert!((0.0..0.02).contains(&psi), "{psi}");
        // Everything in the upper half: five bins of a fifth against ten of a tenth, and five empty ones.
        let mut half: Vec<f64> = chance(5, 2_000).map(|x| 0.5 + x / 2.0).collect();
        let psi = percentiles(&mut half).psi(&reference);
        let expected = 5.0 * 0.1 * 2.0_f64.ln() + 5.0 * (1e-4 - 0.1) * (1e-4_f64 / 0.1).ln();
        assert!((psi - expected).abs() < 0.25, "{psi}, {expected}");
        let bins = [(30.0, 50.0), (70.0, 50.0)];
        let counts = |pick: fn(&(f64, f64)) -> f64| Counts {
            of: bins
                .iter()
                .enumerate()
                .map(|(at, bin)| {
                    (at.to_string(), {
                        #[expect(
                            clippy::cast_possible_truncation,
                            clippy::cast_sign_loss,
                            reason = "small"
                        )]
                        let rows = pick(bin) as u64;
                        rows
                    })
                })
                .collect(),
            others: 0,
        };
        let (now, before) = (counts(|bin| bin.0), counts(|bin| bin.1));
        let expected = (0.3 - 0.5) * (0.3_f64 / 0.5).ln() + (0.7 - 0.5) * (0.7_f64 / 0.5).ln();
        assert!((now.psi(&before) - expected).abs() < 1e-12);
        // scipy.stats.chi2_contingency([[30, 70], [50, 50]], correction=False): 8.3333, p 0.003892.
        assert!((now.chi_square_p(&before) - 0.003_892_417).abs() < 1e-6);
    }

    #[test]
    fn m2_the_chi_square_tail_is_that_of_tables() {
        for (x, freedom, p) in [
            (3.841_458_820_694_124, 1, 0.05),
            (5.991_464_547_107_979, 2, 0.05),
            (18.307_038_053_275_146, 10, 0.05),
            (124.342_113_404_004, 100, 0.05),
            (6.634_896_601_021_213, 1, 0.01),
            // For an even number the tail is a Poisson sum.
            (60.0, 100, 0.999_481_108_537_452_1),
        ] {
            let found = chi_square_tail(x, freedom);
            assert!((found - p).abs() < 1e-9, "{x}, {freedom}: {found}");
        }
        assert!(chi_square_tail(1e6, 3) < 1e-100);
        assert!((chi_square_tail(0.0, 3) - 1.0).abs() < 1e-12);
    }

    #[test]
    fn m2_pooled_moments_are_those_of_all_values() {
        let part = |values: &[f64]| {
            #[expect(clippy::cast_precision_loss, reason = "few values")]
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
            Moments {
                count,
                mean,
                stddev: (squares / (count - 1.0)).sqrt(),
            }
        };
        let (one, other) = ([1.0, 2.0, 9.0], [4.0, 4.5]);
        let pooled = Moments::pooled(&[part(&one), part(&other)]);
        let whole = part(&[&one[..], &other[..]].concat());
        assert!(
            (pooled.mean - whole.mean).abs() < 1e-12
                && (pooled.stddev - whole.stddev).abs() < 1e-12
        );
        let constant = Moments {
            count: 5.0,
            mean: 2.0,
            stddev: 0.0,
        };
        assert!(constant.shift_from(&constant) == 0.0);
        assert!(whole.shift_from(&constant) == f64::INFINITY);
    }

    #[test]
    fn m2_a_mixture_lies_between_its_parts() {
        let low = Cdf::of_quantiles(&[0.0, 1.0, 2.0]);
        let high = Cdf::of_quantiles(&[2.0, 3.0, 4.0]);
        let both = Cdf::mixed(&[(1.0, low.clone()), (3.0, high)]);
        assert!((both.up_to(2.0) - 0.25).abs() < 1e-12);
        assert!((both.up_to(1.0) - 0.125).abs() < 1e-12);
        assert_eq!(both.range(), Some((0.0, 4.0)));
        assert!((both.ks(&low) - 0.75).abs() < 1e-12);
    }
}
