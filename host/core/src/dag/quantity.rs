//! Durations and sizes as people write them.
//! It refuses negative and unbounded values; units are spelled out in each error.

use jiff::SignedDuration;
use serde_json::Number;

/// The longest duration a DAG may name: ten years. Sums with timestamps stay far from overflow.
pub const DURATION_MAX: SignedDuration = SignedDuration::from_hours(24 * 3652);
/// What a duration looks like, for messages.
pub(super) const DURATION_FORM: &str =
    "a duration such as 90s, 10m, 4h, 1d or 1h30m, or seconds as a number";
/// What a size looks like, for messages.
pub(super) const SIZE_FORM: &str = "a size such as 512MiB or 2GiB, or bytes as a number";

const DURATION_UNITS: [(&str, u64); 6] = [
    ("ms", 1),
    ("s", 1_000),
    ("m", 60_000),
    ("h", 3_600_000),
    ("d", 86_400_000),
    ("w", 604_800_000),
];
const SIZE_UNITS: [(&str, u64); 8] = [
    ("B", 1),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// `1h30m` and the like: whole numbers, each with its unit.
pub(super) fn duration(text: &str) -> Option<SignedDuration> {
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (count, unit, after) = part(rest)?;
        let factor = factor(&DURATION_UNITS, unit)?;
        total = total.checked_add(count.checked_mul(factor)?)?;
        rest = after.trim_start();
    }
    let total = SignedDuration::from_millis(i64::try_from(total).ok()?);
    (total <= DURATION_MAX).then_some(total)
}

/// Seconds, possibly with a fraction.
pub(super) fn seconds(number: &Number) -> Option<SignedDuration> {
    let value = number.as_f64()?;
    let within = (0.0..=DURATION_MAX.as_secs_f64()).contains(&value);
    within
        .then(|| SignedDuration::try_from_secs_f64(value).ok())
        .flatten()
}

/// `512MiB` and the like, in bytes.
pub fn size(text: &str) -> Option<u64> {
    let (count, unit, rest) = part(text.trim())?;
    if !rest.is_empty() {
        return None;
    }
    count.checked_mul(factor(&SIZE_UNITS, unit)?)
}

fn factor(units: &[(&str, u64)], unit: &str) -> Option<u64> {
    let same = |(name, _): &&(&str, u64)| *name == unit;
    units.iter().find(same).map(|(_, factor)| *factor)
}

/// A number, its unit, and what follows.
fn part(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (count, rest) = text.split_at_checked(digits)?;
    let rest = rest.trim_start();
    let end = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(end)?;
    Some((count.parse().ok()?, unit, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let secs = |text| duration(text).map(|one| one.as_secs());
        assert_eq!(secs("90s"), Some(90));
        assert_eq!(secs("1h30m"), Some(5400));
        assert_eq!(secs("1h 30m"), Some(5400));
        assert_eq!(secs("1d"), Some(86_400));
        assert_eq!(duration("250ms"), Some(SignedDuration::from_millis(250)));
        for bad in [
            "",
            "90",
            "s",
            "-1s",
            "1y",
            "1.5h",
            "99999999999999999999s",
            "9999w",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn sizes_know_both_families_of_units() {
        assert_eq!(size("512MiB"), Some(512 << 20));
        assert_eq!(size("2 GiB"), Some(2 << 30));
        assert_eq!(size("5MB"), Some(5_000_000));
        for bad in ["", "512", "2Gi", "2GiBx1", "99999999TiB"] {
            assert_eq!(size(bad), None, "{bad}");
        }
    }
}
