//! Time as people count it, from the host's time zone database. Needs no grant.

use crate::TaskError;
pub use crate::bindings::airlock::operator::calendar::LocalTime;
use crate::sys::calendar as host;
use crate::time::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};
use std::borrow::Cow;

/// What an instant is in a time zone (IANA name); without one, in the DAG's.
pub fn to_local(instant: Timestamp, timezone: Option<&str>) -> Result<LocalTime, TaskError> {
    Ok(host::to_local(&instant.to_string(), timezone)?)
}

/// The instant at which a time zone's clocks show `date_time`, for example `2026-01-05T02:00:00`.
pub fn from_local(date_time: &str, timezone: Option<&str>) -> Result<Timestamp, TaskError> {
    Ok(host::from_local(date_time, timezone)?.parse()?)
}

/// Whether the run's data interval is the newest; a manual run's always is.
pub fn is_latest_interval() -> Result<bool, TaskError> {
    Ok(host::is_latest_interval()?)
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Weekday(u8);

const WEEKDAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

impl Weekday {
    /// 1 is Monday, 7 is Sunday.
    pub const fn iso(self) -> u8 {
        self.0
    }

    fn named(text: &str) -> Option<Self> {
        let text = text.to_ascii_lowercase();
        let place = WEEKDAYS
            .iter()
            .position(|day| *day == text || day.get(..3) == Some(&text))?;
        Self::numbered(u64::try_from(place).ok()? + 1)
    }

    fn numbered(number: u64) -> Option<Self> {
        let iso = u8::try_from(number).ok()?;
        (1..=7).contains(&iso).then_some(Self(iso))
    }
}

impl<'de> Deserialize<'de> for Weekday {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        let day = match &value {
            serde_json::Value::String(text) => Self::named(text),
            serde_json::Value::Number(number) => number.as_u64().and_then(Self::numbered),
            _ => None,
        };
        day.ok_or_else(|| {
            de::Error::custom(format!(
                "{value} is no day of the week: write monday to sunday, or 1 (Monday) to 7"
            ))
        })
    }
}

impl JsonSchema for Weekday {
    fn schema_name() -> Cow<'static, str> {
        "Weekday".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"],
            "description": "monday to sunday, or 1 (Monday) to 7.",
        })
    }
}
