//! Components that are not, or no longer, what a plugin's name means: DAGs came in them, or a run began when they were. At hand by
//! name and digest for those runs. It keeps the most recently used ones: a component that is saved again and again must not hold
//! memory for ever.

use super::Loaded;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Components at hand; what is older is loaded again from its compiled form.
const KEPT_MAX: usize = 64;

/// A plugin's name, and SHA-256 of the component in hex.
type Key = (String, String);

/// See the module.
#[derive(Default)]
pub(super) struct Pinned {
    /// The most recently used one last.
    recent: Mutex<Vec<(Key, Loaded)>>,
}

impl Pinned {
    pub(super) fn keep(&self, name: &str, loaded: Loaded) {
        let key = (name.to_owned(), loaded.sha256());
        let mut recent = self.recent();
        recent.retain(|(other, _)| *other != key);
        recent.push((key, loaded));
        let over = recent.len().saturating_sub(KEPT_MAX);
        recent.drain(..over);
    }

    pub(super) fn find(&self, name: &str, sha256: &str) -> Option<Loaded> {
        let mut recent = self.recent();
        let place = recent
            .iter()
            .position(|((other, digest), _)| other == name && digest == sha256)?;
        let found = recent.remove(place);
        let loaded = found.1.clone();
        recent.push(found);
        Some(loaded)
    }

    /// Lets all go: what they may do has changed.
    pub(super) fn clear(&self) {
        self.recent().clear();
    }

    fn recent(&self) -> MutexGuard<'_, Vec<(Key, Loaded)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
