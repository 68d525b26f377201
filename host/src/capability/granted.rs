//! What an attempt may do, with a note of what it made use of: every port asks here, and writes down what it let through. It refuses
//! to decide anything: the grants do.

use super::handles::lock;
use airlock_core::grant::{Capability, Grants, Use};
use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

/// Different uses that are kept of one attempt, the first ones.
pub const USES_MAX: usize = 64;
/// Longer names are not kept.
const USE_BYTES_MAX: usize = 1 << 10;

/// What an attempt made use of; clones share it.
#[derive(Debug, Clone, Default)]
pub struct Uses(Arc<Mutex<BTreeSet<Use>>>);

impl Uses {
    fn add(&self, capability: Capability, what: &str) {
        let mut uses = lock(&self.0);
        if uses.len() >= USES_MAX || what.len() > USE_BYTES_MAX {
            return;
        }
        uses.insert(Use {
            capability,
            what: what.to_owned(),
        });
    }

    /// All of them, in order.
    pub fn all(&self) -> BTreeSet<Use> {
        lock(&self.0).clone()
    }
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Granted {
    grants: Grants,
    uses: Uses,
}

impl Granted {
    pub(super) fn new(grants: Grants, uses: Uses) -> Self {
        Self { grants, uses }
    }

    /// Notes what was let through.
    pub(super) fn used(&self, capability: Capability, what: &str) {
        self.uses.add(capability, what);
    }
}

impl From<Grants> for Granted {
    fn from(grants: Grants) -> Self {
        Self::new(grants, Uses::default())
    }
}

impl Deref for Granted {
    type Target = Grants;

    fn deref(&self) -> &Grants {
        &self.grants
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_often_is_noted_once_and_only_so_much() {
        let uses = Uses::default();
        let granted = Granted::new(Grants::default(), uses.clone());
        for _ in 0..3 {
            granted.used(Capability::Http, "a:443");
        }
        assert_eq!(uses.all().len(), 1);
        granted.used(Capability::Models, &"x".repeat(USE_BYTES_MAX + 1));
        for number in 0..2 * USES_MAX {
            granted.used(Capability::Models, &number.to_string());
        }
        assert_eq!(uses.all().len(), USES_MAX);
    }
}
