//! A DAG's grid and graph.

use super::{Looked, fold_link, folded, how_many};
use crate::web::answer::{Answer, Refusal};
use crate::web::graph::Drawing;
use crate::web::grid::{Column, Grid};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use airlock_core::ids::RunId;
use maud::{Markup, html};

/// Runs of a grid when nothing is said, and at most.
const RUNS: usize = 25;
const RUNS_MAX: usize = 200;
/// States that the legend names.
const LEGEND: [&str; 9] = [
    "success",
    "running",
    "failed",
    "up_for_retry",
    "upstream_failed",
    "skipped",
    "queued",
    "scheduled",
    "none",
];

pub(in crate::web) fn grid(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let count = visit.number("runs", RUNS)?.clamp(1, RUNS_MAX);
    let mut columns = Vec::new();
    for run in visit
        .app
        .recent_runs(&looked.dag_id, count)?
        .into_iter()
        .rev()
    {
        let cells = visit.app.run_cells(&run)?;
        columns.push(Column { run, cells });
    }
    let has_runs = !columns.is_empty();
    let grid = Grid {
        dag: &looked.registered.dag,
        columns,
        folded: folded(visit),
        fold_link: &|group| fold_link(visit, group),
    };
    let body = html! {
        div.bar { (how_many(visit, count, &[10, 25, 50, 100])) (legend()) }
        @if !has_runs {
            (layout::empty("This DAG has not run yet.", "Trigger it, or wait for its timetable."))
        }
        (grid.draw())
    };
    Ok(looked.page(visit, "Grid", &body).into())
}

/// What the shapes mean.
pub(in crate::web) fn legend() -> Markup {
    html! {
        ul.legend aria-label="States" { @for word in LEGEND { li { (show::state(word)) } } }
    }
}

pub(in crate::web) fn graph(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let id = &looked.dag_id;
    let run = match visit.option("run") {
        "" => None,
        "latest" => visit.app.latest_run(id)?,
        text => Some(RunId::parse(text).map_err(|error| Refusal::missing(error.to_string()))?),
    };
    let cells = match &run {
        Some(run_id) => Some(visit.app.run_cells(&visit.app.run(id, run_id)?)?),
        None => None,
    };
    let details = link::dag_view(id, "details");
    let task_link = |task_id: &str, is_mapped: bool| match &run {
        Some(run_id) if is_mapped => link::query(&link::run(id, run_id), &[("task", task_id)]),
        Some(run_id) => link::task_instance(id, run_id, task_id, -1),
        None => format!("{details}#task-{task_id}"),
    };
    let drawing = Drawing {
        dag: &looked.registered.dag,
        cells: cells.as_deref(),
        folded: folded(visit),
        task_link: &task_link,
        fold_link: &|group| fold_link(visit, group),
    };
    let chosen = visit.option("run");
    let body = html! {
        div.bar {
            span.choices role="group" aria-label="States of" {
                a href=(visit.with("run", "")) aria-current=[chosen.is_empty().then_some("true")] { "Operators" }
                a href=(visit.with("run", "latest")) aria-current=[(chosen == "latest").then_some("true")] { "Latest run" }
            }
        }
        (drawing.draw())
    };
    Ok(looked.page(visit, "Graph", &body).into())
}
