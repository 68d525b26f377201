//! What training asks of its run, and what it hands over at the end.

use super::Spent;
use crate::config::{Point, StopReason};
use crate::model::Model;

/// The run, as training sees it.
pub(crate) trait Control: Sync {
    /// Why training should end now, if it should. Asked between rounds.
    fn stop(&self) -> Option<StopReason>;
    /// A measurement was made.
    fn measured(&self, point: &Point);
    /// Whether a checkpoint is wanted now.
    fn wants_checkpoint(&self) -> bool;
    /// The bytes of a checkpoint.
    fn checkpointed(&self, bytes: Vec<u8>);
    /// Something a person should know.
    fn warned(&self, text: String) {
        drop(text);
    }
}

/// The end of a training that went well.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) model: Model,
    pub(crate) reason: StopReason,
    /// The measurements of the model.
    pub(crate) points: Vec<Point>,
    /// Rounds trained, without those resumed from.
    pub(crate) rounds: u32,
    pub(crate) spent: Spent,
}
