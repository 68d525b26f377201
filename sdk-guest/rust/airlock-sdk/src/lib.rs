//! Airlock operators in Rust.
//!
//! ```
//! use airlock_sdk::prelude::*;
//!
//! /// Whom to greet.
//! #[derive(Deserialize, JsonSchema)]
//! #[serde(deny_unknown_fields)]
//! struct Hello {
//!     /// A name.
//!     name: String,
//! }
//!
//! /// Greets.
//! #[operator]
//! fn hello(config: Hello) -> Result<String, TaskError> {
//!     Ok(format!("Hello, {}!", config.name))
//! }
//!
//! airlock_sdk::plugin!(operators: [hello]);
//! # fn main() {}
//! ```
//!
//! This crate owns the guest's side of `wit/`: the config's way in, the outcome's way out, one module a host interface, and a
//! fake host for native unit tests ([`testing`]). It refuses to reach anything that the contract does not name.

#[expect(
    missing_docs,
    clippy::pedantic,
    reason = "generated from wit/, which is documented"
)]
pub mod bindings;

pub mod calendar;
pub mod dag;
pub mod dag_runs;
pub mod dag_state;
pub mod dataset;
pub mod email;
mod error;
pub mod http;
pub mod human;
pub mod log;
pub mod models;
mod operator;
mod outcome;
pub mod progress;
pub mod secrets;
pub mod storage;
mod task;
#[cfg(not(target_family = "wasm"))]
pub mod testing;
pub mod time;
pub mod tracking;
pub mod training;
pub mod xcom;

/// The host's interfaces: the real ones in a component, the fake ones elsewhere.
#[cfg(target_family = "wasm")]
use bindings::airlock::operator as sys;
#[cfg(not(target_family = "wasm"))]
use testing::imports as sys;

pub use airlock_sdk_macros::{dag, operator, task};
pub use bindings::airlock::operator::types::{CapabilityError, OperatorKind};
pub use error::TaskError;
pub use operator::{Operator, Registration, describe, run};
pub use outcome::{IntoOutcome, Outcome};
pub use task::Task;
pub use {schemars, serde, serde_json};

/// What nearly every operator needs.
pub mod prelude {
    pub use crate::dag::template;
    pub use crate::{Outcome, Task, TaskError, dag, debug, error, info, operator, task, warn};
    pub use schemars::JsonSchema;
    pub use serde::{Deserialize, Serialize};
    pub use serde_json::{Value, json};
}

/// The version of `airlock:operator` that this SDK is built against.
pub const CONTRACT_VERSION: &str = "0.1.0";

/// What a component says about the SDK that built it: language, version of the SDK, version of the contract. The host reads it
/// before it compiles anything.
#[doc(hidden)]
pub const STAMP_TEXT: &str = concat!("rust ", env!("CARGO_PKG_VERSION"), " ", "0.1.0");

/// [`STAMP_TEXT`] as a section holds it.
#[doc(hidden)]
pub const STAMP: [u8; STAMP_TEXT.len()] = match STAMP_TEXT.as_bytes().first_chunk() {
    Some(bytes) => *bytes,
    None => [0; STAMP_TEXT.len()],
};

/// Makes a component of the listed operators and DAGs: `plugin!(operators: [hello], dags: [nightly])`, either of them alone, with
/// `name: "..."` and `version: "..."` before them where they differ from the package's.
#[macro_export]
macro_rules! plugin {
    (operators: $($rest:tt)*) => {
        $crate::plugin!(name: env!("CARGO_PKG_NAME"), operators: $($rest)*);
    };
    (dags: $($rest:tt)*) => {
        $crate::plugin!(name: env!("CARGO_PKG_NAME"), operators: [], dags: $($rest)*);
    };
    (name: $name:expr, operators: $($rest:tt)*) => {
        $crate::plugin!(name: $name, version: env!("CARGO_PKG_VERSION"), operators: $($rest)*);
    };
    (name: $name:expr, version: $version:expr, operators: [$($operator:path),* $(,)?] $(,)?) => {
        $crate::plugin!(name: $name, version: $version, operators: [$($operator),*], dags: []);
    };
    (name: $name:expr, version: $version:expr, operators: [$($operator:path),* $(,)?], dags: [$($dag:path),* $(,)?] $(,)?) => {
        #[doc(hidden)]
        pub struct AirlockPlugin;

        impl $crate::bindings::exports::airlock::operator::guest::Guest for AirlockPlugin {
            fn describe() -> $crate::bindings::airlock::operator::types::PluginInfo {
                $crate::describe(
                    $name,
                    $version,
                    &[$($crate::Registration::of::<$operator>()),*],
                    &[$($crate::dag::DagRegistration::of::<$dag>()),*],
                )
            }

            fn run(
                context: $crate::bindings::airlock::operator::types::TaskContext,
            ) -> ::core::result::Result<
                $crate::bindings::airlock::operator::types::Outcome,
                $crate::bindings::airlock::operator::types::TaskError,
            > {
                $crate::run(
                    context,
                    &[$($crate::Registration::of::<$operator>()),*],
                    &[$($crate::dag::DagRegistration::of::<$dag>()),*],
                )
            }
        }

        #[cfg(target_family = "wasm")]
        #[expect(unsafe_code, reason = "the component's exports are raw functions")]
        mod airlock_exports {
            $crate::bindings::export_operator!(AirlockPlugin with_types_in $crate::bindings);
            use super::AirlockPlugin;

            #[used]
            #[unsafe(link_section = "airlock:sdk-version")]
            static STAMP: [u8; $crate::STAMP.len()] = $crate::STAMP;
        }
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stamp_names_the_contract_that_is_in_wit() {
        let wit = include_str!("../../../../wit/world.wit");
        let package = format!("package airlock:operator@{CONTRACT_VERSION};");
        assert!(wit.starts_with(&package), "{package}");
        assert!(STAMP_TEXT.ends_with(&format!(" {CONTRACT_VERSION}")));
        assert_eq!(STAMP, STAMP_TEXT.as_bytes());
    }
}
