//! The asset events that wait for a DAG: queued by URI until the expression of its schedule holds, then consumed together.
//! It refuses to know who made an event; only a success makes one, and the shell sees to that.

use crate::dag::spec::AssetExpression;
use crate::run::event::AssetEvent;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, VecDeque};

/// Events of one asset that wait for a DAG at most; beyond it the oldest is dropped and counted.
pub const ASSET_EVENTS_MAX: usize = 1_000;

/// The events that wait.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct AssetQueue {
    events: BTreeMap<String, VecDeque<AssetEvent>>,
    dropped: u64,
    /// Of the last run that events made: the next one is later, so that ids differ.
    last_run_after: Option<Timestamp>,
}

/// What one run consumes.
pub(super) struct Consumed {
    pub(super) run_after: Timestamp,
    /// Oldest first.
    pub(super) events: Vec<AssetEvent>,
}

impl AssetQueue {
    /// False if the expression does not name the asset.
    pub(super) fn push(&mut self, expression: &AssetExpression, event: AssetEvent) -> bool {
        if !expression.uris().contains(&event.uri.as_str()) {
            return false;
        }
        let queue = self.events.entry(event.uri.clone()).or_default();
        queue.push_back(event);
        if queue.len() > ASSET_EVENTS_MAX {
            queue.pop_front();
            self.dropped = self.dropped.saturating_add(1);
        }
        true
    }

    pub(super) fn is_ready(&self, expression: &AssetExpression) -> bool {
        expression.holds(&|uri| self.events.contains_key(uri))
    }

    pub(super) fn events(&self) -> impl Iterator<Item = &AssetEvent> {
        self.events.values().flatten()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Everything that waits, for one run, if the expression holds. Events of assets that an edited expression does not name
    /// any more go without a run.
    pub(super) fn consume(
        &mut self,
        expression: &AssetExpression,
        now: Timestamp,
    ) -> Option<Consumed> {
        if !self.is_ready(expression) {
            return None;
        }
        let uris = expression.uris();
        let mut events: Vec<AssetEvent> = std::mem::take(&mut self.events)
            .into_iter()
            .filter(|(uri, _)| uris.contains(&uri.as_str()))
            .flat_map(|(_, events)| events)
            .collect();
        events.sort_by_key(|event| event.at);
        let latest = events.last().map_or(now, |event| event.at.min(now));
        let run_after = match self.last_run_after {
            Some(last) if last >= latest => {
                last.checked_add(SignedDuration::from_micros(1)).ok()?
            }
            _ => latest,
        };
        self.last_run_after = Some(run_after);
        Some(Consumed { run_after, events })
    }
}
