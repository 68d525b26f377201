//! The service for experiments. A change is one commit that expects the version of the experiment's row.

use super::audit::AuditEvent;
use super::experiment::{BEFORE_NAMES, Experiments, id_key, name_key};
use super::runs::{TRIES_MAX, contended, put, remove};
use super::search::{self, EXPERIMENTS, Page, Request, Size};
use super::{
    Actor, DEFAULT_EXPERIMENT_ID, Experiment, ITEMS_PER_RUN_MAX, Lifecycle, SEARCH_RESULTS_MAX,
    TAG_CHARS_MAX, Tracking, TrackingError, ViewType, check_count, check_name, check_tags, codec,
};
use crate::store::{Commit, CommitError, RowWrite, Table};
use serde_json::{Value, json};

/// How many experiments one read takes.
const PAGE: usize = 1_000;

/// What a change did, for the trail.
struct Change {
    action: &'static str,
    from: Value,
    to: Value,
}

impl Tracking {
    /// Makes an experiment. One of this name, deleted or not, is an error.
    pub fn create_experiment(
        &self,
        actor: &Actor,
        name: &str,
        tags: &[(String, String)],
    ) -> Result<Experiment, TrackingError> {
        check_name("experiment", name)?;
        check_tags(tags, TAG_CHARS_MAX)?;
        for _ in 0..TRIES_MAX {
            if let Some(there) = self.experiment_by_name(name)? {
                let state = match there.lifecycle {
                    Lifecycle::Active => "",
                    Lifecycle::Deleted => " in the deleted state; restore it, or rename it first",
                };
                return Err(TrackingError::AlreadyExists(format!(
                    "Experiment {name:?} already exists{state}"
                )));
            }
            let now = self.now();
            let mut record = self.unused(name, now)?;
            record.tags = tags.iter().cloned().collect();
            let mut commit = AuditEvent {
                at_ms: now,
                actor: actor.clone(),
                action: "experiment.create".to_owned(),
                subject: format!("experiment/{}", record.experiment_id),
                from: Value::Null,
                to: json!({"name": name, "tags": record.tags}),
            }
            .commit()?;
            commit.rows.extend(creation(&record)?);
            match self.store.commit(commit) {
                Ok(_) => return Ok(record),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("experiment", name))
    }

    /// A record for this name whose id nobody has: one that was renamed away keeps its id.
    pub(super) fn unused(&self, name: &str, now: i64) -> Result<Experiment, TrackingError> {
        for turn in 0..u32::MAX {
            let record = Experiment::new(name, turn, now);
            let taken = self
                .store
                .get(Table::Experiment, &id_key(&record.experiment_id))?;
            if taken.is_none() {
                return Ok(record);
            }
        }
        Err(contended("experiment", name))
    }

    /// The experiment of an id; the default one is always there.
    pub fn experiment(&self, experiment_id: &str) -> Result<Experiment, TrackingError> {
        let found = match self.store.get(Table::Experiment, &id_key(experiment_id))? {
            Some(row) => {
                let name: String = codec::decode("an experiment's id", &row.value)?;
                self.experiment_by_name(&name)?
            }
            None if experiment_id == DEFAULT_EXPERIMENT_ID => {
                self.experiment_by_name(&Experiment::default_one().name)?
            }
            // What an older Airlock wrote has a row under its name alone.
            None => self
                .all_experiments()?
                .into_iter()
                .find(|record| record.experiment_id == experiment_id),
        };
        found.ok_or_else(|| {
            let shown: String = experiment_id.chars().take(80).collect();
            TrackingError::NotFound(format!("No Experiment with id={shown} exists"))
        })
    }

    /// The experiment of a name.
    pub fn experiment_by_name(&self, name: &str) -> Result<Option<Experiment>, TrackingError> {
        check_name("experiment", name)?;
        if let Some(row) = self.store.get(Table::Experiment, &name_key(name))? {
            return Experiment::read(&row).map(Some);
        }
        let default = Experiment::default_one();
        let is_default = default.name == name
            && self
                .store
                .get(Table::Experiment, &id_key(DEFAULT_EXPERIMENT_ID))?
                .is_none();
        Ok(is_default.then_some(default))
    }

    /// Up to `max` experiments in the order of their names, after a name.
    pub fn experiments(
        &self,
        after: Option<&str>,
        max: usize,
    ) -> Result<Vec<Experiment>, TrackingError> {
        let after = after.map_or(BEFORE_NAMES, str::as_bytes);
        self.store
            .scan(Table::Experiment, b"", Some(after), max)?
            .iter()
            .map(Experiment::read)
            .collect()
    }

    /// Every experiment, the default one too.
    pub(super) fn all_experiments(&self) -> Result<Vec<Experiment>, TrackingError> {
        let mut all: Vec<Experiment> = Vec::new();
        loop {
            let after = all.last().map(|record| record.name.clone());
            let page = self.experiments(after.as_deref(), PAGE)?;
            if page.is_empty() {
                break;
            }
            all.extend(page);
        }
        if !all
            .iter()
            .any(|record| record.experiment_id == DEFAULT_EXPERIMENT_ID)
        {
            all.push(Experiment::default_one());
        }
        Ok(all)
    }

    /// Experiments that fulfil a filter, in an order, the newest first without one.
    pub fn search_experiments(
        &self,
        view: ViewType,
        filter: &str,
        order_by: &[String],
        max: usize,
        token: Option<&str>,
    ) -> Result<Page<Experiment>, TrackingError> {
        let size = Size {
            max,
            limit: SEARCH_RESULTS_MAX,
            token,
        };
        let request = Request::parse(EXPERIMENTS, filter, order_by, view.word(), size)?;
        let mut all = self.all_experiments()?;
        all.retain(|record| view.shows(record.lifecycle));
        let page = search::search(&Experiments, all.iter(), &request);
        Ok(Page {
            items: page.items.into_iter().cloned().collect(),
            next_page_token: page.next_page_token,
        })
    }

    /// Deletes an experiment and with it its runs, until it is restored.
    pub fn delete_experiment(
        &self,
        actor: &Actor,
        experiment_id: &str,
    ) -> Result<(), TrackingError> {
        self.set_experiment_lifecycle(actor, experiment_id, Lifecycle::Deleted)
    }

    /// Restores a deleted experiment and its runs; those that were deleted themselves stay so.
    pub fn restore_experiment(
        &self,
        actor: &Actor,
        experiment_id: &str,
    ) -> Result<(), TrackingError> {
        self.set_experiment_lifecycle(actor, experiment_id, Lifecycle::Active)
    }

    fn set_experiment_lifecycle(
        &self,
        actor: &Actor,
        experiment_id: &str,
        lifecycle: Lifecycle,
    ) -> Result<(), TrackingError> {
        self.change_experiment(actor, experiment_id, |record| {
            let from = std::mem::replace(&mut record.lifecycle, lifecycle);
            if from == lifecycle {
                return Err(TrackingError::Invalid(format!(
                    "experiment {:?} is {} already",
                    record.name,
                    match lifecycle {
                        Lifecycle::Active => "active",
                        Lifecycle::Deleted => "deleted",
                    }
                )));
            }
            let action = match lifecycle {
                Lifecycle::Active => "experiment.restore",
                Lifecycle::Deleted => "experiment.delete",
            };
            Ok(Some(Change {
                action,
                from: json!(from),
                to: json!(lifecycle),
            }))
        })
    }

    /// Gives an experiment another name; its id stays.
    pub fn rename_experiment(
        &self,
        actor: &Actor,
        experiment_id: &str,
        name: &str,
    ) -> Result<(), TrackingError> {
        check_name("experiment", name)?;
        let taken = || TrackingError::AlreadyExists(format!("Experiment {name:?} already exists"));
        self.change_experiment(actor, experiment_id, |record| {
            check_active(record)?;
            if record.name == name {
                return Ok(None);
            }
            if self.experiment_by_name(name)?.is_some() {
                return Err(taken());
            }
            let from = std::mem::replace(&mut record.name, name.to_owned());
            Ok(Some(Change {
                action: "experiment.rename",
                from: json!(from),
                to: json!(name),
            }))
        })
    }

    /// Upserts tags of an experiment.
    pub fn set_experiment_tags(
        &self,
        actor: &Actor,
        experiment_id: &str,
        tags: &[(String, String)],
    ) -> Result<(), TrackingError> {
        check_tags(tags, TAG_CHARS_MAX)?;
        self.change_experiment(actor, experiment_id, |record| {
            check_active(record)?;
            let (mut from, mut to) = (serde_json::Map::new(), serde_json::Map::new());
            for (key, value) in tags {
                let old = record.tags.insert(key.clone(), value.clone());
                if old.as_ref() != Some(value) {
                    from.insert(key.clone(), json!(old));
                    to.insert(key.clone(), json!(value));
                }
            }
            check_count(
                "tags of an experiment",
                record.tags.len(),
                ITEMS_PER_RUN_MAX,
            )?;
            Ok((!to.is_empty()).then(|| Change {
                action: "experiment.set_tags",
                from: from.into(),
                to: to.into(),
            }))
        })
    }

    /// Removes a tag of an experiment.
    pub fn delete_experiment_tag(
        &self,
        actor: &Actor,
        experiment_id: &str,
        key: &str,
    ) -> Result<(), TrackingError> {
        super::check_own_tag(key)?;
        self.change_experiment(actor, experiment_id, |record| {
            check_active(record)?;
            let Some(old) = record.tags.remove(key) else {
                return Err(TrackingError::NotFound(format!(
                    "No tag with name {key:?} in experiment {:?}",
                    record.name
                )));
            };
            Ok(Some(Change {
                action: "experiment.delete_tag",
                from: json!({ key: old }),
                to: Value::Null,
            }))
        })
    }

    /// Reads, edits and writes an experiment until nobody was faster.
    fn change_experiment(
        &self,
        actor: &Actor,
        experiment_id: &str,
        edit: impl Fn(&mut Experiment) -> Result<Option<Change>, TrackingError>,
    ) -> Result<(), TrackingError> {
        for _ in 0..TRIES_MAX {
            let now = self.now();
            let before = self.experiment(experiment_id)?;
            let row = self.store.get(Table::Experiment, &name_key(&before.name))?;
            let version = row.map_or(0, |row| row.version);
            let mut record = before.clone();
            let Some(change) = edit(&mut record)? else {
                return Ok(());
            };
            record.updated_ms = Some(now);
            let mut commit = AuditEvent {
                at_ms: now,
                actor: actor.clone(),
                action: change.action.to_owned(),
                subject: format!("experiment/{experiment_id}"),
                from: change.from,
                to: change.to,
            }
            .commit()?;
            replacement(&mut commit, &before.name, version, &record)?;
            match self.store.commit(commit) {
                Ok(_) => return Ok(()),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("experiment", experiment_id))
    }
}

/// Refuses to change what is deleted.
pub(super) fn check_active(record: &Experiment) -> Result<(), TrackingError> {
    match record.lifecycle {
        Lifecycle::Active => Ok(()),
        Lifecycle::Deleted => Err(TrackingError::Invalid(format!(
            "the experiment {:?} (id {}) must be in the active state and is deleted; restore it first",
            record.name, record.experiment_id
        ))),
    }
}

/// The rows of a new experiment.
pub(super) fn creation(record: &Experiment) -> Result<[(Table, RowWrite); 2], TrackingError> {
    let by_id = put(id_key(&record.experiment_id), Some(0), &record.name)?;
    let by_name = put(name_key(&record.name), Some(0), record)?;
    Ok([(Table::Experiment, by_id), (Table::Experiment, by_name)])
}

/// Writes a changed record, under its new name where it got one.
fn replacement(
    commit: &mut Commit,
    old_name: &str,
    version: u64,
    record: &Experiment,
) -> Result<(), TrackingError> {
    let by_id = put(id_key(&record.experiment_id), None, &record.name)?;
    let expect = if old_name == record.name {
        Some(version)
    } else {
        if version > 0 {
            commit
                .rows
                .push((Table::Experiment, remove(name_key(old_name), Some(version))));
        }
        Some(0)
    };
    let by_name = put(name_key(&record.name), expect, record)?;
    commit.rows.push((Table::Experiment, by_id));
    commit.rows.push((Table::Experiment, by_name));
    Ok(())
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
