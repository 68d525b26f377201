//! The runs of a DAG as a list.

use super::{Looked, how_many};
use crate::app::RunRow;
use crate::web::answer::{Answer, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use jiff::Timestamp;
use maud::{Markup, html};
use std::sync::Arc;

const RUNS: usize = 50;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let count = visit
        .number("runs", RUNS)?
        .clamp(1, crate::app::RUNS_KEPT_MAX);
    let (state, kind) = (visit.option("state"), visit.option("run_type"));
    let mut runs = visit.app.recent_runs(&looked.dag_id, usize::MAX)?;
    runs.retain(|run| {
        (state.is_empty() || run.state.as_str() == state)
            && (kind.is_empty() || run.run_type.as_str() == kind)
    });
    let total = runs.len();
    runs.truncate(count);
    let body = html! {
        form.filters method="get" action=(link::dag_view(&looked.dag_id, "runs")) {
            (choice("state", "Every state", state, &["queued", "running", "success", "failed"]))
            (choice("run_type", "Every type", kind, &["scheduled", "manual", "backfill", "asset_triggered"]))
            button type="submit" { "Filter" }
            (how_many(visit, count, &[25, 50, 100, 400]))
        }
        p.count { (show::count(runs.len(), "run")) @if total > runs.len() { " of " (total) } }
        @if runs.is_empty() {
            (layout::empty("No run fits.", "Trigger the DAG, or take a filter away."))
        } @else { (table(&runs)) }
    };
    Ok(looked.page(visit, "Runs", &body).into())
}

fn choice(name: &str, every: &str, chosen: &str, options: &[&str]) -> Markup {
    html! {
        select name=(name) aria-label=(every) data-submit {
            option value="" { (every) }
            @for option in options { option value=(option) selected[*option == chosen] { (option.replace('_', " ")) } }
        }
    }
}

fn table(runs: &[Arc<RunRow>]) -> Markup {
    let now = Timestamp::now();
    html! {
        div.scroll tabindex="0" role="group" aria-label="Runs" {
            table.list.wide data-rows {
                thead { tr { th { "Run" } th { "State" } th { "Type" } th { "Logical date" } th { "Started" } th { "Took" } th { "By" } } }
                tbody {
                    @for run in runs {
                        tr {
                            td {
                                a.id href=(link::run(&run.dag_id, &run.run_id)) { (run.run_id) }
                                @if !run.reason.is_empty() && run.reason != run.state.as_str() { div.faint { (show::short(&run.reason)) } }
                                @if !run.note.is_empty() { div.faint { "note: " (show::short(&run.note)) } }
                            }
                            td { (show::run_state(run.state)) }
                            td { (run.run_type.as_str().replace('_', " ")) }
                            td { (show::maybe_time(run.logical_date)) }
                            td { (show::maybe_time(run.start_date)) }
                            td { (show::took(run.start_date, run.end_date, now)) }
                            td { (show::short(&run.triggered_by)) }
                        }
                    }
                }
            }
        }
    }
}
