//! A random world: DAGs, pools, the runs that will be asked for, and how often what goes wrong. It refuses to know what happens in it.

mod dags;
pub(crate) mod family;
mod groups;
mod tasks;

use crate::draw::Draw;
use crate::shell::{PoolSize, Settings};
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::Slots;
use airlock_core::ids::{PoolName, RunId, TaskIndex};
use airlock_core::run::event::{RunHeader, RunType};
use family::Family;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub(crate) use dags::TASKS_MAX;

/// The most DAGs in one world.
const DAGS_MAX: usize = 4;
/// The most task instances that one world's runs have together before lists are expanded: bounds the time of a seed.
const TASK_INSTANCES_MAX: usize = 160;
/// The most runs of one DAG.
const RUNS_MAX: usize = 5;
/// When every world begins: 2025-01-01T00:00:00Z.
const EPOCH_SECOND: i64 = 1_735_689_600;

/// The queues that tasks name.
pub(crate) const QUEUES: [&str; 2] = ["default", "gpu"];

/// A run of the world: its place in `World::arrivals`. Stable over restarts, unlike the number that a shell gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RunKey(pub(crate) u32);

/// What a task's operator tends to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Succeeds, fails, is skipped.
    Plain,
    /// Gives the list that a mapped task expands over.
    List,
    /// Chooses among its direct downstream tasks.
    Branch,
    /// Stops what is below.
    ShortCircuit,
    /// Says not-yet for a while.
    Sensor,
    /// Defers for a while.
    Deferring,
    /// Asks a person, and defers until there is an answer.
    Asking,
}

/// A DAG with what only the simulator knows about it.
#[derive(Debug)]
pub(crate) struct DagModel {
    pub(crate) dag: Arc<Dag>,
    pub(crate) family: Family,
    /// By task.
    pub(crate) habits: Vec<Habit>,
    /// Of a hundred attempts, so many fail.
    pub(crate) failures: u32,
}

impl DagModel {
    pub(crate) fn habit(&self, task: TaskIndex) -> Habit {
        self.habits.get(task.get()).copied().unwrap_or(Habit::Plain)
    }
}

/// A run that will be asked for.
#[derive(Debug)]
pub(crate) struct Arrival {
    /// Which of the world's DAGs.
    pub(crate) dag: usize,
    pub(crate) header: RunHeader,
}

/// How often what goes wrong, in a thousand actions.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) crash: u32,
    pub(crate) commit_refused: u32,
    pub(crate) clock_jump: u32,
    pub(crate) duplicate: u32,
    pub(crate) reorder: u32,
    pub(crate) lost_worker: u32,
    pub(crate) stale: u32,
    pub(crate) cancel: u32,
    pub(crate) pool_change: u32,
    /// People clear, mark, answer and edit.
    pub(crate) change: u32,
    /// DAGs are paused, queues served or not.
    pub(crate) setting: u32,
    /// Actions before the faults stop.
    pub(crate) actions: usize,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) dags: Vec<DagModel>,
    pub(crate) settings: Settings,
    pub(crate) parallelism: u32,
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) faults: Faults,
}

impl World {
    /// The world of a seed; an error says what the generator did wrong.
    pub(crate) fn generate(draw: &mut Draw) -> Result<Self, String> {
        let settings = Settings {
            pools: pools(draw)?,
            queues: queues(draw),
            paused: BTreeSet::new(),
        };
        let mut dags = Vec::new();
        let mut arrivals = Vec::new();
        let mut room = TASK_INSTANCES_MAX;
        for place in 0..=draw.below(DAGS_MAX) {
            let largest = if place == 0 { TASKS_MAX } else { room };
            let model = dags::generate(draw, place, largest)?;
            let size = model.dag.tasks.len();
            let runs = (room / size.max(1)).clamp(1, RUNS_MAX);
            let runs = 1 + draw.below(runs);
            for run in 0..runs {
                arrivals.push(arrival(draw, place, run)?);
            }
            dags.push(model);
            room = room.saturating_sub(size * runs);
            if room == 0 {
                break;
            }
        }
        Ok(Self {
            dags,
            settings,
            parallelism: draw.one_of(&[1, 2, 4, 8, 32], 32),
            arrivals,
            faults: faults(draw),
        })
    }

    pub(crate) fn arrival(&self, run: RunKey) -> Option<&Arrival> {
        self.arrivals.get(run.0 as usize)
    }

    pub(crate) fn model(&self, run: RunKey) -> Option<&DagModel> {
        self.dags.get(self.arrival(run)?.dag)
    }
}

/// When every world begins.
pub(crate) fn epoch() -> Timestamp {
    Timestamp::from_second(EPOCH_SECOND).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn after(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

pub(crate) fn pool_name(name: &str) -> Result<PoolName, String> {
    PoolName::parse(name).map_err(|error| error.to_string())
}

fn pools(draw: &mut Draw) -> Result<BTreeMap<PoolName, PoolSize>, String> {
    let slots = draw.one_of(&[1, 2, 3, 8, 128], 128);
    let mut sizes = vec![("default_pool", Slots::Limited(slots))];
    if draw.chance(80) {
        sizes.push(("gpu", Slots::Limited(draw.count(0, 4))));
    }
    if draw.chance(30) {
        sizes.push(("free", Slots::Unlimited));
    }
    let mut pools = BTreeMap::new();
    for (name, slots) in sizes {
        let include_deferred = draw.chance(30);
        let size = PoolSize {
            slots,
            include_deferred,
        };
        pools.insert(pool_name(name)?, size);
    }
    Ok(pools)
}

/// The queues that a host serves: most serve all.
pub(crate) fn queues(draw: &mut Draw) -> BTreeSet<String> {
    let served = QUEUES.iter().filter(|_| draw.chance(85));
    served.map(|queue| (*queue).to_owned()).collect()
}

fn arrival(draw: &mut Draw, dag: usize, run: usize) -> Result<Arrival, String> {
    let hours = i64::try_from(run).unwrap_or(0);
    let date = after(epoch(), SignedDuration::from_hours(hours));
    let run_type = draw.one_of(&[RunType::Scheduled, RunType::Manual], RunType::Manual);
    let run_id = format!("{}__{date}", run_type.as_str());
    let run_id = RunId::parse(&run_id).map_err(|error| error.to_string())?;
    let deadline = |draw: &mut Draw| {
        let seconds = draw.one_of(&[10, 300, 3_600], 300);
        draw.chance(80)
            .then(|| after(epoch(), SignedDuration::from_secs(seconds)))
    };
    let deadlines = (0..draw.one_of(&[0, 0, 0, 1, 2], 0)).map(|_| deadline(draw));
    let deadlines = deadlines.collect();
    let header = RunHeader {
        logical_date: Some(date),
        deadlines,
        ignore_depends_on_past: draw.chance(10),
        ..RunHeader::new(run_id, run_type, date)
    };
    Ok(Arrival { dag, header })
}

fn faults(draw: &mut Draw) -> Faults {
    // A kind of fault is often absent, or others would hide what it alone brings out.
    let mut rate = |often: u32| {
        if draw.chance(40) {
            0
        } else {
            draw.count(1, often)
        }
    };
    let (crash, commit_refused, clock_jump) = (rate(60), rate(8), rate(20));
    let (duplicate, reorder, lost_worker) = (rate(200), rate(300), rate(100));
    let (stale, cancel, pool_change, change) = (rate(60), rate(4), rate(10), rate(150));
    let setting = rate(20);
    Faults {
        crash,
        commit_refused,
        clock_jump,
        duplicate,
        reorder,
        lost_worker,
        stale,
        cancel,
        pool_change,
        change,
        setting,
        actions: 100 + draw.below(700),
    }
}
