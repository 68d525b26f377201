//! Programs outside the sandbox: which may be started at all, how one is started, watched and ended with everything that it
//! started. Off unless a program is allowed by its absolute path. It refuses to know attempts, logs and grants: it is given
//! bytes to feed and hands bytes on.

mod launcher;
mod policy;
mod process;

pub use launcher::{Confinement, main as launcher_main};
pub use policy::{NativeError, NativePrograms, Program, ProgramSettings};
pub use process::{Ended, Output, Request, run};
