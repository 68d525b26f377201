//! A request as a page sees it: who asks, for what, with which options. It owns the reading of ids and options, with errors in
//! words. It refuses to guess: an option that makes no sense is an answer of its own.

use super::answer::Refusal;
use super::form::Pairs;
use crate::app::{App, Caller, Role};
use airlock_core::ids::{DagId, RunId, TaskId};
use std::sync::Arc;

/// How pages are lit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Theme {
    /// As the system says.
    System,
    Light,
    Dark,
}

impl Theme {
    pub(super) fn parse(text: &str) -> Option<Self> {
        match text {
            "system" => Some(Self::System),
            "light" => Some(Self::Light),
            "dark" => Some(Self::Dark),
            _ => None,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }
}

/// See the module's documentation.
pub(super) struct Visit {
    pub(super) app: Arc<App>,
    pub(super) caller: Caller,
    /// The CSRF token of the session; empty for somebody who came with a token.
    pub(super) csrf: String,
    /// The path of the page.
    pub(super) path: String,
    /// What the path holds, by name.
    pub(super) places: Vec<(String, String)>,
    /// The options.
    pub(super) query: Pairs,
    /// What was sent; empty for a page that is looked at.
    pub(super) form: Pairs,
    pub(super) theme: Theme,
}

impl Visit {
    /// What stands in a place of the path.
    pub(super) fn place(&self, name: &str) -> &str {
        let found = self.places.iter().find(|(found, _)| found == name);
        found.map_or("", |(_, value)| value.as_str())
    }

    pub(super) fn dag_id(&self) -> Result<DagId, Refusal> {
        DagId::parse(self.place("dag_id")).map_err(|error| Refusal::missing(error.to_string()))
    }

    pub(super) fn run_id(&self) -> Result<RunId, Refusal> {
        RunId::parse(self.place("run_id")).map_err(|error| Refusal::missing(error.to_string()))
    }

    pub(super) fn task_id(&self) -> Result<TaskId, Refusal> {
        TaskId::parse(self.place("task_id")).map_err(|error| Refusal::missing(error.to_string()))
    }

    /// An option; empty where it is not given.
    pub(super) fn option(&self, name: &str) -> &str {
        self.query.get(name)
    }

    /// An option that is a number.
    pub(super) fn number<T: std::str::FromStr + Copy>(
        &self,
        name: &str,
        absent: T,
    ) -> Result<T, Refusal> {
        let text = self.option(name);
        if text.is_empty() {
            return Ok(absent);
        }
        let wrong = || {
            Refusal::usage(
                format!("the option {name} is {text:?}, which is no number that fits"),
                "take it out of the address",
            )
        };
        text.parse().map_err(|_| wrong())
    }

    /// Whether this visitor may do what needs a role.
    pub(super) fn may(&self, role: Role) -> bool {
        self.caller.role >= role
    }

    /// Who does it, as the run's events and the audit trail name them.
    pub(super) fn by(&self) -> &str {
        &self.caller.actor.id
    }

    #[expect(
        clippy::unused_self,
        reason = "who waits is on a page's own thread, which the visit stands for"
    )]
    /// Waits for the scheduler. Pages are made on threads that may block.
    pub(super) fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::runtime::Handle::current().block_on(future)
    }

    /// This page with one option changed, or with an empty value taken out.
    pub(super) fn with(&self, name: &str, value: &str) -> String {
        let others = self
            .query
            .iter()
            .filter(|(found, _)| *found != name && *found != "theme");
        let mut pairs: Vec<(&str, &str)> = others.collect();
        pairs.push((name, value));
        super::link::query(&self.path, &pairs)
    }
}
