//! The XCom values of one task, by map index and key, upserted, dropped when a new try starts.
//! It refuses to look into values; they are JSON text that was checked before.

use super::event::Json;
use crate::dag::spec::Dag;
use crate::ids::{TaskIndex, TaskInstanceKey};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The key of an operator's own value.
pub const RETURN_VALUE: &str = "return_value";
/// The most keys one task instance may push in one try.
pub const XCOM_KEYS_MAX: usize = 1_000;
/// The most bytes, keys and values together, that one task instance may push in one try: a run holds them in memory.
pub const XCOM_TOTAL_BYTES_MAX: usize = 1 << 20;
/// The longest key, in bytes (Airflow's column width).
pub const XCOM_KEY_BYTES_MAX: usize = 512;

/// Which instances an `xcom_pull` without a map index means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PullSource {
    /// One value: that of the instance with this map index, -1 for an unmapped task.
    One(i32),
    /// The list of all values, in map order.
    All,
}

/// What the task instance `of` means when it pulls from `task` without a map index: beside it in a mapped group the instance
/// with its own map index, of any other mapped task all instances.
pub fn pull_source(dag: &Dag, of: TaskInstanceKey, task: TaskIndex) -> PullSource {
    let group = dag.mapped_group(task);
    let is_mapped = group.is_some() || dag.task(task).is_some_and(|task| task.expand.is_some());
    if group.is_some() && dag.mapped_group(of.task) == group {
        PullSource::One(of.map_index)
    } else if is_mapped {
        PullSource::All
    } else {
        PullSource::One(-1)
    }
}

type Entry = (Cow<'static, str>, Json);

/// The XCom values of all instances of a task.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct XComs(BTreeMap<i32, Vec<Entry>>);

impl XComs {
    pub(super) fn get(&self, map_index: i32, key: &str) -> Option<&str> {
        let entries = self.0.get(&map_index)?;
        let (_, value) = entries.iter().find(|(name, _)| name == key)?;
        Some(value)
    }

    /// Every instance's value under `key`, in map order; instances without one are absent.
    pub(super) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (i32, &'a str)> {
        self.0.iter().filter_map(move |(map_index, entries)| {
            let (_, value) = entries.iter().find(|(name, _)| name == key)?;
            Some((*map_index, value.as_str()))
        })
    }

    pub(super) fn entries(&self, map_index: i32) -> impl Iterator<Item = (&str, &str)> {
        let entries = self.0.get(&map_index).into_iter().flatten();
        entries.map(|(key, value)| (key.as_ref(), value.as_str()))
    }

    /// Whether one more value under `key` stays inside the limits. A value that it replaces still counts.
    pub(super) fn has_room(&self, map_index: i32, key: &str, value: &str) -> bool {
        let entries = self.0.get(&map_index).map_or(&[][..], Vec::as_slice);
        let bytes: usize = entries
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        let is_new = self.get(map_index, key).is_none();
        key.len() <= XCOM_KEY_BYTES_MAX
            && !(is_new && entries.len() >= XCOM_KEYS_MAX)
            && bytes.saturating_add(key.len()).saturating_add(value.len()) <= XCOM_TOTAL_BYTES_MAX
    }

    pub(super) fn put(&mut self, map_index: i32, key: Cow<'static, str>, value: Json) {
        // Most instances push one value: capacity for four would quadruple the cost of a long mapped task.
        let entries = self
            .0
            .entry(map_index)
            .or_insert_with(|| Vec::with_capacity(1));
        match entries.iter_mut().find(|(name, _)| *name == key) {
            Some((_, old)) => *old = value,
            None => entries.push((key, value)),
        }
    }

    pub(super) fn remove(&mut self, map_index: i32, key: &str) {
        if let Some(entries) = self.0.get_mut(&map_index) {
            entries.retain(|(name, _)| name != key);
        }
    }

    pub(super) fn clear(&mut self, map_index: i32) {
        self.0.remove(&map_index);
    }
}
