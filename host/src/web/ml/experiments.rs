//! Experiments, and the runs of one as a table with params and metrics: filtered, ordered, chosen to be compared.

use super::{made_by, run_link, status};
use crate::tracking::{Run, ViewType};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Experiments of one page.
const EXPERIMENTS_MAX: usize = 500;
/// Runs of one page.
const RUNS_MAX: usize = 200;
/// Columns of params and of metrics, each.
const COLUMNS_MAX: usize = 12;

pub(in crate::web) fn list(visit: &Visit) -> Result<Answer, Refusal> {
    let filter = match visit.option("q") {
        "" => String::new(),
        text => format!("name ILIKE '%{}%'", text.replace(['\'', '%', '\\'], "")),
    };
    let found = visit.app.experiments(ViewType::ActiveOnly, &filter, &[])?;
    let page = Page {
        title: "Experiments".to_owned(),
        section: "/experiments",
        live: vec!["experiments".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Experiments" }
            form.filters method="get" action="/experiments" role="search" {
                input type="search" name="q" value=(visit.option("q")) placeholder="Search experiments" aria-label="Search experiments" data-search;
                button type="submit" { "Search" }
            }
            @if found.is_empty() { (layout::empty("There is no experiment.", "An operator that tracks, or an MLflow client, makes one.")) }
            @else {
                div.scroll tabindex="0" role="group" aria-label="Experiments" { table.list data-rows {
                    thead { tr { th { "Experiment" } th { "Made" } th { "Changed" } } }
                    tbody {
                        @for one in found.iter().take(EXPERIMENTS_MAX) {
                            tr {
                                td { a.strong href=(link::experiment(&one.experiment_id)) { (one.name) } }
                                td { (show::time_ms(one.created_ms)) }
                                td { (show::time_ms(one.updated_ms.unwrap_or(one.created_ms))) }
                            }
                        }
                    }
                } }
            }
        },
    };
    Ok(page.into())
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let experiment = visit.app.experiment(visit.option("id"))?;
    let order: Vec<String> = Some(visit.option("order_by"))
        .filter(|text| !text.is_empty())
        .map(str::to_owned)
        .into_iter()
        .collect();
    let searched = visit.app.tracking_runs(
        &experiment,
        ViewType::ActiveOnly,
        (visit.option("filter"), &order),
        (RUNS_MAX, None),
    );
    let (runs, refusal) = match searched {
        Ok(page) => (page.items, None),
        Err(error) => (Vec::new(), Some(Refusal::from(error))),
    };
    let page = Page {
        title: experiment.name.clone(),
        section: "/experiments",
        live: vec!["experiments".to_owned()],
        crumbs: vec![("/experiments".to_owned(), "Experiments".to_owned())],
        body: html! {
            h1 { (experiment.name) }
            (search(visit))
            @if let Some(refusal) = &refusal { (refusal.notice()) }
            @else if runs.is_empty() { (layout::empty("No run fits.", "Take the filter away, or log a run.")) }
            @else { (table(visit, &runs)) }
        },
    };
    Ok(Answer::of(page, refusal.as_ref()))
}

fn search(visit: &Visit) -> Markup {
    html! {
        form.filters method="get" action="/experiment" role="search" {
            input type="hidden" name="id" value=(visit.option("id"));
            input.long type="search" name="filter" value=(visit.option("filter")) placeholder="metrics.val_auc > 0.8 and params.depth = '6'" aria-label="Filter of runs" data-search spellcheck="false";
            input type="text" name="order_by" value=(visit.option("order_by")) placeholder="order: metrics.val_auc DESC" aria-label="Order of runs" spellcheck="false";
            button type="submit" { "Search" }
        }
    }
}

fn keys(runs: &[Run], of: impl Fn(&Run) -> Vec<String>) -> Vec<String> {
    let all: BTreeSet<String> = runs.iter().flat_map(of).collect();
    all.into_iter().take(COLUMNS_MAX).collect()
}

fn table(visit: &Visit, runs: &[Run]) -> Markup {
    let params = keys(runs, |run| run.params.keys().cloned().collect());
    let metrics = keys(runs, |run| run.metrics.keys().cloned().collect());
    html! {
        form method="get" action="/compare" {
            div.bar { button type="submit" { "Compare the chosen runs" } span.faint { (show::count(runs.len(), "run")) } }
            div.scroll tabindex="0" role="group" aria-label="Tracking runs" {
                table.list.wide data-rows {
                    thead {
                        tr {
                            th { span.sr { "Choose" } } th { "Run" } th { "Status" } th { "Started" } th { "Made by" }
                            @for key in &metrics { th.num { a href=(visit.with("order_by", &format!("metrics.`{key}` DESC"))) title="order by this metric" { (key) } } }
                            @for key in &params { th.faint { (key) } }
                        }
                    }
                    tbody {
                        @for run in runs {
                            tr {
                                td { input type="checkbox" name="run" value=(run.run_id) aria-label={"choose " (run.name)}; }
                                td { (run_link(run)) }
                                td { (status(run.status)) }
                                td { (show::time_ms(run.started_ms)) }
                                td { (made_by(run)) }
                                @for key in &metrics { td.num { @match run.metrics.get(key) { Some(point) => (show::number(point.value)), None => (show::nothing()) } } }
                                @for key in &params { td.id { @match run.params.get(key) { Some(value) => (show::short(value)), None => (show::nothing()) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}
