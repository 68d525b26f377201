//! The identity of a DAG version: a hash of its meaning, not of its text.
//! It refuses to see comments, key order and spelling (`10m` or `600`); it does see the order of tasks and of `expand`
//! keys, because task indexes and map indexes that the store keeps depend on them.

use super::spec::Dag;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the DAG as JSON with sorted keys, each text led by its length.
pub fn digest(dag: &Dag) -> [u8; 32] {
    // Every member is JSON by its type (no map has keys that are not text, no float is unbounded), so this cannot fail.
    let value = serde_json::to_value(dag).unwrap_or(Value::Null);
    debug_assert!(!value.is_null(), "a DAG is always JSON");
    let mut hasher = Sha256::new();
    feed(&mut hasher, &value);
    hasher.finalize().into()
}

/// Writes `value` canonically. Recursion is bounded by the parser's depth limit.
fn feed(hasher: &mut Sha256, value: &Value) {
    match value {
        Value::Array(items) => {
            hasher.update(b"[");
            for item in items {
                feed(hasher, item);
                hasher.update(b",");
            }
            hasher.update(b"]");
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().collect();
            members.sort_by_key(|(key, _)| *key);
            hasher.update(b"{");
            for (key, value) in members {
                text(hasher, key);
                hasher.update(b":");
                feed(hasher, value);
                hasher.update(b",");
            }
            hasher.update(b"}");
        }
        Value::String(value) => text(hasher, value),
        Value::Null | Value::Bool(_) | Value::Number(_) => hasher.update(value.to_string()),
    }
}

/// Length first: no text can imitate the structure round it.
fn text(hasher: &mut Sha256, text: &str) {
    hasher.update(text.len().to_string());
    hasher.update(b"\"");
    hasher.update(text);
}
