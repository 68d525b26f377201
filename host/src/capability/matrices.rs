//! Matrices that one attempt holds: what one interface makes and another trains on, so that neither needs to know the other.

use super::Answer;
use super::budget::Reservation;
use crate::sandbox::ports::Handle;
use airlock_trainer::Matrix;
use std::sync::Arc;

/// A matrix and the memory that it gives back.
pub(super) struct HeldMatrix {
    /// Shared with the runs over it.
    pub(super) matrix: Arc<Matrix>,
    pub(super) _memory: Reservation,
}

/// Who holds matrices.
pub(super) trait Matrices: Send + Sync {
    /// A matrix by handle.
    fn matrix_of(&self, handle: Handle) -> Answer<Arc<HeldMatrix>>;
}
