//! What a schedule said is due: every run is held against the auditor's own reckoning before it counts as made.

use super::super::plan::Plan;
use super::super::rule::Ticks;
use super::page::{Book, microsecond, names};
use super::{Audit, is_expected_id, laws, recorded};
use crate::audit::Checked;
use airlock_core::dag::spec::TimetableKind;
use airlock_core::run::event::{AssetEvent, RunType};
use airlock_core::schedule::{CreateRun, DagSchedule, ScheduleEffect};
use airlock_core::timetable::DueRun;
use jiff::Timestamp;

/// What a schedule had to do before it was asked.
#[derive(Debug, Clone, Copy)]
pub(in crate::schedule) struct Before {
    was_due: bool,
    anchor: Option<DueRun>,
    left: usize,
}

impl Audit {
    /// A schedule was asked at `now` and said so; yields what it had to do before.
    pub(in crate::schedule) fn due(
        &mut self,
        dag: usize,
        now: Timestamp,
        effects: &[ScheduleEffect],
        after: &DagSchedule,
    ) -> Checked<Before> {
        let book = self.book(dag)?;
        let is_quiet = !book.page.is_paused || effects.is_empty();
        laws::PAUSED.require(is_quiet, || format!("d{dag} at {now}: {effects:?}"))?;
        let before = Before {
            was_due: book.due_moment(now).is_some_and(|at| at <= now),
            anchor: book.page.anchor,
            left: book.left(),
        };
        for effect in effects {
            match effect {
                ScheduleEffect::Create(run) => book.made(run, now)?,
                ScheduleEffect::Clear(clear) => book.cleared(clear)?,
                ScheduleEffect::BackfillEnded(ended) => book.backfill_ended(ended)?,
                ScheduleEffect::Paused { .. } => {
                    return Err(laws::FAILURES.broken(format!("d{dag} at {now}: no run ended")));
                }
            }
        }
        book.passes(after.last_scheduled(), now)?;
        Ok(before)
    }

    /// What it said was carried out.
    pub(in crate::schedule) fn carried_out(
        &mut self,
        dag: usize,
        now: Timestamp,
        said: usize,
        before: Before,
        after: &DagSchedule,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        book.backfill_passes(after)?;
        let moved = book.page.anchor != before.anchor || book.left() != before.left;
        laws::DUE.require(!before.was_due || moved || said > 0, || {
            format!("d{dag} at {now} after {:?}: {}", before.anchor, book.plan)
        })
    }
}

impl Book {
    fn made(&mut self, run: &CreateRun, now: Timestamp) -> Checked<()> {
        let told = || format!("{} at {now}, anchor {:?}", run.run_id, self.page.anchor);
        // A backfill's dates had come when it began, if by a clock that was set back since.
        let has_come = run.run_after <= now || run.run_type != RunType::Scheduled;
        laws::NOT_EARLY.require(has_come, told)?;
        let is_free = !self.runs.contains_key(&run.run_id);
        laws::UNIQUE_ID.require(is_free, told)?;
        let is_named = is_expected_id(run.run_type, run.run_after, &run.run_id);
        laws::RUN_ID.require(is_named, told)?;
        let is_taken = run.logical_date.is_some_and(|date| self.at(date).is_some());
        laws::UNIQUE_DATE.require(!is_taken, told)?;
        match run.run_type {
            RunType::Scheduled => self.scheduled(run, now)?,
            RunType::AssetTriggered => self.by_assets(run, now)?,
            RunType::Backfill => self.backfilled(run)?,
            RunType::Manual => return Err(laws::RUN_ID.broken(told())),
        }
        self.runs.insert(run.run_id.clone(), recorded(run));
        Ok(())
    }

    fn scheduled(&mut self, run: &CreateRun, now: Timestamp) -> Checked<()> {
        let (plan, anchor) = (self.plan.clone(), self.page.anchor);
        let told = || {
            format!(
                "{} at {now} after {anchor:?}: {run:?} of {}",
                plan.dag.dag_id, plan.rule
            )
        };
        let due = as_due(run);
        laws::ROOM.require(self.has_room(), told)?;
        let is_first = anchor.is_none();
        let is_in_time = |date: Timestamp| plan.rule.start.is_none_or(|start| date >= start);
        let starts = due.is_some_and(|due| !is_first || is_in_time(due.logical_date));
        laws::START_DATE.require(starts, told)?;
        let is_late = |end: Timestamp| due.is_some_and(|due| due.logical_date > end);
        laws::END_DATE.require(!plan.rule.end.is_some_and(is_late), told)?;
        let is_tick = due.is_some_and(|due| is_tick(&plan, &due));
        laws::TICK.require(is_tick, told)?;
        let expected = self.expected(now);
        let law = match (&plan.rule.ticks, plan.rule.catchup) {
            (Ticks::Once | Ticks::Never, _) => laws::ONCE,
            (Ticks::Continuous, _) => laws::CONTINUOUS,
            (_, true) => laws::NEXT_TICK,
            (_, false) => laws::NEWEST,
        };
        let is_expected = expected.is_some() && expected == due;
        law.require(is_expected, || format!("{}; and not {expected:?}", told()))?;
        // A first tick that somebody ran by hand is the first one all the same.
        let is_very_first = is_first && plan.rule.next(None, microsecond(now)) == due;
        let ignores = is_very_first && plan.rule.catchup;
        laws::FIRST.require(run.ignore_depends_on_past == ignores, told)?;
        self.page.anchor = due;
        Ok(())
    }

    /// The run that the timetable should make now: the first one whose date has none.
    fn expected(&self, now: Timestamp) -> Option<DueRun> {
        let (rule, at) = (&self.plan.rule, microsecond(now));
        let mut next = rule.next(self.page.anchor.as_ref(), at);
        while let Some(run) = next.filter(|run| self.at(run.logical_date).is_some()) {
            next = rule.next(Some(&run), at);
        }
        next.filter(|run| run.run_after <= at)
    }

    /// The anchor moved, beyond the runs that were made.
    fn passes(&mut self, live: Option<&DueRun>, now: Timestamp) -> Checked<()> {
        let rule = self.plan.rule.clone();
        while self.page.anchor.as_ref() != live {
            let next = rule.next(self.page.anchor.as_ref(), microsecond(now));
            let next = next.filter(|run| run.run_after <= now);
            let next = next.filter(|run| self.at(run.logical_date).is_some());
            laws::ANCHOR.require(next.is_some(), || {
                format!("from {:?} to {live:?} at {now}: {rule}", self.page.anchor)
            })?;
            self.page.anchor = next;
        }
        Ok(())
    }

    fn by_assets(&mut self, run: &CreateRun, now: Timestamp) -> Checked<()> {
        let told = || format!("{} at {now}: {run:?}", self.plan.dag.dag_id);
        laws::READY.require(self.is_ready(), told)?;
        let named = |event: &&AssetEvent| {
            let expression = self.plan.assets.as_ref();
            expression.is_some_and(|expression| names(expression, &event.uri))
        };
        let mut expected: Vec<&AssetEvent> = self.page.events.iter().filter(named).collect();
        let mut consumed: Vec<&AssetEvent> = run.asset_events.iter().collect();
        let in_order = consumed.is_sorted_by_key(|event| event.at);
        expected.sort_by_key(|event| &event.source);
        consumed.sort_by_key(|event| &event.source);
        laws::CONSUMES.require(in_order && expected == consumed, told)?;
        let twice = self.runs.values().find(|other| {
            let mut events = run.asset_events.iter();
            events.any(|event| other.consumed.contains(&event.source))
        });
        laws::CONSUMED_ONCE.require(twice.is_none(), || format!("{} and {twice:?}", told()))?;
        let is_dated = run.logical_date.is_some() || run.data_interval.is_some();
        laws::CONSUMES.require(!is_dated, told)?;
        self.page.events.clear();
        Ok(())
    }
}

/// A dated run as the timetable describes it.
pub(super) fn as_due(run: &CreateRun) -> Option<DueRun> {
    let (start, end) = run.data_interval?;
    Some(DueRun {
        logical_date: run.logical_date?,
        data_interval_start: start,
        data_interval_end: end,
        run_after: run.run_after,
    })
}

fn is_tick(plan: &Plan, run: &DueRun) -> bool {
    let Ticks::Cron(calendar) = &plan.rule.ticks else {
        return true;
    };
    let ends = match plan.rule.kind {
        TimetableKind::Trigger => Some(run.logical_date),
        TimetableKind::Interval => calendar.after(run.logical_date),
    };
    calendar.is_tick(run.logical_date)
        && run.data_interval_start == run.logical_date
        && Some(run.data_interval_end) == ends
        && run.run_after == run.data_interval_end
}
