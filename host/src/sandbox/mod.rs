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
pub mod config;
mod contract;
mod engine;
mod imports;
mod inspect;
mod interface;
mod limiter;
mod log_sink;
mod outcome;
mod plugin;
pub mod ports;
mod state;
mod stdio;
mod text;
mod ticker;
mod trap;

pub use attempt::{AttemptReport, Denial, TaskRequest, Usage};
pub use bare::BareReport;
pub use cancel::CancelSignal;
pub use config::{Allocation, AttemptLimits, SandboxConfig};
pub use contract::Stamp;
pub use engine::{Sandbox, SandboxError};
pub use inspect::LoadError;
pub use interface::{Interface, InterfaceSet};
pub use plugin::{OperatorInfo, Plugin};
