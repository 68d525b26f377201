//! Instants and spans as the contract writes them. It refuses leap seconds, years outside 0001 to 9999 and local time.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 0001-01-01 and the last second of 9999, seconds since 1970.
const SECONDS_RANGE: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Why a text is no time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TimeError {
    /// Not an RFC 3339 instant or date.
    Instant(String),
    /// Not a span such as `1h30m`.
    Span(String),
    /// Before year 1 or after year 9999.
    Range,
}

impl fmt::Display for TimeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(text) => write!(
                out,
                "`{text}` is no instant: write it as 2026-01-05T02:00:00Z or 2026-01-05"
            ),
            Self::Span(text) => write!(
                out,
                "`{text}` is no span: write it as 90s, 10m, 1h30m or 2d, or as seconds"
            ),
            Self::Range => out.write_str("the time is outside years 1 to 9999"),
        }
    }
}

impl std::error::Error for TimeError {}

/// An instant: microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From microseconds since 1970.
    pub fn from_micros(micros: i64) -> Result<Self, TimeError> {
        if SECONDS_RANGE.contains(&micros.div_euclid(MICROS_PER_SECOND)) {
            Ok(Self(micros))
        } else {
            Err(TimeError::Range)
        }
    }

    /// Microseconds since 1970.
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// The UTC date as `2026-01-05`.
    pub fn date(self) -> String {
        let (year, month, day) = civil(self.0.div_euclid(MICROS_PER_SECOND * SECONDS_PER_DAY));
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Later by `span`.
    pub fn plus(self, span: Duration) -> Result<Self, TimeError> {
        let micros = i64::try_from(span.as_micros()).map_err(|_| TimeError::Range)?;
        Self::from_micros(self.0.checked_add(micros).ok_or(TimeError::Range)?)
    }

    /// Earlier by `span`.
    pub fn minus(self, span: Duration) -> Result<Self, TimeError> {
        let micros = i64::try_from(span.as_micros()).map_err(|_| TimeError::Range)?;
        Self::from_micros(self.0.checked_sub(micros).ok_or(TimeError::Range)?)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(MICROS_PER_SECOND);
        let seconds = self
            .0
            .div_euclid(MICROS_PER_SECOND)
            .rem_euclid(SECONDS_PER_DAY);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(out, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        if micros > 0 {
            write!(out, ".{micros:06}")?;
        }
        out.write_str("Z")
    }
}

impl FromStr for Timestamp {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse_instant(text).ok_or_else(|| TimeError::Instant(text.to_owned()))
    }
}

fn parse_instant(text: &str) -> Option<Timestamp> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let days = days_since_epoch(year, month, day)?;
    let mut micros = days
        .checked_mul(SECONDS_PER_DAY)?
        .checked_mul(MICROS_PER_SECOND)?;
    if !rest.is_empty() {
        micros = micros.checked_add(parse_clock(rest.strip_prefix(['T', 't', ' '])?)?)?;
    }
    Timestamp::from_micros(micros).ok()
}

/// `02:00:00`, an optional fraction and an offset, as microseconds after the UTC midnight of the date before it.
fn parse_clock(text: &str) -> Option<i64> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, mut rest) = digits(rest.strip_prefix(':')?, 2)?;
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut micros = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let end = fraction.find(|c: char| !c.is_ascii_digit())?;
        let kept = fraction.get(..end.min(6))?;
        let scale = 10_i64.pow(6 - u32::try_from(kept.len()).ok()?);
        micros = kept.parse::<i64>().ok()? * scale;
        rest = fraction.get(end..)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => parse_offset(rest)?,
    };
    let seconds = hour * 3600 + minute * 60 + second - offset;
    Some(seconds * MICROS_PER_SECOND + micros)
}

/// `+01:00` as seconds.
fn parse_offset(text: &str) -> Option<i64> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, rest) = digits(rest, 2)?;
    let (minutes, rest) = digits(rest.strip_prefix(':')?, 2)?;
    (rest.is_empty() && hours < 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn digits(text: &str, count: usize) -> Option<(i64, &str)> {
    let (number, rest) = text.split_at_checked(count)?;
    let plain = number.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| number.parse().ok().map(|number| (number, rest)))?
}

/// Days since 1970 of a date of the proleptic Gregorian calendar (Howard Hinnant's `days_from_civil`).
fn days_since_epoch(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || day < 1 {
        return None;
    }
    let shifted = if month > 2 { year } else { year - 1 };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = era * 146_097 + day_of_era - 719_468;
    // A day past the month's end would come back as another date.
    (civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of a day since 1970 (the inverse).
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = (month_shifted + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Timestamp {
    fn schema_name() -> Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "description": "RFC 3339 instant or date, for example 2026-01-05T02:00:00Z."})
    }
}

/// A length of time in a config: `90s`, `10m`, `1h30m`, `2d`, `500ms`, or a number of seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        parse_span(text)
            .map(Self)
            .ok_or_else(|| TimeError::Span(text.to_owned()))
    }
}

fn parse_span(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, tail) = rest.split_at_checked(end)?;
        let length = tail
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at_checked(length)?;
        let millis: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return None,
        };
        let millis = number.parse::<u64>().ok()?.checked_mul(millis)?;
        total = total.checked_add(Duration::from_millis(millis))?;
        rest = tail.trim_start();
    }
    Some(total)
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::String(text) => text.parse().map_err(de::Error::custom),
            serde_json::Value::Number(number) => number
                .as_f64()
                .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
                .map(Self)
                .ok_or_else(|| de::Error::custom(TimeError::Span(number.to_string()))),
            other => Err(de::Error::custom(TimeError::Span(other.to_string()))),
        }
    }
}

impl JsonSchema for Span {
    fn schema_name() -> Cow<'static, str> {
        "Span".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "number"],
            "description": "Length of time: 90s, 10m, 1h30m, 2d, 500ms, or seconds.",
        })
    }
}

/// The present time.
#[cfg(target_family = "wasm")]
pub fn now() -> Result<Timestamp, TimeError> {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|_| TimeError::Range)?;
    Timestamp::from_micros(i64::try_from(since.as_micros()).map_err(|_| TimeError::Range)?)
}

/// Sleeps without looking at anything; see `progress::sleep` for one that can be cancelled.
#[cfg(target_family = "wasm")]
pub fn sleep(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(not(target_family = "wasm"))]
pub use crate::testing::imports::time::{now, sleep};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_round_trip() {
        for text in [
            "1970-01-01T00:00:00Z",
            "2024-02-29T23:59:59Z",
            "1969-12-31T23:59:59.500000Z",
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59Z",
        ] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
        let known: Timestamp = "2026-01-05T02:00:00Z".parse().unwrap();
        assert_eq!(known.as_micros(), 1_767_578_400_000_000);
        assert_eq!("2026-01-05T03:00:00+01:00".parse(), Ok(known));
        assert_eq!(known.date(), "2026-01-05");
    }

    #[test]
    fn no_instants_are_refused() {
        for text in [
            "",
            "2026",
            "2026-02-30",
            "2026-13-01",
            "2026-00-10",
            "2026-01-05T24:00:00Z",
            "2026-01-05T02:00:00",
            "2026-01-05T02:00:00.Z",
            "2026-01-05T02:00:00+1:00",
            "+026-01-05",
            "2026-01-05Z",
            "2026-01-0ä",
        ] {
            assert!(text.parse::<Timestamp>().is_err(), "{text}");
        }
    }

    #[test]
    fn spans_parse() {
        let seconds = |text: &str| text.parse::<Span>().map(|span| span.0.as_secs_f64());
        assert_eq!(seconds("5s"), Ok(5.0));
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("1h 30m"), Ok(5400.0));
        assert_eq!(seconds("250ms"), Ok(0.25));
        for text in ["", "5", "s", "5x", "-5s", "99999999999999999999s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
        let number: Span = serde_json::from_str("1.5").unwrap();
        assert_eq!(number.0, Duration::from_millis(1500));
        assert!(serde_json::from_str::<Span>("-1").is_err());
    }
}
