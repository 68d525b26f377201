//! Experiments and their runs with what they read and made: what `airlock experiments` shows.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::tracking::{
    ArtifactOwner, DatasetInput, Experiment, ModelInput, ModelOutput, ModelVersion, Page, Run,
    SEARCH_RESULTS_MAX, TrackingError, ViewType,
};
use serde::Serialize;

/// A tracking run with everything that belongs to it.
#[derive(Debug, Clone, Serialize)]
pub struct TrackingRunDetail {
    /// The run.
    pub run: Run,
    /// Datasets that it read, as clients say.
    pub datasets: Vec<DatasetInput>,
    /// Logged models that it read.
    pub model_inputs: Vec<ModelInput>,
    /// Logged models that it made.
    pub model_outputs: Vec<ModelOutput>,
    /// Its artifacts: paths and sizes in bytes.
    pub artifacts: Vec<ArtifactRow>,
    /// Versions of registered models that were made from it.
    pub versions: Vec<ModelVersion>,
}

/// An artifact of a run.
#[derive(Debug, Clone, Serialize)]
pub struct ArtifactRow {
    /// Its logical path; a folder ends in `/`.
    pub path: String,
    /// SHA-256 of its bytes in hex; `None` for a folder.
    pub sha256: Option<String>,
    /// How many bytes; `None` for a folder.
    pub bytes: Option<usize>,
}

impl App {
    /// Experiments that fulfil MLflow's filter, in an order.
    pub fn experiments(
        &self,
        view: ViewType,
        filter: &str,
        order_by: &[String],
    ) -> Result<Vec<Experiment>, UserError> {
        let max = SEARCH_RESULTS_MAX;
        let page = self
            .tracking
            .search_experiments(view, filter, order_by, max, None)?;
        Ok(page.items)
    }

    /// The experiment of a name, or else of an id.
    pub fn experiment(&self, name_or_id: &str) -> Result<Experiment, UserError> {
        if let Some(experiment) = self.tracking.experiment_by_name(name_or_id)? {
            return Ok(experiment);
        }
        self.tracking
            .experiment(name_or_id)
            .map_err(|error| match error {
                TrackingError::NotFound(_) => UserError::new(
                    ErrorKind::NotFound,
                    format!("no experiment has the name or id {name_or_id:?}"),
                )
                .hint("`airlock experiments list` shows what there is"),
                error => error.into(),
            })
    }

    /// Runs of an experiment that fulfil MLflow's filter, in an order: so many at most, behind those of the page that gave the
    /// token.
    pub fn tracking_runs(
        &self,
        experiment: &Experiment,
        view: ViewType,
        (filter, order_by): (&str, &[String]),
        (max, token): (usize, Option<&str>),
    ) -> Result<Page<Run>, UserError> {
        let ids = [experiment.experiment_id.clone()];
        let page = self
            .tracking
            .search_runs(&ids, view, filter, order_by, max, token)?;
        Ok(page)
    }

    /// A run by its id.
    pub fn tracking_run(&self, run_id: &str) -> Result<Run, UserError> {
        self.tracking.run(run_id).map_err(|error| match error {
            TrackingError::NotFound(_) => UserError::new(
                ErrorKind::NotFound,
                format!("no tracking run has the id {run_id:?}"),
            )
            .hint("`airlock experiments runs list EXPERIMENT` shows ids of runs"),
            error => error.into(),
        })
    }

    /// A run with everything that belongs to it.
    pub fn tracking_run_detail(&self, run_id: &str) -> Result<TrackingRunDetail, UserError> {
        let run = self.tracking_run(run_id)?;
        let (datasets, model_inputs, model_outputs) = self.tracking.run_inputs(run_id)?;
        let owner = ArtifactOwner::Run(run_id.to_owned());
        let artifacts = self.tracking.list_artifacts(&owner, None)?;
        let artifacts = artifacts.into_iter().map(|entry| match entry.file {
            Some(file) => ArtifactRow {
                path: entry.path,
                sha256: Some(file.sha256),
                bytes: Some(file.bytes),
            },
            None => ArtifactRow {
                path: format!("{}/", entry.path),
                sha256: None,
                bytes: None,
            },
        });
        Ok(TrackingRunDetail {
            datasets,
            model_inputs,
            model_outputs,
            artifacts: artifacts.collect(),
            versions: self.registry.versions_of_run(run_id)?,
            run,
        })
    }
}
