//! One run event of `OpenLineage`: which run of which job, when, and the datasets that its DAG names: assets and inlets it reads,
//! outlets it writes. Ids are digests of names, so an event that is sent again is the same one.

use crate::scheduler::RunRow;
use crate::store::hex;
use airlock_core::dag::spec::Dag;
use airlock_core::run::event::RunHeader;
use airlock_core::run::state::RunState;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeSet;

const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";
/// Who says so: a URI of a name, because it is nobody's address.
const PRODUCER: &str = concat!("urn:airlock:", env!("CARGO_PKG_VERSION"));
const FACETS: &str = "https://openlineage.io/spec/facets/";
/// The longest text of an error, characters.
const TEXT_CHARS_MAX: usize = 1_000;
/// How a run's row says that somebody ended it.
const CANCELLED: &str = "cancelled";

/// What happened to a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    /// It began to run, or began again.
    Started,
    /// It has ended.
    Ended,
}

/// What an event is made of.
pub(crate) struct RunEvent<'a> {
    pub(crate) moment: Moment,
    pub(crate) namespace: &'a str,
    pub(crate) row: &'a RunRow,
    pub(crate) header: &'a RunHeader,
    /// As it is now.
    pub(crate) state: &'a RunState,
}

impl RunEvent<'_> {
    /// The event as JSON; none for a run that never started.
    pub(crate) fn json(&self) -> Option<Value> {
        let row = self.row;
        let started = row.start_date?;
        let at = match self.moment {
            Moment::Started => started,
            Moment::Ended => row.end_date?,
        };
        let name = format!("{}/{}/{}", row.dag_id, row.run_id, started.as_nanosecond());
        let dag = self.state.dag();
        Some(json!({
            "eventType": self.event_type(),
            "eventTime": at.to_string(),
            "producer": PRODUCER,
            "schemaURL": SCHEMA,
            "run": {"runId": uuid(&name), "facets": self.run_facets()},
            "job": {"namespace": self.namespace, "name": row.dag_id, "facets": job_facets(dag)},
            "inputs": datasets(self.inputs(dag)),
            "outputs": datasets(self.outputs(dag)),
        }))
    }

    fn event_type(&self) -> &'static str {
        match (self.moment, self.row.state) {
            (Moment::Started, _) => "START",
            (Moment::Ended, DagRunState::Success) => "COMPLETE",
            (Moment::Ended, _) if self.row.reason == CANCELLED => "ABORT",
            (Moment::Ended, _) => "FAIL",
        }
    }

    fn run_facets(&self) -> Value {
        let (header, mut facets) = (self.header, Map::new());
        if let Some(start) = header.data_interval_start.or(header.logical_date) {
            let mut nominal = json!({"nominalStartTime": start.to_string()});
            if let (Some(end), Some(members)) = (header.data_interval_end, nominal.as_object_mut())
            {
                members.insert("nominalEndTime".to_owned(), json!(end.to_string()));
            }
            facets.insert(
                "nominalTime".to_owned(),
                facet("1-0-1/NominalTimeRunFacet", &nominal),
            );
        }
        if self.event_type() == "FAIL" {
            let message: String = self.row.reason.chars().take(TEXT_CHARS_MAX).collect();
            let error = json!({"message": message, "programmingLanguage": "WebAssembly"});
            facets.insert(
                "errorMessage".to_owned(),
                facet("1-0-1/ErrorMessageRunFacet", &error),
            );
        }
        Value::Object(facets)
    }

    /// What the run waited for, and what its tasks say that they read.
    fn inputs(&self, dag: &Dag) -> BTreeSet<String> {
        let waited = dag.schedule.assets().into_iter();
        let waited = waited.flat_map(|assets| assets.uris().into_iter().map(str::to_owned));
        let events = self.header.asset_events.iter();
        let events = events.map(|event| event.uri.clone());
        let inlets = dag
            .tasks
            .iter()
            .flat_map(|task| task.inlets.iter().cloned());
        waited.chain(events).chain(inlets).collect()
    }

    /// What its tasks say that they write; at its end, of those tasks alone that came to their end.
    fn outputs(&self, dag: &Dag) -> BTreeSet<String> {
        let mut outputs = BTreeSet::new();
        for (ti, instance) in self.state.all_instances() {
            let is_written =
                self.moment == Moment::Started || instance.state() == TaskInstanceState::Success;
            if let Some(task) = dag.task(ti.task).filter(|_| is_written) {
                outputs.extend(task.outlets.iter().cloned());
            }
        }
        outputs
    }
}

/// A facet is what it says, who says it, and by which schema.
fn facet(schema: &str, members: &Value) -> Value {
    let mut facet = members.clone();
    let (_, name) = schema.split_once('/').unwrap_or_default();
    if let Some(members) = facet.as_object_mut() {
        members.insert("_producer".to_owned(), json!(PRODUCER));
        let url = format!("{FACETS}{schema}.json#/$defs/{name}");
        members.insert("_schemaURL".to_owned(), json!(url));
    }
    facet
}

fn job_facets(dag: &Dag) -> Value {
    let kind = json!({"processingType": "BATCH", "integration": "AIRLOCK", "jobType": "DAG"});
    let mut facets = json!({"jobType": facet("2-0-3/JobTypeJobFacet", &kind)});
    if let (Some(text), Some(members)) = (&dag.description, facets.as_object_mut()) {
        let about = json!({"description": text});
        members.insert(
            "documentation".to_owned(),
            facet("1-0-1/DocumentationJobFacet", &about),
        );
    }
    facets
}

fn datasets(uris: BTreeSet<String>) -> Vec<Value> {
    let dataset = |uri: String| {
        let (namespace, name) = named(&uri);
        json!({"namespace": namespace, "name": name})
    };
    uris.into_iter().map(dataset).collect()
}

/// A URI as `OpenLineage` names datasets: `s3://bucket` and the key, `file` and the path.
fn named(uri: &str) -> (String, String) {
    let Some((scheme, rest)) = uri.split_once("://") else {
        return ("airlock".to_owned(), uri.to_owned());
    };
    if scheme == "file" {
        return ("file".to_owned(), rest.to_owned());
    }
    match rest.split_once('/') {
        Some((authority, path)) if !path.is_empty() => {
            (format!("{scheme}://{authority}"), path.to_owned())
        }
        _ => (
            format!("{scheme}://{}", rest.trim_end_matches('/')),
            "/".to_owned(),
        ),
    }
}

/// A UUID of version 8 (RFC 9562) of a name.
fn uuid(name: &str) -> String {
    let digest = Sha256::digest(format!("openlineage/{name}").as_bytes());
    let mut bytes: [u8; 16] = digest.first_chunk().copied().unwrap_or_default();
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x80;
    *variant = *variant & 0x3f | 0x80;
    let hex = hex(&bytes);
    let parts = [(0, 8), (8, 12), (12, 16), (16, 20), (20, 32)];
    let parts = parts.map(|(from, to)| hex.get(from..to).unwrap_or_default());
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_are_named_as_openlineage_names_them() {
        for (uri, namespace, name) in [
            ("s3://lake/raw/day=1", "s3://lake", "raw/day=1"),
            ("file:///data/a.parquet", "file", "/data/a.parquet"),
            ("file://./a.parquet", "file", "./a.parquet"),
            ("postgres://host:5432/db.t", "postgres://host:5432", "db.t"),
            ("s3://lake/", "s3://lake", "/"),
            ("features", "airlock", "features"),
        ] {
            assert_eq!(named(uri), (namespace.to_owned(), name.to_owned()), "{uri}");
        }
    }

    #[test]
    fn a_run_has_one_uuid_for_each_of_its_starts() {
        assert_eq!(uuid("a"), uuid("a"));
        assert_ne!(uuid("a"), uuid("b"));
        assert_eq!(uuid("a").len(), 36);
    }
}
