//! Airlock host.
pub mod capability;
pub mod sandbox;
pub mod store;
pub mod tracking;
