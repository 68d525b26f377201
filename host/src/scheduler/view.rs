//! What the rest of the host may see of a live run: fixed facts and its XComs. The scheduler's thread alone writes here.

use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::{DagId, RunId, TaskIndex, TaskInstanceKey};
use airlock_core::run::event::RunHeader;
use airlock_core::run::{PullSource, RETURN_VALUE, pull_source};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

/// An XCom's key; nearly all of them are the one that costs nothing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    ReturnValue,
    Other(Box<str>),
}

impl Key {
    fn new(key: &str) -> Self {
        if key == RETURN_VALUE {
            Self::ReturnValue
        } else {
            Self::Other(Box::from(key))
        }
    }
}

/// One map for all, not one a task instance: a mapped task may have 100,000 of them.
type XComs = BTreeMap<(TaskIndex, i32, Key), Arc<str>>;

/// A task instance in one text: `dag/run/task/map_index`. Audit trails, asset events and plugins know it by this name.
pub fn task_instance_name(dag_id: &DagId, run_id: &RunId, task_id: &str, map_index: i32) -> String {
    format!("{dag_id}/{run_id}/{task_id}/{map_index}")
}

/// One live run, shared with the attempts of its task instances.
#[derive(Debug)]
pub struct RunView {
    /// The scheduler's number for it.
    pub number: RunNumber,
    /// The version it runs on.
    pub dag: Arc<Dag>,
    /// What is fixed about it.
    pub header: RunHeader,
    xcoms: RwLock<XComs>,
    /// What people answered to task instances' questions.
    answers: RwLock<BTreeMap<TaskInstanceKey, Arc<str>>>,
}

impl RunView {
    /// A view without XComs.
    pub fn new(number: RunNumber, dag: Arc<Dag>, header: RunHeader) -> Self {
        Self {
            number,
            dag,
            header,
            xcoms: RwLock::default(),
            answers: RwLock::default(),
        }
    }

    /// The name of one of its task instances; without a task id where the run's version has no such task.
    pub fn task_instance_name(&self, ti: TaskInstanceKey) -> String {
        let task = self.dag.task(ti.task);
        let task_id = task.map_or("", |task| task.task_id.as_str());
        task_instance_name(&self.dag.dag_id, &self.header.run_id, task_id, ti.map_index)
    }

    /// One XCom as JSON text; an unmapped task has map index -1.
    pub fn xcom(&self, task: TaskIndex, map_index: i32, key: &str) -> Option<Arc<str>> {
        let xcoms = self.xcoms.read().unwrap_or_else(PoisonError::into_inner);
        xcoms.get(&(task, map_index, Key::new(key))).cloned()
    }

    /// The values of all instances of a task in map order; those without one are absent.
    pub fn xcoms_of(&self, task: TaskIndex, key: &str) -> Vec<Arc<str>> {
        let key = Key::new(key);
        let xcoms = self.xcoms.read().unwrap_or_else(PoisonError::into_inner);
        let of_task = xcoms
            .range((task, i32::MIN, Key::ReturnValue)..)
            .take_while(|((of, _, _), _)| *of == task);
        of_task
            .filter(|((_, _, of), _)| *of == key)
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// What `xcom_pull(task_id, key, map_index)` means to the task instance `of`: one value, or the list of a mapped task's values.
    pub fn pull(
        &self,
        of: TaskInstanceKey,
        task_id: &str,
        key: &str,
        map_index: Option<i32>,
    ) -> Option<String> {
        let task = self.dag.find(task_id)?;
        let source = match map_index {
            Some(index) => PullSource::One(index),
            None => pull_source(&self.dag, of, task),
        };
        match source {
            PullSource::One(index) => self.xcom(task, index, key).map(|value| value.to_string()),
            PullSource::All => {
                let values = self.xcoms_of(task, key);
                let texts: Vec<&str> = values.iter().map(|value| &**value).collect();
                Some(format!("[{}]", texts.join(",")))
            }
        }
    }

    /// What a person answered to the task instance's question, as JSON text.
    pub fn answer(&self, ti: TaskInstanceKey) -> Option<Arc<str>> {
        let answers = self.answers.read().unwrap_or_else(PoisonError::into_inner);
        answers.get(&ti).cloned()
    }

    /// Follows the state machine, which forgets the answer at a new try.
    pub(super) fn set_answer(&self, ti: TaskInstanceKey, answer: Option<&str>) {
        let mut answers = self.answers.write().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(answer) => answers.insert(ti, Arc::from(answer)),
            None => answers.remove(&ti),
        };
    }

    pub(super) fn put(&self, ti: TaskInstanceKey, key: &str, value: &str) {
        let mut xcoms = self.xcoms.write().unwrap_or_else(PoisonError::into_inner);
        xcoms.insert((ti.task, ti.map_index, Key::new(key)), Arc::from(value));
    }

    /// Replaces all XComs of a task instance.
    pub(super) fn set<'a>(
        &self,
        ti: TaskInstanceKey,
        values: impl Iterator<Item = (&'a str, &'a str)>,
    ) {
        let mut xcoms = self.xcoms.write().unwrap_or_else(PoisonError::into_inner);
        let first = (ti.task, ti.map_index, Key::ReturnValue);
        let old = xcoms.range(first..).map(|(key, _)| key);
        let old: Vec<_> = old
            .take_while(|(task, map_index, _)| (*task, *map_index) == (ti.task, ti.map_index))
            .cloned()
            .collect();
        for key in old {
            xcoms.remove(&key);
        }
        for (key, value) in values {
            xcoms.insert((ti.task, ti.map_index, Key::new(key)), Arc::from(value));
        }
    }
}
