//! A run: events, and the pure step from state and input to events and commands.

pub mod event;
