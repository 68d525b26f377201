//! Backfills: may one begin, which dates it takes, in which order, how many at once, and when it is over.

use super::due::as_due;
use super::page::{BackfillPage, Book, Fate};
use super::{Audit, laws};
use crate::audit::Checked;
use airlock_core::schedule::{
    Backfill, BackfillRequest, ClearRun, CreateRun, DagSchedule, InvalidBackfill, PlannedDate,
    ReprocessBehavior, WhatHappens,
};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::DueRun;
use jiff::Timestamp;

impl Audit {
    /// Somebody asks for a backfill: what the core's dry run said, and whether it began.
    pub(in crate::schedule) fn backfill_asked(
        &mut self,
        dag: usize,
        id: u64,
        request: &BackfillRequest,
        now: Timestamp,
        planned: &Result<Vec<PlannedDate>, InvalidBackfill>,
        began: &Result<(), InvalidBackfill>,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        let told = || format!("d{dag} at {now}: {request:?}: {began:?}");
        let dates = book.backfill_dates(request, now);
        let may = dates.is_some() && book.page.backfill.is_none();
        laws::BACKFILL_MAY.require(may == began.is_ok(), told)?;
        laws::BACKFILL_MAY.require(dates.is_some() == planned.is_ok(), told)?;
        let (Some(dates), Ok(planned)) = (dates, planned) else {
            return Ok(());
        };
        book.plan_is_right(id, request, &dates, planned)?;
        if may {
            book.page.backfill = Some(BackfillPage {
                id,
                request: request.clone(),
                left: dates.into(),
                active: std::collections::BTreeSet::new(),
                is_paused: false,
                is_fresh: true,
                ended: 0,
            });
        }
        Ok(())
    }

    pub(in crate::schedule) fn backfill_paused(
        &mut self,
        dag: usize,
        is_paused: bool,
    ) -> Checked<()> {
        if let Some(backfill) = &mut self.book(dag)?.page.backfill {
            backfill.is_paused = is_paused;
        }
        Ok(())
    }

    pub(in crate::schedule) fn backfill_cancelled(&mut self, dag: usize) -> Checked<()> {
        if let Some(backfill) = &mut self.book(dag)?.page.backfill {
            backfill.left.clear();
        }
        Ok(())
    }

    /// The backfill of a DAG that has one, and whether it is paused.
    pub(in crate::schedule) fn backfill_of(&self, dag: usize) -> Option<(u64, bool)> {
        let backfill = self.books.get(dag)?.page.backfill.as_ref()?;
        Some((backfill.id, backfill.is_paused))
    }
}

impl Book {
    /// Oldest first; `None` if the request cannot be.
    fn backfill_dates(&self, request: &BackfillRequest, now: Timestamp) -> Option<Vec<DueRun>> {
        let (from, to) = (request.from_date, request.to_date);
        let in_order = self.plan.depends_on_past();
        let is_wrong = from > to
            || from >= now
            || request.max_active_runs == 0
            || in_order && request.run_backwards
            || in_order && request.reprocess_behavior == ReprocessBehavior::None;
        if is_wrong {
            return None;
        }
        let anchor = self.page.anchor.map(|run| run.logical_date);
        let anchor = anchor.or(self.plan.rule.start);
        let dates = self.plan.rule.between((from, to), anchor, now)?;
        (!dates.is_empty()).then_some(dates)
    }

    fn plan_is_right(
        &self,
        id: u64,
        request: &BackfillRequest,
        dates: &[DueRun],
        planned: &[PlannedDate],
    ) -> Checked<()> {
        let mut named: Vec<DueRun> = planned.iter().map(|planned| planned.run).collect();
        if request.run_backwards {
            named.reverse();
        }
        let told = || format!("{}: {named:?} and not {dates:?}", self.plan.dag.dag_id);
        laws::BACKFILL_DATES.require(named == dates, told)?;
        let page = BackfillPage {
            id,
            request: request.clone(),
            left: std::collections::VecDeque::new(),
            active: std::collections::BTreeSet::new(),
            is_paused: false,
            is_fresh: true,
            ended: 0,
        };
        for planned in planned {
            let fate = match planned.what {
                WhatHappens::Create => Fate::Create,
                WhatHappens::Clear => Fate::Clear,
                WhatHappens::AlreadyExists | WhatHappens::InFlight => Fate::LeftAlone,
            };
            let expected = self.fate(&page, &planned.run);
            // The dry run looks at dates alone.
            let expected = match expected {
                Fate::IdTaken => Fate::Create,
                other => other,
            };
            laws::BACKFILL_PLAN
                .require(fate == expected, || format!("{planned:?}, {expected:?}"))?;
        }
        Ok(())
    }

    pub(super) fn left(&self) -> usize {
        let backfill = self.page.backfill.as_ref();
        backfill.map_or(0, |backfill| backfill.left.len())
    }

    pub(super) fn backfilled(&mut self, run: &CreateRun) -> Checked<()> {
        let told = format!("{run:?}");
        let id = run.backfill.as_ref().map(|(id, _)| *id);
        let date = self.next_of_backfill(id, Fate::Create, &told)?;
        laws::BACKFILL_ORDER.require(as_due(run) == date, || format!("{told}, not {date:?}"))?;
        self.took(run.run_id.clone(), run.ignore_depends_on_past, &told)
    }

    pub(super) fn cleared(&mut self, clear: &ClearRun) -> Checked<()> {
        let told = format!("{clear:?}");
        let date = self.next_of_backfill(Some(clear.backfill_id), Fate::Clear, &told)?;
        let cleared = self
            .runs
            .get(&clear.run_id)
            .and_then(|run| run.logical_date);
        let expected = date.map(|date| date.logical_date);
        laws::BACKFILL_ORDER.require(cleared == expected, || format!("{told}, not {date:?}"))?;
        self.took(clear.run_id.clone(), clear.ignore_depends_on_past, &told)?;
        if let Some(run) = self.runs.get_mut(&clear.run_id) {
            run.state = DagRunState::Queued;
            run.run_type = airlock_core::run::event::RunType::Backfill;
            run.backfill_id = Some(clear.backfill_id);
        }
        Ok(())
    }

    /// The next date that is not left alone: its fate must be `fate`.
    fn next_of_backfill(
        &mut self,
        id: Option<u64>,
        fate: Fate,
        told: &str,
    ) -> Checked<Option<DueRun>> {
        let told = || told.to_owned();
        let Some(mut backfill) = self.page.backfill.take() else {
            return Err(laws::BACKFILL_PAUSED.broken(told()));
        };
        laws::BACKFILL_PAUSED.require(!backfill.is_paused && id == Some(backfill.id), told)?;
        let mut date = backfill.take();
        while let Some(due) = date {
            let found = self.fate(&backfill, &due);
            if found == fate {
                break;
            }
            laws::BACKFILL_ORDER
                .require(matches!(found, Fate::LeftAlone | Fate::IdTaken), || {
                    format!("{found:?} of {due:?}, but {}", told())
                })?;
            backfill.is_fresh = false;
            date = backfill.take();
        }
        laws::BACKFILL_LIMIT.require(backfill.has_room(), told)?;
        self.page.backfill = Some(backfill);
        Ok(date)
    }

    fn took(
        &mut self,
        run_id: airlock_core::ids::RunId,
        ignores_past: bool,
        told: &str,
    ) -> Checked<()> {
        if let Some(backfill) = &mut self.page.backfill {
            let is_first = std::mem::replace(&mut backfill.is_fresh, false);
            laws::FIRST.require(ignores_past == is_first, || told.to_owned())?;
            backfill.active.insert(run_id);
        }
        Ok(())
    }

    /// Dates that were passed without an effect, and whether the core's backfill is there at all.
    pub(super) fn backfill_passes(&mut self, after: &DagSchedule) -> Checked<()> {
        let Some(mut backfill) = self.page.backfill.take() else {
            let live = after.backfill();
            return laws::BACKFILL_ENDS.require(live.is_none(), || format!("{live:?}"));
        };
        let Some(live) = after.backfill() else {
            return Err(laws::BACKFILL_ENDS.broken(format!("it is gone, and left is {backfill:?}")));
        };
        while backfill.left.len() > live.left() as usize {
            let date = backfill.take();
            let fate = date.map(|date| self.fate(&backfill, &date));
            let is_left = matches!(fate, Some(Fate::LeftAlone | Fate::IdTaken));
            laws::BACKFILL_LEFT_ALONE.require(is_left, || format!("{fate:?} of {date:?}"))?;
            backfill.is_fresh = false;
        }
        let told = || format!("{backfill:?} and {live:?}");
        let same = live.active().eq(backfill.active.iter());
        laws::BACKFILL_LIMIT.require(same && live.left() as usize == backfill.left.len(), told)?;
        self.page.backfill = Some(backfill);
        Ok(())
    }

    /// What is over does not stay.
    pub(super) fn backfill_is_open(&self) -> Checked<()> {
        let backfill = self.page.backfill.as_ref();
        let is_open = backfill.is_none_or(|backfill| !backfill.is_done());
        laws::BACKFILL_ENDS.require(is_open, || format!("{backfill:?}"))
    }

    pub(super) fn backfill_ended(&mut self, ended: &Backfill) -> Checked<()> {
        let told = format!("{ended:?}");
        let Some(mut backfill) = self.page.backfill.take() else {
            return Err(laws::BACKFILL_ENDS.broken(told));
        };
        while let Some(date) = backfill.take() {
            let fate = self.fate(&backfill, &date);
            let is_left = matches!(fate, Fate::LeftAlone | Fate::IdTaken);
            laws::BACKFILL_LEFT_ALONE.require(is_left, || format!("{fate:?} of {date:?}"))?;
            backfill.is_fresh = false;
        }
        let counts = ended.counts();
        let seen = counts.created + counts.cleared + counts.already_exists + counts.in_flight;
        let is_whole = ended.is_cancelled() || seen == counts.dates;
        let are_counted = counts.success + counts.failed == backfill.ended;
        let is_it = ended.id() == backfill.id && backfill.active.is_empty();
        laws::BACKFILL_ENDS.require(is_whole && are_counted && is_it, || {
            format!("{told} and {backfill:?}")
        })
    }
}
