//! What an attempt is told about itself.

use crate::TaskError;
use crate::bindings::airlock::operator::types as wit;
use crate::time::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The attempt that runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Its DAG.
    pub dag_id: String,
    /// Its run.
    pub run_id: String,
    /// `scheduled`, `manual`, `backfill` or `asset_triggered`.
    pub run_type: String,
    /// The task.
    pub task_id: String,
    /// -1 when the task is not mapped.
    pub map_index: i32,
    /// From 1.
    pub try_number: u32,
    /// The last try.
    pub max_tries: u32,
    /// Counts the pokes of a sensor, from 1.
    pub poke_number: u32,
    /// Absent in a run that belongs to no date.
    pub logical_date: Option<Timestamp>,
    /// Start of the run's data interval.
    pub data_interval_start: Option<Timestamp>,
    /// End of the run's data interval.
    pub data_interval_end: Option<Timestamp>,
    /// The run's params.
    pub params: Map<String, Value>,
    /// XCom values that the task asked for by name.
    pub inputs: BTreeMap<String, Value>,
}

impl Task {
    /// The logical date as `2026-01-05`, or none in a run without one.
    pub fn ds(&self) -> Option<String> {
        self.logical_date.map(Timestamp::date)
    }

    /// Whether no further try follows.
    pub fn is_last_try(&self) -> bool {
        self.try_number >= self.max_tries
    }

    /// The input `name`, typed; a missing one is an error that says how to ask for it.
    pub fn input<T: DeserializeOwned>(&self, name: &str) -> Result<T, TaskError> {
        let value = self.inputs.get(name).ok_or_else(|| {
            TaskError::permanent(format!(
                "no input `{name}`: name it under the task's `inputs`"
            ))
        })?;
        Ok(serde_json::from_value(value.clone())?)
    }

    /// Operator name, config text and task of a WIT context.
    pub(crate) fn from_context(
        context: wit::TaskContext,
    ) -> Result<(String, String, Self), TaskError> {
        let instant = |text: Option<String>| text.map(|text| text.parse()).transpose();
        let mut inputs = BTreeMap::new();
        for input in context.inputs {
            inputs.insert(input.name, serde_json::from_str(&input.value)?);
        }
        let task = Self {
            dag_id: context.dag_id,
            run_id: context.run_id,
            run_type: context.run_type,
            task_id: context.task_id,
            map_index: context.map_index,
            try_number: context.try_number,
            max_tries: context.max_tries,
            poke_number: context.poke_number,
            logical_date: instant(context.logical_date)?,
            data_interval_start: instant(context.data_interval_start)?,
            data_interval_end: instant(context.data_interval_end)?,
            params: serde_json::from_str(&context.params)?,
            inputs,
        };
        Ok((context.operator, context.config, task))
    }
}
