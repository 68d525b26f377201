//! What the person who runs the host lets a plugin do at most, and the one function that says what an attempt may do:
//! policy, request and DAG narrowed to one. Invariant: an [`Effective`] grant allows nothing that any of them denies.

use super::capability::{Asks, Capability};
use super::{GrantError, Grants, Limits, TrainingGrant};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Deref;

/// How far a policy goes in one member of `grants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Reach<T> {
    /// `true`: as far as a DAG grants it. `false`: not at all.
    Whole(bool),
    /// As far as a DAG grants it, and at most this.
    AtMost(T),
}

impl<T> Default for Reach<T> {
    fn default() -> Self {
        Self::Whole(false)
    }
}

impl<T: Clone> Reach<T> {
    /// Whether it opens anything.
    pub fn is_open(&self) -> bool {
        !self.is_shut()
    }

    fn is_shut(&self) -> bool {
        matches!(self, Self::Whole(false))
    }

    /// The most that is allowed of what is granted.
    fn of(&self, granted: T, nothing: T) -> T {
        match self {
            Self::Whole(true) => granted,
            Self::Whole(false) => nothing,
            Self::AtMost(most) => most.clone(),
        }
    }
}

/// What a plugin may do at most. What is absent is denied.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub http: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub storage: Reach<Vec<String>>,
    /// As in [`Grants`]; `true` also takes what a DAG grants for writing, to read it.
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub storage_read: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub tracking: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub models: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub training: Reach<TrainingGrant>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub dag_state: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub trigger_dags: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub secrets: Reach<BTreeMap<String, Vec<String>>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "Reach::is_shut")]
    pub email: Reach<Vec<String>>,
    /// As in [`Grants`].
    #[serde(skip_serializing_if = "is_default")]
    pub limits: Limits,
}

fn is_default(limits: &Limits) -> bool {
    *limits == Limits::default()
}

/// Why a policy cannot be changed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// A pattern is not well-formed.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// `training` has no patterns.
    #[error("training takes no patterns: it is granted as a whole")]
    NoPatterns,
    /// A secret's pattern is `NAME=HOST`.
    #[error("{0:?} does not say which secret may go where; write NAME=HOST")]
    Secret(String),
    /// A pattern that is to be revoked is not there.
    #[error("{pattern:?} is not among the patterns of {capability}")]
    NoSuchPattern {
        /// Where it was looked for.
        capability: &'static str,
        /// As asked for.
        pattern: String,
    },
}

impl Policy {
    /// Everything, as far as a DAG grants it.
    pub fn whole() -> Self {
        Asks::everything().policy()
    }

    /// What this policy leaves of `grants`.
    #[must_use]
    pub fn narrow(&self, grants: &Grants) -> Grants {
        let granted = grants.clone();
        let readable = [&granted.storage[..], &granted.storage_read[..]].concat();
        let training = match &self.training {
            Reach::Whole(true) => granted.training,
            Reach::Whole(false) => None,
            Reach::AtMost(most) => some_training(most),
        };
        let most = Grants {
            http: self.http.of(granted.http, Vec::new()),
            storage: self.storage.of(granted.storage, Vec::new()),
            // Whoever may write whatever a DAG grants may read it.
            storage_read: if self.storage == Reach::Whole(true) {
                readable
            } else {
                self.storage_read.of(readable, Vec::new())
            },
            tracking: self.tracking.of(granted.tracking, Vec::new()),
            models: self.models.of(granted.models, Vec::new()),
            training,
            dag_state: self.dag_state.of(granted.dag_state, Vec::new()),
            trigger_dags: self.trigger_dags.of(granted.trigger_dags, Vec::new()),
            secrets: self.secrets.of(granted.secrets, BTreeMap::new()),
            email: self.email.of(granted.email, Vec::new()),
            // No plugin can ask for a folder: a program has one, and of programs no policy speaks.
            scratch_bytes: granted.scratch_bytes,
            limits: self.limits.clone(),
        };
        grants.narrow(&most)
    }

    /// Whether it opens anything of a capability.
    pub fn opens(&self, capability: Capability) -> bool {
        match self.list(capability) {
            Some(list) => list.is_open(),
            None if capability == Capability::Training => self.training.is_open(),
            None => self.secrets.is_open(),
        }
    }

    /// The patterns of a capability that has a list of them: all but training and secrets.
    pub fn list(&self, capability: Capability) -> Option<&Reach<Vec<String>>> {
        Some(match capability {
            Capability::Http => &self.http,
            Capability::Storage => &self.storage,
            Capability::StorageRead => &self.storage_read,
            Capability::Tracking => &self.tracking,
            Capability::Models => &self.models,
            Capability::DagState => &self.dag_state,
            Capability::TriggerDags => &self.trigger_dags,
            Capability::Email => &self.email,
            Capability::Training | Capability::Secrets => return None,
        })
    }

    fn list_mut(&mut self, capability: Capability) -> Option<&mut Reach<Vec<String>>> {
        Some(match capability {
            Capability::Http => &mut self.http,
            Capability::Storage => &mut self.storage,
            Capability::StorageRead => &mut self.storage_read,
            Capability::Tracking => &mut self.tracking,
            Capability::Models => &mut self.models,
            Capability::DagState => &mut self.dag_state,
            Capability::TriggerDags => &mut self.trigger_dags,
            Capability::Email => &mut self.email,
            Capability::Training | Capability::Secrets => return None,
        })
    }

    /// Sets how far a capability goes; `AtMost` of a list means nothing for training and secrets and shuts them.
    pub(super) fn set(&mut self, capability: Capability, reach: Reach<Vec<String>>) {
        let whole = matches!(reach, Reach::Whole(true));
        match capability {
            Capability::Training => self.training = Reach::Whole(whole),
            Capability::Secrets => self.secrets = Reach::Whole(whole),
            _ => {
                if let Some(list) = self.list_mut(capability) {
                    *list = reach;
                }
            }
        }
    }

    /// Opens a capability: as far as a DAG grants it, or at most what `patterns` name, beside those that are there.
    pub fn grant(
        &mut self,
        capability: Capability,
        patterns: &[String],
    ) -> Result<(), PolicyError> {
        let mut changed = self.clone();
        if patterns.is_empty() {
            changed.set(capability, Reach::Whole(true));
        } else if capability == Capability::Training {
            return Err(PolicyError::NoPatterns);
        } else if capability == Capability::Secrets {
            let mut most = changed.secrets.of(BTreeMap::new(), BTreeMap::new());
            for pattern in patterns {
                let (name, host) = secret(pattern)?;
                push_new(most.entry(name).or_default(), host);
            }
            changed.secrets = Reach::AtMost(most);
        } else if let Some(list) = changed.list_mut(capability) {
            let mut most = list.of(Vec::new(), Vec::new());
            for pattern in patterns {
                push_new(&mut most, pattern.clone());
            }
            *list = Reach::AtMost(most);
        }
        changed.validate()?;
        *self = changed;
        Ok(())
    }

    /// Shuts a capability, or takes some patterns of it back.
    pub fn revoke(
        &mut self,
        capability: Capability,
        patterns: &[String],
    ) -> Result<(), PolicyError> {
        if patterns.is_empty() {
            self.set(capability, Reach::Whole(false));
            return Ok(());
        }
        let missing = |pattern: &String| PolicyError::NoSuchPattern {
            capability: capability.name(),
            pattern: pattern.clone(),
        };
        let mut changed = self.clone();
        for pattern in patterns {
            let found = match (capability, &mut changed.secrets) {
                (Capability::Training, _) => return Err(PolicyError::NoPatterns),
                (Capability::Secrets, Reach::AtMost(most)) => {
                    let (name, host) = secret(pattern)?;
                    most.get_mut(&name).is_some_and(|list| take(list, &host))
                }
                _ => match changed.list_mut(capability) {
                    Some(Reach::AtMost(most)) => take(most, pattern),
                    _ => false,
                },
            };
            if !found {
                return Err(missing(pattern));
            }
        }
        changed.shut_empty();
        *self = changed;
        Ok(())
    }

    /// A list that names nothing any more opens nothing.
    fn shut_empty(&mut self) {
        for capability in Capability::ALL {
            if let Some(list) = self.list_mut(capability)
                && matches!(list, Reach::AtMost(most) if most.is_empty())
            {
                *list = Reach::Whole(false);
            }
        }
        if let Reach::AtMost(most) = &mut self.secrets {
            most.retain(|_, hosts| !hosts.is_empty());
            if most.is_empty() {
                self.secrets = Reach::Whole(false);
            }
        }
    }

    /// Whether every pattern is well-formed.
    pub fn validate(&self) -> Result<(), GrantError> {
        self.at_most().validate()
    }

    /// Whoever may write may read.
    fn reading_goes_without_saying(&self) -> bool {
        self.storage == Reach::Whole(true)
            || (self.storage.is_open() && !self.storage_read.is_open())
    }

    /// Whether training or secrets are open as far as a DAG grants them.
    fn is_whole(&self, capability: Capability) -> bool {
        match capability {
            Capability::Training => self.training == Reach::Whole(true),
            _ => self.secrets == Reach::Whole(true),
        }
    }

    /// Whether something of training or secrets is named.
    fn names_some(&self, capability: Capability) -> bool {
        let named = self.at_most();
        match capability {
            Capability::Training => named.training.is_some(),
            _ => !named.secrets.is_empty(),
        }
    }

    /// What is named in lists, as a grant.
    fn at_most(&self) -> Grants {
        let list = |reach: &Reach<Vec<String>>| reach.of(Vec::new(), Vec::new());
        Grants {
            http: list(&self.http),
            storage: list(&self.storage),
            storage_read: list(&self.storage_read),
            tracking: list(&self.tracking),
            models: list(&self.models),
            training: match &self.training {
                Reach::AtMost(most) => some_training(most),
                Reach::Whole(_) => None,
            },
            dag_state: list(&self.dag_state),
            trigger_dags: list(&self.trigger_dags),
            secrets: self.secrets.of(BTreeMap::new(), BTreeMap::new()),
            email: list(&self.email),
            scratch_bytes: None,
            limits: self.limits.clone(),
        }
    }

    /// What a person reads: one sentence for each thing that `asks` asks for, in a fixed order.
    pub fn sentences(&self, asks: &Asks) -> Vec<String> {
        let mut all = Vec::new();
        for capability in asks.iter() {
            if capability == Capability::StorageRead && self.reading_goes_without_saying() {
                continue;
            }
            let (whole, shut) = words(capability);
            match self.list(capability) {
                Some(Reach::Whole(true)) => all.push(whole.to_owned()),
                Some(Reach::AtMost(most)) if !most.is_empty() => {}
                None if self.is_whole(capability) => all.push(whole.to_owned()),
                None if self.names_some(capability) => {}
                _ => all.push(shut.to_owned()),
            }
        }
        all.extend(self.at_most().sentences());
        all
    }
}

/// What a capability that is open as a whole allows, and what one that is shut denies.
const fn words(capability: Capability) -> (&'static str, &'static str) {
    match capability {
        Capability::Http => (
            "may send requests to the hosts that a DAG grants",
            "may not send requests, though it asks for it",
        ),
        Capability::Storage => (
            "may read and write the objects that a DAG grants",
            "may not write objects, though it asks for it",
        ),
        Capability::StorageRead => (
            "may read the objects that a DAG grants",
            "may not read objects, though it asks for it",
        ),
        Capability::Tracking => (
            "may log to the experiments that a DAG grants",
            "may not log to experiments, though it asks for it",
        ),
        Capability::Models => (
            "may change the registered models that a DAG grants",
            "may not change registered models, though it asks for it",
        ),
        Capability::Training => (
            "may train on this host as far as a DAG grants",
            "may not train, though it asks for it",
        ),
        Capability::DagState => (
            "may read the run states of the DAGs that a DAG grants",
            "may not read run states, though it asks for it",
        ),
        Capability::TriggerDags => (
            "may trigger runs of the DAGs that a DAG grants",
            "may not trigger runs, though it asks for it",
        ),
        Capability::Email => (
            "may mail the addresses that a DAG grants",
            "may not send mails, though it asks for it",
        ),
        Capability::Secrets => (
            "may send the secrets that a DAG grants, each to the hosts that its grant names (and never sees a value)",
            "may not send secrets, though it asks for it",
        ),
    }
}

/// Without threads there is no training.
fn some_training(most: &TrainingGrant) -> Option<TrainingGrant> {
    (most.threads > 0).then(|| most.clone())
}

fn secret(pattern: &str) -> Result<(String, String), PolicyError> {
    pattern
        .split_once('=')
        .filter(|(name, host)| !name.is_empty() && !host.is_empty())
        .map(|(name, host)| (name.to_owned(), host.to_owned()))
        .ok_or_else(|| PolicyError::Secret(pattern.to_owned()))
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
        list.sort();
    }
}

fn take(list: &mut Vec<String>, item: &str) -> bool {
    let before = list.len();
    list.retain(|own| own != item);
    list.len() < before
}

/// What an attempt may do. [`effective`] alone makes one, so whoever asks for it cannot be handed anything wider.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effective(Grants);

impl Effective {
    /// The grants themselves, for the ports.
    pub fn into_grants(self) -> Grants {
        self.0
    }
}

impl Deref for Effective {
    type Target = Grants;

    fn deref(&self) -> &Grants {
        &self.0
    }
}

/// What an attempt may do: what the DAG grants, narrowed by the task, by every policy, and by what the plugin asks for.
pub fn effective(
    policies: &[&Policy],
    asks: &Asks,
    dag: &Grants,
    task: Option<&Grants>,
) -> Effective {
    let granted = task.map_or_else(|| dag.clone(), |own| dag.narrow(own));
    let mut asked = asks.policy();
    // A placeholder comes in with the config too, whatever is imported; sending it needs `http`.
    asked.set(Capability::Secrets, Reach::Whole(true));
    let all = policies.iter().copied().chain([&asked]);
    Effective(all.fold(granted, |left, policy| policy.narrow(&left)))
}
