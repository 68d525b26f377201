//! The sandbox: runs one operator as a component in a fresh store. It owns wasmtime, limits and the component cache.
//! It refuses to know the store, the scheduler or the API: input is a `TaskRequest`, output an `AttemptReport`, everything
//! between goes through `ports`.
//!
//! ```text
//! bytes --load--> Plugin --run(TaskRequest)--> admission --> store + instance --> AttemptReport
//!                                                              |  ^
//!                                                        imports/  ports (answers, denials)
//! ```

mod admission;
mod attempt;
mod bare;
#[expect(missing_docs, reason = "generated from wit/, which is documented")]
pub mod bindings;
mod cancel;
mod command;
pub mod config;
mod contract;
mod engine;
mod exit;
mod imports;
mod inspect;
mod interface;
mod last_line;
mod limiter;
mod log_sink;
mod outcome;
mod plugin;
pub mod ports;
mod program_log;
mod state;
mod stdio;
mod text;
mod ticker;
mod trap;
mod weigh;

pub use attempt::{AttemptReport, Denial, TaskRequest, Usage};
pub use bare::BareReport;
pub use cancel::CancelSignal;
pub use command::{Command, CommandRequest, Scratch};
pub use config::{Allocation, AttemptLimits, SandboxConfig};
pub use contract::Stamp;
pub use engine::{Sandbox, SandboxError};
pub use exit::{SKIP_EXIT_CODE, exit_outcome, failure};
pub use inspect::LoadError;
pub use interface::{Interface, InterfaceSet};
pub use last_line::Told;
pub use plugin::{OperatorInfo, Plugin};
pub use program_log::ProgramLog;
