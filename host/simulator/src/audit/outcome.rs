//! What an attempt's answer should be recorded as, and where it should lead.

use super::book::Past;
use super::delays;
use crate::world::{DagModel, after};
use airlock_core::dag::spec::{RetryAction, SensorMode, Task};
use airlock_core::ids::TaskIndex;
use airlock_core::run::event::{AttemptErrorKind, Outcome, Reason};
use airlock_core::task_instance::state::TaskInstanceState as State;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The shortest deferral.
const DEFERRAL_MIN: SignedDuration = SignedDuration::from_millis(100);

/// Whether `recorded` is what an answer of `said` has to become.
pub(super) fn is_right(
    model: &DagModel,
    task: TaskIndex,
    past: &Past,
    now: Timestamp,
    said: &Outcome,
    recorded: &Outcome,
) -> bool {
    let Some(spec) = model.dag.task(task) else {
        return false;
    };
    let forgiven = forgiven(spec, said);
    let said = &forgiven;
    let error =
        |kind: AttemptErrorKind| matches!(recorded, Outcome::Error(error) if error.kind == kind);
    match said {
        Outcome::Branch(chosen) if !are_children(model, task, chosen) => {
            error(AttemptErrorKind::Trap)
        }
        Outcome::Success(Some(json)) if spec.multiple_outputs && !is_object_or_null(json) => {
            error(AttemptErrorKind::Trap)
        }
        Outcome::NotYet if is_over(spec, past, now) => {
            if spec.sensor.soft_fail {
                matches!(recorded, Outcome::Skip(_))
            } else {
                error(AttemptErrorKind::Permanent)
            }
        }
        Outcome::Defer(until) => {
            *recorded == Outcome::Defer((*until).max(after(now, DEFERRAL_MIN)))
        }
        Outcome::Skip(_) => matches!(recorded, Outcome::Skip(_)),
        said => recorded == said,
    }
}

/// What the switches of a sensor make of an error: a poke that says not-yet, a skip, or still an error.
fn forgiven(task: &Task, said: &Outcome) -> Outcome {
    let Outcome::Error(error) = said else {
        return said.clone();
    };
    let sensor = &task.sensor;
    let may_go_away = matches!(
        error.kind,
        AttemptErrorKind::Transient | AttemptErrorKind::Trap | AttemptErrorKind::LimitExceeded
    );
    let gave_up = matches!(
        error.kind,
        AttemptErrorKind::Permanent | AttemptErrorKind::TimedOut
    );
    let did_not_poke = matches!(
        error.kind,
        AttemptErrorKind::Unrunnable | AttemptErrorKind::Cancelled
    );
    if did_not_poke {
        said.clone()
    } else if sensor.silent_fail && may_go_away {
        Outcome::NotYet
    } else if (sensor.soft_fail && gave_up) || sensor.never_fail {
        Outcome::Skip(error.message.clone())
    } else {
        said.clone()
    }
}

fn is_over(task: &Task, past: &Past, now: Timestamp) -> bool {
    past.first_start
        .is_some_and(|first| now.duration_since(first) > task.sensor.timeout)
}

fn are_children(model: &DagModel, task: TaskIndex, chosen: &[String]) -> bool {
    let children = model.family.children(task);
    chosen.iter().all(|id| {
        children.iter().any(|child| {
            model
                .dag
                .task(*child)
                .is_some_and(|child| child.task_id.as_str() == id)
        })
    })
}

fn is_object_or_null(json: &str) -> bool {
    matches!(
        serde_json::from_str(json),
        Ok(Value::Object(_) | Value::Null)
    )
}

/// The state in which a recorded outcome leaves a task instance whose try was `past.try_number`.
pub(super) fn leads_to(
    task: &Task,
    past: &Past,
    stopping: Option<Reason>,
    waits_for_answer: bool,
    outcome: &Outcome,
) -> State {
    let stopped = match stopping {
        Some(Reason::FailFast) if task.is_teardown => None,
        Some(Reason::DagRunTimeout) => Some(State::Skipped),
        Some(_) => Some(State::Failed),
        None => None,
    };
    match (outcome, stopped) {
        (Outcome::Success(_) | Outcome::Branch(_) | Outcome::ShortCircuit { .. }, _) => {
            State::Success
        }
        (Outcome::Skip(_), _) => State::Skipped,
        (_, Some(stopped)) => stopped,
        (Outcome::Defer(_), None) if waits_for_answer => State::AwaitingInput,
        (Outcome::Defer(_), None) => State::Deferred,
        (Outcome::NotYet, None) => match task.sensor.mode {
            SensorMode::Poke => State::Running,
            SensorMode::Reschedule => State::UpForReschedule,
        },
        (Outcome::Error(error), None) => {
            let may_go_away = match error.kind {
                AttemptErrorKind::Transient
                | AttemptErrorKind::Trap
                | AttemptErrorKind::LimitExceeded
                | AttemptErrorKind::TimedOut => true,
                AttemptErrorKind::Permanent
                | AttemptErrorKind::InvalidInput
                | AttemptErrorKind::Unrunnable
                | AttemptErrorKind::Cancelled => false,
            };
            let tries_left = past.failures - past.tries_before < task.retries;
            let gives_up = delays::policy(task, error) == Some(RetryAction::Fail);
            if may_go_away && tries_left && !gives_up {
                State::UpForRetry
            } else {
                State::Failed
            }
        }
    }
}
