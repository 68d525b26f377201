//! The auditor's books about one DAG: what it knows of the schedule (a page, lost and found with the stored row) and of the runs.

use super::super::plan::Plan;
use super::super::rule::MICROSECOND;
use super::super::store::Run;
use airlock_core::dag::spec::AssetExpression;
use airlock_core::ids::RunId;
use airlock_core::run::event::{AssetEvent, RunType};
use airlock_core::schedule::{BackfillRequest, ReprocessBehavior};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::DueRun;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

/// A backfill as the auditor follows it.
#[derive(Debug, Clone)]
pub(super) struct BackfillPage {
    pub(super) id: u64,
    pub(super) request: BackfillRequest,
    /// Oldest first.
    pub(super) left: VecDeque<DueRun>,
    pub(super) active: BTreeSet<RunId>,
    pub(super) is_paused: bool,
    pub(super) is_fresh: bool,
    pub(super) ended: u32,
}

impl BackfillPage {
    pub(super) fn has_room(&self) -> bool {
        self.active.len() < self.request.max_active_runs as usize
    }

    pub(super) fn is_due(&self) -> bool {
        !self.is_paused && self.has_room() && !self.left.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.active.is_empty()
    }

    pub(super) fn take(&mut self) -> Option<DueRun> {
        if self.request.run_backwards {
            self.left.pop_back()
        } else {
            self.left.pop_front()
        }
    }
}

/// What a backfill does about a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Create,
    Clear,
    LeftAlone,
    /// Between two backfills the schedule was edited: another date's run has the id.
    IdTaken,
}

/// What is remembered with a DAG's schedule.
#[derive(Debug, Clone, Default)]
pub(in crate::schedule) struct Page {
    pub(super) is_paused: bool,
    /// The last tick that the timetable ran or passed.
    pub(super) anchor: Option<DueRun>,
    pub(super) failed_in_a_row: u32,
    /// Events that wait, in the order in which they came.
    pub(super) events: Vec<AssetEvent>,
    pub(super) backfill: Option<BackfillPage>,
}

impl Page {
    /// The page of a DAG that is new.
    pub(in crate::schedule) fn new(is_paused: bool) -> Self {
        Self {
            is_paused,
            ..Self::default()
        }
    }

    pub(super) fn set_paused(&mut self, is_paused: bool) {
        if self.is_paused && !is_paused {
            self.failed_in_a_row = 0;
        }
        self.is_paused = is_paused;
    }
}

/// Everything about one DAG.
#[derive(Debug)]
pub(super) struct Book {
    pub(super) plan: Rc<Plan>,
    pub(super) page: Page,
    pub(super) runs: BTreeMap<RunId, Run>,
}

impl Book {
    pub(super) fn at(&self, date: Timestamp) -> Option<&Run> {
        self.runs
            .values()
            .find(|run| run.logical_date == Some(date))
    }

    /// Runs that count against the DAG's own limit.
    pub(super) fn unfinished(&self) -> u32 {
        let counts = |run: &&Run| !run.state.is_finished() && run.backfill_id.is_none();
        u32::try_from(self.runs.values().filter(counts).count()).unwrap_or(u32::MAX)
    }

    pub(super) fn in_state(&self, state: DagRunState, backfill_id: Option<u64>) -> u32 {
        let runs = self.runs.values();
        let runs = runs.filter(|run| run.state == state && run.backfill_id == backfill_id);
        u32::try_from(runs.count()).unwrap_or(u32::MAX)
    }

    pub(super) fn has_room(&self) -> bool {
        self.unfinished() < self.plan.max_active_runs()
    }

    /// Whether the events that wait make the expression true.
    pub(super) fn is_ready(&self) -> bool {
        let waits = |uri: &str| self.page.events.iter().any(|event| event.uri == uri);
        let expression = self.plan.assets.as_ref();
        expression.is_some_and(|expression| holds(expression, &waits))
    }

    pub(super) fn fate(&self, backfill: &BackfillPage, date: &DueRun) -> Fate {
        let Some(run) = self.at(date.logical_date) else {
            let id = super::expected_id(RunType::Backfill, date.run_after);
            let is_taken = self.runs.keys().any(|run_id| run_id.as_str() == id);
            return if is_taken {
                Fate::IdTaken
            } else {
                Fate::Create
            };
        };
        let again = backfill.request.reprocess_behavior;
        match run.state {
            DagRunState::Queued | DagRunState::Running => Fate::LeftAlone,
            DagRunState::Failed if again != ReprocessBehavior::None => Fate::Clear,
            _ if again == ReprocessBehavior::Completed => Fate::Clear,
            _ => Fate::LeftAlone,
        }
    }

    /// When the schedule has something to do, if nothing happens before; never before `now`.
    pub(super) fn due_moment(&self, now: Timestamp) -> Option<Timestamp> {
        let page = &self.page;
        if page.is_paused {
            return None;
        }
        let by_backfill = page.backfill.as_ref().is_some_and(BackfillPage::is_due);
        if by_backfill || self.is_ready() {
            return Some(now);
        }
        if !self.has_room() {
            return None;
        }
        let next = self.plan.rule.next(page.anchor.as_ref(), microsecond(now));
        next.map(|run| run.run_after.max(now))
    }
}

/// Whether `expression` is true where `waits` says which assets have events.
pub(super) fn holds(expression: &AssetExpression, waits: &dyn Fn(&str) -> bool) -> bool {
    match expression {
        AssetExpression::Asset(uri) => waits(uri),
        AssetExpression::All(parts) => !parts.iter().any(|part| !holds(part, waits)),
        AssetExpression::Any(parts) => parts.iter().any(|part| holds(part, waits)),
    }
}

/// Whether `expression` says anything about `uri`.
pub(super) fn names(expression: &AssetExpression, uri: &str) -> bool {
    match expression {
        AssetExpression::Asset(named) => named == uri,
        AssetExpression::All(parts) | AssetExpression::Any(parts) => {
            parts.iter().any(|part| names(part, uri))
        }
    }
}

/// The microsecond that an instant is in: runs know nothing finer.
pub(super) fn microsecond(at: Timestamp) -> Timestamp {
    let micro = MICROSECOND.as_nanos();
    let whole = at.as_nanosecond().div_euclid(micro) * micro;
    Timestamp::from_nanosecond(whole).unwrap_or(at)
}
