//! Airlock: a workflow orchestrator for machine-learning pipelines, in which every operator is a sandboxed WebAssembly
//! component. ARCHITECTURE.md shows the rooms; each module's head says what it owns and what it refuses.

pub mod api;
pub mod app;
pub mod bench;
pub mod build;
pub mod capability;
pub mod cli;
pub mod email;
pub mod error;
pub mod executor;
pub mod gpus;
pub mod lineage;
pub mod metrics;
pub mod native;
pub mod plugins;
pub mod registry;
pub mod render;
pub mod sandbox;
pub mod scheduler;
pub mod secrets;
pub mod store;
pub mod traces;
pub mod tracking;
pub mod training;
pub mod web;
