//! The service for experiments and runs. Changes of one run are serialised by the version of its row: a loser reads again.

use super::audit::AuditEvent;
use super::run::{index_key, metric_key, run_id, run_key};
use super::{
    Actor, Clock, Experiment, ITEMS_PER_CALL_MAX, ITEMS_PER_RUN_MAX, MetricPoint, NAME_BYTES_MAX,
    Run, RunStatus, TrackingError, check_count, check_name, check_text, codec,
};
use crate::store::{Commit, CommitError, Digest, RowWrite, Store, Table};
use serde_json::{Value, json};
use std::sync::Arc;

/// How often a change is tried again when others change the same row meanwhile.
pub(super) const TRIES_MAX: usize = 100;

/// Experiments and runs. Blocks: not for async threads.
#[derive(Clone)]
pub struct Tracking {
    store: Arc<dyn Store>,
    clock: Clock,
}

/// What a change of a run does to the trail and to other rows.
struct Change {
    action: &'static str,
    from: Value,
    to: Value,
    rows: Vec<(Table, RowWrite)>,
}

impl Tracking {
    /// Over this store, with this clock.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self { store, clock }
    }

    /// Finds or makes the run called `name` in `experiment` (which is made where it is missing). A run that had ended is
    /// running again: this is a retry of the task that made it.
    pub fn start_run(
        &self,
        actor: &Actor,
        experiment: &str,
        name: &str,
    ) -> Result<Run, TrackingError> {
        check_name("experiment", experiment)?;
        check_name("run name", name)?;
        let id = run_id(experiment, name);
        for _ in 0..TRIES_MAX {
            if self.find(&id)?.is_some() {
                return self.set_status(actor, &id, RunStatus::Running);
            }
            let (commit, run) = self.creation(actor, experiment, name)?;
            match self.store.commit(commit) {
                Ok(_) => return Ok(run),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("run", name))
    }

    fn creation(
        &self,
        actor: &Actor,
        experiment: &str,
        name: &str,
    ) -> Result<(Commit, Run), TrackingError> {
        let now = (self.clock)();
        let run = Run {
            run_id: run_id(experiment, name),
            experiment: experiment.to_owned(),
            name: name.to_owned(),
            status: RunStatus::Running,
            started_ms: now,
            ended_ms: None,
            params: [].into(),
            metrics: [].into(),
            tags: [("airlock.created_by".to_owned(), actor.id.clone())].into(),
            artifacts: [].into(),
        };
        let mut commit = AuditEvent {
            at_ms: now,
            actor: actor.clone(),
            action: "run.create".to_owned(),
            subject: format!("{experiment}/{name}"),
            from: Value::Null,
            to: json!({"run_id": run.run_id}),
        }
        .commit()?;
        if self
            .store
            .get(Table::Experiment, experiment.as_bytes())?
            .is_none()
        {
            let record = Experiment {
                name: experiment.to_owned(),
                created_ms: now,
            };
            let write = put(experiment.as_bytes().to_vec(), Some(0), &record)?;
            commit.rows.push((Table::Experiment, write));
        }
        let index = index_key(experiment, Some((now, &run.run_id)));
        commit
            .rows
            .push((Table::TrackingRun, put(index, None, &run.run_id)?));
        commit.rows.push((
            Table::TrackingRun,
            put(run_key(&run.run_id), Some(0), &run)?,
        ));
        Ok((commit, run))
    }

    /// Sets params, each once: the same value again changes nothing, another is a conflict and sets none of them.
    pub fn log_params(
        &self,
        actor: &Actor,
        run_id: &str,
        params: &[(String, String)],
    ) -> Result<Run, TrackingError> {
        check_pairs("params", params)?;
        self.change(actor, run_id, |run, _| {
            let mut added = serde_json::Map::new();
            for (key, value) in params {
                match run.params.get(key) {
                    Some(old) if old == value => {}
                    Some(old) => {
                        return Err(TrackingError::Conflict(format!(
                            "param {key:?} of run {:?} is {old:?} already and is set once; log {value:?} under another key or in another run",
                            run.name
                        )));
                    }
                    None => {
                        run.params.insert(key.clone(), value.clone());
                        added.insert(key.clone(), json!(value));
                    }
                }
            }
            check_count("params of a run", run.params.len(), ITEMS_PER_RUN_MAX)?;
            Ok((!added.is_empty()).then(|| Change::of("run.log_params", Value::Null, added.into())))
        })
    }

    /// Adds points. The same metric and step again replaces the point, so that a retry does not double it.
    pub fn log_metrics(
        &self,
        actor: &Actor,
        run_id: &str,
        metrics: &[(String, f64, i64)],
    ) -> Result<Run, TrackingError> {
        check_count("metrics in one call", metrics.len(), ITEMS_PER_CALL_MAX)?;
        for (key, ..) in metrics {
            check_name("metric", key)?;
        }
        self.change(actor, run_id, |run, now| {
            let mut rows = Vec::with_capacity(metrics.len());
            let mut logged = serde_json::Map::new();
            for (key, value, step) in metrics {
                let point = MetricPoint {
                    value: *value,
                    step: *step,
                    at_ms: now,
                };
                let row = metric_key(&run.run_id, key, Some(*step));
                rows.push((Table::Metric, put(row, None, &point)?));
                if run.metrics.get(key).is_none_or(|last| last.step <= *step) {
                    run.metrics.insert(key.clone(), point);
                }
                logged.insert(
                    key.clone(),
                    json!({"value": format!("{value:?}"), "step": step}),
                );
            }
            check_count("metrics of a run", run.metrics.len(), ITEMS_PER_RUN_MAX)?;
            Ok((!rows.is_empty()).then(|| Change {
                rows,
                ..Change::of("run.log_metrics", Value::Null, logged.into())
            }))
        })
    }

    /// Upserts tags.
    pub fn set_tags(
        &self,
        actor: &Actor,
        run_id: &str,
        tags: &[(String, String)],
    ) -> Result<Run, TrackingError> {
        check_pairs("tags", tags)?;
        self.change(actor, run_id, |run, _| {
            let (mut from, mut to) = (serde_json::Map::new(), serde_json::Map::new());
            for (key, value) in tags {
                let old = run.tags.insert(key.clone(), value.clone());
                if old.as_ref() != Some(value) {
                    from.insert(key.clone(), json!(old));
                    to.insert(key.clone(), json!(value));
                }
            }
            check_count("tags of a run", run.tags.len(), ITEMS_PER_RUN_MAX)?;
            Ok((!to.is_empty()).then(|| Change::of("run.set_tags", from.into(), to.into())))
        })
    }

    /// Names an artifact (a blob that is in the store, by its SHA-256 in hex) in the run. A path is never pointed elsewhere.
    pub fn log_artifact(
        &self,
        actor: &Actor,
        run_id: &str,
        path: &str,
        artifact: &str,
    ) -> Result<Run, TrackingError> {
        check_name("artifact path", path)?;
        require_blob(&*self.store, artifact)?;
        self.change(actor, run_id, |run, _| match run.artifacts.get(path) {
            Some(old) if old == artifact => Ok(None),
            Some(old) => Err(TrackingError::Conflict(format!(
                "artifact {path:?} of run {:?} is {old} already and is never overwritten; use another path",
                run.name
            ))),
            None => {
                run.artifacts.insert(path.to_owned(), artifact.to_owned());
                check_count("artifacts of a run", run.artifacts.len(), ITEMS_PER_RUN_MAX)?;
                let to = json!({ path: artifact });
                Ok(Some(Change::of("run.log_artifact", Value::Null, to)))
            }
        })
    }

    /// Sets where the run stands; an end state notes the time.
    pub fn set_status(
        &self,
        actor: &Actor,
        run_id: &str,
        status: RunStatus,
    ) -> Result<Run, TrackingError> {
        self.change(actor, run_id, |run, now| {
            if run.status == status {
                return Ok(None);
            }
            let change = Change::of("run.set_status", json!(run.status), json!(status));
            run.status = status;
            run.ended_ms = (status != RunStatus::Running).then_some(now);
            Ok(Some(change))
        })
    }

    /// Reads a run.
    pub fn run(&self, run_id: &str) -> Result<Run, TrackingError> {
        Ok(self.require(run_id)?.0)
    }

    /// All points of one metric in the order of their steps, up to `max` after step `after`.
    pub fn metric_history(
        &self,
        run_id: &str,
        metric: &str,
        after: Option<i64>,
        max: usize,
    ) -> Result<Vec<MetricPoint>, TrackingError> {
        check_name("run id", run_id)?;
        check_name("metric", metric)?;
        let prefix = metric_key(run_id, metric, None);
        let after = after.map(|step| metric_key(run_id, metric, Some(step)));
        self.store
            .scan(Table::Metric, &prefix, after.as_deref(), max)?
            .iter()
            .map(|row| codec::decode("a metric", &row.value))
            .collect()
    }

    /// Up to `max` experiments in the order of their names, after a name.
    pub fn experiments(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<Experiment>, TrackingError> {
        self.store
            .scan(Table::Experiment, b"", after.map(str::as_bytes), max)?
            .iter()
            .map(|row| codec::decode("an experiment", &row.value))
            .collect()
    }

    /// Up to `max` runs of an experiment in the order of their beginning, after a run.
    pub fn runs(
        &self,
        experiment: &str,
        after: Option<&Run>,
        max: usize,
    ) -> Result<Vec<Run>, TrackingError> {
        check_name("experiment", experiment)?;
        let after = after.map(|run| index_key(experiment, Some((run.started_ms, &run.run_id))));
        self.store
            .scan(
                Table::TrackingRun,
                &index_key(experiment, None),
                after.as_deref(),
                max,
            )?
            .iter()
            .map(|row| self.run(&codec::decode::<String>("a run's place", &row.value)?))
            .collect()
    }

    /// Reads, edits and writes a run until nobody was faster. `edit` yields none where there is nothing to change.
    fn change(
        &self,
        actor: &Actor,
        run_id: &str,
        edit: impl Fn(&mut Run, i64) -> Result<Option<Change>, TrackingError>,
    ) -> Result<Run, TrackingError> {
        for _ in 0..TRIES_MAX {
            let now = (self.clock)();
            let (mut run, version) = self.require(run_id)?;
            let Some(change) = edit(&mut run, now)? else {
                return Ok(run);
            };
            let mut commit = AuditEvent {
                at_ms: now,
                actor: actor.clone(),
                action: change.action.to_owned(),
                subject: format!("{}/{}", run.experiment, run.name),
                from: change.from,
                to: change.to,
            }
            .commit()?;
            commit.rows = change.rows;
            let write = put(run_key(run_id), Some(version), &run)?;
            commit.rows.push((Table::TrackingRun, write));
            match self.store.commit(commit) {
                Ok(_) => return Ok(run),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("run", run_id))
    }

    fn find(&self, run_id: &str) -> Result<Option<(Run, u64)>, TrackingError> {
        check_name("run id", run_id)?;
        self.store
            .get(Table::TrackingRun, &run_key(run_id))?
            .map(|row| Ok((codec::decode("a run", &row.value)?, row.version)))
            .transpose()
    }

    fn require(&self, run_id: &str) -> Result<(Run, u64), TrackingError> {
        self.find(run_id)?.ok_or_else(|| {
            let shown: String = run_id.chars().take(NAME_BYTES_MAX).collect();
            TrackingError::NotFound(format!(
                "there is no run {shown:?}; `start-run` yields the id of one"
            ))
        })
    }
}

impl Change {
    fn of(action: &'static str, from: Value, to: Value) -> Self {
        Self {
            action,
            from,
            to,
            rows: Vec::new(),
        }
    }
}

/// A row write of a record in this room's format.
pub(super) fn put<T: serde::Serialize>(
    key: Vec<u8>,
    expect: Option<u64>,
    record: &T,
) -> Result<RowWrite, TrackingError> {
    Ok(RowWrite {
        key,
        expect,
        value: Some(codec::encode(record)?),
    })
}

pub(super) fn contended(what: &str, name: &str) -> TrackingError {
    TrackingError::Conflict(format!(
        "{what} {name:?} was changed by others {TRIES_MAX} times meanwhile; try again"
    ))
}

pub(super) fn check_pairs(
    what: &'static str,
    pairs: &[(String, String)],
) -> Result<(), TrackingError> {
    check_count(what, pairs.len(), ITEMS_PER_CALL_MAX)?;
    for (key, value) in pairs {
        check_name("key", key)?;
        check_text(what, value)?;
    }
    Ok(())
}

/// Parses a SHA-256 in lower-case hex and checks that the store holds such a blob.
pub(super) fn require_blob(store: &dyn Store, artifact: &str) -> Result<Digest, TrackingError> {
    let digest = parse_digest(artifact).ok_or_else(|| {
        TrackingError::Invalid(format!(
            "artifact {:?} is no SHA-256 in lower-case hex; `model.save` yields one",
            artifact.chars().take(80).collect::<String>()
        ))
    })?;
    if store.get_blob(&digest)?.is_none() {
        return Err(TrackingError::NotFound(format!(
            "there is no artifact {artifact}; save it first"
        )));
    }
    Ok(digest)
}

/// A digest from its 64 lower-case hex digits.
pub fn parse_digest(text: &str) -> Option<Digest> {
    let mut digest = [0; 32];
    let hex = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * digest.len() {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = hex(*high)? << 4 | hex(*low)?;
    }
    Some(Digest(digest))
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
