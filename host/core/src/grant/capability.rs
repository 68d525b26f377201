//! What a component asks for, read from the names of what it imports: its import list is its request. It refuses to read binaries.

use super::policy::{Policy, Reach};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// A member of `grants`: what a DAG, a task or an operator's policy opens or keeps shut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// Requests over HTTP.
    Http,
    /// Objects, read and written.
    Storage,
    /// Objects, read only.
    StorageRead,
    /// Experiments.
    Tracking,
    /// Changes of registered models.
    Models,
    /// Training in the host.
    Training,
    /// States of other runs.
    DagState,
    /// New runs.
    TriggerDags,
    /// Secrets in requests.
    Secrets,
    /// Mails.
    Email,
}

impl Capability {
    /// All of them, in the order in which people read them.
    pub const ALL: [Self; 10] = [
        Self::Http,
        Self::Storage,
        Self::StorageRead,
        Self::Tracking,
        Self::Models,
        Self::Training,
        Self::DagState,
        Self::TriggerDags,
        Self::Secrets,
        Self::Email,
    ];

    /// Its name in `grants`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Storage => "storage",
            Self::StorageRead => "storage_read",
            Self::Tracking => "tracking",
            Self::Models => "models",
            Self::Training => "training",
            Self::DagState => "dag_state",
            Self::TriggerDags => "trigger_dags",
            Self::Secrets => "secrets",
            Self::Email => "email",
        }
    }

    /// The capability of that name.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }
}

/// Interfaces that need a grant, each with the capabilities of which one is enough to call it at all.
const INTERFACES: [(&str, &[Capability]); 11] = [
    (
        "airlock:operator/storage",
        &[Capability::Storage, Capability::StorageRead],
    ),
    (
        "airlock:operator/dataset",
        &[Capability::Storage, Capability::StorageRead],
    ),
    ("airlock:operator/training", &[Capability::Training]),
    ("airlock:operator/tracking", &[Capability::Tracking]),
    ("airlock:operator/models", &[Capability::Models]),
    ("airlock:operator/dag-state", &[Capability::DagState]),
    ("airlock:operator/secrets", &[Capability::Secrets]),
    ("airlock:operator/email", &[Capability::Email]),
    (
        "airlock:operator/dag-runs",
        &[Capability::TriggerDags, Capability::DagState],
    ),
    ("airlock:operator/http", &[Capability::Http]),
    ("wasi:http/outgoing-handler", &[Capability::Http]),
];

/// What a component asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Asks(BTreeSet<Capability>);

impl Asks {
    /// Everything that there is to ask for.
    pub fn everything() -> Self {
        Self(Capability::ALL.into_iter().collect())
    }

    /// What these imports ask for; versions do not matter. What may call hosts may be handed secrets for them in its config.
    pub fn of_imports<T: AsRef<str>>(imports: &[T]) -> Self {
        let mut asked: BTreeSet<Capability> = imports
            .iter()
            .flat_map(|import| needed(import.as_ref()))
            .copied()
            .collect();
        if asked.contains(&Capability::Http) {
            asked.insert(Capability::Secrets);
        }
        Self(asked)
    }

    /// Whether it is asked for.
    pub fn contains(&self, capability: Capability) -> bool {
        self.0.contains(&capability)
    }

    /// What is asked for, in a fixed order.
    pub fn iter(&self) -> impl Iterator<Item = Capability> {
        self.0.iter().copied()
    }

    /// What is asked for here and was not before.
    #[must_use]
    pub fn beyond(&self, before: &Self) -> Self {
        Self(self.0.difference(&before.0).copied().collect())
    }

    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The policy that opens exactly what is asked for, as far as a DAG grants it.
    pub fn policy(&self) -> Policy {
        let mut policy = Policy::default();
        for capability in self.iter() {
            policy.set(capability, Reach::Whole(true));
        }
        policy
    }
}

/// The imports that `policy` keeps shut altogether: a component with one of these must not be linked.
pub fn shut_imports<T: AsRef<str>>(imports: &[T], policy: &Policy) -> Vec<(String, Capability)> {
    let shut = imports.iter().filter_map(|import| {
        let any_of = needed(import.as_ref());
        let first = any_of.first()?;
        let is_shut = !any_of.iter().any(|capability| policy.opens(*capability));
        is_shut.then(|| (import.as_ref().to_owned(), *first))
    });
    shut.collect()
}

fn needed(import: &str) -> &'static [Capability] {
    let name = import.split_once('@').map_or(import, |(name, _)| name);
    INTERFACES
        .iter()
        .find(|(interface, _)| *interface == name)
        .map_or(&[], |(_, any_of)| any_of)
}
