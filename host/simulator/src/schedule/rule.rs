//! Which run a timetable makes next, worked out from its ticks: the rules of Airflow 3 once more, over the simulator's own
//! calendar. It refuses to ask the core.

use super::calendar::Calendar;
use super::cron::Grain;
use airlock_core::dag::spec::TimetableKind;
use airlock_core::timetable::DueRun;
use jiff::{SignedDuration, Timestamp};
use std::rc::Rc;

/// Without a start date a tick that has been is run if it was so short a time ago, or a tenth of the way to the next one.
const JUST_BEEN: SignedDuration = SignedDuration::from_mins(5);
/// The finest instant of a run.
pub(super) const MICROSECOND: SignedDuration = SignedDuration::from_micros(1);

/// Where ticks come from.
#[derive(Debug, Clone)]
pub(super) enum Ticks {
    Never,
    Once,
    Continuous,
    Cron(Rc<Calendar>),
    Every(SignedDuration),
}

/// See the module's documentation.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) ticks: Ticks,
    pub(super) kind: TimetableKind,
    pub(super) start: Option<Timestamp>,
    pub(super) end: Option<Timestamp>,
    pub(super) catchup: bool,
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.ticks {
            Ticks::Cron(calendar) => write!(f, "{calendar}")?,
            ticks => write!(f, "{ticks:?}")?,
        }
        let (kind, catchup) = (self.kind, self.catchup);
        write!(
            f,
            " {kind:?} from {:?} to {:?}, catchup {catchup}",
            self.start, self.end
        )
    }
}

impl Rule {
    /// The run after `last`, due or not.
    pub(super) fn next(&self, last: Option<&DueRun>, now: Timestamp) -> Option<DueRun> {
        let run = match (&self.ticks, self.kind) {
            (Ticks::Never, _) => None,
            (Ticks::Once, _) => match last {
                Some(_) => None,
                None => Some(DueRun::exact(self.start.unwrap_or(now))),
            },
            (Ticks::Continuous, _) => return self.continuous(last, now),
            (Ticks::Cron(_) | Ticks::Every(_), TimetableKind::Trigger) => {
                self.trigger(last, now).map(DueRun::exact)
            }
            (Ticks::Cron(_) | Ticks::Every(_), TimetableKind::Interval) => {
                let start = self.interval(last, now)?;
                Some(DueRun::interval(start, self.after(start)?))
            }
        };
        run.filter(|run| self.end.is_none_or(|end| run.logical_date <= end))
    }

    fn trigger(&self, last: Option<&DueRun>, now: Timestamp) -> Option<Timestamp> {
        let first = self.first()?;
        let ahead = match (last, first) {
            (Some(run), _) => self.after(run.data_interval_end)?,
            (None, Some(first)) => first,
            (None, None) => self.just_been(now)?,
        };
        if self.catchup {
            return Some(ahead);
        }
        let newest = self.not_after(now).or_else(|| self.after(now))?;
        Some(ahead.max(newest).max(first.unwrap_or(newest)))
    }

    /// The first tick not before the start date; `Some(None)` where there is no such date, `None` where there is no tick.
    #[expect(
        clippy::option_option,
        reason = "no start date and no tick are different things"
    )]
    fn first(&self) -> Option<Option<Timestamp>> {
        match self.start {
            Some(start) => self.not_before(start).map(Some),
            None => Some(None),
        }
    }

    fn just_been(&self, now: Timestamp) -> Option<Timestamp> {
        let ahead = self.not_before(now)?;
        let Some(past) = self.not_after(now) else {
            return Some(ahead);
        };
        let tenth = ahead.duration_since(past).as_nanos() / 10;
        let just = now.duration_since(past).as_nanos() <= tenth.max(JUST_BEEN.as_nanos());
        Some(if just { past } else { ahead })
    }

    /// Where the next data interval begins.
    fn interval(&self, last: Option<&DueRun>, now: Timestamp) -> Option<Timestamp> {
        let first = self.first()?;
        let earliest = if self.catchup {
            first
        } else {
            let newest = self.newest_complete(now)?;
            Some(first.map_or(newest, |first| first.max(newest)))
        };
        match last {
            None => earliest,
            Some(last) => {
                let (near, later) = self.goes_on(last)?;
                let allowed = |at: Timestamp| earliest.map_or(at, |earliest| earliest.max(at));
                let start = Some(allowed(near)).filter(|start| *start > last.logical_date);
                start.or_else(|| later.map(allowed))
            }
        }
    }

    /// The start of the last whole interval before `now`. Fixed periods count from 1970 here, as Airflow does.
    fn newest_complete(&self, now: Timestamp) -> Option<Timestamp> {
        match &self.ticks {
            Ticks::Cron(calendar) => calendar.before(calendar.not_after(now)?),
            Ticks::Every(period) => {
                let whole = now.as_nanosecond().div_euclid(period.as_nanos()) - 1;
                Timestamp::from_nanosecond(whole * period.as_nanos()).ok()
            }
            _ => None,
        }
    }

    /// Intervals go on where the last one ended. After an edit that is often no tick: then at the tick before, if that is
    /// later than where the last one began, else at the first one that is. The second is taken where the first is no new date.
    fn goes_on(&self, last: &DueRun) -> Option<(Timestamp, Option<Timestamp>)> {
        let (begun, ended) = (last.data_interval_start, last.data_interval_end);
        let near = match &self.ticks {
            Ticks::Cron(calendar) => calendar.not_after(ended)?,
            _ => ended,
        };
        let later = self.after(near);
        if near > begun {
            Some((near, later))
        } else {
            Some((later?, later))
        }
    }

    /// It goes on where the last run ended; what would have its date or its `run_after` is a microsecond later.
    fn continuous(&self, last: Option<&DueRun>, now: Timestamp) -> Option<DueRun> {
        let Some(last) = last else {
            let start = self.start.unwrap_or(now);
            let run = DueRun::interval(start, start.max(now));
            return self.ends_in_time(run);
        };
        let ended = last.data_interval_end;
        if ended < now && ended > last.logical_date {
            return self.ends_in_time(DueRun::interval(ended, now));
        }
        let at = now.max(ended.max(last.logical_date).checked_add(MICROSECOND).ok()?);
        let run = DueRun {
            logical_date: at,
            data_interval_start: ended,
            data_interval_end: at,
            run_after: at,
        };
        self.ends_in_time(run)
    }

    fn ends_in_time(&self, run: DueRun) -> Option<DueRun> {
        let is_late = self.end.is_some_and(|end| run.data_interval_end > end);
        (!is_late).then_some(run)
    }

    /// The first tick later than `at`; a fixed period has one wherever it is counted from.
    pub(super) fn after(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.ticks {
            Ticks::Cron(calendar) => calendar.after(at),
            Ticks::Every(period) => at.checked_add(*period).ok(),
            _ => None,
        }
    }

    fn not_before(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.ticks {
            Ticks::Cron(calendar) => calendar.not_before(at),
            _ => Some(at),
        }
    }

    fn not_after(&self, at: Timestamp) -> Option<Timestamp> {
        match &self.ticks {
            Ticks::Cron(calendar) => calendar.not_after(at),
            _ => Some(at),
        }
    }

    /// Whether its ticks are closer together than `grain`.
    pub(super) fn ticks_faster_than(&self, grain: Grain) -> bool {
        match &self.ticks {
            Ticks::Cron(calendar) => calendar.grain() < grain,
            Ticks::Every(period) => period.as_secs() < grain.seconds(),
            _ => false,
        }
    }

    /// The data interval of a run that somebody asks for at `at`.
    pub(super) fn manual(&self, at: Timestamp) -> (Timestamp, Timestamp) {
        let complete = match (&self.ticks, self.kind) {
            (Ticks::Cron(calendar), TimetableKind::Interval) => calendar
                .not_after(at)
                .and_then(|end| Some((calendar.before(end)?, end))),
            (Ticks::Every(period), TimetableKind::Interval) => {
                at.checked_sub(*period).ok().map(|start| (start, at))
            }
            _ => None,
        };
        complete.unwrap_or((at, at))
    }

    /// The runs with a logical date in a range that were complete before `now`, oldest first: what a backfill takes. A fixed
    /// period is counted from `anchor`. `None`: there is no such thing for this schedule.
    pub(super) fn between(
        &self,
        (from, to): (Timestamp, Timestamp),
        anchor: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Vec<DueRun>> {
        let mut tick = match &self.ticks {
            Ticks::Cron(calendar) => calendar.not_before(from),
            Ticks::Every(period) => on_grid(from, anchor.unwrap_or(from), *period),
            _ => return None,
        };
        let mut runs = Vec::new();
        while let Some(at) = tick.filter(|at| *at <= to) {
            tick = self.after(at);
            let run = match (self.kind, tick) {
                (TimetableKind::Trigger, _) => DueRun::exact(at),
                (TimetableKind::Interval, Some(end)) => DueRun::interval(at, end),
                (TimetableKind::Interval, None) => break,
            };
            if run.data_interval_end >= now {
                break;
            }
            runs.push(run);
        }
        Some(runs)
    }
}

/// The first instant not before `from` that is whole periods away from `anchor`.
fn on_grid(from: Timestamp, anchor: Timestamp, period: SignedDuration) -> Option<Timestamp> {
    let (period, away) = (period.as_nanos(), from.duration_since(anchor).as_nanos());
    let mut periods = away.div_euclid(period);
    if periods * period < away {
        periods += 1;
    }
    let by = SignedDuration::from_nanos_i128(periods * period);
    anchor.checked_add(by).ok()
}
