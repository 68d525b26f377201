//! The intersection of two grants. Invariant: the result allows nothing that either of them denies.

use super::host::HostPattern;
use super::mailbox::AddressPattern;
use super::storage::normalise_prefix;
use super::{Grants, Limits, TrainingGrant};
use std::collections::{BTreeMap, BTreeSet};

impl Grants {
    /// What both allow. Patterns that are not well-formed allow nothing and are dropped.
    #[must_use]
    pub fn narrow(&self, other: &Self) -> Self {
        let write = prefixes(&self.storage, &other.storage);
        let mut read = prefixes(&self.readable(), &other.readable());
        read.retain(|prefix| !write.iter().any(|wider| prefix.starts_with(wider.as_str())));
        Self {
            http: hosts(&self.http, &other.http),
            storage: write,
            storage_read: read,
            tracking: names(&self.tracking, &other.tracking),
            models: names(&self.models, &other.models),
            training: self
                .training
                .as_ref()
                .zip(other.training.as_ref())
                .map(|(one, two)| TrainingGrant {
                    threads: one.threads.min(two.threads),
                    memory_bytes: one.memory_bytes.min(two.memory_bytes),
                }),
            dag_state: names(&self.dag_state, &other.dag_state),
            trigger_dags: names(&self.trigger_dags, &other.trigger_dags),
            secrets: secrets(&self.secrets, &other.secrets),
            email: addresses(&self.email, &other.email),
            scratch_bytes: self
                .scratch_bytes
                .zip(other.scratch_bytes)
                .map(|(one, two)| one.min(two)),
            limits: Limits {
                memory_bytes: lower(self.limits.memory_bytes, other.limits.memory_bytes),
                log_bytes: lower(self.limits.log_bytes, other.limits.log_bytes),
                output_bytes: lower(self.limits.output_bytes, other.limits.output_bytes),
            },
        }
    }

    fn readable(&self) -> Vec<String> {
        self.storage
            .iter()
            .chain(&self.storage_read)
            .cloned()
            .collect()
    }
}

/// An absent limit is the host's default: the other can only lower it.
fn lower(one: Option<u64>, two: Option<u64>) -> Option<u64> {
    one.into_iter().chain(two).min()
}

fn hosts(one: &[String], two: &[String]) -> Vec<String> {
    let parse = |patterns: &[String]| -> Vec<HostPattern> {
        patterns
            .iter()
            .filter_map(|text| HostPattern::parse(text).ok())
            .collect()
    };
    let (one, two) = (parse(one), parse(two));
    let both: Vec<HostPattern> = one
        .iter()
        .flat_map(|left| two.iter().filter_map(|right| left.intersect(right)))
        .collect();
    let covered = |pattern: &&HostPattern| {
        both.iter()
            .any(|wider| wider != *pattern && wider.intersect(pattern).as_ref() == Some(*pattern))
    };
    let least = both.iter().filter(|pattern| !covered(pattern));
    sorted(least.map(ToString::to_string))
}

fn prefixes(one: &[String], two: &[String]) -> Vec<String> {
    let parse = |texts: &[String]| -> Vec<String> {
        texts
            .iter()
            .filter_map(|text| normalise_prefix(text).ok())
            .collect()
    };
    let (one, two) = (parse(one), parse(two));
    let both = sorted(one.iter().flat_map(|left| {
        two.iter().filter_map(move |right| {
            if left.starts_with(right.as_str()) {
                Some(left.clone())
            } else {
                right.starts_with(left.as_str()).then(|| right.clone())
            }
        })
    }));
    let covered = |prefix: &&String| {
        both.iter()
            .any(|wider| wider != *prefix && prefix.starts_with(wider.as_str()))
    };
    both.iter()
        .filter(|prefix| !covered(prefix))
        .cloned()
        .collect()
}

fn addresses(one: &[String], two: &[String]) -> Vec<String> {
    let parse = |texts: &[String]| -> Vec<AddressPattern> {
        let parsed = texts.iter().map(|text| AddressPattern::parse(text));
        parsed.filter_map(Result::ok).collect()
    };
    let (one, two) = (parse(one), parse(two));
    let both = one
        .iter()
        .flat_map(|left| two.iter().filter_map(|right| left.intersect(right)));
    sorted(both.map(|pattern| pattern.to_string()))
}

fn names(one: &[String], two: &[String]) -> Vec<String> {
    let allows = |list: &[String], name: &String| list.iter().any(|own| own == "*" || own == name);
    let left = one.iter().filter(|name| allows(two, name));
    sorted(
        left.chain(two.iter().filter(|name| allows(one, name)))
            .cloned(),
    )
}

fn secrets(
    one: &BTreeMap<String, Vec<String>>,
    two: &BTreeMap<String, Vec<String>>,
) -> BTreeMap<String, Vec<String>> {
    one.iter()
        .filter_map(|(name, left)| Some((name.clone(), hosts(left, two.get(name)?))))
        .filter(|(_, both)| !both.is_empty())
        .collect()
}

fn sorted(items: impl Iterator<Item = String>) -> Vec<String> {
    items.collect::<BTreeSet<_>>().into_iter().collect()
}
