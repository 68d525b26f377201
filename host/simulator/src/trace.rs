//! What happened, in words: nothing is written unless somebody asked, because a seed can be played again.

use crate::world::RunKey;
use airlock_core::run::event::Event;
use std::collections::VecDeque;

/// How many of the last events a violation shows.
pub const EVENTS_SHOWN: usize = 30;

/// How much is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// Nothing.
    Off,
    /// The last events.
    Events,
    /// Everything.
    All,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Trace {
    detail: Detail,
    lines: VecDeque<String>,
}

impl Trace {
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            lines: VecDeque::new(),
        }
    }

    /// Something other than an event.
    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        if self.detail == Detail::All {
            self.lines.push_back(line());
        }
    }

    pub(crate) fn event(&mut self, run: RunKey, event: &Event) {
        if self.detail == Detail::Off {
            return;
        }
        self.lines.push_back(format!("run {}    {event:?}", run.0));
        if self.detail == Detail::Events && self.lines.len() > EVENTS_SHOWN {
            self.lines.pop_front();
        }
    }

    pub(crate) fn into_lines(self) -> Vec<String> {
        self.lines.into()
    }
}
