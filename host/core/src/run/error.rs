//! Inputs and events that the state of a run does not allow. Always a value, never a panic: an outcome may come late,
//! a journal may be damaged, a guest may be hostile.

use super::event::Fence;
use crate::ids::{GroupIndex, TaskIndex, TaskInstanceKey};
use crate::task_instance::state::{DagRunState, TaskInstanceState};

/// An event or input that is illegal in the state the run is in; the run is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IllegalEvent {
    /// The run itself is in the wrong state.
    #[error("{what} is illegal while the run is {state}; it needs a run that is {needs}")]
    RunState {
        /// Which event or input.
        what: &'static str,
        /// The run's state.
        state: DagRunState,
        /// What would be legal.
        needs: &'static str,
    },
    /// The task instance is in the wrong state.
    #[error(
        "{what} is illegal for task {} map_index {}, which is {state}; it needs one that is {needs}",
        .ti.task.0, .ti.map_index
    )]
    InstanceState {
        /// Which event or input.
        what: &'static str,
        /// Which task instance.
        ti: TaskInstanceKey,
        /// Its state.
        state: TaskInstanceState,
        /// What would be legal.
        needs: &'static str,
    },
    /// The DAG version has no such task, or the task no such map index.
    #[error("the run has no instance {map_index} of task {}; is this another DAG version?", .task.0)]
    NoInstance {
        /// The task as given.
        task: TaskIndex,
        /// The map index as given; the first missing one of a range.
        map_index: i32,
    },
    /// The fence is not the one that the task instance expects.
    #[error("fence {given:?} does not follow {current:?}, the last one of task {} map_index {}", .ti.task.0, .ti.map_index)]
    Fence {
        /// Which task instance.
        ti: TaskInstanceKey,
        /// The fence as given.
        given: Fence,
        /// Its last fence; `attempt` 0 before the first.
        current: Fence,
    },
    /// The try number is not the one that the state leads to.
    #[error("try {given} of task {} map_index {} is out of order; {expected} is next", .ti.task.0, .ti.map_index)]
    TryNumber {
        /// Which task instance.
        ti: TaskInstanceKey,
        /// As given.
        given: u32,
        /// What follows from the events before.
        expected: u32,
    },
    /// The elements of a mapped task cannot be used.
    #[error("task {} cannot be expanded: {reason}", .task.0)]
    Elements {
        /// Which task.
        task: TaskIndex,
        /// What is wrong.
        reason: String,
    },
    /// The elements of a mapped group cannot be used.
    #[error("task group {} cannot be expanded: {reason}", .group.0)]
    GroupElements {
        /// Which group.
        group: GroupIndex,
        /// What is wrong.
        reason: String,
    },
    /// The XCom breaks a limit.
    #[error(
        "XCom {key:?} breaks a limit of one task instance: {} bytes a key, {} keys, {} bytes in all; put large results into storage",
        super::xcom::XCOM_KEY_BYTES_MAX,
        super::xcom::XCOM_KEYS_MAX,
        super::xcom::XCOM_TOTAL_BYTES_MAX
    )]
    XComLimit {
        /// The start of the key.
        key: String,
    },
    /// `apply` cannot load another version of the DAG.
    #[error(
        "the run goes on with another version of its DAG: load the version that the event names and use `apply_version`"
    )]
    NeedsDag {
        /// The SHA-256 that names the version.
        dag_version: [u8; 32],
    },
    /// Nobody waits for such an answer.
    #[error(
        "task {} map_index {} waits for no answer: it asked nothing, was answered before, or has ended",
        .ti.task.0, .ti.map_index
    )]
    NoRequest {
        /// Which task instance.
        ti: TaskInstanceKey,
    },
    /// A request to a person, or its answer, is too long.
    #[error(
        "{what} of {bytes} bytes is longer than the {} allowed; put large things into storage and name them",
        super::human::INPUT_BYTES_MAX
    )]
    TooLong {
        /// What is too long.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// There is no such XCom to delete.
    #[error("task {} map_index {} has no XCom {key:?}; look at its list of XComs", .ti.task.0, .ti.map_index)]
    NoXCom {
        /// Which task instance.
        ti: TaskInstanceKey,
        /// The start of the key.
        key: String,
    },
}
