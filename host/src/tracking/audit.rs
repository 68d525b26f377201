//! The audit trail: who changed what, when, from what and to what. One stream, appended in the commit that makes the change,
//! so that neither is ever there without the other. Changes of a registered model are in a stream of its own as well, so that its
//! past is read without the rest.

use super::{Actor, TrackingError, codec};
use crate::store::{Append, Commit, Seq, Store, StreamId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The stream that holds the trail.
const STREAM: &str = "audit";
/// What begins the names of the models' streams.
const MODEL_STREAM: &str = "audit/model/";
/// A model got another name.
pub(super) const RENAMED: &str = "registered_model.rename";
/// The same, as the old name's past tells it.
pub(super) const RENAMED_AWAY: &str = "registered_model.renamed_away";
/// How many events one read takes.
const PAGE: usize = 1_000;

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
    pub(crate) fn commit(&self) -> Result<Commit, TrackingError> {
        Ok(Commit {
            stream: Some((StreamId(STREAM.to_owned()), None)),
            events: vec![codec::encode(self)?],
            ..Commit::default()
        })
    }

    /// Whether it is about this registered model or one of its versions.
    fn is_about_model(&self, name: &str) -> bool {
        let (subject, action) = (&self.subject, self.action.as_str());
        let is_of_models = ["model.", "model_version.", "registered_model."]
            .iter()
            .any(|noun| action.starts_with(noun));
        let rest = subject.strip_prefix(name);
        is_of_models && rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '@']))
    }
}

fn model_stream(name: &str) -> StreamId {
    StreamId(format!("{MODEL_STREAM}{name}"))
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
        self.page(&StreamId(STREAM.to_owned()), from, max)
    }

    /// How many events there are.
    pub fn head(&self) -> Result<Seq, TrackingError> {
        Ok(self.store.head(&StreamId(STREAM.to_owned()))?)
    }

    fn page(
        &self,
        stream: &StreamId,
        from: Seq,
        max: usize,
    ) -> Result<Vec<(Seq, AuditEvent)>, TrackingError> {
        self.store
            .read(stream, from, max)?
            .into_iter()
            .map(|event| Ok((event.seq, codec::decode("an audit event", &event.payload)?)))
            .collect()
    }

    fn all(&self, stream: &StreamId) -> Result<Vec<AuditEvent>, TrackingError> {
        let (mut events, mut from) = (Vec::new(), 0);
        loop {
            let page = self.page(stream, from, PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(events);
            };
            from = last + 1;
            events.extend(page.into_iter().map(|(_, event)| event));
        }
    }

    /// Everything that was ever done to a registered model, oldest first, also to one that is there no more. Reads as many events
    /// as the model has; a model that nobody changed since an older Airlock costs one pass over the whole trail.
    pub fn of_model(&self, name: &str) -> Result<Vec<AuditEvent>, TrackingError> {
        let own = self.all(&model_stream(name))?;
        if own.is_empty() {
            return self.of_model_in_trail(name);
        }
        Ok(own)
    }

    fn of_model_in_trail(&self, name: &str) -> Result<Vec<AuditEvent>, TrackingError> {
        let mut events = self.all(&StreamId(STREAM.to_owned()))?;
        for event in &mut events {
            // Its past went with it to the new name.
            if event.action == RENAMED && event.from == name {
                RENAMED_AWAY.clone_into(&mut event.action);
                name.clone_into(&mut event.subject);
            }
        }
        events.retain(|event| event.is_about_model(name));
        Ok(events)
    }

    /// Has an event appended to its model's stream too. The first one of a model that is not new brings what an older Airlock kept
    /// in the trail alone.
    pub(super) fn append_to_model(
        &self,
        commit: &mut Commit,
        name: &str,
        event: &AuditEvent,
        is_new: bool,
    ) -> Result<(), TrackingError> {
        let stream = model_stream(name);
        let head = self.store.head(&stream)?;
        let mut events = Vec::new();
        if head == 0 && !is_new {
            for old in self.of_model_in_trail(name)? {
                events.push(codec::encode(&old)?);
            }
        }
        events.push(codec::encode(event)?);
        commit.more_streams.push(Append {
            stream,
            expect: (head == 0).then_some(0),
            events,
        });
        Ok(())
    }

    /// Has the past of a model go with it to its new name, before `event`.
    pub(super) fn rename_model(
        &self,
        commit: &mut Commit,
        name: &str,
        new_name: &str,
        event: &AuditEvent,
    ) -> Result<(), TrackingError> {
        let stream = model_stream(new_name);
        let head = self.store.head(&stream)?;
        let mut events = Vec::new();
        for old in self.of_model(name)? {
            events.push(codec::encode(&old)?);
        }
        events.push(codec::encode(event)?);
        commit.more_streams.push(Append {
            stream,
            expect: Some(head),
            events,
        });
        commit.remove_streams.push(model_stream(name));
        Ok(())
    }
}
