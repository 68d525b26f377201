//! A task instance: its states, its trigger rule, its retries.

pub mod state;
