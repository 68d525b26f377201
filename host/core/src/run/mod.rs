//! A run: events, and the pure step from state and input to events and commands.
//!
//! [`state::RunState`] changes only by [`state::RunState::apply`], a fold over events; [`state::RunState::step`] decides
//! which events an input leads to, applies them, and says what to do once they are durable. So a replay of the events
//! gives the live state again. It refuses all IO and never asks for the time: `now` is handed in.

mod apply;
mod attempt;
mod clear;
mod decision;
mod error;
pub mod event;
mod expand;
mod group;
mod group_turn;
mod human;
mod mark;
mod outcome;
mod past;
mod plan;
pub mod priority;
mod recover;
mod sla;
pub mod state;
pub mod step;
mod stop;
mod tasks;
mod turn;
mod version;
mod wake;
mod xcom;

pub use clear::ClearOptions;
pub use error::IllegalEvent;
pub use expand::{ExpandEvaluator, MAP_LENGTH_MAX};
pub use human::INPUT_BYTES_MAX;
pub use outcome::DEFER_MIN;
pub use past::PastAnswer;
pub use tasks::{Instance, StateCounts};
pub use xcom::{
    PullSource, RETURN_VALUE, XCOM_KEY_BYTES_MAX, XCOM_KEYS_MAX, XCOM_TOTAL_BYTES_MAX, pull_source,
};
