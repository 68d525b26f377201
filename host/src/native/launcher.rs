//! `airlock native-launcher`: a process that confines itself and then becomes the program. Between fork and exec nothing may
//! run in the host without `unsafe`, so the host starts this, and this starts the program in its own place.

use super::policy::ProgramSettings;
use crate::error::{ErrorKind, UserError};
use rustix::process::{
    Pid, Resource, Rlimit, Signal, getppid, set_parent_process_death_signal, setrlimit,
};
use rustix::thread::set_no_new_privs;
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Open files where nothing is said.
const OPEN_FILES_DEFAULT: u64 = 1024;

/// What the launcher is told; flags of the same names.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct Confinement {
    /// Process id of the host
    #[arg(long, value_name = "PID")]
    pub parent: u32,
    /// Address space, bytes
    #[arg(long, value_name = "BYTES")]
    pub memory: Option<u64>,
    /// Largest file, bytes
    #[arg(long, value_name = "BYTES")]
    pub file: Option<u64>,
    /// Open files
    #[arg(long, value_name = "N")]
    pub open_files: Option<u64>,
    /// Processes of the user
    #[arg(long, value_name = "N")]
    pub processes: Option<u64>,
    /// Processor time, seconds
    #[arg(long, value_name = "SECONDS")]
    pub cpu: Option<u64>,
    /// The program and its arguments
    #[arg(last = true, required = true, value_name = "PROGRAM")]
    pub program: Vec<String>,
}

/// The flags that say `settings`.
pub(super) fn flags(settings: &ProgramSettings) -> Vec<String> {
    let mut flags = vec![format!("--parent={}", std::process::id())];
    for (name, value) in [
        ("memory", settings.memory_bytes),
        ("file", settings.file_bytes),
        ("open-files", settings.open_files),
        ("processes", settings.processes),
        ("cpu", settings.cpu_seconds),
    ] {
        if let Some(value) = value {
            flags.push(format!("--{name}={value}"));
        }
    }
    flags
}

/// Becomes the program; returns only where it cannot.
pub fn main(told: &Confinement) -> Result<(), UserError> {
    let refused = |what: &str, error: io::Error| {
        UserError::new(ErrorKind::Usage, format!("{what}: {error}"))
            .hint("airlock starts native programs itself; there is nothing to start by hand")
    };
    confine(told).map_err(|error| refused("the program cannot be confined", error))?;
    let Some((program, arguments)) = told.program.split_first() else {
        return Err(UserError::new(ErrorKind::Usage, "no program is named"));
    };
    let error = Command::new(program).args(arguments).exec();
    Err(refused(&format!("cannot start {program:?}"), error))
}

fn confine(told: &Confinement) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // The host may have died before the kernel was told; then this is somebody else's child by now.
    if getppid().map(Pid::as_raw_pid) != i32::try_from(told.parent).ok() {
        return Err(io::Error::other("the host that started it is gone"));
    }
    set_no_new_privs(true)?;
    let open_files = told.open_files.unwrap_or(OPEN_FILES_DEFAULT);
    for (resource, limit) in [
        (Resource::Core, Some(0)),
        (Resource::Nofile, Some(open_files)),
        (Resource::As, told.memory),
        (Resource::Fsize, told.file),
        (Resource::Nproc, told.processes),
        (Resource::Cpu, told.cpu),
    ] {
        if let Some(limit) = limit {
            let both = Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            };
            setrlimit(resource, both)?;
        }
    }
    Ok(())
}
