//! A policy reduced to what was made use of. Invariant: the result allows nothing that the policy denies, and nothing that was not
//! used. It refuses to judge how long is long enough: whoever asks says which uses count.

use super::{Capability, Grants, Policy, Reach, TrainingGrant};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Something that a guest was let do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// By which member of its grants.
    pub capability: Capability,
    /// To what: `host:port`, a granted prefix, a name, an address, `SECRET=host:port`; empty for training, which has no parts.
    pub what: String,
}

impl std::fmt::Display for Use {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} {}", self.capability.name(), self.what)
    }
}

impl Policy {
    /// What is left of this policy when what was not used is taken away. Limits stay. What was open stays open to nothing rather
    /// than being shut: a component that imports what is shut is not linked at all, and this one ran.
    #[must_use]
    pub fn tightened(&self, uses: &BTreeSet<Use>) -> Self {
        let left = self.narrow(&as_grants(uses));
        let is_trained = uses
            .iter()
            .any(|one| one.capability == Capability::Training);
        let no_training = TrainingGrant {
            threads: 0,
            memory_bytes: 0,
        };
        Self {
            http: list(&self.http, left.http),
            // Whoever may write may read.
            storage_read: if left.storage_read.is_empty() && !left.storage.is_empty() {
                Reach::Whole(false)
            } else {
                list(&self.readable(), left.storage_read)
            },
            storage: list(&self.storage, left.storage),
            tracking: list(&self.tracking, left.tracking),
            models: list(&self.models, left.models),
            training: match &self.training {
                open if is_trained || !open.is_open() => open.clone(),
                _ => Reach::AtMost(no_training),
            },
            dag_state: list(&self.dag_state, left.dag_state),
            trigger_dags: list(&self.trigger_dags, left.trigger_dags),
            secrets: if self.secrets.is_open() {
                Reach::AtMost(left.secrets)
            } else {
                Reach::Whole(false)
            },
            email: list(&self.email, left.email),
            limits: self.limits.clone(),
        }
    }

    /// Whoever may write whatever a DAG grants may read it, so either opens reading.
    fn readable(&self) -> Reach<Vec<String>> {
        if self.storage_read.is_open() {
            self.storage_read.clone()
        } else {
            self.storage.clone()
        }
    }
}

/// What is left of a list that was open.
fn list(before: &Reach<Vec<String>>, left: Vec<String>) -> Reach<Vec<String>> {
    if before.is_open() {
        Reach::AtMost(left)
    } else {
        Reach::Whole(false)
    }
}

/// Exactly what was used, as a grant.
fn as_grants(uses: &BTreeSet<Use>) -> Grants {
    let mut grants = Grants::default();
    for Use { capability, what } in uses {
        let list = match capability {
            Capability::Http => &mut grants.http,
            Capability::Storage => &mut grants.storage,
            Capability::StorageRead => &mut grants.storage_read,
            Capability::Tracking => &mut grants.tracking,
            Capability::Models => &mut grants.models,
            Capability::DagState => &mut grants.dag_state,
            Capability::TriggerDags => &mut grants.trigger_dags,
            Capability::Email => &mut grants.email,
            Capability::Secrets => {
                add_secret(&mut grants.secrets, what);
                continue;
            }
            Capability::Training => continue,
        };
        list.push(what.clone());
    }
    grants
}

fn add_secret(secrets: &mut BTreeMap<String, Vec<String>>, what: &str) {
    if let Some((name, host)) = what.split_once('=') {
        let hosts = secrets.entry(name.to_owned()).or_default();
        hosts.push(host.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(all: &[(Capability, &str)]) -> BTreeSet<Use> {
        let uses = all.iter().map(|(capability, what)| Use {
            capability: *capability,
            what: (*what).to_owned(),
        });
        uses.collect()
    }

    #[test]
    fn only_what_was_used_is_left() {
        let policy = Policy {
            http: Reach::AtMost(vec![
                "*.example.com:443".to_owned(),
                "unused.org".to_owned(),
            ]),
            storage: Reach::Whole(true),
            models: Reach::Whole(true),
            training: Reach::Whole(true),
            secrets: Reach::Whole(true),
            ..Policy::default()
        };
        let uses = used(&[
            (Capability::Http, "api.example.com:443"),
            (Capability::Http, "never-granted.org:443"),
            (Capability::StorageRead, "s3://data/in/"),
            (Capability::Secrets, "token=api.example.com:443"),
        ]);
        let tight = policy.tightened(&uses);
        let at_most = |what: &str| Reach::AtMost(vec![what.to_owned()]);
        assert_eq!(tight.http, at_most("api.example.com:443"));
        assert_eq!(tight.storage, Reach::AtMost(Vec::new()));
        assert_eq!(tight.storage_read, at_most("s3://data/in/"));
        assert_eq!(tight.tracking, Reach::Whole(false), "it was shut");
        assert!(
            tight.training.is_open() && tight.models.is_open(),
            "it is linked"
        );
        let everything = Grants {
            models: vec!["*".to_owned()],
            training: Some(TrainingGrant::default()),
            ..Grants::default()
        };
        assert_eq!(tight.narrow(&everything), Grants::default());
        let hosts = vec!["api.example.com:443".to_owned()];
        let secrets = BTreeMap::from([("token".to_owned(), hosts)]);
        assert_eq!(tight.secrets, Reach::AtMost(secrets));
    }

    #[test]
    fn what_is_tight_stays_as_it_is() {
        let uses = used(&[
            (Capability::Storage, "file://./out/"),
            (Capability::Email, "ml@example.com"),
            (Capability::TriggerDags, "deploy"),
            (Capability::Training, ""),
        ]);
        let tight = Policy::whole().tightened(&uses);
        assert_eq!(tight.tightened(&uses), tight);
        assert_eq!(tight.training, Reach::Whole(true));
        assert!(Policy::default().tightened(&uses) == Policy::default());
    }
}
