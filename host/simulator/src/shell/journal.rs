//! What a crash leaves: the events of every run as bytes, in the order in which they became durable.

use super::Commit;
use crate::world::RunKey;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{Event, Fence};
use std::collections::{BTreeMap, BTreeSet};

/// See the module's documentation.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    streams: BTreeMap<RunKey, Vec<Vec<u8>>>,
    /// Every start of an attempt that is durable.
    started: BTreeSet<(RunKey, TaskInstanceKey, Fence)>,
}

impl Journal {
    /// Makes a commit durable; false if the stream's head is another than expected.
    pub(crate) fn commit(&mut self, run: RunKey, commit: &Commit) -> bool {
        let stream = self.streams.entry(run).or_default();
        if stream.len() != commit.head {
            return false;
        }
        for event in &commit.events {
            // An event that cannot be encoded is empty here and is missed when it is read.
            stream.push(postcard::to_extend(event, Vec::new()).unwrap_or_default());
            if let Event::AttemptStarted { ti, fence, .. } = event {
                self.started.insert((run, *ti, *fence));
            }
        }
        true
    }

    /// Whether a run has a durable event.
    pub(crate) fn has(&self, run: RunKey) -> bool {
        self.streams
            .get(&run)
            .is_some_and(|events| !events.is_empty())
    }

    /// Every run with a durable event.
    pub(crate) fn runs(&self) -> Vec<RunKey> {
        let begun = self.streams.iter().filter(|(_, events)| !events.is_empty());
        begun.map(|(run, _)| *run).collect()
    }

    /// A run's events; an error names the first that cannot be read.
    pub(crate) fn read(&self, run: RunKey) -> Result<Vec<Event>, String> {
        let stream = self.streams.get(&run).map_or(&[][..], Vec::as_slice);
        let decode = |(place, bytes): (usize, &Vec<u8>)| {
            postcard::from_bytes(bytes)
                .map_err(|error| format!("event {place} of run {} cannot be read: {error}", run.0))
        };
        stream.iter().enumerate().map(decode).collect()
    }

    /// Whether the start of this attempt is durable.
    pub(crate) fn has_start(&self, run: RunKey, ti: TaskInstanceKey, fence: Fence) -> bool {
        self.started.contains(&(run, ti, fence))
    }
}
