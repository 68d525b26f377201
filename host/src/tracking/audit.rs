//! The audit trail: who changed what, when, from what and to what. One stream, appended in the commit that makes the change,
//! so that neither is ever there without the other.

use super::{Actor, TrackingError, codec};
use crate::store::{Commit, Seq, Store, StreamId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The stream that holds the trail.
const STREAM: &str = "audit";

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEvent {
    /// Milliseconds since the epoch.
    pub at_ms: i64,
    /// Who did it.
    pub actor: Actor,
    /// What was done, for example `model_version.transition_stage`.
    pub action: String,
    /// To what, for example `churn/3`.
    pub subject: String,
    /// What it was before; null where there was nothing.
    pub from: serde_json::Value,
    /// What it is now; null where there is nothing.
    pub to: serde_json::Value,
}

impl AuditEvent {
    /// A commit that appends this event and nothing else yet.
    pub(super) fn commit(&self) -> Result<Commit, TrackingError> {
        Ok(Commit {
            stream: Some((StreamId(STREAM.to_owned()), None)),
            events: vec![codec::encode(self)?],
            ..Commit::default()
        })
    }
}

/// Reads the trail.
#[derive(Clone)]
pub struct Audit {
    store: Arc<dyn Store>,
}

impl Audit {
    /// Over this store.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store }
    }

    /// Up to `max` events from number `from`, oldest first, each with its number.
    pub fn read(&self, from: Seq, max: usize) -> Result<Vec<(Seq, AuditEvent)>, TrackingError> {
        self.store
            .read(&StreamId(STREAM.to_owned()), from, max)?
            .into_iter()
            .map(|event| Ok((event.seq, codec::decode("an audit event", &event.payload)?)))
            .collect()
    }
}
