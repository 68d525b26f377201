//! The API over HTTP: what MLflow's and Airflow's clients speak, for those who have a token. It owns the routes, who may call them, and the
//! limits of a request. It refuses a request without a token everywhere but on `OPEN_PATHS`, and to know how anything is stored:
//! it asks the application handle.
//!
//! # The way of a request
//! The server accepts no more than `CONNECTIONS_MAX` connections and gives each a time for its headers. `guard` is the one layer:
//! it checks the Host, finds out whose token it is, and lets nobody else through, also to routes that do not exist. `route` checks
//! the role that the table asks for, reads the body under its limit, and calls the action on a thread that may block.

mod about;
mod airflow;
mod error;
mod fields;
mod guard;
mod listen;
mod mlflow;
mod openapi;
mod reply;
mod route;
mod server;
mod tls;

pub use guard::OPEN_PATHS;
pub use listen::{ADDRESS_FILE, LISTEN_DEFAULT, Listen};
pub use route::{Route, Scope, routes};
pub use server::{Api, Stopping};
pub use tls::Tls;

/// Connections that are open at once; further ones wait in the system's queue.
pub const CONNECTIONS_MAX: usize = 512;
/// Requests that are carried out at once; further ones wait.
pub const REQUESTS_MAX: usize = 32;
/// Artifacts that are sent or received at once, because each is held in memory; further ones wait.
pub const ARTIFACTS_AT_ONCE: usize = 4;
/// The largest JSON body, bytes. MLflow's clients send batches of up to 1 MB, and schemas of data sets.
pub const JSON_BYTES_MAX: usize = 8 << 20;
/// The longest head of a request, bytes.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
