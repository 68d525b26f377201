//! Who may start now: slots and memory, of the whole sandbox and of each plugin. It refuses to let one plugin take
//! everything, and to start what can never fit.

use super::config::AttemptLimits;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is counted in units of this many bytes.
const UNIT_BYTES: u64 = 1 << 20;

/// Slots and memory that attempts share.
pub(super) struct Admission {
    whole: Share,
    plugin_slots: u32,
    plugin_units: u32,
}

/// A number of slots and units of memory.
#[derive(Clone)]
pub(super) struct Share {
    slots: Arc<Semaphore>,
    units: Arc<Semaphore>,
    units_max: u32,
}

/// Held while an attempt lives.
pub(super) struct Permit {
    _parts: [OwnedSemaphorePermit; 4],
}

/// The attempt can never fit.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "its memory limit of {wanted} bytes is over the {budget} bytes that this host gives to attempts; lower `limits.memory_bytes` or give the host more"
)]
pub(super) struct NeverFits {
    wanted: u64,
    budget: u64,
}

impl Share {
    fn new(slots: u32, units: u32) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(slots as usize)),
            units: Arc::new(Semaphore::new(units as usize)),
            units_max: units,
        }
    }

    async fn take(&self, units: u32) -> Option<[OwnedSemaphorePermit; 2]> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        let units = units.min(self.units_max);
        let units = Arc::clone(&self.units)
            .acquire_many_owned(units)
            .await
            .ok()?;
        Some([slot, units])
    }
}

impl Admission {
    pub(super) fn new(slots: u32, memory_bytes: u64) -> Self {
        let units = units(memory_bytes);
        Self {
            whole: Share::new(slots, units),
            // A quarter is always left for others.
            plugin_slots: (slots - slots / 4).max(1),
            plugin_units: (units - units / 4).max(1),
        }
    }

    /// What one plugin may hold.
    pub(super) fn plugin_share(&self) -> Share {
        Share::new(self.plugin_slots, self.plugin_units)
    }

    /// Waits, in order of arrival, for a slot and memory. The plugin's share comes first: what waits there does not stand in
    /// the line of the others.
    pub(super) async fn admit(
        &self,
        plugin: &Share,
        limits: &AttemptLimits,
    ) -> Result<Option<Permit>, NeverFits> {
        let need = units(limits.memory_bytes);
        if need > self.whole.units_max {
            return Err(NeverFits {
                wanted: limits.memory_bytes,
                budget: u64::from(self.whole.units_max) * UNIT_BYTES,
            });
        }
        let Some([a, b]) = plugin.take(need).await else {
            return Ok(None);
        };
        let Some([c, d]) = self.whole.take(need).await else {
            return Ok(None);
        };
        Ok(Some(Permit {
            _parts: [a, b, c, d],
        }))
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT_BYTES)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Waker};

    fn limits(mib: u64) -> AttemptLimits {
        AttemptLimits {
            memory_bytes: mib << 20,
            ..AttemptLimits::default()
        }
    }

    /// Polls once: a permit or "must wait".
    fn try_admit(admission: &Admission, share: &Share, mib: u64) -> Option<Permit> {
        let limits = limits(mib);
        let mut admit = std::pin::pin!(admission.admit(share, &limits));
        match admit.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            std::task::Poll::Ready(permit) => permit.unwrap(),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_plugin_leaves_a_quarter_of_slots_and_memory_to_others() {
        let admission = Admission::new(4, 400 << 20);
        let (greedy, modest) = (admission.plugin_share(), admission.plugin_share());
        let held: Vec<_> = (0..3).map(|_| try_admit(&admission, &greedy, 1)).collect();
        assert!(held.iter().all(Option::is_some));
        assert!(try_admit(&admission, &greedy, 1).is_none());
        assert!(try_admit(&admission, &modest, 1).is_some());
        drop(held);
        let held = try_admit(&admission, &greedy, 300);
        assert!(held.is_some());
        assert!(try_admit(&admission, &greedy, 1).is_none());
        assert!(try_admit(&admission, &modest, 100).is_some());
    }

    #[test]
    fn one_attempt_may_use_everything_but_no_more() {
        let admission = Admission::new(1, 100 << 20);
        let share = admission.plugin_share();
        assert!(try_admit(&admission, &share, 100).is_some());
        let limits = limits(101);
        let mut admit = std::pin::pin!(admission.admit(&share, &limits));
        let polled = admit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(
            polled,
            std::task::Poll::Ready(Err(NeverFits { .. }))
        ));
    }
}
