//! Dates, time zones and schedules as a DAG writes them.
//! It refuses six-field cron, local zone abbreviations and dates that do not exist.

use super::diagnostic::quoted;
use super::suggest;
use croner::parser::CronParser;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::{TimeZone, TimeZoneDatabase};

/// The longest cron expression, in bytes.
const CRON_BYTES_MAX: usize = 256;
/// Airflow's presets.
pub(super) const PRESETS: [&str; 11] = [
    "@once",
    "@continuous",
    "@none",
    "@hourly",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@quarterly",
    "@yearly",
    "@annually",
];

/// The five fields that a preset stands for.
pub(super) fn preset(name: &str) -> Option<&'static str> {
    Some(match name {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@quarterly" => "0 0 1 */3 *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        _ => return None,
    })
}

/// What is wrong with `text` as a cron expression.
pub(super) fn check_cron(text: &str) -> Result<(), String> {
    if text.len() > CRON_BYTES_MAX {
        return Err(format!("it is longer than {CRON_BYTES_MAX} bytes"));
    }
    let fields = text.split_ascii_whitespace().count();
    if fields != 5 {
        return Err(format!(
            "it has {fields} fields and not five (minute hour day-of-month month day-of-week)"
        ));
    }
    let parser = CronParser::builder().sloppy_ranges(true).build();
    parser.parse(text).map(drop).map_err(|error| {
        let reason = error.to_string();
        reason.trim_start_matches("Component error: ").to_owned()
    })
}

/// The zone called `name`, in the database that is part of the binary.
pub(super) fn zone(name: &str) -> Option<TimeZone> {
    TimeZoneDatabase::bundled().get(name).ok()
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
