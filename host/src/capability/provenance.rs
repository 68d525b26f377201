//! Where what an attempt logs came from, in the host's own word: the component, the task instance, the bytes it read. Written as tags
//! that a guest cannot set. It refuses to believe a guest.

use super::handles::lock;
use crate::tracking::{Actor, TAG_CHARS_MAX};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// The most objects of an attempt that are noted.
const OBJECTS_MAX: usize = 1_000;

/// What runs in an attempt.
#[derive(Debug, Clone, Default)]
pub struct Provenance {
    /// SHA-256 of the component in hex.
    pub component: String,
    /// The plugin's name.
    pub plugin: String,
    /// The operator's name in the plugin.
    pub operator: String,
}

/// The objects that an attempt read, by URI, each with the SHA-256 of its bytes. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<BTreeMap<String, String>>>);

impl Ledger {
    /// Notes that an object was read.
    pub(super) fn read(&self, uri: &str, sha256: String) {
        let mut objects = lock(&self.0);
        if objects.len() < OBJECTS_MAX {
            objects.insert(uri.to_owned(), sha256);
        }
    }

    /// The tag that tells it, as far as a tag can; none where nothing was read.
    pub(super) fn tag(&self) -> Option<(String, String)> {
        let objects = lock(&self.0);
        if objects.is_empty() {
            return None;
        }
        let mut told: Vec<Value> = Vec::new();
        // Room for the brackets and for how many are left out.
        let mut room = TAG_CHARS_MAX - 40;
        for (uri, sha256) in objects.iter() {
            let one = json!({"uri": uri, "sha256": sha256});
            let length = one.to_string().chars().count() + 1;
            if length > room {
                told.push(json!({"left_out": objects.len() - told.len()}));
                break;
            }
            room -= length;
            told.push(one);
        }
        Some(("airlock.data".to_owned(), Value::from(told).to_string()))
    }
}

/// The tags that say what an attempt is: `task_instance` is `dag_id/run_id/task_id/map_index`.
pub(super) fn stamps(
    provenance: &Provenance,
    task_instance: &str,
    actor: &Actor,
) -> Vec<(String, String)> {
    let mut stamps = Vec::new();
    let mut stamp = |key: &str, value: &str| {
        if !value.is_empty() {
            stamps.push((format!("airlock.{key}"), value.to_owned()));
        }
    };
    stamp("component", &provenance.component);
    stamp("plugin", &provenance.plugin);
    stamp("operator", &provenance.operator);
    // A run's id may hold a slash; the other parts never do.
    if let Some((dag_id, rest)) = task_instance.split_once('/')
        && let Some((rest, map_index)) = rest.rsplit_once('/')
        && let Some((run_id, task_id)) = rest.rsplit_once('/')
    {
        stamp("dag_id", dag_id);
        stamp("run_id", run_id);
        stamp("task_id", task_id);
        stamp("map_index", map_index);
    }
    let of_try = actor.id.strip_prefix(task_instance);
    let of_try = of_try.and_then(|rest| rest.strip_prefix('/'));
    let try_number = of_try.and_then(|rest| rest.split('/').next());
    stamp("try_number", try_number.unwrap_or_default());
    stamps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tracking::ActorKind;

    #[test]
    fn stamps_name_the_task_instance_even_where_the_runs_id_has_slashes() {
        let provenance = Provenance {
            component: "abc".to_owned(),
            plugin: "train".to_owned(),
            operator: "gbdt".to_owned(),
        };
        let actor = Actor {
            kind: ActorKind::TaskInstance,
            id: "d/odd/run/t/3/2".to_owned(),
        };
        let all = stamps(&provenance, "d/odd/run/t/3", &actor);
        let all: Vec<String> = all
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        assert_eq!(
            all.join(" "),
            "airlock.component=abc airlock.plugin=train airlock.operator=gbdt airlock.dag_id=d \
             airlock.run_id=odd/run airlock.task_id=t airlock.map_index=3 airlock.try_number=2"
        );
    }

    #[test]
    fn what_does_not_fit_into_a_tag_is_counted() {
        let ledger = Ledger::default();
        assert_eq!(ledger.tag(), None);
        for index in 0..500 {
            ledger.read(&format!("file://./data/{index}"), "0".repeat(64));
        }
        let (_, text) = ledger.tag().unwrap();
        assert!(text.len() <= TAG_CHARS_MAX, "{}", text.len());
        let told: Vec<Value> = serde_json::from_str(&text).unwrap();
        let left_out = told.last().unwrap()["left_out"].as_u64().unwrap();
        assert_eq!(told.len() as u64 - 1 + left_out, 500);
    }
}
