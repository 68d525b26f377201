//! Dates, time zones and schedules as a DAG writes them.
//! It refuses six-field cron, local zone abbreviations and dates that do not exist.

use super::diagnostic::quoted;
use super::suggest;
use crate::timetable::{CronSchedule, TimetableError};
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// Whether any date fits `text`, or what is wrong with it as a cron expression.
pub(super) fn check_cron(text: &str) -> Result<bool, String> {
    match CronSchedule::new(text, TimeZone::UTC) {
        Ok(cron) => Ok(!cron.never_fires()),
        Err(TimetableError::InvalidCron { reason, .. }) => Err(reason),
        Err(other) => Err(other.to_string()),
    }
}

/// The hint for a zone that does not exist.
pub(super) fn zone_hint(name: &str) -> String {
    let database = TimeZoneDatabase::bundled();
    let names: Vec<String> = database.available().map(|one| one.to_string()).collect();
    suggest::nearest(name, names.iter().map(String::as_str)).map_or_else(
        || "write an IANA name such as UTC or Europe/London".to_owned(),
        |near| format!("did you mean `{near}`?"),
    )
}

/// A date, or a datetime with or without an offset; without one it is on the wall clock of `zone`.
pub(super) fn instant(text: &str, zone: &TimeZone) -> Result<Timestamp, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    if let Ok(zoned) = text.parse::<jiff::Zoned>() {
        return Ok(zoned.timestamp());
    }
    let civil = text
        .parse::<civil::DateTime>()
        .map_err(|_| format!("{} is not a date", quoted(text)))?;
    civil
        .to_zoned(zone.clone())
        .map(|zoned| zoned.timestamp())
        .map_err(|error| error.to_string())
}
