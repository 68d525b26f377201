//! A device made of the processor: the same kernel sources, compiled by the system's C++ compiler against `kernels/emulator.h`, so
//! that what they compute is compared with the CPU reference where there is no GPU. For tests alone. Memory is filled with rubbish
//! when it is given and fenced by words that are looked at on every wait: writing outside shows.

#![expect(
    unsafe_code,
    reason = "calls a library that was compiled from the kernels, on memory by address"
)]

#[cfg(test)]
use super::gpu::Kernel;
use super::gpu::{Gpu, Launch, Memory, within};
use super::layout::Job;
use crate::error::TrainError;
use libloading::Library;
use std::ffi::{CStr, c_char};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const FENCE: u64 = 0xFE7C_EFE7_CEFE_7CEF;
const RUBBISH: u64 = 0xA5A5_A5A5_5A5A_5A5A;
/// Words before and after each piece of memory.
const FENCE_WORDS: usize = 8;

type Emulate = unsafe extern "C" fn(
    kernel: *const (),
    blocks: u32,
    lanes: u32,
    threads: u32,
    job: *const Job,
    step: u32,
    order: u64,
) -> *const c_char;
type Block = Arc<Mutex<Vec<u64>>>;

/// One emulated card.
pub(crate) struct Emulator {
    library: Arc<Library>,
    /// 0 runs blocks and threads in their order; another number shuffles them.
    order: u64,
    memory: Mutex<Vec<(Block, usize)>>,
    limit: u64,
}

/// The kernels as a library of the processor, compiled once a process. None where there is no compiler.
pub(crate) fn library() -> Option<Arc<Library>> {
    static LIBRARY: OnceLock<Option<Arc<Library>>> = OnceLock::new();
    LIBRARY
        .get_or_init(|| {
            let path = compile()?;
            // SAFETY: the library was compiled from this repository's sources a moment ago; it has no initialisers of its own.
            let library = unsafe { Library::new(&path) };
            // It stays mapped.
            let _ = std::fs::remove_file(&path);
            let opened = library.map_err(|error| format!("{}: {error}", path.display()));
            opened.map_err(|text| give_up(&text)).ok().map(Arc::new)
        })
        .clone()
}

fn compile() -> Option<PathBuf> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
    let out = std::env::temp_dir().join(format!("airlock-kernels-{}.so", std::process::id()));
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    let ran = Command::new(&compiler)
        .args([
            "-std=c++17",
            "-O2",
            "-shared",
            "-fPIC",
            "-DAIRLOCK_EMULATOR",
        ])
        // Neither fused operations, which differ from the device's, nor checks that a fiber's jump would trip.
        .args([
            "-ffp-contract=off",
            "-U_FORTIFY_SOURCE",
            "-Wno-unknown-pragmas",
        ])
        .arg("-o")
        .arg(&out)
        .arg(sources.join("emulator.cpp"))
        .output();
    match ran {
        Ok(ran) if ran.status.success() => Some(out),
        Ok(ran) => {
            give_up(&format!(
                "the kernels do not compile:\n{}",
                String::from_utf8_lossy(&ran.stderr)
            ));
            None
        }
        Err(error) => {
            give_up(&format!(
                "no C++ compiler ({}: {error})",
                compiler.display()
            ));
            None
        }
    }
}

/// Says that the kernels cannot be emulated; in the tests of a CI run that is a failure.
fn give_up(why: &str) {
    assert!(
        !cfg!(test) || std::env::var_os("CI").is_none(),
        "the GPU kernels were not tested: {why}"
    );
    eprintln!("the GPU kernels cannot be emulated: {why}");
}

impl Emulator {
    /// A card of `limit` bytes. None where there is no compiler.
    pub(crate) fn new(order: u64, limit: u64) -> Option<Self> {
        Some(Self {
            library: library()?,
            order,
            memory: Mutex::default(),
            limit,
        })
    }

    fn pieces(&self) -> Vec<(Block, usize)> {
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that only this list still holds were dropped.
        memory.retain(|(block, _)| Arc::strong_count(block) > 1);
        memory.clone()
    }

    fn used(&self) -> u64 {
        self.pieces().iter().map(|(_, bytes)| *bytes as u64).sum()
    }

    fn check_fences(&self) -> Result<(), TrainError> {
        for (block, bytes) in self.pieces() {
            let words = block.lock().unwrap_or_else(PoisonError::into_inner);
            let end = FENCE_WORDS + bytes.div_ceil(8);
            if words[..FENCE_WORDS]
                .iter()
                .chain(&words[end..])
                .any(|word| *word != FENCE)
            {
                return Err(TrainError::DeviceFault(format!(
                    "a kernel wrote outside {bytes} bytes of memory"
                )));
            }
        }
        Ok(())
    }
}

impl Gpu for Emulator {
    fn processors(&self) -> u32 {
        1
    }

    fn free_bytes(&self) -> Result<u64, TrainError> {
        Ok(self.limit.saturating_sub(self.used()))
    }

    fn alloc(&self, bytes: usize) -> Result<Memory, TrainError> {
        let available = self.free_bytes()?;
        if bytes as u64 > available {
            return Err(TrainError::OutOfMemory {
                needed: bytes as u64,
                available,
            });
        }
        let words = bytes.div_ceil(8);
        let mut block = vec![FENCE; words + 2 * FENCE_WORDS];
        block[FENCE_WORDS..FENCE_WORDS + words].fill(RUBBISH);
        let address = block[FENCE_WORDS..].as_ptr() as u64;
        let block: Block = Arc::new(Mutex::new(block));
        let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.push((Arc::clone(&block), bytes));
        Ok(Memory {
            address,
            bytes,
            owner: Box::new(block),
        })
    }

    fn upload(&self, to: &Memory, at: usize, from: &[u8]) -> Result<(), TrainError> {
        within(to, at, from.len())?;
        // SAFETY: the address is that of a live block of at least `at + from.len()` bytes, and only this thread runs on this card.
        unsafe {
            std::ptr::copy_nonoverlapping(
                from.as_ptr(),
                (to.address as *mut u8).add(at),
                from.len(),
            );
        };
        Ok(())
    }

    fn download(&self, from: &Memory, at: usize, to: &mut [u8]) -> Result<(), TrainError> {
        within(from, at, to.len())?;
        self.synchronise()?;
        // SAFETY: as in `upload`.
        unsafe {
            std::ptr::copy_nonoverlapping(
                (from.address as *const u8).add(at),
                to.as_mut_ptr(),
                to.len(),
            );
        };
        Ok(())
    }

    fn launch(&self, launch: Launch, job: &Job) -> Result<(), TrainError> {
        let missing = |error| TrainError::DeviceFault(format!("{}: {error}", launch.kernel.name()));
        // SAFETY: both are functions of the library with these signatures; see kernels/emulator.cpp. A kernel touches memory by the
        // addresses in `job`, which the caller keeps alive.
        let fault = unsafe {
            let emulate = self
                .library
                .get::<Emulate>(b"airlock_emulate")
                .map_err(missing)?;
            let kernel = self
                .library
                .get::<unsafe extern "C" fn()>(launch.kernel.name().as_bytes())
                .map_err(missing)?;
            let fault = emulate(
                *kernel as *const (),
                launch.blocks,
                launch.lanes,
                launch.kernel.threads(),
                job,
                launch.step,
                self.order,
            );
            (!fault.is_null()).then(|| CStr::from_ptr(fault).to_string_lossy().into_owned())
        };
        match fault {
            Some(fault) => Err(TrainError::DeviceFault(format!(
                "{}: {fault}",
                launch.kernel.name()
            ))),
            None => Ok(()),
        }
    }

    fn synchronise(&self) -> Result<(), TrainError> {
        self.check_fences()
    }
}

/// The sizes of the structs as the C++ compiler sees them, in the order of `airlock_layout`.
#[cfg(test)]
pub(crate) fn layout() -> Option<[u32; 13]> {
    let library = library()?;
    let mut sizes = [0; 13];
    // SAFETY: the function writes thirteen numbers.
    unsafe {
        let layout = library
            .get::<unsafe extern "C" fn(*mut u32)>(b"airlock_layout")
            .ok()?;
        layout(sizes.as_mut_ptr());
    }
    Some(sizes)
}

/// Every kernel that Rust names is in the library.
#[cfg(test)]
pub(crate) fn has_all_kernels() -> bool {
    library().is_none_or(|library| {
        // SAFETY: only looks the names up.
        Kernel::ALL.iter().all(|kernel| unsafe {
            library
                .get::<unsafe extern "C" fn()>(kernel.name().as_bytes())
                .is_ok()
        })
    })
}
