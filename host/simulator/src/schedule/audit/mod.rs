//! The auditor of schedules: books of its own about ticks, runs, asset events and backfills, and the invariants that every
//! answer of the core must keep. It works out again, by brute force, what should have been said, and refuses to ask the core.

mod backfill;
mod due;
mod ended;
mod laws;
mod page;
mod starts;
mod wake;

use super::plan::Plan;
use super::store::{Run, Store};
use crate::audit::Checked;
use airlock_core::ids::RunId;
use airlock_core::run::event::{AssetEvent, RunType};
use airlock_core::schedule::DagSchedule;
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::upcoming;
use jiff::Timestamp;
pub(super) use page::Page;
use page::{Book, names};
use std::rc::Rc;

/// How many of the dates that next-execution lists are looked at.
const UPCOMING_SHOWN: usize = 4;

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Audit {
    books: Vec<Book>,
}

impl Audit {
    /// A host starts: what was not stored never was.
    pub(super) fn restart(&mut self, store: &Store) {
        let books = store.dags.iter().map(|rows| {
            let mut page = rows.page.clone();
            page.set_paused(rows.is_paused);
            Book {
                plan: rows.plan.clone(),
                page,
                runs: rows.runs.clone(),
            }
        });
        self.books = books.collect();
    }

    pub(super) fn page(&self, dag: usize) -> Option<&Page> {
        self.books.get(dag).map(|book| &book.page)
    }

    fn book(&mut self, dag: usize) -> Checked<&mut Book> {
        let missing = || laws::WORLD.broken(format!("d{dag} has no book"));
        self.books.get_mut(dag).ok_or_else(missing)
    }

    /// A new version, or the DAG was paused or unpaused.
    pub(super) fn put(&mut self, dag: usize, plan: &Rc<Plan>, is_paused: bool) -> Checked<()> {
        let book = self.book(dag)?;
        book.plan = plan.clone();
        book.page.set_paused(is_paused);
        Ok(())
    }

    /// What next-execution would print for a DAG that never ran.
    pub(super) fn upcoming(plan: &Plan, now: Timestamp) -> Checked<()> {
        let mut expected = Vec::new();
        while expected.len() < UPCOMING_SHOWN {
            let Some(run) = plan.rule.next(expected.last(), now) else {
                break;
            };
            if expected
                .last()
                .is_some_and(|last: &airlock_core::timetable::DueRun| {
                    last.run_after >= run.run_after
                })
            {
                break;
            }
            expected.push(run);
        }
        let listed = upcoming(&plan.dag, now, UPCOMING_SHOWN).unwrap_or_default();
        // A continuous schedule knows its next run only.
        let shown = match plan.rule.ticks {
            super::rule::Ticks::Continuous => 1,
            _ => UPCOMING_SHOWN,
        };
        let (expected, listed) = (
            expected.get(..shown.min(expected.len())),
            listed.get(..shown.min(listed.len())),
        );
        laws::UPCOMING.require(expected == listed, || {
            format!(
                "{:?} at {now}: {listed:?} and not {expected:?}",
                plan.dag.schedule
            )
        })
    }

    /// An asset was updated; `kept` is what the schedule said.
    pub(super) fn asset_updated(
        &mut self,
        dag: usize,
        event: &AssetEvent,
        kept: bool,
    ) -> Checked<()> {
        let book = self.book(dag)?;
        let expression = book.plan.assets.as_ref();
        let concerns = expression.is_some_and(|expression| names(expression, &event.uri));
        let expected = concerns && !book.page.is_paused;
        if expected {
            book.page.events.push(event.clone());
        }
        laws::KEPT.require(kept == expected, || {
            format!(
                "d{dag} and {} of {}: kept is {kept}",
                event.source, event.uri
            )
        })
    }

    /// Somebody asks for a run; `interval` is what the timetable gave it.
    pub(super) fn triggered(
        &mut self,
        dag: usize,
        run: Run,
        interval: (Timestamp, Timestamp),
    ) -> Checked<()> {
        let book = self.book(dag)?;
        let at = run.logical_date.unwrap_or(run.run_after);
        let expected = book.plan.rule.manual(at);
        let schedule = &book.plan.dag.schedule;
        laws::MANUAL.require(interval == expected, || {
            format!("d{dag} {schedule:?} at {at}: {interval:?} and not {expected:?}")
        })?;
        book.runs.insert(run.run_id.clone(), run);
        Ok(())
    }

    /// What is in memory before a clean restart and after it.
    pub(super) fn rebuilt(dag: usize, live: &DagSchedule, rebuilt: &DagSchedule) -> Checked<()> {
        laws::REBUILT.require(live == rebuilt, || {
            format!("d{dag}: {live:?} was read back as {rebuilt:?}")
        })
    }

    /// Something about the simulator itself that must hold.
    pub(super) fn whole(holds: bool, detail: impl FnOnce() -> String) -> Checked<()> {
        laws::WORLD.require(holds, detail)
    }

    /// Nothing is left to be done at `now`.
    pub(super) fn rests(&mut self, dag: usize, now: Timestamp) -> Checked<()> {
        let book = self.book(dag)?;
        let open = book.runs.values().find(|run| !run.state.is_finished());
        laws::RESTS.require(open.is_none(), || format!("d{dag}: {open:?}"))?;
        let moment = book.due_moment(now);
        laws::RESTS.require(moment.is_none_or(|at| at > now), || {
            format!("d{dag}: something was due at {moment:?}, and it is {now}")
        })?;
        let backfill = &book.page.backfill;
        laws::RESTS.require(backfill.is_none(), || format!("d{dag}: {backfill:?}"))
    }

    /// It never stops doing something.
    pub(super) fn never_rests(turns: usize) -> Checked<()> {
        Err(laws::RESTS.broken(format!("still busy after {turns} turns")))
    }
}

/// A run that a schedule makes, as it is recorded.
pub(super) fn recorded(run: &airlock_core::schedule::CreateRun) -> Run {
    Run {
        run_id: run.run_id.clone(),
        run_type: run.run_type,
        logical_date: run.logical_date,
        run_after: run.run_after,
        state: DagRunState::Queued,
        backfill_id: run.backfill.as_ref().map(|(id, _)| *id),
        consumed: run
            .asset_events
            .iter()
            .map(|event| event.source.clone())
            .collect(),
    }
}

/// Airflow's run id.
fn expected_id(run_type: RunType, run_after: Timestamp) -> String {
    let micros = run_after.as_microsecond().rem_euclid(1_000_000);
    let date = run_after.strftime("%Y-%m-%dT%H:%M:%S");
    let fraction = if micros == 0 {
        String::new()
    } else {
        format!(".{micros:06}")
    };
    let prefix = match run_type {
        RunType::Scheduled => "scheduled",
        RunType::Manual => "manual",
        RunType::Backfill => "backfill",
        RunType::AssetTriggered => "asset_triggered",
    };
    format!("{prefix}__{date}{fraction}+00:00")
}

fn is_expected_id(run_type: RunType, run_after: Timestamp, run_id: &RunId) -> bool {
    run_id.as_str() == expected_id(run_type, run_after)
}
