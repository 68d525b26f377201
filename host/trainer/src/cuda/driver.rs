//! A card through NVIDIA's driver, which is opened when a program runs and may be missing. Owns the contexts of this process, a stream
//! for each run and the loaded kernels. Refuses to repair a context: an error that sticks to it lasts as long as the process.

#![expect(
    unsafe_code,
    reason = "calls the CUDA driver, whose memory and kernels Rust cannot see"
)]

use super::Compute;
use super::gpu::{Gpu, Kernel, Launch, Memory, within};
use super::images::{self, Image};
use super::layout::Job;
use crate::device::Card;
use crate::error::TrainError;
use cudarc::driver::sys::{CUdevice_attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaModule, CudaStream, DevicePtr, DeviceRepr, DriverError,
    LaunchConfig, PushKernelArg, result,
};
use cudarc::nvrtc::Ptx;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

// SAFETY: `Job` is `repr(C)`, of 64-bit addresses and 32-bit numbers, without padding: as `struct Job` in kernels/common.cuh.
unsafe impl DeviceRepr for Job {}

/// An opened card.
pub(crate) struct Driver {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    /// In the order of [`Kernel::ALL`].
    functions: Vec<CudaFunction>,
    processors: u32,
    /// Bytes that this process may take.
    limit: u64,
}

/// Whether libcuda can be opened; every call of the driver panics where it cannot.
pub(crate) fn is_present() -> bool {
    // SAFETY: opens and closes the driver's library by its fixed names; no symbol of it is called.
    unsafe { cudarc::driver::sys::is_culib_present() }
}

/// What this process has opened, by the number of the card. It stays open: a context takes up to a second to make, and one that is
/// torn down under live handles crashes.
static OPENED: Mutex<BTreeMap<usize, Opened>> = Mutex::new(BTreeMap::new());

struct Opened {
    context: Arc<CudaContext>,
    module: Option<Arc<CudaModule>>,
}

/// The context of a card, opened once in a process.
pub(super) fn context(ordinal: usize) -> Result<Arc<CudaContext>, TrainError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(opened) = opened.get(&ordinal) {
        return Ok(Arc::clone(&opened.context));
    }
    let context = CudaContext::new(ordinal).map_err(fault("open the card"))?;
    // SAFETY: a run has one stream and uses no allocation of another run, so there is no order between streams to keep.
    unsafe { context.disable_event_tracking() };
    let known = Opened {
        context: Arc::clone(&context),
        module: None,
    };
    opened.insert(ordinal, known);
    Ok(context)
}

/// The kernels on a card, loaded once in a process.
fn module(ordinal: usize, context: &Arc<CudaContext>) -> Result<Arc<CudaModule>, TrainError> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let known = opened
        .get(&ordinal)
        .and_then(|opened| opened.module.clone());
    if let Some(module) = known {
        return Ok(module);
    }
    let module = load(context, compute_of(context)?)?;
    if let Some(opened) = opened.get_mut(&ordinal) {
        opened.module = Some(Arc::clone(&module));
    }
    Ok(module)
}

/// What a call of the driver failed with, in our words.
pub(crate) fn fault(what: &str) -> impl Fn(DriverError) -> TrainError + '_ {
    move |error| TrainError::DeviceFault(format!("{what}: {error}"))
}

impl Driver {
    /// Opens a card for a share of its memory and loads the kernels.
    ///
    /// # Errors
    /// [`TrainError::NoDevice`] without a driver or for a card too old, [`TrainError::DeviceFault`].
    pub(crate) fn open(card: &Card, share: f32) -> Result<Self, TrainError> {
        if !is_present() {
            return Err(TrainError::NoDevice(
                "there is no NVIDIA driver on this machine; use device cpu or best".to_owned(),
            ));
        }
        let context = context(card.ordinal)?;
        let stream = context.new_stream().map_err(fault("make a stream"))?;
        let module = module(card.ordinal, &context)?;
        let mut functions = Vec::with_capacity(Kernel::ALL.len());
        for kernel in Kernel::ALL {
            let function = module.load_function(kernel.name());
            functions.push(function.map_err(fault(kernel.name()))?);
        }
        let processors = context
            .attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)
            .map_err(fault("count the multiprocessors"))?;
        Ok(Self {
            context,
            stream,
            functions,
            processors: u32::try_from(processors).unwrap_or(1).max(1),
            limit: part_of(card.memory_total, share),
        })
    }

    fn bind(&self) -> Result<(), TrainError> {
        self.context
            .bind_to_thread()
            .map_err(fault("use the card on this thread"))
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count of bytes"
)]
fn part_of(bytes: u64, share: f32) -> u64 {
    (bytes as f64 * f64::from(share)) as u64
}

pub(crate) fn compute_of(context: &CudaContext) -> Result<Compute, TrainError> {
    let (major, minor) = context
        .compute_capability()
        .map_err(fault("ask for the compute capability"))?;
    let part = |number| u8::try_from(number).unwrap_or(0);
    Ok((part(major), part(minor)))
}

fn load(context: &Arc<CudaContext>, compute: Compute) -> Result<Arc<CudaModule>, TrainError> {
    let mut tried = Vec::new();
    for image in images::for_card(compute) {
        let module = match image {
            Image::Cubin(code) => Ptx::from_binary(code.to_vec()),
            Image::Ptx(text) => Ptx::from_src(text),
        };
        match context.load_module(module) {
            Ok(module) => return Ok(module),
            Err(error) => tried.push(error.to_string()),
        }
    }
    let (major, minor) = compute;
    let (least_major, least_minor) = images::COMPUTE_MIN;
    Err(TrainError::NoDevice(if tried.is_empty() {
        format!(
            "the card has compute capability {major}.{minor}; the kernels need {least_major}.{least_minor} or later"
        )
    } else {
        format!(
            "the driver takes none of the kernels for compute capability {major}.{minor}: {}; update the driver",
            tried.join("; ")
        )
    }))
}

impl Gpu for Driver {
    fn processors(&self) -> u32 {
        self.processors
    }

    fn free_bytes(&self) -> Result<u64, TrainError> {
        self.synchronise()?;
        let (free, _) = self
            .context
            .mem_get_info()
            .map_err(fault("ask for free memory"))?;
        Ok(self.limit.min(free as u64))
    }

    fn alloc(&self, bytes: usize) -> Result<Memory, TrainError> {
        // SAFETY: nothing reads the memory before it was written: kernels and the host write each array first.
        let slice = unsafe { self.stream.alloc::<u8>(bytes) };
        let slice = match slice {
            Ok(slice) => slice,
            Err(DriverError(CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(TrainError::OutOfMemory {
                    needed: bytes as u64,
                    available: self.free_bytes()?,
                });
            }
            Err(error) => return Err(fault("allocate")(error)),
        };
        let (address, guard) = slice.device_ptr(&self.stream);
        drop(guard);
        Ok(Memory {
            address,
            bytes,
            owner: Box::new(slice),
        })
    }

    fn upload(&self, to: &Memory, at: usize, from: &[u8]) -> Result<(), TrainError> {
        within(to, at, from.len())?;
        if from.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the range lies within a live allocation of this stream. The source is pageable, so the driver has copied it to a
        // buffer of its own when the call returns.
        unsafe { result::memcpy_htod_async(to.address + at as u64, from, self.stream.cu_stream()) }
            .map_err(fault("copy to the card"))
    }

    fn download(&self, from: &Memory, at: usize, to: &mut [u8]) -> Result<(), TrainError> {
        within(from, at, to.len())?;
        if to.is_empty() {
            return Ok(());
        }
        self.bind()?;
        // SAFETY: the range lies within a live allocation of this stream, and `to` is borrowed until the wait below is over.
        let copied = unsafe {
            result::memcpy_dtoh_async(to, from.address + at as u64, self.stream.cu_stream())
        };
        self.stream
            .synchronize()
            .map_err(fault("wait for the card"))?;
        copied.map_err(fault("copy from the card"))
    }

    fn launch(&self, launch: Launch, job: &Job) -> Result<(), TrainError> {
        let number = Kernel::ALL
            .iter()
            .position(|kernel| *kernel == launch.kernel);
        let Some(function) = number.and_then(|number| self.functions.get(number)) else {
            return Err(TrainError::DeviceFault(format!(
                "there is no kernel {}",
                launch.kernel.name()
            )));
        };
        let shape = LaunchConfig {
            grid_dim: (launch.blocks, launch.lanes, 1),
            block_dim: (launch.kernel.threads(), 1, 1),
            shared_mem_bytes: 0,
        };
        let mut builder = self.stream.launch_builder(function);
        builder.arg(job).arg(&launch.step);
        // SAFETY: every kernel takes a `Job` and a `u32`; the addresses in the job are of live allocations of the sizes that
        // `Shape` says, which the kernels stay within.
        unsafe { builder.launch(shape) }.map_err(fault(launch.kernel.name()))?;
        Ok(())
    }

    fn synchronise(&self) -> Result<(), TrainError> {
        self.stream
            .synchronize()
            .map_err(fault("wait for the card"))?;
        // What went wrong while something was dropped waits there.
        self.context.check_err().map_err(fault("an earlier call"))
    }
}
