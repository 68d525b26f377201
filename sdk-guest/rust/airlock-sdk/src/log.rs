//! Lines for the task's log.

pub use crate::sys::log::{Level, log};

/// Writes one line at level `debug`.
#[macro_export]
macro_rules! debug { ($($text:tt)*) => { $crate::log::log($crate::log::Level::Debug, &format!($($text)*)) } }
/// Writes one line at level `info`.
#[macro_export]
macro_rules! info { ($($text:tt)*) => { $crate::log::log($crate::log::Level::Info, &format!($($text)*)) } }
/// Writes one line at level `warn`.
#[macro_export]
macro_rules! warn { ($($text:tt)*) => { $crate::log::log($crate::log::Level::Warn, &format!($($text)*)) } }
/// Writes one line at level `error`.
#[macro_export]
macro_rules! error { ($($text:tt)*) => { $crate::log::log($crate::log::Level::Error, &format!($($text)*)) } }
