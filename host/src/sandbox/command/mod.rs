//! Command-line programs in the sandbox: `wasi:cli/command` components, and WASI 0.1 modules that are made into such.
//! A program gets arguments, an environment, standard input and, where it is granted, one folder with a quota; nothing of the
//! host's. Its log, limits, admission and end are those of every attempt. It refuses everything that an operator imports.

mod adapt;
mod end;
mod load;
mod run;
mod scratch;

pub use load::Command;
pub use run::{CommandRequest, Scratch};
pub(super) use scratch::{Quota, add_to_linker};

use super::attempt::AttemptReport;
use super::engine::Sandbox;
use super::inspect::LoadError;
use std::sync::Arc;

impl Sandbox {
    /// Compiles and checks a program. Blocks, for seconds where a large one is new: call it from a thread that may block. The
    /// same bytes yield the same program while somebody holds it.
    pub fn load_command(&self, bytes: &[u8]) -> Result<Arc<Command>, LoadError> {
        load::load(&self.shared, self.handle(), bytes)
    }

    /// Runs a program to its end, on the sandbox's own threads. Dropping the future stops it.
    pub fn run_command(
        &self,
        request: CommandRequest,
    ) -> impl Future<Output = AttemptReport> + Send + use<> {
        run::spawn(&self.shared, self.handle(), request)
    }
}
