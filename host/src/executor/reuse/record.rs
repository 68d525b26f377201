//! What is kept of a success: what it read, what it left, and under which key. It refuses to read or write a store.

use crate::sandbox::bindings::airlock::operator::types::TaskContext;
use crate::store::hex;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;

/// Before every key.
pub const KEPT_PREFIX: &[u8] = b"cache\0";
/// The format that this program writes; what has another is not found.
const FORMAT: u32 = 1;

/// A success that may be reused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// The format of what follows.
    format: u32,
    /// The attempt that reached it, as `dag/run/task/map_index/try`.
    pub(super) from: String,
    /// When it was reached.
    pub(super) at: Timestamp,
    /// What it returned, as JSON text.
    pub(super) value: Option<String>,
    /// What it saw and what it left.
    pub(super) told: Told,
}

/// A prefix and `after`, and what was listed: URIs and sizes.
pub(super) type Listing = (String, Option<String>, Vec<(String, u64)>);

/// What an attempt saw of the world and left in it, by content.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    /// Objects that were there before it, by URI, with the SHA-256 of their bytes; none where there was nothing.
    pub(super) objects: BTreeMap<String, Option<String>>,
    /// Listings.
    pub(super) listings: Vec<Listing>,
    /// XComs of other tasks: task id, key and map index, then the SHA-256 of the value.
    pub(super) pulled: Vec<(String, String, Option<i32>, Option<String>)>,
    /// Objects that it wrote; none where it removed one.
    pub(super) written: BTreeMap<String, Option<String>>,
    /// XComs that it pushed, in their order.
    pub(super) pushed: Vec<(String, String)>,
}

impl Record {
    pub(super) fn new(from: String, at: Timestamp, value: Option<String>, told: Told) -> Self {
        Self {
            format: FORMAT,
            from,
            at,
            value,
            told,
        }
    }

    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    /// None for what another version of this program wrote.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        (record.format == FORMAT).then_some(record)
    }
}

impl Told {
    /// A listing without what the attempt itself wrote: that is a result, not an input.
    pub(super) fn listed(&self, entries: &[(String, u64)]) -> Vec<(String, u64)> {
        let is_own = |uri: &str| self.written.contains_key(uri);
        let others = entries.iter().filter(|(uri, _)| !is_own(uri));
        others.cloned().collect()
    }
}

/// When a result was reached; none for what another version of this program wrote.
pub fn kept_at(bytes: &[u8]) -> Option<Timestamp> {
    Record::decode(bytes).map(|record| record.at)
}

/// SHA-256 in hex.
pub(super) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// What must be equal before anything that was read is looked at: component, operator, config, params, inputs, and the DAG's time
/// zone, in which a guest may count. Which DAG, task or run asks makes no difference.
pub(super) fn key(component: &[u8; 32], timezone: &str, context: &TaskContext) -> Vec<u8> {
    let mut hash = Sha256::new();
    let mut add = |part: &[u8]| {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    };
    add(component);
    add(timezone.as_bytes());
    add(context.operator.as_bytes());
    add(context.config.as_bytes());
    add(context.params.as_bytes());
    for input in &context.inputs {
        add(input.name.as_bytes());
        add(input.value.as_bytes());
    }
    [KEPT_PREFIX, &hash.finalize()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::bindings::airlock::operator::types::Input;

    fn context() -> TaskContext {
        TaskContext {
            operator: "features".to_owned(),
            config: "{}".to_owned(),
            dag_id: "d".to_owned(),
            run_id: "one".to_owned(),
            run_type: "manual".to_owned(),
            task_id: "t".to_owned(),
            map_index: -1,
            try_number: 1,
            max_tries: 1,
            poke_number: 1,
            logical_date: None,
            data_interval_start: None,
            data_interval_end: None,
            params: "{}".to_owned(),
            inputs: Vec::new(),
        }
    }

    #[test]
    fn who_asks_does_not_change_the_key_and_what_is_asked_does() {
        let base = key(&[1; 32], "UTC", &context());
        let asker = TaskContext {
            dag_id: "e".to_owned(),
            run_id: "two".to_owned(),
            task_id: "u".to_owned(),
            try_number: 3,
            ..context()
        };
        assert_eq!(key(&[1; 32], "UTC", &asker), base);
        let input = |name: &str, value: &str| TaskContext {
            inputs: vec![Input {
                name: name.to_owned(),
                value: value.to_owned(),
            }],
            ..context()
        };
        let others = [
            key(&[2; 32], "UTC", &context()),
            key(
                &[1; 32],
                "UTC",
                &TaskContext {
                    config: "{\"a\":1}".to_owned(),
                    ..context()
                },
            ),
            key(
                &[1; 32],
                "UTC",
                &TaskContext {
                    params: "{\"a\":1}".to_owned(),
                    ..context()
                },
            ),
            key(&[1; 32], "Europe/London", &context()),
            key(&[1; 32], "UTC", &input("ab", "c")),
            key(&[1; 32], "UTC", &input("a", "bc")),
        ];
        for (place, other) in others.iter().enumerate() {
            assert_ne!(other, &base);
            assert!(!others.iter().skip(place + 1).any(|later| later == other));
        }
    }

    #[test]
    fn what_another_version_kept_is_not_found() {
        let record = Record::new(String::new(), Timestamp::UNIX_EPOCH, None, Told::default());
        let bytes = record.encode().unwrap();
        assert_eq!(Record::decode(&bytes), Some(record));
        let newer = String::from_utf8(bytes)
            .unwrap()
            .replace("\"format\":1", "\"format\":2");
        assert_eq!(Record::decode(newer.as_bytes()), None);
        assert_eq!(Record::decode(b"{}"), None);
    }
}
