//! Training round by round, apart from what computes a round: the loop that measures, stops, checkpoints and resumes, and the trait
//! that a device implements. Refuses to know how trees are grown.

mod backend;
mod control;
mod drive;
mod early_stop;
mod resume;
mod variant;

pub(crate) use backend::{Backend, Part, Spent, Turn};
pub(crate) use control::{Control, Trained};
pub(crate) use drive::drive;
pub(crate) use early_stop::Stopping;
pub(crate) use resume::resumed;
pub(crate) use variant::Variant;
