//! Timetables: which runs are due, from a DAG's schedule, the last run and a clock reading that is handed in.
//! The rules are Airflow 3.3.2's (`airflow/timetables/*.py`). It refuses to read a clock or to know about run limits.

mod cron;
#[cfg(test)]
mod tests;

pub use cron::{CRON_BYTES_MAX, CronSchedule, PRESETS, PRESETS_WITHOUT_CRON, preset, zone};

use crate::dag::spec::{Dag, Schedule, TimetableKind};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// The most runs that [`upcoming`] lists.
pub const UPCOMING_MAX: usize = 10_000;

/// A schedule that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimetableError {
    /// The cron expression is not one.
    #[error("schedule {expression:?} is not a cron expression: {reason}")]
    InvalidCron {
        /// As written.
        expression: String,
        /// Which field, and what is wrong with it.
        reason: String,
    },
    /// The time zone is not in the database.
    #[error("timezone {name:?} is not an IANA time zone; write one like Europe/London or UTC")]
    UnknownTimezone {
        /// As written, cut to 64 characters.
        name: String,
    },
    /// `every` does not go forward.
    #[error("schedule every {period:?} does not go forward; write a positive duration like 15m")]
    InvalidPeriod {
        /// As written.
        period: SignedDuration,
    },
}

/// A run that the timetable makes (Airflow's `DagRunInfo`). All times are UTC instants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueRun {
    /// What the run is about.
    pub logical_date: Timestamp,
    /// Start of its data interval.
    pub data_interval_start: Timestamp,
    /// End of its data interval.
    pub data_interval_end: Timestamp,
    /// Not before this may it be created.
    pub run_after: Timestamp,
}

impl DueRun {
    /// The run of the data interval `[start, end)`, due at its end.
    pub const fn interval(start: Timestamp, end: Timestamp) -> Self {
        Self {
            logical_date: start,
            data_interval_start: start,
            data_interval_end: end,
            run_after: end,
        }
    }

    /// The run of a point in time.
    pub const fn exact(at: Timestamp) -> Self {
        Self::interval(at, at)
    }
}

#[derive(Debug, Clone)]
enum Ticks {
    Cron(Box<CronSchedule>),
    Every(SignedDuration),
}

impl Ticks {
    fn next(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next(at),
            Self::Every(period) => at.checked_add(*period).ok(),
        }
    }

    fn prev(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.prev(at),
            Self::Every(period) => at.checked_sub(*period).ok(),
        }
    }

    /// A fixed period has no grid: every instant is a tick of it.
    fn floor(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.floor(at),
            Self::Every(_) => Some(at),
        }
    }

    fn ceil(&self, at: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.ceil(at),
            Self::Every(_) => Some(at),
        }
    }
}

#[derive(Debug, Clone)]
enum Kind {
    Never,
    Once,
    Continuous,
    Trigger(Ticks),
    Interval(Ticks),
}

/// When the runs of a DAG are due.
#[derive(Debug, Clone)]
pub struct Timetable {
    kind: Kind,
    start_date: Option<Timestamp>,
    end_date: Option<Timestamp>,
    catchup: bool,
}

impl Timetable {
    /// The timetable of `dag`. The error names the part of the schedule that is wrong.
    pub fn new(dag: &Dag) -> Result<Self, TimetableError> {
        let kind = kind(&dag.schedule, &dag.timezone, dag.timetable)?;
        Ok(Self {
            kind,
            start_date: dag.start_date,
            end_date: dag.end_date,
            catchup: dag.catchup,
        })
    }

    /// The same ticks without start and end dates and with every missed tick: Airflow's `restricted=False`.
    #[must_use]
    pub fn unrestricted(self) -> Self {
        Self {
            kind: self.kind,
            start_date: None,
            end_date: None,
            catchup: true,
        }
    }

    /// Every tick of a schedule with a logical date from `start` up to `end`, both included, whatever its DAG's own dates.
    pub fn between(
        schedule: &Schedule,
        timezone: &str,
        timetable: TimetableKind,
        (start, end): (Timestamp, Timestamp),
    ) -> Result<Self, TimetableError> {
        Ok(Self {
            kind: kind(schedule, timezone, timetable)?,
            start_date: Some(start),
            end_date: Some(end),
            catchup: true,
        })
    }

    /// Whether a run is due as soon as the last one ended.
    pub fn is_continuous(&self) -> bool {
        matches!(self.kind, Kind::Continuous)
    }

    /// Whether `end_date` lies before `at`.
    pub fn is_over(&self, at: Timestamp) -> bool {
        self.end_date.is_some_and(|end| at > end)
    }

    /// The run after `last`, the latest scheduled run; `now` matters with catchup off, where missed ticks are dropped
    /// except the most recent. The run may lie in the future: create it when `run_after` has come.
    pub fn next(&self, last: Option<&DueRun>, now: Timestamp) -> Option<DueRun> {
        match &self.kind {
            Kind::Never => None,
            Kind::Once => match last {
                Some(_) => None,
                None => self.until_end(DueRun::exact(self.start_date.unwrap_or(now))),
            },
            Kind::Continuous => self.next_continuous(last, now),
            Kind::Trigger(ticks) => self.next_trigger(ticks, last, now),
            Kind::Interval(ticks) => self.next_interval(ticks, last, now),
        }
    }

    /// The data interval of a run that somebody asks for: the last complete one of an interval timetable, else a point.
    pub fn manual(&self, run_after: Timestamp) -> (Timestamp, Timestamp) {
        let complete = match &self.kind {
            Kind::Interval(ticks) => ticks
                .floor(run_after)
                .and_then(|end| Some((ticks.prev(end)?, end))),
            _ => None,
        };
        complete.unwrap_or((run_after, run_after))
    }

    /// Airflow compares `end_date` with the start of an interval and with the fire time of a trigger.
    fn until_end(&self, run: DueRun) -> Option<DueRun> {
        (!self.is_over(run.logical_date)).then_some(run)
    }

    /// `_TriggerTimetable.next_dagrun_info`.
    fn next_trigger(&self, ticks: &Ticks, last: Option<&DueRun>, now: Timestamp) -> Option<DueRun> {
        let following = match last {
            Some(run) => Some(ticks.next(run.data_interval_end)?),
            None => None,
        };
        let first = match self.start_date {
            Some(start) => Some(ticks.ceil(start)?),
            None => None,
        };
        let unbounded = match (last, self.start_date) {
            (None, None) => Some(first_without_start(ticks, now)?),
            _ => None,
        };
        let at = if self.catchup {
            following.or(first).or(unbounded)?
        } else {
            // No tick may lie at or before now: then the first one ahead is the answer.
            let latest = ticks.floor(now).or_else(|| ticks.next(now))?;
            [following, first, unbounded]
                .into_iter()
                .flatten()
                .fold(latest, Timestamp::max)
        };
        self.until_end(DueRun::exact(at))
    }

    /// `_DataIntervalTimetable.next_dagrun_info`.
    fn next_interval(
        &self,
        ticks: &Ticks,
        last: Option<&DueRun>,
        now: Timestamp,
    ) -> Option<DueRun> {
        let earliest = if self.catchup {
            match self.start_date {
                Some(start) => Some(ticks.ceil(start)?),
                None => None,
            }
        } else {
            Some(self.latest_complete(ticks, now)?)
        };
        let start = match last {
            None => earliest?,
            Some(run) => {
                let goes_on = continue_from(ticks, run)?;
                earliest.map_or(goes_on, |earliest| earliest.max(goes_on))
            }
        };
        if self.is_over(start) {
            return None;
        }
        Some(DueRun::interval(start, ticks.next(start)?))
    }

    /// `_skip_to_latest`: the start of the last interval that is complete at `now`, not before `start_date`.
    fn latest_complete(&self, ticks: &Ticks, now: Timestamp) -> Option<Timestamp> {
        let latest = match ticks {
            Ticks::Cron(cron) => cron.prev(cron.floor(now)?)?,
            Ticks::Every(period) => {
                let nanos = period.as_nanos();
                let into = SignedDuration::from_nanos_i128(now.as_nanosecond().rem_euclid(nanos));
                now.checked_sub(into).ok()?.checked_sub(*period).ok()?
            }
        };
        match self.start_date {
            Some(start) => Some(latest.max(ticks.ceil(start)?)),
            None => Some(latest),
        }
    }

    /// `ContinuousTimetable.next_dagrun_info`.
    fn next_continuous(&self, last: Option<&DueRun>, now: Timestamp) -> Option<DueRun> {
        let start_date = self.start_date.unwrap_or(now);
        let (start, end) = match last {
            None => (start_date, start_date.max(now)),
            Some(run) if run.data_interval_end > now => {
                let elapsed = run
                    .data_interval_end
                    .duration_since(run.data_interval_start);
                (start_date, start_date.checked_add(elapsed).ok()?)
            }
            Some(run) => (run.data_interval_end, now),
        };
        (!self.is_over(end)).then(|| DueRun::interval(start, end))
    }
}

fn kind(schedule: &Schedule, timezone: &str, kind: TimetableKind) -> Result<Kind, TimetableError> {
    let ticks = |ticks| match kind {
        TimetableKind::Trigger => Kind::Trigger(ticks),
        TimetableKind::Interval => Kind::Interval(ticks),
    };
    let zone = zone(timezone)?;
    let schedule = match schedule {
        Schedule::AssetsOrTime(_, timed) => timed.as_ref(),
        schedule => schedule,
    };
    Ok(match schedule {
        Schedule::None | Schedule::Assets(_) | Schedule::AssetsOrTime(..) => Kind::Never,
        Schedule::Once => Kind::Once,
        Schedule::Continuous => Kind::Continuous,
        Schedule::Cron(text) => ticks(Ticks::Cron(Box::new(CronSchedule::new(text, zone)?))),
        Schedule::Every(period) if *period <= SignedDuration::ZERO => {
            return Err(TimetableError::InvalidPeriod { period: *period });
        }
        Schedule::Every(period) => ticks(Ticks::Every(*period)),
    })
}

/// Where the interval after `last` starts: at its end, or at the tick before that if the schedule changed since.
/// Where elapsed hours left the grid (daylight saving of half an hour) Airflow may find no start after `last` and
/// raises; here the chain goes on where `last` ended.
fn continue_from(ticks: &Ticks, last: &DueRun) -> Option<Timestamp> {
    let end = last.data_interval_end;
    let aligned = match ticks {
        Ticks::Every(_) => end,
        Ticks::Cron(cron) => {
            let before = cron.prev(end)?;
            if cron.next(before) == Some(end) || cron.on_grid(end) {
                end
            } else {
                before
            }
        }
    };
    if aligned > last.data_interval_start {
        return Some(aligned);
    }
    let following = ticks.next(aligned)?;
    Some(if following > last.data_interval_start {
        following
    } else {
        end
    })
}

/// `_calc_first_run`: without a start date the past tick runs only if it has just been.
fn first_without_start(ticks: &Ticks, now: Timestamp) -> Option<Timestamp> {
    let (Some(past), Some(ahead)) = (ticks.floor(now), ticks.ceil(now)) else {
        return ticks.next(now);
    };
    let gap = ahead.duration_since(past);
    let just = (gap / 10).max(SignedDuration::from_mins(5));
    Some(if now.duration_since(past) <= just {
        past
    } else {
        ahead
    })
}

/// The next `count` runs (at most [`UPCOMING_MAX`]) of a DAG that never ran: with catchup from its start date,
/// without it from `now`, which stands still.
pub fn upcoming(dag: &Dag, now: Timestamp, count: usize) -> Result<Vec<DueRun>, TimetableError> {
    let timetable = Timetable::new(dag)?;
    let mut runs: Vec<DueRun> = Vec::new();
    while runs.len() < count.min(UPCOMING_MAX) {
        match timetable.next(runs.last(), now) {
            // A continuous schedule cannot say more than its next run while the clock stands still.
            Some(run)
                if runs
                    .last()
                    .is_none_or(|last| last.run_after < run.run_after) =>
            {
                runs.push(run);
            }
            _ => break,
        }
    }
    Ok(runs)
}
