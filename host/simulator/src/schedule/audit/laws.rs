//! The invariants of schedules, each with its name and its sentence.

use crate::audit::{Checked, Violation};

/// An invariant.
pub(super) struct Law(&'static str, &'static str);

impl Law {
    pub(super) fn require(&self, holds: bool, detail: impl FnOnce() -> String) -> Checked<()> {
        if holds {
            return Ok(());
        }
        Err(self.broken(detail()))
    }

    pub(super) fn broken(&self, detail: String) -> Violation {
        Violation::new(self.0, self.1).because(detail)
    }
}

pub(super) const WORLD: Law = Law(
    "the_world_of_schedules_is_whole",
    "Every drawn DAG has a timetable, and every stored schedule can be read.",
);
pub(super) const PAUSED: Law = Law(
    "a_paused_dag_makes_no_run",
    "While a DAG is paused its schedule makes and clears no run.",
);
pub(super) const NOT_EARLY: Law = Law(
    "no_run_is_made_before_its_time",
    "A run is made when its run_after has come.",
);
pub(super) const START_DATE: Law = Law(
    "start_date_is_respected",
    "The first run of a timetable has no logical date before start_date.",
);
pub(super) const END_DATE: Law = Law(
    "end_date_is_respected",
    "No run is made with a logical date after end_date.",
);
pub(super) const UNIQUE_DATE: Law = Law(
    "a_logical_date_has_one_run",
    "No two runs of a DAG have the same logical date.",
);
pub(super) const UNIQUE_ID: Law = Law(
    "a_run_id_has_one_run",
    "No two runs of a DAG have the same run id.",
);
pub(super) const ROOM: Law = Law(
    "no_scheduled_run_beyond_max_active_runs",
    "The timetable makes no run while max_active_runs of the DAG are unfinished.",
);
pub(super) const TICK: Law = Law(
    "a_scheduled_run_is_a_tick",
    "The run of a cron schedule has the date of a tick, and its interval ends at the next one.",
);
pub(super) const NEXT_TICK: Law = Law(
    "catchup_misses_no_tick",
    "With catchup each run is the first tick after the last one that has no run.",
);
pub(super) const NEWEST: Law = Law(
    "without_catchup_only_the_newest_tick_runs",
    "Without catchup a run is the newest tick that has come and has no run.",
);
pub(super) const ONCE: Law = Law(
    "once_is_once",
    "A schedule of @once makes one run, at start_date.",
);
pub(super) const CONTINUOUS: Law = Law(
    "continuous_runs_touch",
    "A continuous run goes on where the one before ended, and ends when it is made.",
);
pub(super) const RUN_ID: Law = Law(
    "run_ids_are_airflows",
    "A run's id is its type and its run_after in ISO 8601, UTC.",
);
pub(super) const FIRST: Law = Law(
    "only_the_first_run_ignores_the_past",
    "Only the first run of a catchup and the first of a backfill ignore what the run before left.",
);
pub(super) const DUE: Law = Law(
    "what_is_due_is_made_at_once",
    "A schedule that is asked while something is due makes a run or passes a date that has one.",
);
pub(super) const ANCHOR: Law = Law(
    "only_dates_with_a_run_are_passed",
    "The timetable goes on after the last tick that has a run, and passes no other.",
);
pub(super) const SLEEPS: Law = Law(
    "nothing_is_slept_over",
    "The next wake-up is not later than the next thing that is due.",
);
pub(super) const BUSY: Law = Law(
    "no_wake_up_is_for_nothing",
    "At the next wake-up something is due.",
);
pub(super) const READY: Law = Law(
    "assets_run_when_the_expression_holds",
    "A run is made by assets only when the expression holds over the events that wait: an AND waits for all.",
);
pub(super) const CONSUMES: Law = Law(
    "a_run_consumes_what_waits",
    "A run that assets made consumes every event that waits, oldest first, and no other.",
);
pub(super) const CONSUMED_ONCE: Law = Law(
    "an_asset_event_is_consumed_once",
    "No two runs of a DAG consume the same asset event.",
);
pub(super) const KEPT: Law = Law(
    "an_asset_event_waits_for_whom_it_concerns",
    "An event is kept by the DAGs whose expression names its asset and that are not paused.",
);
pub(super) const BACKFILL_MAY: Law = Law(
    "a_backfill_begins_exactly_when_it_can",
    "A backfill is refused if there is one, if its dates make no sense or none are ticks, and never else.",
);
pub(super) const BACKFILL_DATES: Law = Law(
    "a_backfill_takes_the_ticks_of_its_range",
    "A backfill takes exactly the ticks in its range that have passed.",
);
pub(super) const BACKFILL_PLAN: Law = Law(
    "a_dry_run_says_what_happens",
    "The dry run of a backfill names its dates in order, each with what reprocess_behavior says.",
);
pub(super) const BACKFILL_PAUSED: Law = Law(
    "a_paused_backfill_does_nothing",
    "A backfill that is paused or cancelled makes and clears no run.",
);
pub(super) const BACKFILL_LIMIT: Law = Law(
    "a_backfill_keeps_its_limit",
    "No more than its max_active_runs runs of a backfill are unfinished.",
);
pub(super) const BACKFILL_ORDER: Law = Law(
    "a_backfill_keeps_its_order",
    "A backfill goes through its dates from the oldest, or backwards from the latest, and does with each what reprocess_behavior says.",
);
pub(super) const BACKFILL_LEFT_ALONE: Law = Law(
    "a_backfill_leaves_alone_only_dates_with_a_run",
    "A date is passed by a backfill only if it has a run that is not to be run again.",
);
pub(super) const BACKFILL_ENDS: Law = Law(
    "a_backfill_ends_with_its_last_run",
    "A backfill ends when all its dates were looked at and all its runs have ended, and counts them all.",
);
pub(super) const FAILURES: Law = Law(
    "failures_in_a_row_pause",
    "A DAG is paused when max_consecutive_failed_dag_runs of its runs failed one after another, and by nothing else.",
);
pub(super) const MAY_START: Law = Law(
    "a_run_starts_within_its_limits",
    "A run starts only in a DAG that is not paused, while fewer of its kind run than may.",
);
pub(super) const MUST_START: Law = Law(
    "a_run_starts_as_soon_as_it_may",
    "No run stays queued while its DAG is not paused and fewer of its kind run than may.",
);
pub(super) const MANUAL: Law = Law(
    "a_manual_run_takes_the_last_complete_interval",
    "A run that somebody asks for has the last complete data interval, or none.",
);
pub(super) const UPCOMING: Law = Law(
    "next_execution_tells_the_truth",
    "The dates that next-execution lists are the ticks that come.",
);
pub(super) const REBUILT: Law = Law(
    "a_restart_finds_the_schedule_as_it_was",
    "What is read from the store after a clean end equals what was in memory.",
);
pub(super) const RESTS: Law = Law(
    "what_is_due_is_made_in_the_end",
    "When faults stop, everything that is due is made, every run starts and ends, and the world comes to rest.",
);
