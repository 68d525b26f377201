//! One tracking run: params, metrics with their curves, tags, data, artifacts, the model versions that came from it.

use super::{made_by, status};
use crate::app::{App, TrackingRunDetail};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::chart::{Line, lines};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use maud::{Markup, html};

/// Metrics that have a plot, the first ones.
const PLOTS_MAX: usize = 24;
/// Points of one curve that are read.
const POINTS_MAX: usize = 10_000;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let detail = visit.app.tracking_run_detail(visit.option("id"))?;
    let run = &detail.run;
    let name = if run.name.is_empty() {
        run.run_id.clone()
    } else {
        run.name.clone()
    };
    let page = Page {
        title: name.clone(),
        section: "/experiments",
        live: vec!["experiments".to_owned()],
        crumbs: vec![
            ("/experiments".to_owned(), "Experiments".to_owned()),
            (link::experiment(&run.experiment_id), run.experiment.clone()),
        ],
        body: html! {
            div.headline { div { h1 { (name) } p { (status(run.status)) } } }
            (layout::facts(&[
                ("Run id", html! { span.id { (run.run_id) } }),
                ("Started", show::time_ms(run.started_ms)),
                ("Ended", match run.ended_ms { Some(at) => show::time_ms(at), None => show::nothing() }),
                ("Made by", made_by(run)),
            ]))
            section.card { h2 { "Metrics" } (metrics(visit, &detail)?) }
            div.columns {
                section.card { h2 { "Params" } (pairs(run.params.iter())) }
                section.card { h2 { "Tags" } (pairs(run.tags.iter())) }
            }
            (lineage(&detail))
            section.card { h2 { "Artifacts" } (artifacts(&detail)) }
        },
    };
    Ok(page.into())
}

/// The points of a metric: step and value.
pub(super) fn curve(app: &App, run_id: &str, metric: &str) -> Result<Vec<(f64, f64)>, Refusal> {
    let history = app
        .tracking()
        .metric_history(run_id, metric, None, POINTS_MAX)?;
    Ok(history
        .points
        .iter()
        .map(|point| (step(point.step), point.value))
        .collect())
}

#[expect(clippy::cast_precision_loss, reason = "a plot needs no more")]
fn step(step: i64) -> f64 {
    step as f64
}

fn metrics(visit: &Visit, detail: &TrackingRunDetail) -> Result<Markup, Refusal> {
    let metrics = &detail.run.metrics;
    if metrics.is_empty() {
        return Ok(html! { p.faint { "none" } });
    }
    let mut plots = Vec::new();
    for key in metrics.keys().take(PLOTS_MAX) {
        let points = curve(&visit.app, &detail.run.run_id, key)?;
        if points.len() > 1 {
            plots.push(Line {
                name: key.clone(),
                points,
            });
        }
    }
    Ok(html! {
        table.list {
            thead { tr { th { "Metric" } th.num { "Last value" } th.num { "Step" } } }
            tbody { @for (key, point) in metrics { tr { td.id { (key) } td.num { (show::number(point.value)) } td.num { (point.step) } } } }
        }
        div.plots {
            @for plot in &plots { div { h3.id { (plot.name) } (lines(&plot.name, std::slice::from_ref(plot), &show::number)) } }
        }
    })
}

fn pairs<'a>(pairs: impl Iterator<Item = (&'a String, &'a String)>) -> Markup {
    html! {
        table.list { tbody { @for (key, value) in pairs { tr { th.id scope="row" { (key) } td.id { (show::short(value)) } } } } }
    }
}

/// From data to model.
fn lineage(detail: &TrackingRunDetail) -> Markup {
    if detail.datasets.is_empty() && detail.versions.is_empty() {
        return html! {};
    }
    html! {
        section.card {
            h2 { "Lineage" }
            @for dataset in &detail.datasets { p { "read " span.id { (dataset.name) } " (" span.id { (dataset.digest) } ") from " span.id { (show::short(&dataset.source)) } } }
            @for version in &detail.versions { p { "became " a href=(link::model(&version.name)) { (version.name) " version " (version.version) } ", now " (version.stage) } }
        }
    }
}

fn artifacts(detail: &TrackingRunDetail) -> Markup {
    if detail.artifacts.is_empty() {
        return html! { p.faint { "none" } };
    }
    html! {
        table.list {
            thead { tr { th { "Path" } th { "Size" } th { "SHA-256" } } }
            tbody {
                @for artifact in &detail.artifacts {
                    tr {
                        td.id { (artifact.path) }
                        td.num { @match artifact.bytes { Some(bytes) => (show::bytes(bytes as u64)), None => (show::nothing()) } }
                        td.id { (artifact.sha256.as_deref().unwrap_or_default()) }
                    }
                }
            }
        }
    }
}
