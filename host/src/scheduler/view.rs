//! What the rest of the host may see of a live run: fixed facts and its XComs. The scheduler's thread alone writes here.

use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::RunHeader;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// XComs of one task instance, JSON text by key.
type Values = BTreeMap<String, Arc<str>>;

/// One live run, shared with the attempts of its task instances.
#[derive(Debug)]
pub struct RunView {
    /// The scheduler's number for it.
    pub number: RunNumber,
    /// The version it runs on.
    pub dag: Arc<Dag>,
    /// What is fixed about it.
    pub header: RunHeader,
    xcoms: RwLock<BTreeMap<(TaskIndex, i32), Values>>,
}

impl RunView {
    /// A view without XComs.
    pub fn new(number: RunNumber, dag: Arc<Dag>, header: RunHeader) -> Self {
        Self {
            number,
            dag,
            header,
            xcoms: RwLock::default(),
        }
    }

    /// One XCom as JSON text; an unmapped task has map index -1.
    pub fn xcom(&self, task: TaskIndex, map_index: i32, key: &str) -> Option<Arc<str>> {
        let xcoms = self.xcoms.read().unwrap_or_else(PoisonError::into_inner);
        xcoms.get(&(task, map_index))?.get(key).cloned()
    }

    /// The values of all instances of a task in map order; those without one are absent.
    pub fn xcoms_of(&self, task: TaskIndex, key: &str) -> Vec<(i32, Arc<str>)> {
        let xcoms = self.xcoms.read().unwrap_or_else(PoisonError::into_inner);
        xcoms
            .range((task, i32::MIN)..=(task, i32::MAX))
            .filter_map(|((_, map_index), values)| Some((*map_index, values.get(key)?.clone())))
            .collect()
    }

    /// What `xcom_pull(task_id, key, map_index)` means: one value, or the list of a mapped task's values.
    pub fn pull(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String> {
        let task = self.dag.find(task_id)?;
        let is_mapped = self
            .dag
            .task(task)
            .is_some_and(|task| task.expand.is_some());
        match (map_index, is_mapped) {
            (Some(index), _) => self.xcom(task, index, key).map(|value| value.to_string()),
            (None, false) => self.xcom(task, -1, key).map(|value| value.to_string()),
            (None, true) => {
                let values = self.xcoms_of(task, key);
                let texts: Vec<&str> = values.iter().map(|(_, value)| &**value).collect();
                Some(format!("[{}]", texts.join(",")))
            }
        }
    }

    pub(super) fn put(&self, ti: TaskInstanceKey, key: &str, value: &str) {
        let mut xcoms = self.xcoms.write().unwrap_or_else(PoisonError::into_inner);
        xcoms
            .entry((ti.task, ti.map_index))
            .or_default()
            .insert(key.to_owned(), Arc::from(value));
    }

    /// Replaces all XComs of a task instance.
    pub(super) fn set<'a>(
        &self,
        ti: TaskInstanceKey,
        values: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut values = values
            .map(|(key, value)| (key.to_owned(), Arc::from(value)))
            .peekable();
        let mut xcoms = self.xcoms.write().unwrap_or_else(PoisonError::into_inner);
        if values.peek().is_none() {
            xcoms.remove(&(ti.task, ti.map_index));
        } else {
            xcoms.insert((ti.task, ti.map_index), values.collect());
        }
    }
}
