//! What runs read and wrote, for `OpenLineage`'s consumers: a run event when a run starts and another when it ends, as the schema 2-0-2
//! says. It owns what an event holds and how it is sent. It refuses to hold a run up: what a consumer does not take is tried again for a
//! while, then told and let go.

mod event;
mod send;

pub(crate) use event::{Moment, RunEvent};
pub(crate) use send::Sender;
pub use send::{LineageSettings, WrongUrl};
