//! The memory of the modelled host: live DAGs, their runs, timers, and turns on their way to the store. All of it is lost in a
//! crash. It refuses to decide what is due: the core's schedule does.

use super::plan::Plan;
use super::store::{Commit, Run, Store, decode};
use airlock_core::ids::RunId;
use airlock_core::schedule::{ActiveRuns, DagSchedule, ExistingRun};
use airlock_core::task_instance::state::DagRunState;
use airlock_core::timetable::Timetable;
use jiff::Timestamp;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;

/// A DAG in memory.
#[derive(Debug)]
pub(super) struct LiveDag {
    pub(super) plan: Rc<Plan>,
    pub(super) timetable: Timetable,
    pub(super) schedule: DagSchedule,
    pub(super) runs: BTreeMap<RunId, Run>,
    /// In the order in which they start.
    pub(super) queued: VecDeque<RunId>,
}

impl LiveDag {
    fn count(&self, state: DagRunState, of: impl Fn(Option<u64>) -> bool) -> u32 {
        let runs = self.runs.values();
        let runs = runs.filter(|run| run.state == state && of(run.backfill_id));
        u32::try_from(runs.count()).unwrap_or(u32::MAX)
    }

    /// What counts against the DAG's own limit.
    pub(super) fn active(&self) -> ActiveRuns {
        ActiveRuns {
            running: self.count(DagRunState::Running, |id| id.is_none()),
            queued: self.count(DagRunState::Queued, |id| id.is_none()),
        }
    }

    /// Running with a run of that backfill, or of none.
    pub(super) fn running_with(&self, backfill_id: Option<u64>) -> u32 {
        self.count(DagRunState::Running, |id| id == backfill_id)
    }

    /// The first queued run that may start. Behind one that may not, none of its kind may: they go in order.
    pub(super) fn next_to_start(&self) -> Option<RunId> {
        let mut blocked: Vec<Option<u64>> = Vec::new();
        for run_id in &self.queued {
            let backfill_id = self.runs.get(run_id)?.backfill_id;
            if blocked.contains(&backfill_id) {
                continue;
            }
            let running = self.running_with(backfill_id);
            let may = self
                .schedule
                .may_start(&self.plan.dag, backfill_id, running);
            if may.is_ok() {
                return Some(run_id.clone());
            }
            blocked.push(backfill_id);
        }
        None
    }
}

/// The run with a logical date, as the core asks for it.
pub(super) fn existing(runs: &BTreeMap<RunId, Run>, date: Timestamp) -> Option<ExistingRun> {
    let run = runs.values().find(|run| run.logical_date == Some(date))?;
    Some(ExistingRun {
        run_id: run.run_id.clone(),
        state: run.state,
    })
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Host {
    pub(super) dags: Vec<LiveDag>,
    pub(super) timers: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The commits of turns that are not durable, oldest first.
    pub(super) in_flight: VecDeque<Commit>,
    /// A commit was refused: nothing goes on before a restart.
    pub(super) failed: bool,
}

impl Host {
    /// A host that starts: what it knows is what was stored. The error says what cannot be read.
    pub(super) fn start(store: &Store) -> Result<Self, String> {
        let dags = store.dags.iter().map(|rows| {
            let timetable = Timetable::new(&rows.plan.dag).map_err(|error| error.to_string())?;
            let mut schedule = match &rows.schedule {
                Some(bytes) => decode(bytes).ok_or("a stored schedule cannot be read")?,
                None => DagSchedule::new(&rows.plan.dag),
            };
            schedule.set_paused(rows.is_paused);
            let unfinished = rows.runs.values();
            let mut queued: Vec<&Run> = unfinished
                .filter(|run| run.state == DagRunState::Queued)
                .collect();
            queued.sort_by_key(|run| (run.run_after, &run.run_id));
            Ok(LiveDag {
                plan: rows.plan.clone(),
                timetable,
                schedule,
                queued: queued.iter().map(|run| run.run_id.clone()).collect(),
                runs: rows.runs.clone(),
            })
        });
        Ok(Self {
            dags: dags.collect::<Result<_, String>>()?,
            ..Self::default()
        })
    }

    pub(super) fn next_timer(&self) -> Option<Timestamp> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }
}
