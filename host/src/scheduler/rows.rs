//! Task instances of a run as lists show them: the state machine's states, and what only people need (times, the last error),
//! folded from the same events.

use super::message::TaskInstanceRow;
use super::records::RunRow;
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{TaskIndex, TaskInstanceKey};
use airlock_core::run::event::{Event, Outcome, RunHeader};
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use jiff::Timestamp;
use std::collections::BTreeMap;
use std::ops::Range;

/// Times and errors by task instance.
#[derive(Debug, Default)]
pub struct Times {
    instances: BTreeMap<TaskInstanceKey, Past>,
}

#[derive(Debug, Default)]
struct Past {
    start: Option<Timestamp>,
    end: Option<Timestamp>,
    error: Option<String>,
    /// Cleared or marked while an attempt was live: how that ends says nothing about it any more.
    is_settled: bool,
}

impl Times {
    /// When a task instance started first and ended last.
    pub fn dates(&self, ti: TaskInstanceKey) -> (Option<Timestamp>, Option<Timestamp>) {
        let past = self.instances.get(&ti);
        past.map_or((None, None), |past| (past.start, past.end))
    }

    /// Follows an event that was applied.
    pub(super) fn follow(&mut self, event: &Event) {
        match event {
            Event::AttemptStarted { ti, at, .. } => {
                let past = self.instances.entry(*ti).or_default();
                past.start.get_or_insert(*at);
                past.end = None;
                past.is_settled = false;
            }
            Event::AttemptFinished {
                ti, outcome, at, ..
            } => {
                let past = self.instances.entry(*ti).or_default();
                if past.is_settled {
                    return;
                }
                past.end = Some(*at);
                past.error = match outcome {
                    Outcome::Error(error) => Some(error.message.clone()),
                    _ => None,
                };
            }
            Event::StateSet {
                task,
                from,
                to,
                message: Some(message),
                ..
            } => {
                for map_index in *from..*to {
                    let past = self
                        .instances
                        .entry(TaskInstanceKey {
                            task: *task,
                            map_index,
                        })
                        .or_default();
                    past.error = Some(message.clone());
                }
            }
            Event::Cleared { task, from, to, .. } => self.settle(*task, *from..*to, None, None),
            Event::Marked {
                task,
                from,
                to,
                state,
                by,
                at,
            } => {
                let error = Some(format!("marked {state} by {by}"));
                self.settle(*task, *from..*to, Some(*at), error.as_deref());
            }
            // Task indexes mean other tasks now.
            Event::VersionChanged { .. } => self.instances.clear(),
            _ => {}
        }
    }

    fn settle(
        &mut self,
        task: TaskIndex,
        range: Range<i32>,
        end: Option<Timestamp>,
        error: Option<&str>,
    ) {
        for map_index in range {
            let past = Past {
                start: end,
                end,
                error: error.map(str::to_owned),
                is_settled: true,
            };
            self.instances
                .insert(TaskInstanceKey { task, map_index }, past);
        }
    }
}

/// Every task instance of a run, in the order of the DAG's tasks and then of map indexes.
pub fn task_instance_rows(state: &RunState, times: &Times) -> Vec<TaskInstanceRow> {
    let dag = state.dag();
    let rows = state.all_instances().filter_map(|(ti, instance)| {
        let past = times.instances.get(&ti);
        let is_over = instance.state().is_finished();
        let failed = matches!(
            instance.state(),
            TaskInstanceState::Failed | TaskInstanceState::UpForRetry | TaskInstanceState::Skipped
        );
        Some(TaskInstanceRow {
            task_id: dag.task(ti.task)?.task_id.to_string(),
            map_index: ti.map_index,
            state: instance.state(),
            try_number: instance.try_number(),
            duration_ms: past
                .filter(|_| is_over)
                .and_then(|past| duration_ms(past.start, past.end)),
            error: past.filter(|_| failed).and_then(|past| past.error.clone()),
        })
    });
    rows.collect()
}

fn duration_ms(start: Option<Timestamp>, end: Option<Timestamp>) -> Option<i64> {
    Some(end?.as_millisecond() - start?.as_millisecond())
}

impl RunRow {
    /// The row of a run that was just queued.
    pub(super) fn new(
        dag: &Dag,
        header: &RunHeader,
        dag_version: [u8; 32],
        now: Timestamp,
    ) -> Self {
        Self {
            dag_id: dag.dag_id.clone(),
            run_id: header.run_id.clone(),
            run_type: header.run_type,
            state: DagRunState::Queued,
            reason: String::new(),
            logical_date: header.logical_date,
            run_after: header.run_after,
            queued_at: now,
            start_date: None,
            end_date: None,
            dag_version: crate::store::Digest(dag_version).to_string(),
            backfill_id: header.backfill_id,
            triggered_by: header.triggered_by.clone(),
            note: header.note.clone(),
            trace_parent: String::new(),
        }
    }
}
