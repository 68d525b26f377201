//! One cron expression on the wall clock of one time zone, with Airflow's daylight-saving rules.
//! It refuses six- and seven-field expressions and Quartz extensions: a DAG means here what it means in Airflow.

use super::TimetableError;
use croner::Cron;
use croner::parser::CronParser;
use jiff::civil::DateTime;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{SignedDuration, Timestamp};

/// The longest cron expression accepted, in bytes.
pub const CRON_BYTES_MAX: usize = 256;

/// Names and ranges of the five fields, in order.
const FIELDS: [(&str, u16); 5] = [
    ("minute", 60),
    ("hour", 24),
    ("day-of-month", 31),
    ("month", 12),
    ("day-of-week", 7),
];

/// Airflow's presets that are schedules of their own, not cron.
pub const PRESETS_WITHOUT_CRON: [&str; 3] = ["@once", "@continuous", "@none"];
/// Airflow's presets that stand for five fields, and two that cron knows.
pub const PRESETS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@quarterly", "0 0 1 */3 *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The five fields that a preset stands for; `None` for anything else.
pub fn preset(text: &str) -> Option<&'static str> {
    let found = PRESETS.iter().find(|(name, _)| *name == text);
    found.map(|(_, fields)| *fields)
}

/// The zone called `name` in the database that is part of the binary.
pub fn zone(name: &str) -> Result<TimeZone, TimetableError> {
    TimeZoneDatabase::bundled()
        .get(name)
        .map_err(|_| TimetableError::UnknownTimezone {
            name: name.chars().take(64).collect(),
        })
}

/// A cron expression in a time zone.
#[derive(Debug, Clone)]
pub struct CronSchedule {
    cron: Cron,
    zone: TimeZone,
    /// Every hour matches. Such a schedule advances in elapsed time, so that a day of 25 hours has 25 runs
    /// (`_covers_every_hour` in Airflow's `timetables/_cron.py`).
    every_hour: bool,
    /// No date matches, for example `0 0 31 2 *`.
    never: bool,
}

impl CronSchedule {
    /// Parses five fields or a preset; the error names the field.
    pub fn new(expression: &str, zone: TimeZone) -> Result<Self, TimetableError> {
        let text = preset(expression.trim()).unwrap_or(expression);
        let invalid = |reason: String| TimetableError::InvalidCron {
            expression: expression.chars().take(CRON_BYTES_MAX).collect(),
            reason,
        };
        if text.len() > CRON_BYTES_MAX {
            return Err(invalid(format!("it is longer than {CRON_BYTES_MAX} bytes")));
        }
        let cron = parse(text).map_err(invalid)?;
        let every_hour = cron.pattern.hours.values().len() == 24;
        let mut schedule = Self {
            cron,
            zone,
            every_hour,
            never: false,
        };
        schedule.never = schedule
            .civil_next(DateTime::constant(2000, 1, 1, 0, 0, 0, 0))
            .is_none();
        Ok(schedule)
    }

    /// Whether no date matches, for example `0 0 31 2 *`: there is no tick at all.
    pub const fn never_fires(&self) -> bool {
        self.never
    }

    /// The first tick after `at`; always later than `at`. `None`: there is none.
    pub fn next(&self, at: Timestamp) -> Option<Timestamp> {
        let civil = self.zone.to_datetime(at);
        if self.every_hour {
            let ahead = self.civil_next(civil)?.duration_since(civil);
            return at.checked_add(ahead).ok();
        }
        let ahead = self.localise(match self.fold_start(at, civil) {
            Some(start) => self.civil_from(start)?,
            None => self.civil_next(civil)?,
        })?;
        let moved = self.next_moved(at, civil);
        Some(moved.map_or(ahead, |moved| moved.min(ahead)))
    }

    /// The first tick after `at` that was moved out of a gap which has just been: its wall-clock time lies before that of `at`.
    /// (Airflow misses these: of `0,30 2 * * *` only the first runs on that day.)
    fn next_moved(&self, at: Timestamp, civil: DateTime) -> Option<Timestamp> {
        let just_after = at.checked_add(SignedDuration::from_nanos(1)).ok()?;
        let change = self.zone.preceding(just_after).next()?;
        let before = change
            .timestamp()
            .checked_sub(SignedDuration::from_nanos(1))
            .ok()?;
        let gap = change.offset().duration_since(self.zone.to_offset(before));
        if at.duration_since(change.timestamp()) >= gap {
            return None;
        }
        let tick = self.civil_next(civil.checked_sub(gap).ok()?)?;
        let is_missing = tick < self.zone.to_datetime(change.timestamp());
        is_missing.then(|| self.localise(tick)).flatten()
    }

    /// The last tick before `at`; always earlier than `at`.
    pub fn prev(&self, at: Timestamp) -> Option<Timestamp> {
        self.last(at, false)
    }

    /// The last tick at or before `at`.
    pub fn floor(&self, at: Timestamp) -> Option<Timestamp> {
        self.last(at, true)
    }

    /// The first tick at or after `at`.
    pub fn ceil(&self, at: Timestamp) -> Option<Timestamp> {
        match self.floor(at) {
            Some(tick) if tick == at => Some(at),
            _ => self.next(at),
        }
    }

    /// Whether `at` is a tick of the fixed grid of a schedule that does not run every hour.
    pub(super) fn on_grid(&self, at: Timestamp) -> bool {
        !self.every_hour && self.floor(at) == Some(at)
    }

    fn last(&self, at: Timestamp, inclusive: bool) -> Option<Timestamp> {
        let civil = self.zone.to_datetime(at);
        if self.every_hour {
            let back = civil.duration_since(self.civil_prev(civil, inclusive)?);
            return at.checked_sub(back).ok();
        }
        // A tick moved out of a gap, or the second of two equal wall-clock times, may lie after `at`.
        let mut tick = self.civil_prev(civil, true)?;
        loop {
            let instant = self.localise(tick)?;
            if instant < at || (inclusive && instant == at) {
                return Some(instant);
            }
            tick = self.civil_prev(tick, false)?;
        }
    }

    /// A wall-clock time as an instant: moved forward out of a gap, the second of two (`make_aware(fold=1)` in Airflow).
    fn localise(&self, civil: DateTime) -> Option<Timestamp> {
        let zoned = self.zone.to_ambiguous_zoned(civil).later().ok()?;
        Some(zoned.timestamp())
    }

    /// Where the repeated stretch of wall clock begins if `at` is in its first pass. All its ticks still lie ahead,
    /// also those whose wall-clock time was passed once. (Airflow misses these when `start_date` is inside.)
    fn fold_start(&self, at: Timestamp, civil: DateTime) -> Option<DateTime> {
        if self.localise(civil)? == at {
            return None;
        }
        let transition = self.zone.following(at).next()?;
        let start = self.zone.to_datetime(transition.timestamp());
        (start <= civil).then_some(start)
    }

    fn civil_next(&self, after: DateTime) -> Option<DateTime> {
        if self.never {
            return None;
        }
        self.cron.find_next_occurrence(&after, false).ok()
    }

    fn civil_from(&self, from: DateTime) -> Option<DateTime> {
        if self.never {
            return None;
        }
        self.cron.find_next_occurrence(&from, true).ok()
    }

    fn civil_prev(&self, before: DateTime, inclusive: bool) -> Option<DateTime> {
        if self.never {
            return None;
        }
        // The search sees whole seconds only: with a fraction the whole second itself lies before.
        let inclusive = inclusive || before.subsec_nanosecond() != 0;
        let found = self
            .cron
            .find_previous_occurrence(&before, inclusive)
            .ok()?;
        (found.duration_since(before) <= SignedDuration::ZERO).then_some(found)
    }
}

/// Five fields with Airflow's reading of a field that lists its whole range: it restricts nothing.
fn parse(text: &str) -> Result<Cron, String> {
    let mut fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(format!(
            "it has {} fields; write five: minute hour day-of-month month day-of-week",
            fields.len()
        ));
    }
    for (field, (name, _)) in fields.iter().zip(FIELDS) {
        check_field(field).map_err(|reason| format!("{name} {field:?}: {reason}"))?;
    }
    let parser = CronParser::builder().sloppy_ranges(true).build();
    let cron = parser
        .parse(&fields.join(" "))
        .map_err(|error| format!("{}{}", wrong_field(&fields), reason(&error)))?;
    let pattern = &cron.pattern;
    let counts = [
        pattern.minutes.values().len(),
        pattern.hours.values().len(),
        pattern.days.values().len(),
        pattern.months.values().len(),
        pattern.days_of_week.values().len(),
    ];
    for ((field, count), (name, range)) in fields.iter_mut().zip(counts).zip(FIELDS) {
        if count == usize::from(range) {
            *field = "*";
        } else if count == 0 && !field.contains(['L', 'l', '#']) {
            return Err(format!("{name} {field:?} matches nothing"));
        }
    }
    parser
        .parse(&fields.join(" "))
        .map_err(|error| reason(&error))
}

/// The parser's own words without the part of it that they name.
fn reason(error: &croner::errors::CronError) -> String {
    let reason = error.to_string();
    reason.trim_start_matches("Component error: ").to_owned()
}

/// The name of the field that cannot be read even alone, before a message about it.
fn wrong_field(fields: &[&str]) -> String {
    let parser = CronParser::builder().sloppy_ranges(true).build();
    let alone = |place: usize, field: &str| {
        let mut all = ["*"; FIELDS.len()];
        if let Some(here) = all.get_mut(place) {
            *here = field;
        }
        parser.parse(&all.join(" ")).is_err()
    };
    let mut named = fields.iter().zip(FIELDS).enumerate();
    let found = named.find(|(place, (field, _))| alone(*place, field));
    found.map_or_else(String::new, |(_, (field, (name, _)))| {
        format!("{name} {field:?}: ")
    })
}

/// What both Airflow and the search understand alike: numbers, names, `*`, ranges, steps, lists, `L` and `#`.
fn check_field(field: &str) -> Result<(), &'static str> {
    if field.split(',').any(str::is_empty) {
        return Err("a list has an empty place");
    }
    if field.split(',').any(|part| part.starts_with('/')) {
        return Err("a step needs a start: write */5");
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"*,-/#".contains(&byte);
    if field.bytes().all(known) {
        Ok(())
    } else {
        Err("only letters, digits and * , - / # are understood")
    }
}
