//! The ticks of a cron expression, found by trying days, hours and minutes one after another on the wall clock of a zone: the
//! slow way, which knows neither the search nor the zone arithmetic of the core. It refuses to know what a run is.

use super::cron::{Cron, Grain, Special};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Days without a tick after which there is none: more than the eight years between two 29ths of February around 2100.
const DAYS_TRIED_MAX: usize = 3_000;
/// A wall-clock time is looked for this far around where its offset puts it: no clock is changed twice in it.
const CHANGE: SignedDuration = SignedDuration::from_hours(3);

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Calendar {
    cron: Cron,
    zone: TimeZone,
    /// Ticks of the days that were looked at, in order.
    days: RefCell<BTreeMap<Date, Rc<[Timestamp]>>>,
}

impl std::fmt::Display for Calendar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let zone = self.zone.iana_name().unwrap_or("?");
        write!(f, "{:?} in {zone}", self.cron.text)
    }
}

impl Calendar {
    pub(super) fn new(cron: Cron, zone: TimeZone) -> Self {
        Self {
            cron,
            zone,
            days: RefCell::default(),
        }
    }

    pub(super) fn grain(&self) -> Grain {
        self.cron.grain
    }

    /// The first tick later than `at`.
    pub(super) fn after(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_hourly() {
            return self.walk(at, SignedDuration::from_mins(1));
        }
        let mut date = self.zone.to_datetime(at).date().yesterday().ok()?;
        for _ in 0..DAYS_TRIED_MAX {
            let found = self.ticks_of(date, |ticks| ticks.iter().copied().find(|tick| *tick > at));
            if found.is_some() {
                return found;
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The last tick earlier than `at`.
    pub(super) fn before(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_hourly() {
            return self.walk(at, SignedDuration::from_mins(-1));
        }
        let mut date = self.zone.to_datetime(at).date().tomorrow().ok()?;
        for _ in 0..DAYS_TRIED_MAX {
            let found = self.ticks_of(date, |ticks| ticks.iter().copied().rfind(|tick| *tick < at));
            if found.is_some() {
                return found;
            }
            date = date.yesterday().ok()?;
        }
        None
    }

    pub(super) fn is_tick(&self, at: Timestamp) -> bool {
        let moment = SignedDuration::from_nanos(1);
        let just_before = at.checked_sub(moment).ok();
        just_before.and_then(|before| self.after(before)) == Some(at)
    }

    /// The first tick at `at` or later.
    pub(super) fn not_before(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_tick(at) {
            Some(at)
        } else {
            self.after(at)
        }
    }

    /// The last tick at `at` or earlier.
    pub(super) fn not_after(&self, at: Timestamp) -> Option<Timestamp> {
        if self.is_tick(at) {
            Some(at)
        } else {
            self.before(at)
        }
    }

    /// Every hour of every day: its ticks are the minutes that show a number of the list, also in an hour that comes twice.
    fn is_hourly(&self) -> bool {
        self.cron.every_hour() && self.cron.days.len() == 31 && self.cron.weekdays.len() == 7
    }

    /// Tries one whole minute after another.
    fn walk(&self, at: Timestamp, by: SignedDuration) -> Option<Timestamp> {
        let into = at.as_nanosecond().rem_euclid(60_000_000_000);
        let mut probe = at.checked_sub(SignedDuration::from_nanos_i128(into)).ok()?;
        let mut first = into != 0 && by.is_negative();
        for _ in 0..=60 {
            if !std::mem::take(&mut first) {
                probe = probe.checked_add(by).ok()?;
            }
            let minute = self.zone.to_datetime(probe).minute();
            if self.cron.minutes.contains(&minute) {
                return Some(probe);
            }
        }
        None
    }

    fn ticks_of<T>(&self, date: Date, look: impl FnOnce(&[Timestamp]) -> Option<T>) -> Option<T> {
        if !self.matches(date) {
            return None;
        }
        if let Some(ticks) = self.days.borrow().get(&date) {
            return look(ticks);
        }
        let mut ticks: Vec<Timestamp> = Vec::new();
        for hour in &self.cron.hours {
            for minute in &self.cron.minutes {
                ticks.extend(self.instant(date, *hour, *minute));
            }
        }
        ticks.sort_unstable();
        ticks.dedup();
        let found = look(&ticks);
        self.days.borrow_mut().insert(date, ticks.into());
        found
    }

    fn matches(&self, date: Date) -> bool {
        if !self.cron.months.contains(&date.month()) {
            return false;
        }
        let weekday = date.weekday().to_sunday_zero_offset();
        match self.cron.special {
            Special::LastDay => return date.day() == date.days_in_month(),
            Special::Nth { weekday: wanted, n } => {
                return weekday == wanted && (date.day() + 6) / 7 == n;
            }
            Special::None => {}
        }
        let of_month = self.cron.days.contains(&date.day());
        let of_week = self.cron.weekdays.contains(&weekday);
        if self.cron.either_day() {
            of_month || of_week
        } else {
            of_month && of_week
        }
    }

    /// The instant that shows a wall-clock time, the second of two; if none does, as far behind the gap as it is inside.
    fn instant(&self, date: Date, hour: i8, minute: i8) -> Option<Timestamp> {
        let civil = date.to_datetime(Time::new(hour, minute, 0, 0).ok()?);
        let as_utc = civil.to_zoned(TimeZone::UTC).ok()?.timestamp();
        let shift = |offset: jiff::tz::Offset| {
            let by = SignedDuration::from_secs(i64::from(offset.seconds()));
            as_utc.checked_sub(by).ok()
        };
        let near = shift(self.zone.to_offset(as_utc))?;
        let before = shift(self.zone.to_offset(near.checked_sub(CHANGE).ok()?))?;
        let behind = shift(self.zone.to_offset(near.checked_add(CHANGE).ok()?))?;
        let shows = |at: &Timestamp| self.zone.to_datetime(*at) == civil;
        let seen = [before, behind].into_iter().filter(shows).max();
        Some(seen.unwrap_or(before))
    }
}
