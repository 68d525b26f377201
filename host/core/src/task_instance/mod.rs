//! A task instance: its states, its trigger rule, its retries, its pokes. Pure functions of values that were handed in;
//! the state machine that uses them is `run`.

pub mod retry;
pub mod sensor;
pub mod state;
pub mod trigger_rule;
