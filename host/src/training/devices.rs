//! Which devices there are, and on which of them a wish is tried, best first. It refuses to open one: that is a worker's business.

use crate::gpus::GpuSource;
use airlock_core::gpu::Gpu;
use airlock_trainer::device::{self, Card};
use airlock_trainer::{Device, GpuWish, TrainError};
use std::fmt;
use std::sync::Arc;

/// One device of this machine; each has a worker process of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeviceName {
    /// The processor.
    Cpu,
    /// A GPU by its UUID, as `CUDA_VISIBLE_DEVICES` names it.
    Gpu(String),
    /// A device that a test made up: it trains on the processor and breaks as planned.
    Fake(String),
}

impl fmt::Display for DeviceName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => write!(out, "cpu"),
            Self::Gpu(name) | Self::Fake(name) => write!(out, "{name}"),
        }
    }
}

impl DeviceName {
    /// What a run is told to train on inside the device's own worker: it sees no other.
    pub(super) fn inside(&self, wish: &Device) -> Device {
        match (self, wish) {
            // With `best` the trainer takes the processor for what it has no kernels for.
            (Self::Gpu(_), _) => wish.clone(),
            (Self::Cpu | Self::Fake(_), _) => Device::Cpu,
        }
    }
}

const ANY_GPU: GpuWish = GpuWish {
    name: None,
    min_memory: None,
    min_compute: None,
    count: 1,
    share: 1.0,
};

/// The devices that training may use.
pub trait Devices: Send + Sync {
    /// Where a wish is tried, best first; never empty. `granted` are the cards, by UUID, that a pool gave to the task instance; where
    /// none were given, every card of the machine may be taken.
    ///
    /// # Errors
    /// [`TrainError::NoDevice`] names what there is and what was asked.
    fn candidates(&self, wish: &Device, granted: &[String]) -> Result<Vec<DeviceName>, TrainError>;
}

/// The setting of the program that makes up a device, by its name: it stands before the processor for the wishes `gpu` and `best`,
/// and trains on it. For tests of the program.
pub(super) const ENV: &str = "AIRLOCK_TEST_TRAINER_DEVICE";

/// What [`ENV`] makes up, if it is set.
pub(super) fn from_env() -> Option<Box<dyn Devices>> {
    let name = std::env::var(ENV).ok()?;
    Some(Box::new(MadeUp(name)))
}

/// One device that does not exist.
pub(super) struct MadeUp(pub(super) String);

impl Devices for MadeUp {
    fn candidates(&self, wish: &Device, _: &[String]) -> Result<Vec<DeviceName>, TrainError> {
        let fake = DeviceName::Fake(self.0.clone());
        Ok(match wish {
            Device::Cpu => vec![DeviceName::Cpu],
            Device::Gpu(_) => vec![fake],
            Device::Best => vec![fake, DeviceName::Cpu],
        })
    }
}

/// The machine's own.
pub(super) struct Machine(pub(super) Arc<GpuSource>);

impl Devices for Machine {
    fn candidates(&self, wish: &Device, granted: &[String]) -> Result<Vec<DeviceName>, TrainError> {
        let cards = |wish: &GpuWish| {
            let cards = self.cards(granted)?;
            let chosen = device::matching(wish, &cards)?;
            let uuids: Vec<&str> = chosen.iter().map(|card| card.uuid.as_str()).collect();
            Ok(DeviceName::Gpu(uuids.join(",")))
        };
        match wish {
            Device::Cpu => Ok(vec![DeviceName::Cpu]),
            Device::Gpu(wish) => Ok(vec![cards(wish)?]),
            // That no card fits is no error here: the processor always does.
            Device::Best => Ok(cards(&ANY_GPU)
                .into_iter()
                .chain([DeviceName::Cpu])
                .collect()),
        }
    }
}

impl Machine {
    /// The cards that may be taken, as the trainer has them.
    fn cards(&self, granted: &[String]) -> Result<Vec<Card>, TrainError> {
        let gpus = self.0.gpus();
        let gpus = gpus.map_err(|error| TrainError::NoDevice(error.to_string()))?;
        let may = |gpu: &&Gpu| granted.is_empty() || granted.contains(&gpu.uuid);
        let card = |(ordinal, gpu): (usize, &Gpu)| Card {
            ordinal,
            uuid: gpu.uuid.clone(),
            name: gpu.name.clone(),
            memory_total: gpu.memory,
            // What is free changes all the time; the worker looks before it trains.
            memory_free: gpu.memory,
            compute: gpu.compute,
        };
        Ok(gpus.iter().filter(may).enumerate().map(card).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cards: &str) -> (tempfile::NamedTempFile, Machine) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), cards).unwrap();
        let source = GpuSource::new(Some(file.path().to_owned()));
        (file, Machine(Arc::new(source)))
    }

    const TWO: &str = r#"[
        {"uuid": "GPU-a", "name": "NVIDIA L4", "memory": 25769803776, "compute": [8, 9]},
        {"uuid": "GPU-b", "name": "NVIDIA H200", "memory": 151397597184, "compute": [9, 0]}
    ]"#;

    fn named(name: &str) -> Device {
        Device::Gpu(GpuWish {
            name: Some(name.to_owned()),
            ..ANY_GPU
        })
    }

    #[test]
    fn a_wish_gets_a_card_that_fits_and_any_wish_falls_to_the_processor() {
        let (_file, machine) = machine(TWO);
        let at = |wish: &Device, granted: &[&str]| {
            let granted: Vec<String> = granted.iter().map(|uuid| (*uuid).to_owned()).collect();
            let names = machine.candidates(wish, &granted).unwrap();
            names.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(at(&Device::Cpu, &[]), ["cpu"]);
        assert_eq!(at(&named("h200"), &[]), ["GPU-b"]);
        assert_eq!(at(&Device::Best, &["GPU-a"]), ["GPU-a", "cpu"]);
    }

    #[test]
    fn a_card_that_the_pool_did_not_give_is_not_taken() {
        let (_file, machine) = machine(TWO);
        let refused = machine.candidates(&named("h200"), &["GPU-a".to_owned()]);
        let Err(TrainError::NoDevice(text)) = refused else {
            panic!("no such device, not {refused:?}");
        };
        assert!(
            text.contains("h200") && text.contains("NVIDIA L4"),
            "{text}"
        );
    }

    #[test]
    fn without_cards_the_wish_best_is_the_processor() {
        let (_file, machine) = machine("[]");
        let best = machine.candidates(&Device::Best, &[]).unwrap();
        assert_eq!(best, [DeviceName::Cpu]);
        assert!(matches!(
            machine.candidates(&named("h200"), &[]),
            Err(TrainError::NoDevice(_))
        ));
    }
}
