//! The service for runs: their beginning, their end, their lifecycle. What a change writes expects the versions of the rows that it
//! read: a loser reads again.

use super::audit::AuditEvent;
use super::codec;
use super::experiment::experiment_id;
use super::experiments::{check_active, creation};
use super::index::Index;
use super::items::{self, Items, Kind, MetricHistory, item_key};
use super::names;
use super::run::{Head, OldItems, RUN_NAME_TAG, index_key, run_id, run_key};
use super::{
    Actor, Clock, Experiment, ITEMS_PER_RUN_MAX, Lifecycle, NAME_BYTES_MAX, NewRun, Run, RunStatus,
    RunUpdate, TAG_CHARS_MAX, TrackingError, check_count, check_name, check_tags,
};
use crate::store::{Commit, CommitError, Digest, RowWrite, Store, Table};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::sync::Arc;

/// How often a change is tried again when others change the same row meanwhile.
pub(super) const TRIES_MAX: usize = 100;
/// The most points of a metric's history in one answer.
const HISTORY_MAX: usize = 25_000;

/// Experiments, runs, logged models and their artifacts. Blocks: not for async threads.
#[derive(Clone)]
pub struct Tracking {
    pub(super) store: Arc<dyn Store>,
    pub(super) index: Arc<Index>,
    clock: Clock,
}

/// A run as a change finds it, and what the change writes.
pub(super) struct Draft<'s> {
    store: &'s dyn Store,
    pub(super) head: Head,
    pub(super) now: i64,
    version: u64,
    rows: Vec<(Table, RowWrite)>,
    /// Whether the head is among what is written.
    writes_head: bool,
}

/// What a change did, for the trail.
pub(super) struct Change {
    pub(super) action: &'static str,
    pub(super) from: Value,
    pub(super) to: Value,
}

/// What a change needs its run to be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Needs {
    /// Neither it nor its experiment is deleted.
    Active,
    Nothing,
}

/// What a run read and made: datasets, logged models that it read, logged models that it made.
pub type InputsAndOutputs = (
    Vec<super::DatasetInput>,
    Vec<super::ModelInput>,
    Vec<super::ModelOutput>,
);

impl Tracking {
    /// Over this store, with this clock. Whoever changes runs uses clones of one: searches know what its clones changed.
    pub fn new(store: Arc<dyn Store>, clock: Clock) -> Self {
        Self {
            store,
            index: Arc::default(),
            clock,
        }
    }

    pub(super) fn now(&self) -> i64 {
        (self.clock)()
    }

    /// Finds or makes the run called `name` in `experiment` (which is made where it is missing). A run that had ended is
    /// running again: this is a retry of the task that made it. `stamps` are tags in the host's own word, set either way.
    pub fn start_run(
        &self,
        actor: &Actor,
        experiment: &str,
        name: &str,
        stamps: &[(String, String)],
    ) -> Result<Run, TrackingError> {
        check_name("experiment", experiment)?;
        check_name("run name", name)?;
        for _ in 0..TRIES_MAX {
            let known = self.experiment_by_name(experiment)?;
            let now = self.now();
            let record = match &known {
                Some(record) => record.clone(),
                None => self.unused(experiment, now)?,
            };
            check_active(&record)?;
            let id = run_id(&record.seed, name);
            if self.find_head(&id)?.is_some() {
                self.set_status(actor, &id, RunStatus::Running)?;
                self.stamp(actor, &id, stamps)?;
                return self.run(&id);
            }
            let head = Head::new(&record, id.clone(), name, now);
            let mut tags = stamps.to_vec();
            tags.push(("airlock.created_by".to_owned(), actor.id.clone()));
            let mut commit = self.creation(actor, head, &tags)?;
            if known.is_none() || record.created_ms == 0 {
                commit.rows.extend(self.missing_experiment(&record)?);
            }
            let mark = self.index.mark(&record.seed, &id);
            let committed = self.store.commit(commit);
            drop(mark);
            match committed {
                Ok(_) => return self.run(&id),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("run", name))
    }

    /// Makes a run for a client: another one every time, whatever its name.
    pub fn create_run(
        &self,
        actor: &Actor,
        experiment_id: &str,
        new: &NewRun,
    ) -> Result<Run, TrackingError> {
        check_tags(&new.tags, TAG_CHARS_MAX)?;
        let tagged = new.tags.iter().find(|(key, _)| key == RUN_NAME_TAG);
        let tagged = tagged.map(|(_, name)| name.as_str());
        let given = new.name.as_deref().filter(|name| !name.is_empty());
        if let (Some(given), Some(tagged)) = (given, tagged)
            && given != tagged
        {
            return Err(TrackingError::Invalid(format!(
                "both 'run_name' ({given:?}) and the tag '{RUN_NAME_TAG}' ({tagged:?}) are given and differ; give one of them"
            )));
        }
        let name = given.or(tagged).map_or_else(names::run_name, str::to_owned);
        check_name("run name", &name)?;
        check_user(&new.user_id)?;
        let record = self.experiment(experiment_id)?;
        check_active(&record)?;
        let now = self.now();
        let mut head = Head::new(&record, names::id(), &name, new.started_ms.unwrap_or(now));
        head.user_id.clone_from(&new.user_id);
        let id = head.run_id.clone();
        let mut tags = new.tags.clone();
        if tagged.is_none() {
            tags.push((RUN_NAME_TAG.to_owned(), name));
        }
        let mut commit = self.creation(actor, head, &tags)?;
        commit.rows.extend(self.missing_experiment(&record)?);
        let mark = self.index.mark(&record.seed, &id);
        self.store.commit(commit)?;
        drop(mark);
        self.run(&id)
    }

    /// The rows of an experiment that has none yet.
    fn missing_experiment(
        &self,
        record: &Experiment,
    ) -> Result<Vec<(Table, RowWrite)>, TrackingError> {
        let key = super::experiment::name_key(&record.name);
        if self.store.get(Table::Experiment, &key)?.is_some() {
            return Ok(Vec::new());
        }
        Ok(creation(record)?.into())
    }

    fn creation(
        &self,
        actor: &Actor,
        mut head: Head,
        tags: &[(String, String)],
    ) -> Result<Commit, TrackingError> {
        let mut commit = AuditEvent {
            at_ms: self.now(),
            actor: actor.clone(),
            action: "run.create".to_owned(),
            subject: subject(&head.run_id),
            from: Value::Null,
            to: json!({"experiment": head.experiment, "name": head.name, "tags": pairs(tags)}),
        }
        .commit()?;
        let index = index_key(&head.experiment, Some((head.started_ms, &head.run_id)));
        let index = put(index, None, &head.run_id)?;
        commit.rows.push((Table::TrackingRun, index));
        let tags: std::collections::BTreeMap<_, _> = tags.iter().cloned().collect();
        for (key, value) in &tags {
            let row = put(item_key(&head.run_id, Kind::Tag, key), Some(0), value)?;
            commit.rows.push((Table::TrackingRun, row));
        }
        head.counts.tags = tags.len();
        let write = put(run_key(&head.run_id), Some(0), &head)?;
        commit.rows.push((Table::TrackingRun, write));
        Ok(commit)
    }

    /// Sets where the run stands; an end state notes the time.
    pub fn set_status(
        &self,
        actor: &Actor,
        run_id: &str,
        status: RunStatus,
    ) -> Result<(), TrackingError> {
        let update = RunUpdate {
            status: Some(status),
            ..RunUpdate::default()
        };
        self.update_run(actor, run_id, &update)
    }

    /// Changes name, status and end of a run. An end state without a time ends now; any other has no end.
    pub fn update_run(
        &self,
        actor: &Actor,
        run_id: &str,
        update: &RunUpdate,
    ) -> Result<(), TrackingError> {
        if let Some(name) = &update.name {
            check_name("run name", name)?;
        }
        self.change(actor, run_id, Needs::Active, |draft| {
            let before = draft.head.clone();
            if let Some(name) = &update.name {
                draft.rename(name)?;
            }
            if let Some(status) = update.status.filter(|status| *status != before.status) {
                draft.head.status = status;
                draft.head.ended_ms = status.is_end().then_some(draft.now);
            }
            draft.head.ended_ms = update.ended_ms.or(draft.head.ended_ms);
            let of = |head: &Head| json!({"name": head.name, "status": head.status, "ended_ms": head.ended_ms});
            Ok(draft.changed_head(&before).then(|| Change {
                action: "run.update",
                from: of(&before),
                to: of(&draft.head),
            }))
        })
    }

    /// Deletes a run, until it is restored. One that is deleted already is no error.
    pub fn delete_run(&self, actor: &Actor, run_id: &str) -> Result<(), TrackingError> {
        self.set_run_lifecycle(actor, run_id, Lifecycle::Deleted)
    }

    /// Restores a deleted run. One that is not deleted is no error.
    pub fn restore_run(&self, actor: &Actor, run_id: &str) -> Result<(), TrackingError> {
        self.set_run_lifecycle(actor, run_id, Lifecycle::Active)
    }

    fn set_run_lifecycle(
        &self,
        actor: &Actor,
        run_id: &str,
        lifecycle: Lifecycle,
    ) -> Result<(), TrackingError> {
        self.change(actor, run_id, Needs::Nothing, |draft| {
            let before = draft.head.clone();
            draft.head.lifecycle = lifecycle;
            Ok(draft.changed_head(&before).then(|| Change {
                action: match lifecycle {
                    Lifecycle::Active => "run.restore",
                    Lifecycle::Deleted => "run.delete",
                },
                from: json!(before.lifecycle),
                to: json!(lifecycle),
            }))
        })
    }

    /// Reads a run.
    pub fn run(&self, run_id: &str) -> Result<Run, TrackingError> {
        let (head, _) = self.require_head(run_id)?;
        let experiment = self.experiment_of(&head)?;
        let items = items::read(&*self.store, &head, None)?;
        Ok(assemble(head, items, &experiment))
    }

    /// What a run read and made.
    pub fn run_inputs(&self, run_id: &str) -> Result<InputsAndOutputs, TrackingError> {
        let (head, _) = self.require_head(run_id)?;
        let read = |kind| items::read(&*self.store, &head, Some(kind));
        Ok((
            read(Kind::Dataset)?.datasets,
            read(Kind::ModelInput)?.model_inputs,
            read(Kind::ModelOutput)?.model_outputs,
        ))
    }

    /// All points of one metric in the order of their steps, then times, up to `max` (at most 25,000) behind a page's token.
    pub fn metric_history(
        &self,
        run_id: &str,
        metric: &str,
        token: Option<&str>,
        max: usize,
    ) -> Result<MetricHistory, TrackingError> {
        check_name("metric", metric)?;
        self.require_head(run_id)?;
        let max = max.clamp(1, HISTORY_MAX);
        items::history(&*self.store, run_id, metric, token, max)
    }

    /// Up to `max` runs of an experiment in the order of their beginning, after a run.
    pub fn runs(
        &self,
        experiment: &str,
        after: Option<&Run>,
        max: usize,
    ) -> Result<Vec<Run>, TrackingError> {
        let Some(record) = self.experiment_by_name(experiment)? else {
            return Ok(Vec::new());
        };
        let after = after.map(|run| index_key(&record.seed, Some((run.started_ms, &run.run_id))));
        self.store
            .scan(
                Table::TrackingRun,
                &index_key(&record.seed, None),
                after.as_deref(),
                max,
            )?
            .iter()
            .map(|row| self.run(&codec::decode::<String>("a run's place", &row.value)?))
            .collect()
    }

    /// Reads, edits and writes a run until nobody was faster. `edit` yields none where there is nothing to change.
    pub(super) fn change(
        &self,
        actor: &Actor,
        run_id: &str,
        needs: Needs,
        edit: impl Fn(&mut Draft<'_>) -> Result<Option<Change>, TrackingError>,
    ) -> Result<(), TrackingError> {
        for _ in 0..TRIES_MAX {
            let (head, version) = self.require_head(run_id)?;
            let mark = self.index.mark(&head.experiment, run_id);
            let commit = if head.old == OldItems::default() {
                if needs == Needs::Active {
                    self.check_run_active(&head)?;
                }
                let mut draft = Draft {
                    store: &*self.store,
                    head,
                    now: self.now(),
                    version,
                    rows: Vec::new(),
                    writes_head: false,
                };
                let Some(change) = edit(&mut draft)? else {
                    return Ok(());
                };
                (draft.commit(actor, change)?, true)
            } else {
                (self.settling(head, version)?, false)
            };
            let committed = self.store.commit(commit.0);
            drop(mark);
            match (committed, commit.1) {
                (Ok(_), true) => return Ok(()),
                (Ok(_), false) | (Err(CommitError::WrongVersion { .. }), _) => {}
                (Err(error), _) => return Err(error.into()),
            }
        }
        Err(contended("run", run_id))
    }

    /// Moves what an older Airlock kept in the head to rows of its own.
    fn settling(&self, mut head: Head, version: u64) -> Result<Commit, TrackingError> {
        let old = std::mem::take(&mut head.old);
        let mut commit = Commit::default();
        let mut row = |kind, key: &str, write: Result<Vec<u8>, TrackingError>| {
            let write = RowWrite {
                key: item_key(&head.run_id, kind, key),
                expect: Some(0),
                value: Some(write?),
            };
            commit.rows.push((Table::TrackingRun, write));
            Ok::<_, TrackingError>(())
        };
        for (key, value) in &old.params {
            row(Kind::Param, key, codec::encode(value))?;
        }
        for (key, value) in &old.tags {
            row(Kind::Tag, key, codec::encode(value))?;
        }
        for (key, point) in &old.metrics {
            row(Kind::Metric, key, codec::encode(point))?;
        }
        for (path, sha256) in &old.artifacts {
            let write = self.old_artifact(&head.run_id, path, sha256, head.started_ms)?;
            commit.rows.push((Table::TrackingRun, write));
        }
        head.counts.params = old.params.len();
        head.counts.tags = old.tags.len();
        head.counts.metrics = old.metrics.len();
        head.counts.artifacts = old.artifacts.len();
        let write = put(run_key(&head.run_id), Some(version), &head)?;
        commit.rows.push((Table::TrackingRun, write));
        Ok(commit)
    }

    /// The experiment of a run.
    pub(super) fn experiment_of(&self, head: &Head) -> Result<Experiment, TrackingError> {
        self.experiment(&experiment_id(&head.experiment))
    }

    fn check_run_active(&self, head: &Head) -> Result<(), TrackingError> {
        check_active(&self.experiment_of(head)?)?;
        match head.lifecycle {
            Lifecycle::Active => Ok(()),
            Lifecycle::Deleted => Err(TrackingError::Invalid(format!(
                "the run {} must be in the active state and is deleted; restore it first",
                head.run_id
            ))),
        }
    }

    pub(super) fn find_head(&self, run_id: &str) -> Result<Option<(Head, u64)>, TrackingError> {
        check_name("run id", run_id)?;
        self.store
            .get(Table::TrackingRun, &run_key(run_id))?
            .map(|row| Ok((codec::decode("a run", &row.value)?, row.version)))
            .transpose()
    }

    pub(super) fn require_head(&self, run_id: &str) -> Result<(Head, u64), TrackingError> {
        self.find_head(run_id)?.ok_or_else(|| {
            let shown: String = run_id.chars().take(NAME_BYTES_MAX).collect();
            TrackingError::NotFound(format!("Run with id={shown} not found"))
        })
    }
}

impl Draft<'_> {
    /// A row of the run and its version; version 0 where there is none.
    pub(super) fn item<T: DeserializeOwned>(
        &self,
        kind: Kind,
        key: &str,
    ) -> Result<(Option<T>, u64), TrackingError> {
        let key = item_key(&self.head.run_id, kind, key);
        match self.store.get(Table::TrackingRun, &key)? {
            Some(row) => Ok((Some(codec::decode("a run's row", &row.value)?), row.version)),
            None => Ok((None, 0)),
        }
    }

    /// Writes a row of the run; a new one is counted.
    pub(super) fn put_item<T: serde::Serialize>(
        &mut self,
        kind: Kind,
        key: &str,
        version: u64,
        value: &T,
    ) -> Result<(), TrackingError> {
        let write = put(item_key(&self.head.run_id, kind, key), Some(version), value)?;
        self.rows.push((Table::TrackingRun, write));
        if version == 0 {
            let counts = &mut self.head.counts;
            let (what, count) = match kind {
                Kind::Param => ("params of a run", &mut counts.params),
                Kind::Tag => ("tags of a run", &mut counts.tags),
                Kind::Metric => ("metrics of a run", &mut counts.metrics),
                Kind::Dataset | Kind::ModelInput | Kind::ModelOutput => {
                    ("datasets and models of a run", &mut counts.inputs)
                }
            };
            *count += 1;
            check_count(what, *count, ITEMS_PER_RUN_MAX)?;
            self.writes_head = true;
        }
        Ok(())
    }

    /// Removes a tag that is there with this version.
    pub(super) fn remove_tag(&mut self, key: &str, version: u64) {
        let key = item_key(&self.head.run_id, Kind::Tag, key);
        self.rows
            .push((Table::TrackingRun, remove(key, Some(version))));
        self.head.counts.tags = self.head.counts.tags.saturating_sub(1);
        self.writes_head = true;
    }

    /// Writes any other row.
    pub(super) fn put_row(&mut self, table: Table, write: RowWrite) {
        self.rows.push((table, write));
    }

    /// Gives the run another name, and the tag that MLflow keeps it in.
    pub(super) fn rename(&mut self, name: &str) -> Result<(), TrackingError> {
        self.writes_head |= self.head.name != name;
        name.clone_into(&mut self.head.name);
        let (old, version) = self.item::<String>(Kind::Tag, RUN_NAME_TAG)?;
        if old.as_deref() != Some(name) {
            self.put_item(Kind::Tag, RUN_NAME_TAG, version, &name)?;
        }
        Ok(())
    }

    /// Has the head written if it is not what it was.
    pub(super) fn changed_head(&mut self, before: &Head) -> bool {
        self.writes_head |= self.head != *before;
        self.writes_head
    }

    fn commit(self, actor: &Actor, change: Change) -> Result<Commit, TrackingError> {
        let mut commit = AuditEvent {
            at_ms: self.now,
            actor: actor.clone(),
            action: change.action.to_owned(),
            subject: subject(&self.head.run_id),
            from: change.from,
            to: change.to,
        }
        .commit()?;
        commit.rows = self.rows;
        if self.writes_head {
            let write = put(run_key(&self.head.run_id), Some(self.version), &self.head)?;
            commit.rows.push((Table::TrackingRun, write));
        }
        Ok(commit)
    }
}

/// A run from its parts.
pub(super) fn assemble(head: Head, items: Items, experiment: &Experiment) -> Run {
    let lifecycle = match experiment.lifecycle {
        Lifecycle::Active => head.lifecycle,
        Lifecycle::Deleted => Lifecycle::Deleted,
    };
    Run {
        run_id: head.run_id,
        experiment_id: experiment.experiment_id.clone(),
        experiment: experiment.name.clone(),
        name: head.name,
        user_id: head.user_id,
        status: head.status,
        lifecycle,
        started_ms: head.started_ms,
        ended_ms: head.ended_ms,
        params: items.params.into_iter().collect(),
        metrics: items.metrics.into_iter().collect(),
        tags: items.tags.into_iter().collect(),
    }
}

/// What the trail calls a run.
pub(super) fn subject(run_id: &str) -> String {
    format!("run/{run_id}")
}

pub(super) fn pairs(pairs: &[(String, String)]) -> Value {
    let object: serde_json::Map<String, Value> = pairs
        .iter()
        .map(|(key, value)| (key.clone(), json!(value)))
        .collect();
    object.into()
}

fn check_user(user_id: &str) -> Result<(), TrackingError> {
    if user_id.is_empty() {
        return Ok(());
    }
    check_name("user id", user_id)
}

/// A row write of a record in this room's format.
pub(super) fn put<T: serde::Serialize + ?Sized>(
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

/// A row write that removes.
pub(super) fn remove(key: Vec<u8>, expect: Option<u64>) -> RowWrite {
    RowWrite {
        key,
        expect,
        value: None,
    }
}

pub(super) fn contended(what: &str, name: &str) -> TrackingError {
    TrackingError::Conflict(format!(
        "{what} {name:?} was changed by others {TRIES_MAX} times meanwhile; try again"
    ))
}

/// Parses a SHA-256 in lower-case hex and yields the size of the blob that the store holds under it.
pub(super) fn require_blob(store: &dyn Store, artifact: &str) -> Result<usize, TrackingError> {
    let digest = parse_digest(artifact).ok_or_else(|| {
        TrackingError::Invalid(format!(
            "artifact {:?} is no SHA-256 in lower-case hex; `model.save` yields one",
            artifact.chars().take(80).collect::<String>()
        ))
    })?;
    match store.get_blob(&digest)? {
        Some(bytes) => Ok(bytes.len()),
        None => Err(TrackingError::NotFound(format!(
            "there is no artifact {artifact}; save it first"
        ))),
    }
}

/// A digest from its 64 lower-case hex digits.
pub fn parse_digest(text: &str) -> Option<Digest> {
    let is_lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.bytes()
        .all(is_lower)
        .then(|| Digest::parse(text))
        .flatten()
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
