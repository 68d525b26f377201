//! What the outcome of an attempt means: for its task instance, for its XCom values, for the tasks it skips.
//! An answer that the task does not allow is turned into an error before it becomes an event, so that the journal says why.

use super::event::{AttemptError, AttemptErrorKind, Outcome, Reason};
use super::group::branch_targets;
use super::state::RunState;
use super::tasks::{Instance, Resume, Skips};
use super::xcom::{RETURN_VALUE, XCOM_KEY_BYTES_MAX, XCOM_KEYS_MAX};
use crate::dag::spec::{RetryAction, SensorMode, Task};
use crate::ids::{TaskIndex, TaskInstanceKey};
use crate::task_instance::state::TaskInstanceState;
use crate::task_instance::{retry, sensor};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// A deferral lasts at least so long, or a guest that defers to the past would fill the journal.
pub const DEFER_MIN: SignedDuration = SignedDuration::from_millis(100);

/// What an outcome does to a task instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// It has ended.
    End(TaskInstanceState),
    /// It goes on at `due`.
    Wait {
        state: TaskInstanceState,
        resume: Resume,
        due: Timestamp,
        poke: bool,
    },
}

impl RunState {
    /// The outcome as it will be recorded.
    pub(super) fn effective(
        &self,
        ti: TaskInstanceKey,
        outcome: Outcome,
        now: Timestamp,
    ) -> Outcome {
        let Some(task) = self.dag.task(ti.task) else {
            return outcome;
        };
        let soft_fail = task.sensor.soft_fail;
        match sensor::forgive(&task.sensor, outcome) {
            Outcome::Branch(chosen) => match self.unknown_branch(ti.task, &chosen) {
                Some(unknown) => broken_rule(format!(
                    "task {}: branch chose {unknown:?}, which is not directly downstream; choose from its direct downstream tasks, or a task group whose root tasks all are",
                    task.task_id
                )),
                None => Outcome::Branch(chosen),
            },
            Outcome::Success(Some(json)) if task.multiple_outputs && !is_null(&json) => {
                match members(&json) {
                    Ok(_) => Outcome::Success(Some(json)),
                    Err(problem) => broken_rule(format!(
                        "task {}: multiple_outputs needs an object of at most {XCOM_KEYS_MAX} members: {problem}",
                        task.task_id
                    )),
                }
            }
            Outcome::NotYet if self.sensor_timed_out(task, ti, now) => {
                let message = format!(
                    "task {}: the sensor's condition did not hold within its timeout of {:#}",
                    task.task_id, task.sensor.timeout
                );
                if soft_fail {
                    Outcome::Skip(message)
                } else {
                    let kind = AttemptErrorKind::Permanent;
                    Outcome::Error(AttemptError { kind, message })
                }
            }
            Outcome::Defer(until) => {
                let earliest = now.checked_add(DEFER_MIN).unwrap_or(Timestamp::MAX);
                Outcome::Defer(until.max(earliest))
            }
            other => other,
        }
    }

    fn unknown_branch<'a>(&self, task: TaskIndex, chosen: &'a [String]) -> Option<&'a str> {
        let direct = self.plan.downstream(task);
        let is_direct = |id: &str| {
            let targets = branch_targets(&self.dag, direct, id);
            !targets.is_empty() && targets.iter().all(|task| direct.contains(task))
        };
        chosen.iter().map(String::as_str).find(|id| !is_direct(id))
    }

    fn sensor_timed_out(&self, task: &Task, ti: TaskInstanceKey, now: Timestamp) -> bool {
        self.first_start(ti)
            .is_some_and(|first| sensor::timed_out(task, first, now))
    }

    fn first_start(&self, ti: TaskInstanceKey) -> Option<Timestamp> {
        let state = self.tasks.get(ti.task.get())?;
        state.waiting.get(&ti.map_index)?.first_start
    }

    /// How an attempt that did not end well leaves its task instance when the run is being stopped.
    pub(super) fn stop_state(&self, task: TaskIndex) -> Option<TaskInstanceState> {
        let stopping = self.stopping.as_ref()?;
        let is_teardown = self.dag.task(task).is_some_and(|task| task.is_teardown);
        match stopping.why {
            Reason::FailFast if is_teardown => None,
            Reason::DagRunTimeout => Some(TaskInstanceState::Skipped),
            _ => Some(TaskInstanceState::Failed),
        }
    }

    /// What `outcome`, which ended at `at`, does to a task instance. Pure: the fold depends on it.
    pub(super) fn ending(&self, ti: TaskInstanceKey, outcome: &Outcome, at: Timestamp) -> Ending {
        let (Some(task), Some(instance)) = (self.dag.task(ti.task), self.instance(ti)) else {
            return Ending::End(TaskInstanceState::Removed);
        };
        match outcome {
            Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. } => {
                return Ending::End(TaskInstanceState::Success);
            }
            Outcome::Skip(_) => return Ending::End(TaskInstanceState::Skipped),
            Outcome::NotYet | Outcome::Defer(_) | Outcome::Error(_) => {}
        }
        if let Some(stopped) = self.stop_state(ti.task) {
            return Ending::End(stopped);
        }
        match outcome {
            Outcome::Defer(until) => Ending::Wait {
                state: if self.waits_for_answer(ti) {
                    TaskInstanceState::AwaitingInput
                } else {
                    TaskInstanceState::Deferred
                },
                resume: Resume::GoOn,
                due: *until,
                poke: false,
            },
            Outcome::NotYet => self.next_poke(task, ti, at),
            Outcome::Error(error) => match self.retry_delay(task, instance, error) {
                None => Ending::End(TaskInstanceState::Failed),
                Some(delay) => Ending::Wait {
                    state: TaskInstanceState::UpForRetry,
                    resume: Resume::NewTry,
                    due: at.checked_add(delay).unwrap_or(Timestamp::MAX),
                    poke: false,
                },
            },
            _ => Ending::End(TaskInstanceState::Failed),
        }
    }

    /// How long the next try waits; `None` if there is none.
    fn retry_delay(
        &self,
        task: &Task,
        instance: &Instance,
        error: &AttemptError,
    ) -> Option<SignedDuration> {
        let left = instance.try_number < instance.try_limit(task.retries);
        let delay = match retry::by_policy(task, error) {
            _ if !left || !error.kind.is_retried() => return None,
            Some(RetryAction::Fail) => return None,
            Some(RetryAction::Retry(Some(delay))) => delay.max(SignedDuration::ZERO),
            Some(RetryAction::Retry(None)) | None => {
                let date = self.header().and_then(|header| header.logical_date);
                retry::delay(task, self.dag.dag_id.as_str(), date, instance.try_number)
            }
        };
        Some(delay)
    }

    fn next_poke(&self, task: &Task, ti: TaskInstanceKey, at: Timestamp) -> Ending {
        let pokes = self
            .tasks
            .get(ti.task.get())
            .and_then(|state| state.waiting.get(&ti.map_index))
            .map_or(0, |waiting| waiting.pokes);
        let first = self.first_start(ti).unwrap_or(at);
        let dag_id = self.dag.dag_id.as_str();
        let interval = sensor::next_interval(task, dag_id, first, pokes.saturating_add(1), at);
        let (state, resume) = match task.sensor.mode {
            SensorMode::Poke => (TaskInstanceState::Running, Resume::GoOn),
            SensorMode::Reschedule => (TaskInstanceState::UpForReschedule, Resume::Again),
        };
        Ending::Wait {
            state,
            resume,
            due: at.checked_add(interval).unwrap_or(Timestamp::MAX),
            poke: true,
        }
    }

    /// Keeps the value that a success returned.
    pub(super) fn keep_xcoms(&mut self, ti: TaskInstanceKey, outcome: &Outcome) {
        let Some(task) = self.dag.task(ti.task).filter(|task| task.do_xcom_push) else {
            return;
        };
        let value = match outcome {
            Outcome::Success(Some(json)) => json.clone(),
            Outcome::Branch(chosen) => Value::from(chosen.clone()).to_string(),
            Outcome::ShortCircuit { .. } => "false".to_owned(),
            _ => return,
        };
        if is_null(&value) {
            return;
        }
        let parts = if task.multiple_outputs {
            members(&value).unwrap_or_default()
        } else {
            Map::new()
        };
        if let Some(state) = self.tasks.get_mut(ti.task.get()) {
            for (key, part) in parts {
                state
                    .xcoms
                    .put(ti.map_index, Cow::Owned(key), part.to_string());
            }
            state
                .xcoms
                .put(ti.map_index, Cow::Borrowed(RETURN_VALUE), value);
        }
    }

    /// Counts which tasks this instance wants skipped (Airflow's `skipmixin_key`).
    pub(super) fn keep_skips(&mut self, ti: TaskInstanceKey, outcome: &Outcome) {
        let unwanted: BTreeSet<TaskIndex> = match outcome {
            Outcome::Branch(chosen) => self.not_chosen(ti.task, chosen),
            Outcome::ShortCircuit {
                ignore_downstream_trigger_rules: true,
            } => self.plan.descendants(ti.task),
            Outcome::ShortCircuit { .. } => self.plan.downstream(ti.task).iter().copied().collect(),
            _ => return,
        };
        let short_circuit = matches!(outcome, Outcome::ShortCircuit { .. });
        // Teardowns are never skipped by a short circuit.
        let is_teardown = |task: &TaskIndex| self.dag.task(*task).is_some_and(|t| t.is_teardown);
        let groups = &self.plan.groups;
        let Some(state) = self.tasks.get_mut(ti.task.get()) else {
            return;
        };
        let skips = state.skips.get_or_insert_with(Skips::default);
        skips.short_circuit |= short_circuit;
        let (beside, outside): (Vec<_>, Vec<_>) = unwanted
            .into_iter()
            .filter(|task| !(short_circuit && is_teardown(task)))
            .partition(|other| groups.same(ti.task, *other));
        skips.keep(ti.map_index, outside, beside);
    }

    /// The direct downstream tasks that are neither chosen nor below a chosen one.
    fn not_chosen(&self, task: TaskIndex, chosen: &[String]) -> BTreeSet<TaskIndex> {
        let below = self.plan.downstream(task);
        let direct: BTreeSet<_> = below.iter().copied().collect();
        let mut kept: BTreeSet<_> = chosen
            .iter()
            .flat_map(|id| branch_targets(&self.dag, below, id))
            .collect();
        for task in kept.clone() {
            kept.extend(self.plan.descendants(task));
        }
        direct.difference(&kept).copied().collect()
    }
}

/// A value that is not pushed (Airflow's `None`).
fn is_null(json: &str) -> bool {
    json.trim() == "null"
}

fn broken_rule(message: String) -> Outcome {
    let kind = AttemptErrorKind::Trap;
    Outcome::Error(AttemptError { kind, message })
}

/// The members of an object that may become XCom values of their own.
fn members(json: &str) -> Result<Map<String, Value>, String> {
    match serde_json::from_str(json) {
        Ok(Value::Object(members)) if members.len() > XCOM_KEYS_MAX => {
            Err(format!("it has {}", members.len()))
        }
        Ok(Value::Object(members)) => {
            match members.keys().find(|key| key.len() > XCOM_KEY_BYTES_MAX) {
                Some(_) => Err(format!("a name is longer than {XCOM_KEY_BYTES_MAX} bytes")),
                None => Ok(members),
            }
        }
        Ok(_) => Err("it is something else".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
