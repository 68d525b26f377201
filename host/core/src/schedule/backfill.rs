//! A backfill: the dates that somebody wants run, as a state machine over what exists and what has ended.
//! It refuses any other order than the one asked for, and to have more unfinished runs than it was told.

use super::dates::{BackfillRequest, WhatHappens};
use super::left::Left;
use super::{ClearRun, CreateRun, ScheduleEffect};
use crate::ids::RunId;
use crate::run::event::RunType;
use crate::task_instance::state::DagRunState;
use crate::timetable::DueRun;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A run that has a logical date already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingRun {
    /// Its id.
    pub run_id: RunId,
    /// Its state.
    pub state: DagRunState,
}

impl ExistingRun {
    pub(super) fn queued(run_id: RunId) -> Self {
        Self {
            run_id,
            state: DagRunState::Queued,
        }
    }
}

/// What became of a backfill's dates so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillCounts {
    /// All of them.
    pub dates: u32,
    /// A run was made.
    pub created: u32,
    /// A run that existed was cleared.
    pub cleared: u32,
    /// Left alone: a run existed.
    pub already_exists: u32,
    /// Left alone: a run existed that had not ended.
    pub in_flight: u32,
    /// Its runs that ended well.
    pub success: u32,
    /// Its runs that failed.
    pub failed: u32,
}

/// See the module's documentation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Backfill {
    id: u64,
    request: BackfillRequest,
    created_at: Timestamp,
    ended_at: Option<Timestamp>,
    is_paused: bool,
    is_cancelled: bool,
    left: Left,
    /// No date was looked at yet: the first one, and no other, may ignore what an earlier run left.
    is_fresh: bool,
    /// Its runs that have not ended.
    active: BTreeSet<RunId>,
    counts: BackfillCounts,
}

impl Backfill {
    /// The caller has checked the request and computed its dates, oldest first.
    pub(super) fn new(id: u64, request: BackfillRequest, dates: &[DueRun], now: Timestamp) -> Self {
        Self {
            id,
            request,
            created_at: now,
            ended_at: None,
            is_paused: false,
            is_cancelled: false,
            left: Left::new(dates),
            is_fresh: true,
            active: BTreeSet::new(),
            counts: BackfillCounts {
                dates: u32::try_from(dates.len()).unwrap_or(u32::MAX),
                ..BackfillCounts::default()
            },
        }
    }

    /// Its id.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// What was asked for.
    pub fn request(&self) -> &BackfillRequest {
        &self.request
    }

    /// When it was asked for.
    pub fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When it ended.
    pub fn ended_at(&self) -> Option<Timestamp> {
        self.ended_at
    }

    /// Whether no more of its runs are made or started until somebody unpauses it.
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Whether somebody cancelled it.
    pub fn is_cancelled(&self) -> bool {
        self.is_cancelled
    }

    /// What became of its dates so far.
    pub fn counts(&self) -> BackfillCounts {
        self.counts
    }

    /// Dates that it has not looked at.
    pub fn left(&self) -> u32 {
        self.left.len()
    }

    /// Its runs that have not ended.
    pub fn active(&self) -> impl Iterator<Item = &RunId> {
        self.active.iter()
    }

    pub(super) fn set_paused(&mut self, is_paused: bool) {
        self.is_paused = is_paused;
    }

    pub(super) fn cancel(&mut self) {
        self.is_cancelled = true;
        self.left.clear();
    }

    pub(super) fn end(&mut self, now: Timestamp) {
        self.ended_at = Some(now);
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.active.is_empty()
    }

    /// Whether [`Self::due`] would do something.
    pub(super) fn is_due(&self) -> bool {
        !self.is_paused && !self.left.is_empty() && self.has_room()
    }

    fn has_room(&self) -> bool {
        u32::try_from(self.active.len()).is_ok_and(|active| active < self.request.max_active_runs)
    }

    /// The runs to make and to clear now, at most `limit`. Dates that are left alone are passed without an effect.
    pub(super) fn due(
        &mut self,
        existing: &dyn Fn(Timestamp) -> Option<ExistingRun>,
        is_taken: &dyn Fn(&RunId) -> bool,
        limit: usize,
    ) -> Vec<ScheduleEffect> {
        let mut effects = Vec::new();
        while effects.len() < limit && self.is_due() {
            let Some(date) = self.left.take(self.request.run_backwards) else {
                break;
            };
            let is_first = std::mem::replace(&mut self.is_fresh, false);
            effects.extend(self.one(&date, existing(date.logical_date), is_taken, is_first));
        }
        effects
    }

    fn one(
        &mut self,
        date: &DueRun,
        existing: Option<ExistingRun>,
        is_taken: &dyn Fn(&RunId) -> bool,
        is_first: bool,
    ) -> Option<ScheduleEffect> {
        match (self.request.decide(existing.as_ref()), existing) {
            (WhatHappens::Clear, Some(run)) => {
                self.counts.cleared += 1;
                self.active.insert(run.run_id.clone());
                Some(ScheduleEffect::Clear(ClearRun {
                    run_id: run.run_id,
                    backfill_id: self.id,
                    conf: self.request.conf.clone(),
                    run_on_latest_version: self.request.run_on_latest_version,
                    ignore_depends_on_past: is_first,
                }))
            }
            (WhatHappens::InFlight, _) => {
                self.counts.in_flight += 1;
                None
            }
            (WhatHappens::AlreadyExists, _) => {
                self.counts.already_exists += 1;
                None
            }
            (WhatHappens::Create | WhatHappens::Clear, _) => {
                let mut run = CreateRun::dated(RunType::Backfill, date)?;
                if is_taken(&run.run_id) {
                    // Between two backfills the schedule was edited: another date's run was due at the same time.
                    self.counts.already_exists += 1;
                    return None;
                }
                run.backfill = Some((self.id, self.request.conf.clone()));
                run.ignore_depends_on_past = is_first;
                run.run_on_latest_version = self.request.run_on_latest_version;
                self.counts.created += 1;
                self.active.insert(run.run_id.clone());
                Some(ScheduleEffect::Create(run))
            }
        }
    }

    pub(super) fn run_ended(&mut self, run_id: &RunId, state: DagRunState) {
        if !self.active.remove(run_id) {
            return;
        }
        match state {
            DagRunState::Success => self.counts.success += 1,
            _ => self.counts.failed += 1,
        }
    }
}
