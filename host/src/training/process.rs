//! A worker as a process: how it is started, what it does to itself first, and what it leaves behind. It refuses to give a worker
//! the host's environment, which may hold secrets.

use super::devices::DeviceName;
use super::fault::Fault;
use super::worker::{self, Station};
use crate::error::{ErrorKind, UserError};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a worker may write to its standard error, bytes; more is lost.
const LAST_WORDS_MAX: u64 = 16 << 10;
/// How long the end of a killed process is waited for, and between two looks.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
const FAREWELL_PAUSE: Duration = Duration::from_millis(5);
/// The kernel takes a worker before the host when memory runs out.
const OOM_SCORE: &str = "500";
/// What of the host's environment a worker gets: where the driver's libraries are, and how much a panic tells.
const ENVIRONMENT: [&str; 4] = [
    "LD_LIBRARY_PATH",
    "CUDA_CACHE_PATH",
    "RUST_BACKTRACE",
    "NVIDIA_VISIBLE_DEVICES",
];

/// A worker's life, seen from the host.
pub(super) trait Worker: Send + Sync {
    /// Ends it now, whatever it is doing.
    fn kill(&self);
    /// What it left behind. Waits for its end, but not for ever: a process that hangs in a driver cannot be ended.
    fn farewell(&self) -> Farewell;
}

/// How a worker ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Farewell {
    /// For people: `signal: 9 (SIGKILL)`.
    pub(super) status: String,
    /// The end of what it wrote to its standard error.
    pub(super) last_words: String,
}

/// Starts workers.
pub(super) trait Launch: Send + Sync {
    /// Starts one. The thread that calls this must live as long as the worker: where the kernel ends an orphan, its parent is the
    /// thread that started it.
    fn launch(
        &self,
        device: &DeviceName,
        fault: Option<Fault>,
    ) -> io::Result<(UnixStream, Box<dyn Worker>)>;
}

/// Starts this program again as `airlock trainer-worker`.
pub(super) struct OwnProgram {
    program: PathBuf,
}

impl OwnProgram {
    /// `program` where it is not this one.
    pub(super) fn new(program: Option<PathBuf>) -> Self {
        // The file that runs, also when another was put in its place meanwhile: both ends speak the same version.
        let program = program.unwrap_or_else(|| PathBuf::from("/proc/self/exe"));
        Self { program }
    }
}

impl Launch for OwnProgram {
    fn launch(
        &self,
        device: &DeviceName,
        fault: Option<Fault>,
    ) -> io::Result<(UnixStream, Box<dyn Worker>)> {
        let (here, there) = UnixStream::pair()?;
        let last_words = last_words_file()?;
        let mut command = Command::new(&self.program);
        command
            .arg0("airlock")
            .arg("trainer-worker")
            .arg(format!("--parent={}", std::process::id()))
            .env_clear()
            .envs(
                ENVIRONMENT
                    .iter()
                    .filter_map(|name| Some((name, std::env::var_os(name)?))),
            )
            .current_dir("/")
            .stdin(OwnedFd::from(there))
            .stdout(Stdio::null())
            .stderr(Stdio::from(last_words.try_clone()?));
        match device {
            DeviceName::Cpu => command.arg("--device=cpu"),
            DeviceName::Gpu(uuid) => command
                .arg(format!("--device=gpu:{uuid}"))
                .env("CUDA_VISIBLE_DEVICES", uuid),
            DeviceName::Fake(name) => command.arg(format!("--device=fake:{name}")),
        };
        if let Some(fault) = fault {
            command.arg(format!("--fault={fault}"));
        }
        let child = Mutex::new(command.spawn()?);
        Ok((here, Box::new(ChildWorker { child, last_words })))
    }
}

/// A file in memory of a fixed size: what does not fit is refused by the kernel, so a noisy worker fills nothing.
fn last_words_file() -> io::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let file = memfd_create("airlock-worker-stderr", flags)?;
    ftruncate(&file, LAST_WORDS_MAX)?;
    fcntl_add_seals(&file, SealFlags::GROW | SealFlags::SHRINK)?;
    Ok(File::from(file))
}

struct ChildWorker {
    child: Mutex<Child>,
    last_words: File,
}

impl ChildWorker {
    fn end_within(&self, limit: Duration) -> String {
        let begun = Instant::now();
        loop {
            let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
            match child.try_wait() {
                Ok(Some(status)) => return status.to_string(),
                Ok(None) if begun.elapsed() < limit => {}
                Ok(None) => {
                    return "it was killed and does not end; it hangs in the kernel".to_owned();
                }
                Err(error) => return error.to_string(),
            }
            drop(child);
            std::thread::sleep(FAREWELL_PAUSE);
        }
    }
}

impl Worker for ChildWorker {
    fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // One that has ended already needs no killing.
        let _ = child.kill();
    }

    fn farewell(&self) -> Farewell {
        // Its socket is closed, so it is ending; what still holds it up must not hold up its runs.
        self.kill();
        let status = self.end_within(FAREWELL_MAX);
        let mut bytes = vec![0; LAST_WORDS_MAX as usize];
        let read = self.last_words.read_at(&mut bytes, 0).unwrap_or(0);
        bytes.truncate(read);
        let text = String::from_utf8_lossy(&bytes);
        let last_words = text.trim_end_matches('\0').trim().to_owned();
        Farewell { status, last_words }
    }
}

/// The process `airlock trainer-worker`: works for the host at the other end of its standard input until that is closed.
pub fn main(parent: u32, device: &str, fault: Option<&str>) -> Result<(), UserError> {
    let misused = |error: io::Error| {
        UserError::new(
            ErrorKind::Usage,
            format!("no host is at the standard input: {error}"),
        )
        .hint("airlock starts its training workers itself; there is nothing to start by hand")
    };
    let station = station(device, fault)?;
    confine(parent).map_err(misused)?;
    let socket = std::io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map_err(misused)?;
    rustix::net::getpeername(&socket).map_err(|error| misused(error.into()))?;
    worker::serve(&UnixStream::from(socket), station).map_err(misused)
}

fn station(device: &str, fault: Option<&str>) -> Result<Station, UserError> {
    let usage = |text: String| UserError::new(ErrorKind::Usage, text);
    let device = match device.split_once(':') {
        None if device == "cpu" => DeviceName::Cpu,
        Some(("gpu", uuid)) => DeviceName::Gpu(uuid.to_owned()),
        Some(("fake", name)) => DeviceName::Fake(name.to_owned()),
        _ => {
            return Err(usage(format!(
                "there is no device `{device}`; one is `cpu`, `gpu:UUID`"
            )));
        }
    };
    let fault = fault.map(str::parse).transpose().map_err(usage)?;
    Ok(Station {
        device,
        fault,
        own_process: true,
    })
}

/// Ends with its host, leaves no core with somebody's rows in it, and is what the kernel takes first when memory runs out.
fn confine(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The host may have died before the kernel was told; then this is somebody else's child by now.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok() {
        return Err(io::Error::other(
            "the host that started this worker is gone",
        ));
    }
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    // A machine without this file has no such killer.
    let _ = std::fs::write("/proc/self/oom_score_adj", OOM_SCORE);
    Ok(())
}
