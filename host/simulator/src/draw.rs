//! Everything random in a simulation is drawn here, from one seed. The same seed draws the same world and the same history.

/// A stream of draws.
#[derive(Debug)]
pub(crate) struct Draw(fastrand::Rng);

impl Draw {
    pub(crate) fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// A number under `n`; 0 when `n` is 0.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        if n == 0 { 0 } else { self.0.usize(..n) }
    }

    /// A number from `from` up to and with `to`.
    pub(crate) fn between(&mut self, from: i64, to: i64) -> i64 {
        self.0.i64(from..=to.max(from))
    }

    /// The same for counts.
    pub(crate) fn count(&mut self, from: u32, to: u32) -> u32 {
        self.0.u32(from..=to.max(from))
    }

    /// True in `percent` of a hundred draws.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.0.u32(..100) < percent
    }

    /// True in `permille` of a thousand draws.
    pub(crate) fn rarely(&mut self, permille: u32) -> bool {
        self.0.u32(..1_000) < permille
    }

    /// One of `items`.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> Option<T> {
        items.get(self.below(items.len())).copied()
    }

    /// One of `items`, or `fallback` when there are none.
    pub(crate) fn one_of<T: Copy>(&mut self, items: &[T], fallback: T) -> T {
        self.pick(items).unwrap_or(fallback)
    }

    /// From 1 to `max`, every power of two as likely as the next: small worlds are as common as large ones.
    pub(crate) fn size(&mut self, max: usize) -> usize {
        let bits = self.below(max.max(1).ilog2() as usize + 1);
        let least = 1_usize << bits;
        (least + self.below(least)).min(max.max(1))
    }
}
