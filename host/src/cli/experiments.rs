//! `airlock experiments`.

use super::args::Global;
use super::args_ml::{Experiments, SearchArgs, TrackingRuns, View};
use super::output::{print, print_json, say, table, time};
use super::settings::{Need, open};
use crate::app::TrackingRunDetail;
use crate::error::UserError;
use crate::tracking::{Experiment, Lifecycle, Run, ViewType};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeSet;

/// Runs that `airlock experiments show` lists.
const LATEST: usize = 20;
/// Metrics that a list of runs shows.
const METRICS_SHOWN: usize = 6;

pub(super) fn run(global: &Global, command: Experiments) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    match command {
        Experiments::List { search } => {
            let all = app.experiments(view(&search), &search.filter, &search.order_by)?;
            if global.json {
                return print_json(&all);
            }
            print(&list(&all))
        }
        Experiments::Show { experiment } => {
            let experiment = app.experiment(&experiment)?;
            let page = app.tracking_runs(&experiment, ViewType::All, ("", &[]), (LATEST, None))?;
            if global.json {
                return print_json(&json!({"experiment": experiment, "runs": page.items}));
            }
            let mut text = list(std::slice::from_ref(&experiment));
            text += &pairs("tags", experiment.tags.iter());
            text += &format!("\nlatest runs\n{}", runs(&page.items));
            print(&text)
        }
        Experiments::Runs(TrackingRuns::List {
            experiment,
            search,
            limit,
        }) => {
            let experiment = app.experiment(&experiment)?;
            let max = usize::try_from(limit).unwrap_or(usize::MAX);
            let (filter, order) = (&search.filter, &search.order_by);
            let page =
                app.tracking_runs(&experiment, view(&search), (filter, order), (max, None))?;
            if global.json {
                return print_json(&page.items);
            }
            print(&runs(&page.items))?;
            if page.next_page_token.is_some() {
                say("there are more; --limit shows them");
            }
            Ok(())
        }
        Experiments::Runs(TrackingRuns::Show { run_id }) => {
            let detail = app.tracking_run_detail(&run_id)?;
            if global.json {
                return print_json(&detail);
            }
            print(&shown(&detail))
        }
        Experiments::Compare { run_ids } => {
            let all: Result<Vec<Run>, UserError> =
                run_ids.iter().map(|id| app.tracking_run(id)).collect();
            let all = all?;
            if global.json {
                return print_json(&all);
            }
            print(&compared(&all))
        }
    }
}

fn view(search: &SearchArgs) -> ViewType {
    match search.view {
        View::Active => ViewType::ActiveOnly,
        View::Deleted => ViewType::DeletedOnly,
        View::All => ViewType::All,
    }
}

fn at(ms: i64) -> String {
    time(Timestamp::from_millisecond(ms).ok())
}

fn list(experiments: &[Experiment]) -> String {
    let row = |experiment: &Experiment| {
        let state = match experiment.lifecycle {
            Lifecycle::Active => "active",
            Lifecycle::Deleted => "deleted",
        };
        vec![
            experiment.experiment_id.clone(),
            experiment.name.clone(),
            state.to_owned(),
            // The default experiment is there before anybody made it.
            match experiment.created_ms {
                0 => "-".to_owned(),
                ms => at(ms),
            },
        ]
    };
    let rows: Vec<_> = experiments.iter().map(row).collect();
    table(&["id", "experiment", "state", "created"], &rows)
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}

fn runs(runs: &[Run]) -> String {
    let keys: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
    let keys: Vec<&String> = keys.into_iter().take(METRICS_SHOWN).collect();
    let mut header = vec!["run id", "name", "status", "started"];
    header.extend(keys.iter().map(|key| key.as_str()));
    let row = |run: &Run| {
        let metric = |key: &&String| {
            let point = run.metrics.get(*key);
            point.map_or_else(|| "-".to_owned(), |point| number(point.value))
        };
        let mut row = vec![
            run.run_id.clone(),
            run.name.clone(),
            run.status.as_str().to_owned(),
            at(run.started_ms),
        ];
        row.extend(keys.iter().map(metric));
        row
    };
    let rows: Vec<_> = runs.iter().map(row).collect();
    table(&header, &rows)
}

fn pairs<'p>(title: &str, pairs: impl Iterator<Item = (&'p String, impl AsRef<str>)>) -> String {
    let row = |(key, value): (&String, _)| -> Vec<String> {
        vec![key.clone(), AsRef::<str>::as_ref(&value).to_owned()]
    };
    let rows: Vec<_> = pairs.map(row).collect();
    if rows.is_empty() {
        return String::new();
    }
    format!("\n{}", table(&[title, "value"], &rows))
}

fn shown(detail: &TrackingRunDetail) -> String {
    let run = &detail.run;
    let mut text = format!(
        "run {} {:?} of experiment {:?} ({})\n{} since {}\n",
        run.run_id,
        run.name,
        run.experiment,
        run.experiment_id,
        run.status.as_str(),
        at(run.started_ms)
    );
    text += &pairs("param", run.params.iter());
    let metrics = run.metrics.iter();
    text += &pairs(
        "metric",
        metrics.map(|(key, point)| {
            (
                key,
                format!("{} at step {}", number(point.value), point.step),
            )
        }),
    );
    text += &pairs("tag", run.tags.iter());
    let datasets = detail.datasets.iter();
    text += &pairs("dataset", datasets.map(|one| (&one.name, &one.digest)));
    let rows: Vec<Vec<String>> = detail
        .artifacts
        .iter()
        .map(|artifact| {
            let bytes = artifact.bytes.map(|bytes| bytes.to_string());
            let sha256 = artifact.sha256.as_deref().unwrap_or("-");
            vec![
                artifact.path.clone(),
                bytes.unwrap_or_else(|| "-".to_owned()),
                sha256.chars().take(12).collect(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text += &format!("\n{}", table(&["artifact", "bytes", "sha256"], &rows));
    }
    let rows: Vec<Vec<String>> = detail
        .versions
        .iter()
        .map(|version| {
            vec![
                version.name.clone(),
                version.version.to_string(),
                version.stage.to_string(),
                version.aliases.join(", "),
            ]
        })
        .collect();
    if !rows.is_empty() {
        text += &format!(
            "\n{}",
            table(&["model", "version", "stage", "aliases"], &rows)
        );
    }
    text
}

/// Params and metrics of runs side by side.
fn compared(runs: &[Run]) -> String {
    let mut header = vec![""];
    header.extend(runs.iter().map(|run| run.name.as_str()));
    let mut rows = Vec::new();
    let mut row = |name: String, cell: &dyn Fn(&Run) -> Option<String>| {
        let cells = runs
            .iter()
            .map(|run| cell(run).unwrap_or_else(|| "-".to_owned()));
        rows.push(std::iter::once(name).chain(cells).collect::<Vec<_>>());
    };
    row("run id".to_owned(), &|run| Some(run.run_id.clone()));
    row("experiment".to_owned(), &|run| Some(run.experiment.clone()));
    row("status".to_owned(), &|run| {
        Some(run.status.as_str().to_owned())
    });
    row("started".to_owned(), &|run| Some(at(run.started_ms)));
    let params: BTreeSet<&String> = runs.iter().flat_map(|run| run.params.keys()).collect();
    for key in params {
        row(format!("params.{key}"), &|run| run.params.get(key).cloned());
    }
    let metrics: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
    for key in metrics {
        row(format!("metrics.{key}"), &|run| {
            run.metrics.get(key).map(|point| number(point.value))
        });
    }
    table(&header, &rows)
}
