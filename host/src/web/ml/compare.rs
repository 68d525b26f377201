//! Tracking runs side by side: what differs, and their metrics as curves over each other.

use super::tracking_run::curve;
use super::{run_link, status};
use crate::tracking::Run;
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::chart::{LINES_MAX, Line, lines};
use crate::web::visit::Visit;
use crate::web::{layout, show};
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Metrics that have a plot, the first ones.
const PLOTS_MAX: usize = 12;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let mut runs = Vec::new();
    for id in visit.query.all("run").take(LINES_MAX) {
        runs.push(visit.app.tracking_run(id)?);
    }
    let page = Page {
        title: "Compare".to_owned(),
        section: "/experiments",
        live: vec!["experiments".to_owned()],
        crumbs: vec![("/experiments".to_owned(), "Experiments".to_owned())],
        body: html! {
            h1 { "Compare " (show::count(runs.len(), "run")) }
            @if runs.len() < 2 { (layout::empty("Choose two runs or more.", "Tick them in an experiment's table; eight are compared at most.")) }
            @else {
                (side_by_side(&runs))
                (plots(visit, &runs)?)
            }
        },
    };
    Ok(page.into())
}

fn side_by_side(runs: &[Run]) -> Markup {
    let metrics: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
    let params: BTreeSet<&String> = runs.iter().flat_map(|run| run.params.keys()).collect();
    html! {
        div.scroll tabindex="0" role="group" aria-label="Runs side by side" {
            table.list.wide {
                thead { tr { th { "" } @for run in runs { th { (run_link(run)) " " (status(run.status)) } } } }
                tbody {
                    @for key in &metrics {
                        @let values: Vec<Option<f64>> = runs.iter().map(|run| run.metrics.get(*key).map(|point| point.value)).collect();
                        tr class=[differs(&values).then_some("differs")] {
                            th.id scope="row" { (key) }
                            @for value in &values { td.num { @match value { Some(value) => (show::number(*value)), None => (show::nothing()) } } }
                        }
                    }
                    @for key in &params {
                        @let values: Vec<Option<&String>> = runs.iter().map(|run| run.params.get(*key)).collect();
                        tr class=[differs(&values).then_some("differs")] {
                            th.id.faint scope="row" { (key) }
                            @for value in &values { td.id { @match value { Some(value) => (show::short(value)), None => (show::nothing()) } } }
                        }
                    }
                }
            }
        }
    }
}

fn differs<T: PartialEq>(values: &[T]) -> bool {
    values.windows(2).any(|pair| pair.first() != pair.last())
}

fn plots(visit: &Visit, runs: &[Run]) -> Result<Markup, Refusal> {
    let metrics: BTreeSet<&String> = runs.iter().flat_map(|run| run.metrics.keys()).collect();
    let mut plots = Vec::new();
    for key in metrics.into_iter().take(PLOTS_MAX) {
        let mut curves = Vec::new();
        for run in runs.iter().filter(|run| run.metrics.contains_key(key)) {
            let name = if run.name.is_empty() {
                run.run_id.clone()
            } else {
                run.name.clone()
            };
            curves.push(Line {
                name,
                points: curve(&visit.app, &run.run_id, key)?,
            });
        }
        if curves.iter().any(|curve| curve.points.len() > 1) {
            plots.push((key.clone(), curves));
        }
    }
    Ok(html! {
        div.plots { @for (key, curves) in &plots { section.card { h2.id { (key) } (lines(key, curves, &show::number)) } } }
    })
}
