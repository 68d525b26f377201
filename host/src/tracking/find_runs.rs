//! Finds runs by MLflow's filter.

use super::logged_models::EXPERIMENTS_PER_SEARCH_MAX;
use super::search::{self, Page, RUNS, Request, Size};
use super::{
    Experiment, Lifecycle, Run, SEARCH_RESULTS_MAX, Tracking, TrackingError, ViewType, check_count,
};
use std::collections::BTreeSet;

impl Tracking {
    /// Runs of some experiments that fulfil a filter, in an order, the latest first without one; at most `SEARCH_RESULTS_MAX`.
    pub fn search_runs(
        &self,
        experiment_ids: &[String],
        view: ViewType,
        filter: &str,
        order_by: &[String],
        max: usize,
        token: Option<&str>,
    ) -> Result<Page<Run>, TrackingError> {
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
        let experiment_ids: BTreeSet<&String> = experiment_ids.iter().collect();
        let scope = format!("{} {experiment_ids:?}", view.word());
        let request = Request::parse(RUNS, filter, order_by, &scope, size)?;
        let experiments: Vec<Experiment> = experiment_ids
            .into_iter()
            .map(|id| self.experiment(id))
            .collect::<Result<_, _>>()?;
        let loaded = self.indexed(&experiments)?;
        let all = experiments.iter().flat_map(|experiment| {
            let is_deleted = experiment.lifecycle == Lifecycle::Deleted;
            let entries = loaded.runs(experiment).iter();
            entries.filter(move |entry| {
                view.shows(if is_deleted {
                    Lifecycle::Deleted
                } else {
                    entry.head.lifecycle
                })
            })
        });
        let page = search::search(&*loaded, all, &request);
        let whole = |entry: &super::index::Entry| {
            let seed = &entry.head.experiment;
            let experiment = experiments.iter().find(|one| one.seed == *seed)?;
            Some(loaded.run(entry, experiment))
        };
        Ok(Page {
            items: page.items.into_iter().filter_map(whole).collect(),
            next_page_token: page.next_page_token,
        })
    }
}
