//! The components that DAGs are pinned to, by digest, at hand for their runs. It keeps the most recently used ones: a component
//! that is saved again and again must not hold memory for ever.

use super::Loaded;
use crate::store::Digest;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Components at hand; what is older is loaded again from its compiled form.
const KEPT_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Pinned {
    /// The most recently used one last.
    recent: Mutex<Vec<(String, Loaded)>>,
}

impl Pinned {
    pub(super) fn keep(&self, loaded: Loaded) {
        let digest = Digest(*loaded.plugin.digest()).to_string();
        let mut recent = self.recent();
        recent.retain(|(other, _)| *other != digest);
        recent.push((digest, loaded));
        let over = recent.len().saturating_sub(KEPT_MAX);
        recent.drain(..over);
    }

    pub(super) fn find(&self, sha256: &str) -> Option<Loaded> {
        let mut recent = self.recent();
        let place = recent.iter().position(|(digest, _)| digest == sha256)?;
        let found = recent.remove(place);
        let loaded = found.1.clone();
        recent.push(found);
        Some(loaded)
    }

    fn recent(&self) -> MutexGuard<'_, Vec<(String, Loaded)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
