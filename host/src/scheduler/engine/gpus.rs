//! The machine's cards as the dispatcher counts them, with the names of who holds them.

use super::Engine;
use crate::scheduler::message::GpuUse;
use airlock_core::gpu::{Gpu, Gpus};

impl Engine {
    /// The first list counts: what is held is held of its cards.
    pub(super) fn learn_gpus(&mut self, gpus: Vec<Gpu>) {
        if self.dispatcher.gpus().cards().next().is_none() {
            self.dispatcher.set_gpus(Gpus::new(gpus));
        }
    }

    pub(super) fn gpu_uses(&self) -> Vec<GpuUse> {
        let cards = self.dispatcher.gpus().cards();
        cards
            .map(|(gpu, taken)| {
                let holders = self.dispatcher.gpu_holders(&gpu.uuid).into_iter();
                GpuUse {
                    gpu: gpu.clone(),
                    taken,
                    holders: holders.map(|(run, ti)| self.name(run, ti)).collect(),
                }
            })
            .collect()
    }
}
