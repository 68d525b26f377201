//! What accelerators this machine has, asked without ever panicking. Refuses to open a CUDA context: that is the
//! business of a process of its own.

use crate::config::Device;
use crate::error::TrainError;

/// What was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// libcuda cannot be opened.
    NoDriver,
    /// libcuda is there; this version has no kernels for it.
    DriverOnly,
}

impl Probe {
    /// One sentence for people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NoDriver => "no NVIDIA driver on this machine; use device cpu or best",
            Self::DriverOnly => "GPU training is not in this version; use device cpu or best",
        }
    }
}

/// Asks whether libcuda can be opened: every other call of cudarc panics where it cannot.
#[expect(unsafe_code, reason = "cudarc marks the question unsafe")]
pub fn probe() -> Probe {
    // SAFETY: opens the driver's library by its fixed names and keeps it open; no symbol of it is called.
    if unsafe { cudarc::driver::sys::is_culib_present() } {
        Probe::DriverOnly
    } else {
        Probe::NoDriver
    }
}

/// The name of the device that `wish` gets.
///
/// # Errors
/// [`TrainError::NoDevice`] for a GPU, until there are kernels.
pub(crate) fn grant(wish: &Device) -> Result<&'static str, TrainError> {
    match wish {
        Device::Cpu | Device::Best => Ok("cpu"),
        Device::Gpu(_) => Err(TrainError::NoDevice(probe().describe().to_owned())),
    }
}
