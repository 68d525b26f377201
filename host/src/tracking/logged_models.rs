//! The service for logged models. A change is one commit that expects the version of the model's row.

use super::audit::AuditEvent;
use super::codec;
use super::experiments::check_active;
use super::log::check_params;
use super::logged_model::{LoggedModels, logged_index_key, logged_model_key, model_metric_key};
use super::names;
use super::runs::{Change, TRIES_MAX, contended, put, remove};
use super::search::{self, LOGGED_MODELS, Page, Request, Size};
use super::{
    Actor, ITEMS_PER_RUN_MAX, LoggedModel, LoggedModelStatus, MetricInput, ModelMetric,
    NewLoggedModel, SEARCH_RESULTS_MAX, TAG_CHARS_MAX, Tracking, TrackingError, check_count,
    check_name, check_own_tag, check_tags,
};
use crate::store::{CommitError, RowWrite, Table};
use serde_json::{Map, Value, json};

/// How many rows one read takes.
const PAGE: usize = 1_000;
/// The most experiments of one search.
pub(super) const EXPERIMENTS_PER_SEARCH_MAX: usize = 1_000;

impl Tracking {
    /// Makes a logged model, pending until its artifacts are there.
    pub fn create_logged_model(
        &self,
        actor: &Actor,
        experiment_id: &str,
        new: &NewLoggedModel,
    ) -> Result<LoggedModel, TrackingError> {
        let name = new.name.clone().filter(|name| !name.is_empty());
        let name = name.unwrap_or_else(names::run_name);
        check_name("logged model", &name)?;
        if !new.model_type.is_empty() {
            check_name("model type", &new.model_type)?;
        }
        check_tags(&new.tags, TAG_CHARS_MAX)?;
        check_params(&new.params)?;
        if let Some(run_id) = &new.source_run_id {
            self.require_head(run_id)?;
        }
        let experiment = self.experiment(experiment_id)?;
        check_active(&experiment)?;
        let now = self.now();
        let model = LoggedModel {
            model_id: format!("m-{}", names::id()),
            experiment_id: experiment.experiment_id,
            name,
            status: LoggedModelStatus::Pending,
            created_ms: now,
            updated_ms: now,
            source_run_id: new.source_run_id.clone(),
            model_type: new.model_type.clone(),
            params: new.params.iter().cloned().collect(),
            tags: new.tags.iter().cloned().collect(),
            artifacts: 0,
            metrics: Vec::new(),
        };
        let mut commit = AuditEvent {
            at_ms: now,
            actor: actor.clone(),
            action: "logged_model.create".to_owned(),
            subject: subject(&model.model_id),
            from: Value::Null,
            to: json!({"name": model.name, "source_run_id": model.source_run_id, "params": model.params, "tags": model.tags}),
        }
        .commit()?;
        let index = logged_index_key(experiment_id, Some((now, &model.model_id)));
        let index = put(index, None, &model.model_id)?;
        commit.rows.push((Table::TrackingRun, index));
        let write = put(logged_model_key(&model.model_id), Some(0), &model)?;
        commit.rows.push((Table::TrackingRun, write));
        self.store.commit(commit)?;
        Ok(model)
    }

    /// Reads a logged model with its metrics.
    pub fn logged_model(&self, model_id: &str) -> Result<LoggedModel, TrackingError> {
        let (model, _) = self.require_logged_model(model_id)?;
        self.with_metrics(model)
    }

    /// Says whether its artifacts are there.
    pub fn finalize_logged_model(
        &self,
        actor: &Actor,
        model_id: &str,
        status: LoggedModelStatus,
    ) -> Result<LoggedModel, TrackingError> {
        self.change_logged_model(actor, model_id, |model, _| {
            let from = std::mem::replace(&mut model.status, status);
            Ok((from != status).then(|| Change {
                action: "logged_model.finalize",
                from: json!(from),
                to: json!(status),
            }))
        })?;
        self.logged_model(model_id)
    }

    /// Upserts tags.
    pub fn set_logged_model_tags(
        &self,
        actor: &Actor,
        model_id: &str,
        tags: &[(String, String)],
    ) -> Result<LoggedModel, TrackingError> {
        check_tags(tags, TAG_CHARS_MAX)?;
        self.change_logged_model(actor, model_id, |model, _| {
            let (mut from, mut to) = (Map::new(), Map::new());
            for (key, value) in tags {
                let old = model.tags.insert(key.clone(), value.clone());
                if old.as_ref() != Some(value) {
                    from.insert(key.clone(), json!(old));
                    to.insert(key.clone(), json!(value));
                }
            }
            check_count(
                "tags of a logged model",
                model.tags.len(),
                ITEMS_PER_RUN_MAX,
            )?;
            Ok((!to.is_empty()).then(|| Change {
                action: "logged_model.set_tags",
                from: from.into(),
                to: to.into(),
            }))
        })?;
        self.logged_model(model_id)
    }

    /// Removes a tag.
    pub fn delete_logged_model_tag(
        &self,
        actor: &Actor,
        model_id: &str,
        key: &str,
    ) -> Result<(), TrackingError> {
        check_own_tag(key)?;
        self.change_logged_model(actor, model_id, |model, _| {
            let Some(old) = model.tags.remove(key) else {
                return Err(TrackingError::NotFound(format!(
                    "No tag with key {key:?} found for logged model {model_id}"
                )));
            };
            Ok(Some(Change {
                action: "logged_model.delete_tag",
                from: json!({ key: old }),
                to: Value::Null,
            }))
        })
    }

    /// Sets params, each once.
    pub fn log_logged_model_params(
        &self,
        actor: &Actor,
        model_id: &str,
        params: &[(String, String)],
    ) -> Result<(), TrackingError> {
        check_params(params)?;
        self.change_logged_model(actor, model_id, |model, _| {
            let mut added = Map::new();
            for (key, value) in params {
                match model.params.insert(key.clone(), value.clone()) {
                    Some(old) if old != *value => {
                        return Err(TrackingError::Conflict(format!(
                            "Changing param values is not allowed. Param with key={key:?} of logged model {model_id} is {old:?} already"
                        )));
                    }
                    Some(_) => {}
                    None => {
                        added.insert(key.clone(), json!(value));
                    }
                }
            }
            check_count("params of a logged model", model.params.len(), ITEMS_PER_RUN_MAX)?;
            Ok((!added.is_empty()).then(|| Change {
                action: "logged_model.log_params",
                from: Value::Null,
                to: added.into(),
            }))
        })
    }

    /// Removes a logged model and its artifacts' names. Bytes that the trail or a model version names are kept.
    pub fn delete_logged_model(&self, actor: &Actor, model_id: &str) -> Result<(), TrackingError> {
        let owner = super::ArtifactOwner::LoggedModel(model_id.to_owned());
        self.require_logged_model(model_id)?;
        for (path, _) in self.artifacts_below(&owner, "")? {
            self.delete_artifact(actor, &owner, &path)?;
        }
        let (model, version) = self.require_logged_model(model_id)?;
        let mut commit = AuditEvent {
            at_ms: self.now(),
            actor: actor.clone(),
            action: "logged_model.delete".to_owned(),
            subject: subject(model_id),
            from: json!({"name": model.name, "source_run_id": model.source_run_id}),
            to: Value::Null,
        }
        .commit()?;
        let index = logged_index_key(&model.experiment_id, Some((model.created_ms, model_id)));
        commit.rows.push((Table::TrackingRun, remove(index, None)));
        let write = remove(logged_model_key(model_id), Some(version));
        commit.rows.push((Table::TrackingRun, write));
        for metric in self.with_metrics(model)?.metrics {
            let key = model_metric_key(model_id, Some(&metric));
            commit.rows.push((Table::TrackingRun, remove(key, None)));
        }
        self.store.commit(commit)?;
        Ok(())
    }

    /// Logged models of some experiments that fulfil a filter, in an order, the newest first without one.
    pub fn search_logged_models(
        &self,
        experiment_ids: &[String],
        filter: &str,
        order_by: &[String],
        max: usize,
        token: Option<&str>,
    ) -> Result<Page<LoggedModel>, TrackingError> {
        check_count(
            "experiments of a search",
            experiment_ids.len(),
            EXPERIMENTS_PER_SEARCH_MAX,
        )?;
        let size = Size {
            max,
            limit: SEARCH_RESULTS_MAX,
            token,
        };
        let scope = experiment_ids.join(",");
        let request = Request::parse(LOGGED_MODELS, filter, order_by, &scope, size)?;
        let mut all = Vec::new();
        for experiment_id in experiment_ids {
            self.collect_logged_models(experiment_id, &mut all)?;
        }
        let page = search::search(&LoggedModels, all.iter(), &request);
        Ok(Page {
            items: page.items.into_iter().cloned().collect(),
            next_page_token: page.next_page_token,
        })
    }

    fn collect_logged_models(
        &self,
        experiment_id: &str,
        all: &mut Vec<LoggedModel>,
    ) -> Result<(), TrackingError> {
        let prefix = logged_index_key(experiment_id, None);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .store
                .scan(Table::TrackingRun, &prefix, after.as_deref(), PAGE)?;
            for row in &rows {
                let model_id: String = codec::decode("a logged model's place", &row.value)?;
                // It may have been deleted since the page was read.
                if let Some((model, _)) = self.find_logged_model(&model_id)? {
                    all.push(self.with_metrics(model)?);
                }
            }
            match rows.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => return Ok(()),
            }
        }
    }

    /// The row of a metric that measures a logged model; none where it names none or an older point.
    pub(super) fn model_metric(
        &self,
        run_id: &str,
        metric: &MetricInput,
    ) -> Result<Option<RowWrite>, TrackingError> {
        let Some(model_id) = &metric.model_id else {
            return Ok(None);
        };
        self.require_logged_model(model_id)?;
        let measured = ModelMetric {
            key: metric.key.clone(),
            point: metric.point,
            run_id: run_id.to_owned(),
            dataset: metric.dataset.clone(),
        };
        let key = model_metric_key(model_id, Some(&measured));
        let old: Option<ModelMetric> = self
            .store
            .get(Table::TrackingRun, &key)?
            .map(|row| codec::decode("a metric of a logged model", &row.value))
            .transpose()?;
        if old.is_some_and(|old| old.point.latest(&measured.point).is_gt()) {
            return Ok(None);
        }
        put(key, None, &measured).map(Some)
    }

    fn with_metrics(&self, mut model: LoggedModel) -> Result<LoggedModel, TrackingError> {
        let prefix = model_metric_key(&model.model_id, None);
        let rows = self
            .store
            .scan(Table::TrackingRun, &prefix, None, ITEMS_PER_RUN_MAX)?;
        for row in &rows {
            let metric = codec::decode("a metric of a logged model", &row.value)?;
            model.metrics.push(metric);
        }
        Ok(model)
    }

    fn find_logged_model(
        &self,
        model_id: &str,
    ) -> Result<Option<(LoggedModel, u64)>, TrackingError> {
        check_name("model id", model_id)?;
        self.store
            .get(Table::TrackingRun, &logged_model_key(model_id))?
            .map(|row| Ok((LoggedModel::read(&row)?, row.version)))
            .transpose()
    }

    pub(super) fn require_logged_model(
        &self,
        model_id: &str,
    ) -> Result<(LoggedModel, u64), TrackingError> {
        self.find_logged_model(model_id)?.ok_or_else(|| {
            TrackingError::NotFound(format!("Logged model with ID {model_id:?} not found"))
        })
    }

    /// Reads, edits and writes a logged model until nobody was faster.
    pub(super) fn change_logged_model(
        &self,
        actor: &Actor,
        model_id: &str,
        edit: impl Fn(
            &mut LoggedModel,
            &mut Vec<(Table, RowWrite)>,
        ) -> Result<Option<Change>, TrackingError>,
    ) -> Result<(), TrackingError> {
        for _ in 0..TRIES_MAX {
            let (mut model, version) = self.require_logged_model(model_id)?;
            let mut rows = Vec::new();
            let Some(change) = edit(&mut model, &mut rows)? else {
                return Ok(());
            };
            model.updated_ms = self.now();
            let mut commit = AuditEvent {
                at_ms: model.updated_ms,
                actor: actor.clone(),
                action: change.action.to_owned(),
                subject: subject(model_id),
                from: change.from,
                to: change.to,
            }
            .commit()?;
            commit.rows = rows;
            let write = put(logged_model_key(model_id), Some(version), &model)?;
            commit.rows.push((Table::TrackingRun, write));
            match self.store.commit(commit) {
                Ok(_) => return Ok(()),
                Err(CommitError::WrongVersion { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(contended("logged model", model_id))
    }
}

fn subject(model_id: &str) -> String {
    format!("logged_model/{model_id}")
}
