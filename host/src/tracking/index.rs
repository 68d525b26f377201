//! Runs in memory as a search reads them, folded from their rows. It never says anything but what the rows say: whoever changes a
//! run marks it once the change may be visible and before anybody is told of it, and a search reads marked runs anew first. An
//! experiment is read whole when it is first searched.

use super::codec;
use super::experiment::time;
use super::items::{self, Items};
use super::run::{Head, index_key};
use super::runs::assemble;
use super::search::{Entity, Field, Rows, Value};
use super::{Experiment, MetricPoint, Run, Tracking, TrackingError};
use crate::store::Table;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// How many rows one read takes.
const PAGE: usize = 16_384;
/// Up to so many runs of an experiment are read one by one; more in one pass over all.
const ONE_BY_ONE_MAX: usize = 256;
/// The most runs in memory; searching further experiments lets others go.
const RUNS_MAX: usize = 2_000_000;
/// The most runs that are marked; with more, everything is read anew.
const MARKED_MAX: usize = 200_000;

/// What is in memory, and what changed since it was read.
#[derive(Default)]
pub(super) struct Index {
    loaded: RwLock<Loaded>,
    changed: Mutex<Changed>,
}

/// Runs that changed.
#[derive(Default)]
struct Changed {
    /// The seed of the experiment, the run's id.
    runs: HashSet<(String, String)>,
    /// They were too many to remember.
    all: bool,
}

/// The experiments that are in memory, by their seeds.
#[derive(Default)]
pub(super) struct Loaded {
    experiments: HashMap<String, Runs>,
    keys: Keys,
}

/// The runs of one experiment.
#[derive(Default)]
struct Runs {
    entries: Vec<Entry>,
    places: HashMap<String, usize>,
}

impl Runs {
    fn put(&mut self, entry: Entry) {
        let run_id = &entry.head.run_id;
        let place = self.places.get(run_id).copied();
        match place.and_then(|place| self.entries.get_mut(place)) {
            Some(known) => *known = entry,
            None => {
                self.places.insert(run_id.clone(), self.entries.len());
                self.entries.push(entry);
            }
        }
    }
}

/// Keys of params, metrics and tags, each kept once.
#[derive(Default)]
struct Keys {
    numbers: HashMap<String, u32>,
    names: Vec<String>,
}

impl Keys {
    fn number(&mut self, name: String) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(name.clone());
        self.numbers.insert(name, number);
        number
    }

    fn name(&self, number: u32) -> String {
        let place = usize::try_from(number).unwrap_or(usize::MAX);
        self.names.get(place).cloned().unwrap_or_default()
    }

    fn all<T>(&mut self, items: Vec<(String, T)>) -> Box<[(u32, T)]> {
        let mut all: Vec<(u32, T)> = items
            .into_iter()
            .map(|(name, item)| (self.number(name), item))
            .collect();
        all.sort_unstable_by_key(|(number, _)| *number);
        all.into()
    }
}

/// A run.
pub(super) struct Entry {
    pub(super) head: Head,
    params: Box<[(u32, String)]>,
    metrics: Box<[(u32, MetricPoint)]>,
    tags: Box<[(u32, String)]>,
    /// Name, digest and context of each.
    datasets: Box<[(String, String, Option<String>)]>,
}

impl Entry {
    fn new(head: Head, items: Items, keys: &mut Keys) -> Self {
        let datasets = items.datasets.into_iter().map(|dataset| {
            let context = dataset.context().map(str::to_owned);
            (dataset.name, dataset.digest, context)
        });
        Self {
            head,
            params: keys.all(items.params),
            metrics: keys.all(items.metrics),
            tags: keys.all(items.tags),
            datasets: datasets.collect(),
        }
    }
}

/// Marks a run when it goes: whatever became of the change, it is read anew.
pub(super) struct Mark<'i> {
    index: &'i Index,
    seed: String,
    run_id: String,
}

impl Drop for Mark<'_> {
    fn drop(&mut self) {
        let mut changed = lock(&self.index.changed);
        if changed.runs.len() >= MARKED_MAX {
            changed.runs.clear();
            changed.all = true;
        }
        if !changed.all {
            let seed = std::mem::take(&mut self.seed);
            changed
                .runs
                .insert((seed, std::mem::take(&mut self.run_id)));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    /// To be held over a commit that changes a run.
    pub(super) fn mark(&self, seed: &str, run_id: &str) -> Mark<'_> {
        Mark {
            index: self,
            seed: seed.to_owned(),
            run_id: run_id.to_owned(),
        }
    }
}

impl Tracking {
    /// The runs of these experiments as their rows are now.
    pub(super) fn indexed(
        &self,
        experiments: &[Experiment],
    ) -> Result<RwLockReadGuard<'_, Loaded>, TrackingError> {
        let index = &*self.index;
        let mut loaded = index.loaded.write().unwrap_or_else(PoisonError::into_inner);
        let changed = std::mem::take(&mut *lock(&index.changed));
        if changed.all {
            *loaded = Loaded::default();
        }
        if let Err(error) = self.bring_up_to_date(&mut loaded, changed.runs, experiments) {
            // What was marked is forgotten by now.
            *loaded = Loaded::default();
            return Err(error);
        }
        Ok(RwLockWriteGuard::downgrade(loaded))
    }

    fn bring_up_to_date(
        &self,
        loaded: &mut Loaded,
        changed: HashSet<(String, String)>,
        experiments: &[Experiment],
    ) -> Result<(), TrackingError> {
        for (seed, run_id) in changed {
            if let Some(runs) = loaded.experiments.get_mut(&seed) {
                self.read_run(runs, &mut loaded.keys, &run_id)?;
            }
        }
        for experiment in experiments {
            if !loaded.experiments.contains_key(&experiment.seed) {
                let runs = self.read_runs(&experiment.seed, &mut loaded.keys)?;
                let held: usize = loaded
                    .experiments
                    .values()
                    .map(|runs| runs.entries.len())
                    .sum();
                if held + runs.entries.len() > RUNS_MAX {
                    let wanted = |seed: &String| experiments.iter().any(|one| one.seed == *seed);
                    loaded.experiments.retain(|seed, _| wanted(seed));
                }
                loaded.experiments.insert(experiment.seed.clone(), runs);
            }
        }
        Ok(())
    }

    fn read_runs(&self, seed: &str, keys: &mut Keys) -> Result<Runs, TrackingError> {
        let run_ids = self.run_ids(seed)?;
        let mut runs = Runs::default();
        if run_ids.len() <= ONE_BY_ONE_MAX {
            for run_id in &run_ids {
                self.read_run(&mut runs, keys, run_id)?;
            }
        } else {
            for (head, items) in items::read_many(&*self.store, &run_ids)? {
                runs.put(Entry::new(head, items, keys));
            }
        }
        Ok(runs)
    }

    fn run_ids(&self, seed: &str) -> Result<HashSet<String>, TrackingError> {
        let prefix = index_key(seed, None);
        let mut run_ids = HashSet::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .store
                .scan(Table::TrackingRun, &prefix, after.as_deref(), PAGE)?;
            for row in &rows {
                run_ids.insert(codec::decode("a run's place", &row.value)?);
            }
            match rows.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => return Ok(run_ids),
            }
        }
    }

    fn read_run(
        &self,
        runs: &mut Runs,
        keys: &mut Keys,
        run_id: &str,
    ) -> Result<(), TrackingError> {
        // A commit that was refused made no run.
        let Some((head, _)) = self.find_head(run_id)? else {
            return Ok(());
        };
        let items = items::read(&*self.store, &head, None)?;
        runs.put(Entry::new(head, items, keys));
        Ok(())
    }
}

impl Loaded {
    /// The runs of an experiment.
    pub(super) fn runs(&self, experiment: &Experiment) -> &[Entry] {
        self.experiments
            .get(&experiment.seed)
            .map_or(&[], |runs| &runs.entries)
    }

    /// A run as everybody else knows it.
    pub(super) fn run(&self, entry: &Entry, experiment: &Experiment) -> Run {
        let texts = |items: &[(u32, String)]| {
            let named = items.iter();
            named
                .map(|(number, text)| (self.keys.name(*number), text.clone()))
                .collect()
        };
        let metrics = entry.metrics.iter();
        let items = Items {
            params: texts(&entry.params),
            tags: texts(&entry.tags),
            metrics: metrics
                .map(|(number, point)| (self.keys.name(*number), *point))
                .collect(),
            ..Items::default()
        };
        assemble(entry.head.clone(), items, experiment)
    }
}

/// A field of a run, found once for a search.
pub(super) enum Slot {
    Param(u32),
    Metric(u32),
    Tag(u32),
    Dataset(String),
    Attribute(String),
    /// No run has such a key.
    Nowhere,
}

fn get<T>(items: &[(u32, T)], number: u32) -> Option<&T> {
    let place = items.binary_search_by_key(&number, |(number, _)| *number);
    let (_, item) = items.get(place.ok()?)?;
    Some(item)
}

fn text(text: Option<&String>) -> Value<'_> {
    text.map_or(Value::Absent, |text| Value::Text(text))
}

impl Rows for Loaded {
    type Row = Entry;
    type Slot = Slot;

    fn slot(&self, field: &Field) -> Slot {
        let number = self.keys.numbers.get(&field.key).copied();
        match (field.entity, number) {
            (Entity::Attribute, _) => Slot::Attribute(field.key.clone()),
            (Entity::Dataset, _) => Slot::Dataset(field.key.clone()),
            (_, None) => Slot::Nowhere,
            (Entity::Metric, Some(number)) => Slot::Metric(number),
            (Entity::Param, Some(number)) => Slot::Param(number),
            (Entity::Tag, Some(number)) => Slot::Tag(number),
        }
    }

    fn any(&self, row: &Entry, slot: &Slot, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        let Slot::Dataset(key) = slot else {
            return test(self.value(row, slot));
        };
        row.datasets.iter().any(|(name, digest, context)| {
            test(match key.as_str() {
                "name" => Value::Text(name),
                "digest" => Value::Text(digest),
                _ => text(context.as_ref()),
            })
        })
    }

    fn value<'r>(&'r self, row: &'r Entry, slot: &Slot) -> Value<'r> {
        let head = &row.head;
        match slot {
            Slot::Param(number) => text(get(&row.params, *number)),
            Slot::Tag(number) => text(get(&row.tags, *number)),
            Slot::Metric(number) => {
                get(&row.metrics, *number).map_or(Value::Absent, |point| Value::Number(point.value))
            }
            Slot::Attribute(key) => match key.as_str() {
                "run_id" => Value::Text(&head.run_id),
                "run_name" => Value::Text(&head.name),
                "status" => Value::Text(head.status.as_str()),
                "user_id" => Value::Text(&head.user_id),
                "start_time" => time(head.started_ms),
                "end_time" => head.ended_ms.map_or(Value::Absent, time),
                _ => Value::Absent,
            },
            // Ordering by one of several is not offered by the grammar of orders alone: the first counts.
            Slot::Dataset(_) | Slot::Nowhere => Value::Absent,
        }
    }

    fn tie<'r>(&self, row: &'r Entry) -> (i64, &'r str) {
        (row.head.started_ms, &row.head.run_id)
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
