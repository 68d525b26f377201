//! Which devices there are, and on which of them a wish is tried, best first. It refuses to open one: that is a worker's business.

use airlock_trainer::{Device, GpuWish, TrainError, device};
use std::fmt;

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
            (Self::Gpu(_), Device::Gpu(_)) => wish.clone(),
            (Self::Gpu(_), _) => Device::Gpu(ANY_GPU),
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
    /// Where a wish is tried, best first; never empty.
    ///
    /// # Errors
    /// [`TrainError::NoDevice`] names what there is and what was asked.
    fn candidates(&self, wish: &Device) -> Result<Vec<DeviceName>, TrainError>;
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
    fn candidates(&self, wish: &Device) -> Result<Vec<DeviceName>, TrainError> {
        let fake = DeviceName::Fake(self.0.clone());
        Ok(match wish {
            Device::Cpu => vec![DeviceName::Cpu],
            Device::Gpu(_) => vec![fake],
            Device::Best => vec![fake, DeviceName::Cpu],
        })
    }
}

/// The machine's own.
#[derive(Debug, Default)]
pub(super) struct Machine;

impl Devices for Machine {
    fn candidates(&self, wish: &Device) -> Result<Vec<DeviceName>, TrainError> {
        match wish {
            Device::Cpu | Device::Best => Ok(vec![DeviceName::Cpu]),
            Device::Gpu(wish) => Err(TrainError::NoDevice(format!(
                "asked for {}, and there is {}",
                asked(wish),
                device::probe().describe()
            ))),
        }
    }
}

/// A wish in words.
fn asked(wish: &GpuWish) -> String {
    let mut text = match wish.count {
        0 | 1 => "one GPU".to_owned(),
        count => format!("{count} GPUs"),
    };
    if let Some(name) = &wish.name {
        text += &format!(" named `{name}`");
    }
    if let Some(bytes) = wish.min_memory {
        text += &format!(" with at least {bytes} bytes of memory");
    }
    if let Some((major, minor)) = wish.min_compute {
        text += &format!(" of compute capability {major}.{minor} or later");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_is_told_whole() {
        let wish = GpuWish {
            name: Some("H200".to_owned()),
            min_memory: Some(1 << 30),
            min_compute: Some((9, 0)),
            count: 2,
            share: 1.0,
        };
        assert_eq!(
            asked(&wish),
            "2 GPUs named `H200` with at least 1073741824 bytes of memory of compute capability 9.0 or later"
        );
        assert_eq!(asked(&ANY_GPU), "one GPU");
    }
}
