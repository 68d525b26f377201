//! Finds runs by MLflow's filter.

use super::codec;
use super::experiment::{tag, time};
use super::items::{self, DatasetInput};
use super::logged_models::EXPERIMENTS_PER_SEARCH_MAX;
use super::run::index_key;
use super::runs::assemble;
use super::search::{self, Entity, Field, Page, RUNS, Request, Rows, Size, Value};
use super::{Run, SEARCH_RESULTS_MAX, Tracking, TrackingError, ViewType, check_count};
use crate::store::Table;

/// How many rows one read takes.
const PAGE: usize = 4_096;

/// A run with what only a search asks about.
struct Found {
    run: Run,
    datasets: Vec<DatasetInput>,
}

/// A list of runs as a search sees it.
struct Runs;

impl Rows for Runs {
    type Row = Found;
    type Slot = Field;

    fn slot(&self, field: &Field) -> Field {
        field.clone()
    }

    fn any(&self, row: &Found, slot: &Field, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        if slot.entity != Entity::Dataset {
            return test(self.value(row, slot));
        }
        row.datasets.iter().any(|dataset| {
            let text = match slot.key.as_str() {
                "name" => Some(dataset.name.as_str()),
                "digest" => Some(dataset.digest.as_str()),
                _ => dataset.context(),
            };
            test(text.map_or(Value::Absent, Value::Text))
        })
    }

    fn value<'r>(&'r self, Found { run, .. }: &'r Found, slot: &Field) -> Value<'r> {
        match (slot.entity, slot.key.as_str()) {
            (Entity::Tag, key) => tag(&run.tags, key),
            (Entity::Param, key) => tag(&run.params, key),
            (Entity::Metric, key) => {
                let point = run.metrics.get(key);
                point.map_or(Value::Absent, |point| Value::Number(point.value))
            }
            (Entity::Attribute, "run_id") => Value::Text(&run.run_id),
            (Entity::Attribute, "run_name") => Value::Text(&run.name),
            (Entity::Attribute, "status") => Value::Text(run.status.as_str()),
            (Entity::Attribute, "user_id") => Value::Text(&run.user_id),
            (Entity::Attribute, "start_time") => time(run.started_ms),
            (Entity::Attribute, "end_time") => run.ended_ms.map_or(Value::Absent, time),
            _ => Value::Absent,
        }
    }

    fn tie<'r>(&self, row: &'r Found) -> (i64, &'r str) {
        (row.run.started_ms, &row.run.run_id)
    }
}

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
        let scope = format!("{} {}", view.word(), experiment_ids.join(","));
        let request = Request::parse(RUNS, filter, order_by, &scope, size)?;
        let mut all = Vec::new();
        for experiment_id in experiment_ids {
            self.collect_runs(experiment_id, view, &mut all)?;
        }
        let page = search::search(&Runs, all.iter(), &request);
        Ok(Page {
            items: page
                .items
                .into_iter()
                .map(|found| found.run.clone())
                .collect(),
            next_page_token: page.next_page_token,
        })
    }

    fn collect_runs(
        &self,
        experiment_id: &str,
        view: ViewType,
        all: &mut Vec<Found>,
    ) -> Result<(), TrackingError> {
        let experiment = self.experiment(experiment_id)?;
        let prefix = index_key(&experiment.seed, None);
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .store
                .scan(Table::TrackingRun, &prefix, after.as_deref(), PAGE)?;
            for row in &rows {
                let run_id: String = codec::decode("a run's place", &row.value)?;
                let (head, _) = self.require_head(&run_id)?;
                let mut items = items::read(&*self.store, &head, None)?;
                let datasets = std::mem::take(&mut items.datasets);
                let run = assemble(head, items, &experiment);
                if view.shows(run.lifecycle) {
                    all.push(Found { run, datasets });
                }
            }
            match rows.into_iter().next_back() {
                Some(last) => after = Some(last.key),
                None => return Ok(()),
            }
        }
    }
}
