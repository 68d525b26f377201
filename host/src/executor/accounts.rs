//! What an attempt used: of its limits, and of what it was granted. Written down at its end for people, with the run's events, and
//! added to what its plugin used that day. It refuses to judge, and to keep a value of a secret.

use super::Parts;
use super::commands::Kind;
use super::plugin_use::Used;
use crate::capability::{Uses, Vault};
use crate::sandbox::{AttemptLimits, AttemptReport, Usage};
use crate::scheduler::Attempt;
use airlock_core::grant::Use;
use airlock_core::ids::OperatorName;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What one attempt used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AttemptUse {
    /// From admission to the end, microseconds.
    pub wall_us: u64,
    /// Time on a worker, microseconds.
    pub cpu_us: u64,
    /// The most linear memory that it held, bytes.
    pub memory: OfLimit,
    /// Log kept, bytes.
    pub log: OfLimit,
    /// The value it returned, bytes.
    pub output: OfLimit,
    /// What it was let do, each once.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub uses: BTreeSet<Use>,
    /// What it asked for and was denied, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

/// So much of so much, both bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfLimit {
    /// What was used.
    pub used: u64,
    /// What was allowed.
    pub limit: u64,
}

impl AttemptUse {
    /// What an event says. One of another Airlock may say more; what cannot be read is nothing.
    pub fn decode(json: &str) -> Option<Self> {
        serde_json::from_str(json).ok()
    }
}

/// Kept while an attempt or a callback runs.
pub(super) struct Account {
    /// The plugin that its use is added to; none for programs, of which no policy speaks.
    plugin: Option<String>,
    limits: AttemptLimits,
    uses: Uses,
}

impl Account {
    /// Its `uses` are what its ports note.
    pub(super) fn new(operator: &OperatorName, limits: &AttemptLimits) -> Self {
        let is_program = Kind::of(operator).is_some();
        let plugin = operator.as_str().split('.').next().unwrap_or_default();
        Self {
            plugin: (!is_program).then(|| plugin.to_owned()),
            limits: limits.clone(),
            uses: Uses::default(),
        }
    }

    /// For the ports.
    pub(super) fn uses(&self) -> Uses {
        self.uses.clone()
    }

    /// Adds what was used to what the plugin used today.
    pub(super) fn count(&self, parts: &Arc<Parts>, account: &AttemptUse) {
        let Some(plugin) = &self.plugin else { return };
        let used = Used::one(account.cpu_us, account.denied.len(), &account.uses);
        if parts.plugin_use.add(plugin, Timestamp::now(), &used) {
            let plugin_use = parts.plugin_use.clone();
            tokio::task::spawn_blocking(move || plugin_use.write_or_warn());
        }
    }

    /// Tells the run, before the attempt ends, what it used.
    pub(super) fn close(
        &self,
        parts: &Arc<Parts>,
        attempt: &Attempt,
        report: &AttemptReport,
        vault: &Vault,
    ) {
        let account = self.of(report);
        self.count(parts, &account);
        let Ok(json) = serde_json::to_string(&account) else {
            return;
        };
        let (run, ti, fence) = (attempt.run.number, attempt.ti, attempt.fence);
        let json = vault.redact_json(&json);
        parts.handle.record_use(run, ti, fence, json);
    }

    /// What a report says, beside its limits.
    pub(super) fn of(&self, report: &AttemptReport) -> AttemptUse {
        let Usage {
            wall,
            cpu,
            memory_peak_bytes,
            log_bytes,
            output_bytes,
        } = report.usage;
        let of = |used, limit| OfLimit { used, limit };
        AttemptUse {
            wall_us: micros(wall),
            cpu_us: micros(cpu),
            memory: of(memory_peak_bytes, self.limits.memory_bytes),
            log: of(log_bytes, self.limits.log_bytes),
            output: of(output_bytes, self.limits.output_bytes),
            uses: self.uses.all(),
            denied: report
                .denied
                .iter()
                .map(|denial| denial.message.clone())
                .collect(),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_event_says_is_read_back_and_what_is_missing_is_nothing() {
        let account = AttemptUse {
            cpu_us: 7,
            memory: OfLimit { used: 1, limit: 2 },
            denied: vec!["no".to_owned()],
            ..AttemptUse::default()
        };
        let json = serde_json::to_string(&account).unwrap();
        assert!(!json.contains("uses"), "{json}");
        assert_eq!(AttemptUse::decode(&json), Some(account));
        assert_eq!(AttemptUse::decode("{}"), Some(AttemptUse::default()));
        assert_eq!(AttemptUse::decode("no JSON"), None);
    }
}
