//! Runs as pages look at them: replayed once, then followed, so that looking at a run again costs what is new in it. It owns a
//! bounded number of replayed runs and of folded grids, each of which can be thrown away.

use super::App;
use super::rows::for_each_event;
use super::task_instances::absent;
use crate::error::UserError;
use crate::executor::AttemptUse;
use crate::scheduler::{
    ReplayedRun, RunRow, TaskInstanceRow, replay_run, run_stream, task_instance_rows,
};
use crate::store::Seq;
use airlock_core::ids::{DagId, RunId, TaskId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Outcome};
use airlock_core::task_instance::state::TaskInstanceState;
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Replayed runs that are kept.
const RUNS_MAX: usize = 32;
/// Folded runs that are kept: a few grids.
const CELLS_MAX: usize = 1_024;
/// Attempts of a run that are listed, the first ones.
pub const ATTEMPTS_MAX: usize = 2_000;

type RunKey = (DagId, RunId);
/// A run as it was last replayed; whoever replays it holds the lock.
type Replayed = Arc<Mutex<Option<ReplayedRun>>>;
/// The task instances of a run by task, and the event that they are as of.
type CellsAt = (Seq, Arc<BTreeMap<String, Cell>>);

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Looks {
    runs: Mutex<Kept<Replayed>>,
    cells: Mutex<Kept<CellsAt>>,
}

/// A few values; the one that was used longest ago goes first.
struct Kept<T> {
    values: BTreeMap<RunKey, (u64, T)>,
    clock: u64,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self {
            values: BTreeMap::new(),
            clock: 0,
        }
    }
}

impl<T: Clone> Kept<T> {
    fn get(&mut self, key: &RunKey) -> Option<T> {
        self.clock += 1;
        let (used, value) = self.values.get_mut(key)?;
        *used = self.clock;
        Some(value.clone())
    }

    fn put(&mut self, key: RunKey, value: T, max: usize) {
        self.clock += 1;
        self.values.insert(key, (self.clock, value));
        if self.values.len() > max {
            let oldest = self.values.iter().min_by_key(|(_, (used, _))| *used);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.values.remove(&key);
            }
        }
    }
}

/// All instances of a task in one run, put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// The state that needs the most attention.
    pub state: TaskInstanceState,
    /// How many instances have each state; one of one for an unmapped task.
    pub counts: BTreeMap<TaskInstanceState, u32>,
    /// Whether the task is mapped.
    pub is_mapped: bool,
    /// The most tries that an instance has begun.
    pub try_number: u32,
    /// The longest duration.
    pub duration_ms: Option<i64>,
}

/// What is worse than what, for one word about many instances.
fn weight(state: TaskInstanceState) -> u8 {
    match state {
        TaskInstanceState::Failed => 13,
        TaskInstanceState::UpForRetry => 12,
        TaskInstanceState::AwaitingInput => 11,
        TaskInstanceState::Running => 10,
        TaskInstanceState::Restarting => 9,
        TaskInstanceState::Deferred => 8,
        TaskInstanceState::UpForReschedule => 7,
        TaskInstanceState::Queued => 6,
        TaskInstanceState::Scheduled => 5,
        TaskInstanceState::UpstreamFailed => 4,
        TaskInstanceState::None => 3,
        TaskInstanceState::Success => 2,
        TaskInstanceState::Skipped => 1,
        TaskInstanceState::Removed => 0,
    }
}

/// The state among these that needs the most attention.
pub fn worst(states: impl Iterator<Item = TaskInstanceState>) -> Option<TaskInstanceState> {
    states.max_by_key(|state| weight(*state))
}

/// Task instances put together by task.
pub fn cells(rows: &[TaskInstanceRow]) -> BTreeMap<String, Cell> {
    let mut cells: BTreeMap<String, Cell> = BTreeMap::new();
    for row in rows {
        let cell = cells.entry(row.task_id.clone()).or_insert_with(|| Cell {
            state: row.state,
            counts: BTreeMap::new(),
            is_mapped: false,
            try_number: 0,
            duration_ms: None,
        });
        if weight(row.state) > weight(cell.state) {
            cell.state = row.state;
        }
        *cell.counts.entry(row.state).or_default() += 1;
        cell.is_mapped |= row.map_index >= 0;
        cell.try_number = cell.try_number.max(row.try_number);
        cell.duration_ms = cell.duration_ms.max(row.duration_ms);
    }
    cells
}

/// One start of a task instance.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Its task.
    pub task_id: String,
    /// -1 when unmapped.
    pub map_index: i32,
    /// From 1.
    pub try_number: u32,
    /// Counts every start of the task instance, from 1.
    pub attempt: u32,
    /// When it began.
    pub start: Timestamp,
    /// When it ended; absent while it is live.
    pub end: Option<Timestamp>,
    /// How it ended, in a few words; empty while it is live.
    pub outcome: String,
    /// Why it failed.
    pub error: Option<String>,
    /// What it used; none while it is live, and of an attempt that was lost.
    pub used: Option<AttemptUse>,
}

/// The attempts of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attempts {
    /// In the order of their beginnings.
    pub rows: Vec<AttemptRow>,
    /// Whether there are more than `ATTEMPTS_MAX`.
    pub is_cut: bool,
}

impl App {
    /// Looks at a run as it is now.
    pub fn look<T>(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        read: impl FnOnce(&ReplayedRun) -> T,
    ) -> Result<T, UserError> {
        let row = self.run(dag_id, run_id)?;
        let key = (dag_id.clone(), run_id.clone());
        let place = {
            let mut runs = self
                .looks
                .runs
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let known = runs.get(&key);
            known.unwrap_or_else(|| {
                let place = Arc::new(Mutex::new(None));
                runs.put(key, place.clone(), RUNS_MAX);
                place
            })
        };
        // Who looks at the same run waits for the one that replays it.
        let mut kept = place.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match kept.take() {
            Some(mut run) => run
                .follow(self.store.as_ref())
                .is_ok_and(|goes_on| goes_on)
                .then_some(run),
            None => None,
        };
        let mut run = match known {
            Some(run) => run,
            None => replay_run(self.store.as_ref(), dag_id, run_id)?,
        };
        run.row = row;
        let value = read(&run);
        *kept = Some(run);
        Ok(value)
    }

    /// A run's tasks, each with all its instances put together, by task id.
    pub fn run_cells(&self, row: &RunRow) -> Result<Arc<BTreeMap<String, Cell>>, UserError> {
        let key = (row.dag_id.clone(), row.run_id.clone());
        let head = self.store.head(&run_stream(&row.dag_id, &row.run_id))?;
        let kept = || {
            self.looks
                .cells
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
        };
        if let Some((seen, cells)) = kept().get(&key)
            && seen == head
        {
            return Ok(cells);
        }
        let (seen, rows) = if row.state.is_finished() {
            // A grid reads many runs once: they need not push out what is looked at again and again.
            let run = replay_run(self.store.as_ref(), &row.dag_id, &row.run_id)?;
            (run.head, task_instance_rows(&run.state, &run.times))
        } else {
            let rows = |run: &ReplayedRun| (run.head, task_instance_rows(&run.state, &run.times));
            self.look(&row.dag_id, &row.run_id, rows)?
        };
        let folded = Arc::new(cells(&rows));
        kept().put(key, (seen, folded.clone()), CELLS_MAX);
        Ok(folded)
    }

    /// The attempts of a run, or with `of` those of one task instance.
    pub fn attempts(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        of: Option<(&TaskId, i32)>,
    ) -> Result<Attempts, UserError> {
        let names = |run: &ReplayedRun| run.state.dag().clone();
        let dag = self.look(dag_id, run_id, names)?;
        let wanted = match of {
            Some((task_id, map_index)) => {
                let task = dag.find(task_id.as_str());
                let task = task.ok_or_else(|| absent(dag_id, run_id, task_id, map_index, 0))?;
                Some(TaskInstanceKey { task, map_index })
            }
            None => None,
        };
        let mut fold = Fold {
            name: &|task| {
                dag.task(task)
                    .map_or(String::new(), |task| task.task_id.to_string())
            },
            wanted,
            live: BTreeMap::new(),
            found: Attempts::default(),
        };
        for_each_event(self.store.as_ref(), dag_id, run_id, |_, event| {
            fold.follow(event);
        })?;
        Ok(fold.found)
    }
}

/// Gathers attempts from a run's events.
struct Fold<'a> {
    name: &'a dyn Fn(TaskIndex) -> String,
    wanted: Option<TaskInstanceKey>,
    live: BTreeMap<TaskInstanceKey, usize>,
    found: Attempts,
}

impl Fold<'_> {
    fn follow(&mut self, event: Event) {
        match event {
            Event::AttemptStarted {
                ti,
                try_number,
                fence,
                at,
            } => {
                if self.wanted.is_some_and(|wanted| wanted != ti) {
                    return;
                }
                if self.found.rows.len() >= ATTEMPTS_MAX {
                    self.found.is_cut = true;
                    return;
                }
                self.live.insert(ti, self.found.rows.len());
                self.found.rows.push(AttemptRow {
                    task_id: (self.name)(ti.task),
                    map_index: ti.map_index,
                    try_number,
                    attempt: fence.attempt,
                    start: at,
                    end: None,
                    outcome: String::new(),
                    error: None,
                    used: None,
                });
            }
            Event::Used { ti, used, .. } => {
                let row = self.live.get(&ti);
                if let Some(row) = row.and_then(|place| self.found.rows.get_mut(*place)) {
                    row.used = AttemptUse::decode(&used);
                }
            }
            Event::AttemptFinished {
                ti, outcome, at, ..
            } => {
                let (word, error) = words(outcome);
                self.end(ti, at, word, error);
            }
            Event::AttemptLost { ti, at, .. } => self.end(ti, at, "lost with its host", None),
            _ => {}
        }
    }

    fn end(&mut self, ti: TaskInstanceKey, at: Timestamp, outcome: &str, error: Option<String>) {
        let row = self.live.remove(&ti);
        if let Some(row) = row.and_then(|place| self.found.rows.get_mut(place)) {
            row.end = Some(at);
            outcome.clone_into(&mut row.outcome);
            row.error = error;
        }
    }
}

fn words(outcome: Outcome) -> (&'static str, Option<String>) {
    match outcome {
        Outcome::Success(_) => ("success", None),
        Outcome::Skip(reason) => ("skipped", Some(reason)),
        Outcome::Branch(_) => ("chose a branch", None),
        Outcome::ShortCircuit { .. } => ("short-circuited", None),
        Outcome::NotYet => ("not yet", None),
        Outcome::Defer(_) => ("deferred", None),
        Outcome::Error(error) => ("failed", Some(error.message)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(task_id: &str, map_index: i32, state: TaskInstanceState) -> TaskInstanceRow {
        TaskInstanceRow {
            task_id: task_id.to_owned(),
            map_index,
            state,
            try_number: 1,
            duration_ms: Some(i64::from(map_index)),
            error: None,
        }
    }

    #[test]
    fn mapped_instances_are_one_cell_with_the_state_that_needs_attention() {
        let rows = [
            row("a", -1, TaskInstanceState::Success),
            row("b", 0, TaskInstanceState::Success),
            row("b", 1, TaskInstanceState::Failed),
            row("b", 2, TaskInstanceState::Running),
        ];
        let cells = cells(&rows);
        assert!(!cells["a"].is_mapped);
        assert_eq!(cells["b"].state, TaskInstanceState::Failed);
        assert_eq!(cells["b"].counts.values().sum::<u32>(), 3);
        assert_eq!(cells["b"].duration_ms, Some(2));
    }

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let key = |name: &str| (DagId::parse(name).unwrap(), RunId::parse("r").unwrap());
        let mut kept = Kept::default();
        kept.put(key("a"), 1, 2);
        kept.put(key("b"), 2, 2);
        assert_eq!(kept.get(&key("a")), Some(1));
        kept.put(key("c"), 3, 2);
        assert_eq!(kept.get(&key("b")), None);
        assert_eq!(kept.get(&key("a")), Some(1));
    }
}
