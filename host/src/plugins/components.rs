//! The components that DAGs are pinned to, by digest, at hand for their runs. It keeps the most recently used ones: a component
//! that is saved again and again must not hold memory for ever.

use crate::sandbox::Plugin;
use crate::store::Digest;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Components at hand; what is older is loaded again from its compiled form.
const KEPT_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Components {
    /// The most recently used one last.
    recent: Mutex<Vec<(String, Arc<Plugin>)>>,
}

impl Components {
    pub(super) fn keep(&self, plugin: &Arc<Plugin>) {
        let digest = Digest(*plugin.digest()).to_string();
        let mut recent = self.recent();
        recent.retain(|(other, _)| *other != digest);
        recent.push((digest, plugin.clone()));
        let over = recent.len().saturating_sub(KEPT_MAX);
        recent.drain(..over);
    }

    pub(super) fn find(&self, sha256: &str) -> Option<Arc<Plugin>> {
        let mut recent = self.recent();
        let place = recent.iter().position(|(digest, _)| digest == sha256)?;
        let found = recent.remove(place);
        let plugin = found.1.clone();
        recent.push(found);
        Some(plugin)
    }

    fn recent(&self) -> MutexGuard<'_, Vec<(String, Arc<Plugin>)>> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
