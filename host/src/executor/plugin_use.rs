//! What each plugin used, by day, so that a person sees what of its grants it needs. Counted in memory and written now and then: a
//! process that is killed loses at most the last `WRITE_EVERY`. It refuses to keep more than `DAYS_KEPT` days, and to decide what a
//! plugin may do.

use crate::scheduler::{CodecError, decode_row, encode_row};
use crate::store::{Commit, CommitError, RowWrite, Store, StoreError, Table};
use airlock_core::grant::Use;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Days of a plugin that are kept.
pub const DAYS_KEPT: u16 = 30;
/// How often what was counted is written.
const WRITE_EVERY: Duration = Duration::from_secs(10);
/// Different uses that are kept of a plugin and day; a plugin with more is not one to tighten by what it used.
pub const USES_A_DAY_MAX: usize = 1_000;
/// Prefix in `Table::State`.
const PREFIX: &[u8] = b"plugin_use\0";

/// What a plugin used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Used {
    /// Attempts that ended.
    pub attempts: u64,
    /// Time on a worker of all of them, microseconds.
    pub cpu_us: u64,
    /// What was denied to them; one that asks for the same thing often counts once an attempt.
    pub denied: u64,
    /// What they were let do, each once.
    pub uses: BTreeSet<Use>,
    /// There were more than `USES_A_DAY_MAX`.
    pub is_cut: bool,
}

impl Used {
    /// One attempt.
    pub fn one(cpu_us: u64, denied: usize, uses: &BTreeSet<Use>) -> Self {
        Self {
            attempts: 1,
            cpu_us,
            denied: denied as u64,
            uses: uses.clone(),
            is_cut: false,
        }
    }

    fn add(&mut self, other: &Self) {
        self.attempts += other.attempts;
        self.cpu_us += other.cpu_us;
        self.denied += other.denied;
        self.is_cut |= other.is_cut;
        for one in &other.uses {
            if self.uses.len() < USES_A_DAY_MAX {
                self.uses.insert(one.clone());
            } else {
                self.is_cut |= !self.uses.contains(one);
            }
        }
    }
}

/// Why it cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum PluginUseError {
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store does not take it.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// A row is not as it must be.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// See the module's documentation.
pub struct PluginUse {
    store: Arc<dyn Store>,
    inside: Mutex<Inside>,
}

struct Inside {
    counted: BTreeMap<(String, Date), Used>,
    written: Instant,
}

impl PluginUse {
    /// What is in the store, and nothing counted yet.
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            inside: Mutex::new(Inside {
                counted: BTreeMap::new(),
                written: Instant::now(),
            }),
        }
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what was used; says whether it is time to `write`.
    pub fn add(&self, plugin: &str, at: Timestamp, used: &Used) -> bool {
        let mut inside = self.inside();
        let key = (plugin.to_owned(), day(at));
        inside.counted.entry(key).or_default().add(used);
        inside.written.elapsed() >= WRITE_EVERY
    }

    /// Writes what was counted. Blocks: not for the thread that commits.
    pub fn write(&self) -> Result<(), PluginUseError> {
        let counted = {
            let mut inside = self.inside();
            inside.written = Instant::now();
            std::mem::take(&mut inside.counted)
        };
        let written = self.write_all(&counted);
        if written.is_err() {
            // It is tried again with what comes next.
            let mut inside = self.inside();
            for (key, used) in counted {
                inside.counted.entry(key).or_default().add(&used);
            }
        }
        written
    }

    /// The same where nobody waits for it.
    pub fn write_or_warn(&self) {
        if let Err(error) = self.write() {
            tracing::warn!(%error, "what plugins used cannot be written");
        }
    }

    fn write_all(&self, counted: &BTreeMap<(String, Date), Used>) -> Result<(), PluginUseError> {
        let mut rows = Vec::new();
        for ((plugin, day), used) in counted {
            let key = [prefix(plugin), day.to_string().into_bytes()].concat();
            let mut sum = if let Some(row) = self.store.get(Table::State, &key)? {
                decode_row(&row.value)?
            } else {
                let outdated = self.outdated(plugin, *day)?;
                rows.extend(outdated.into_iter().map(|key| (key, None)));
                Used::default()
            };
            sum.add(used);
            rows.push((key, Some(encode_row(&sum)?)));
        }
        if rows.is_empty() {
            return Ok(());
        }
        let write = |(key, value)| {
            let expect = None;
            (Table::State, RowWrite { key, expect, value })
        };
        self.store.commit(Commit {
            rows: rows.into_iter().map(write).collect(),
            ..Commit::default()
        })?;
        Ok(())
    }

    /// The days that are too old on a new day.
    fn outdated(&self, plugin: &str, day: Date) -> Result<Vec<Vec<u8>>, StoreError> {
        let prefix = prefix(plugin);
        let first = first_kept(day).to_string().into_bytes();
        let days = self.store.scan(Table::State, &prefix, None, 1_000)?;
        let is_old = |key: &[u8]| {
            key.strip_prefix(&prefix[..])
                .is_some_and(|day| *day < *first)
        };
        let old = days.into_iter().filter(|row| is_old(&row.key));
        Ok(old.map(|row| row.key).collect())
    }

    /// What a plugin used in the last `DAYS_KEPT` days, today included.
    pub fn of(&self, plugin: &str, now: Timestamp) -> Result<Used, PluginUseError> {
        let prefix = prefix(plugin);
        let first = first_kept(day(now));
        let mut sum = Used::default();
        for row in self.store.scan(Table::State, &prefix, None, 1_000)? {
            let day = row.key.strip_prefix(&prefix[..]).unwrap_or_default();
            if *day >= *first.to_string().as_bytes() {
                sum.add(&decode_row(&row.value)?);
            }
        }
        let inside = self.inside();
        let counted = inside.counted.iter();
        for (_, used) in counted.filter(|((name, day), _)| name == plugin && *day >= first) {
            sum.add(used);
        }
        Ok(sum)
    }
}

fn prefix(plugin: &str) -> Vec<u8> {
    [PREFIX, plugin.as_bytes(), b"\0"].concat()
}

fn day(at: Timestamp) -> Date {
    TimeZone::UTC.to_datetime(at).date()
}

fn first_kept(day: Date) -> Date {
    day.saturating_sub((i64::from(DAYS_KEPT) - 1).days())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::MemoryStore;
    use airlock_core::grant::Capability;

    fn used(what: &str) -> Used {
        let one = Use {
            capability: Capability::Http,
            what: what.to_owned(),
        };
        Used::one(5, 1, &BTreeSet::from([one]))
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(1_767_225_600 + day * 86_400).unwrap()
    }

    #[test]
    fn what_was_counted_is_there_before_and_after_it_is_written_and_for_the_next_process() {
        let store = Arc::new(MemoryStore::default());
        let first = PluginUse::new(store.clone());
        first.add("a", at(0), &used("x:1"));
        assert_eq!(first.of("a", at(0)).unwrap().attempts, 1);
        first.write().unwrap();
        first.add("a", at(1), &used("y:1"));
        first.add("ab", at(1), &used("z:1"));
        first.write().unwrap();
        let second = PluginUse::new(store);
        let sum = second.of("a", at(1)).unwrap();
        assert_eq!((sum.attempts, sum.cpu_us, sum.denied), (2, 10, 2));
        assert_eq!(sum.uses.len(), 2);
    }

    #[test]
    fn a_month_is_kept() {
        let store = Arc::new(MemoryStore::default());
        let plugin_use = PluginUse::new(store.clone());
        for day in 0..2 * i64::from(DAYS_KEPT) {
            plugin_use.add("a", at(day), &used("x:1"));
            plugin_use.write().unwrap();
        }
        let rows = store.scan(Table::State, PREFIX, None, 1_000).unwrap();
        assert_eq!(rows.len(), usize::from(DAYS_KEPT));
        let last = at(2 * i64::from(DAYS_KEPT) - 1);
        let sum = plugin_use.of("a", last).unwrap();
        assert_eq!(sum.attempts, u64::from(DAYS_KEPT));
    }

    #[test]
    fn a_day_of_too_many_different_uses_says_so() {
        let plugin_use = PluginUse::new(Arc::new(MemoryStore::default()));
        for number in 0..=USES_A_DAY_MAX {
            plugin_use.add("a", at(0), &used(&number.to_string()));
        }
        let sum = plugin_use.of("a", at(0)).unwrap();
        assert!(sum.is_cut);
        assert_eq!(sum.uses.len(), USES_A_DAY_MAX);
    }
}
