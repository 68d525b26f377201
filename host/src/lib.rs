//! Airlock host.
pub mod sandbox;
pub mod store;
