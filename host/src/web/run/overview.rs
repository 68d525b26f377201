//! A run's task instances as a list with why they wait, its graph with states, its XComs.

use super::Looked;
use crate::app::{InstanceName, ReplayedRun, TaskInstanceRow, task_instance_rows};
use crate::web::answer::{Answer, Refusal};
use crate::web::dag::{fold_link, folded};
use crate::web::graph::Drawing;
use crate::web::visit::Visit;
use crate::web::{ansi, layout, link, show};
use airlock_core::task_instance::state::TaskInstanceState;
use maud::{Markup, html};
use std::collections::BTreeMap;

/// Task instances of one page.
const PAGE: usize = 200;
/// Task instances whose waiting is explained on one page, the first ones.
const EXPLAINED_MAX: usize = 12;
/// XComs of one page.
const XCOMS_MAX: usize = 500;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let rows = visit.app.look(&looked.dag_id, &looked.run_id, |run| {
        task_instance_rows(&run.state, &run.times)
    })?;
    let (task, state) = (visit.option("task"), visit.option("state"));
    let from: usize = visit.number("from", 0)?;
    let fits = |row: &&TaskInstanceRow| {
        (task.is_empty() || row.task_id == task)
            && (state.is_empty() || row.state.as_str() == state)
    };
    let found: Vec<&TaskInstanceRow> = rows.iter().filter(fits).collect();
    let shown: Vec<&TaskInstanceRow> = found.iter().copied().skip(from).take(PAGE).collect();
    let body = html! {
        (counts(visit, &rows, state))
        @if !task.is_empty() { p.count { "Task " span.id { (task) } " · " a href=(visit.with("task", "")) { "every task" } } }
        @if found.is_empty() { (layout::empty("No task instance fits.", "Take a filter away; a mapped task has its instances when its upstream has ended.")) }
        @else { (table(&looked, &shown)) }
        nav.pages aria-label="Pages" {
            @if from > 0 { a href=(visit.with("from", &from.saturating_sub(PAGE).to_string())) { "Back" } }
            @if from + PAGE < found.len() { a href=(visit.with("from", &(from + PAGE).to_string())) { "More of " (found.len()) } }
        }
        (waiting(visit, &looked, &shown))
        (params(visit, &looked)?)
    };
    Ok(looked.page(visit, "Task instances", &body).into())
}

/// How many have each state; each is a filter.
fn counts(visit: &Visit, rows: &[TaskInstanceRow], chosen: &str) -> Markup {
    let mut counts: BTreeMap<TaskInstanceState, usize> = BTreeMap::new();
    for row in rows {
        *counts.entry(row.state).or_default() += 1;
    }
    html! {
        ul.legend.pick aria-label="Task instances by state" {
            @for (state, count) in &counts {
                @let is_chosen = state.as_str() == chosen;
                li { a href=(visit.with("state", if is_chosen { "" } else { state.as_str() })) aria-current=[is_chosen.then_some("true")] { (count) " " (show::ti_state(*state)) } }
            }
            @if !chosen.is_empty() { li { a href=(visit.with("state", "")) { "every state" } } }
        }
    }
}

fn table(looked: &Looked, rows: &[&TaskInstanceRow]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="Task instances" {
            table.list.wide data-rows {
                thead { tr { th { "Task instance" } th { "State" } th.num { "Try" } th.num { "Took" } th { "Why" } } }
                tbody {
                    @for row in rows {
                        tr {
                            td { a.id href=(link::task_instance(&looked.dag_id, &looked.run_id, &row.task_id, row.map_index)) { (show::instance_name(&row.task_id, row.map_index)) } }
                            td { (show::ti_state(row.state)) }
                            td.num { (row.try_number) }
                            td.num { @match row.duration_ms { Some(ms) => (show::duration(ms)), None => (show::nothing()) } }
                            td { @if let Some(error) = &row.error { (show::short(&ansi::plain(error))) } }
                        }
                    }
                }
            }
        }
    }
}

/// What waits, and why, in words.
fn waiting(visit: &Visit, looked: &Looked, rows: &[&TaskInstanceRow]) -> Markup {
    let waits = |row: &&&TaskInstanceRow| {
        !row.state.is_finished()
            && !matches!(
                row.state,
                TaskInstanceState::Running | TaskInstanceState::Queued
            )
    };
    let mut told = Vec::new();
    for row in rows.iter().filter(waits).take(EXPLAINED_MAX) {
        let name = InstanceName {
            dag_id: looked.dag_id.clone(),
            run_id: looked.run_id.clone(),
            task_id: row.task_id.clone(),
            map_index: row.map_index,
        };
        // It may have ended since.
        if let Ok(deps) = visit.wait(visit.app.failed_deps(&name)) {
            told.push((row, deps));
        }
    }
    if told.is_empty() {
        return html! {};
    }
    html! {
        section.card {
            h2 { "What waits, and why" }
            dl.why {
                @for (row, deps) in &told {
                    dt { span.id { (show::instance_name(&row.task_id, row.map_index)) } " " (show::ti_state(row.state)) }
                    dd {
                        @if deps.is_empty() { "nothing keeps it: it starts at the next turn" }
                        @for dep in deps { p { (dep.reason) span.hint { " · " (dep.hint) } } }
                    }
                }
            }
        }
    }
}

fn params(visit: &Visit, looked: &Looked) -> Result<Markup, Refusal> {
    let params = visit.app.look(&looked.dag_id, &looked.run_id, |run| {
        run.header.params.clone()
    })?;
    let params: serde_json::Value = serde_json::from_str(&params).unwrap_or_default();
    let is_empty = params.as_object().is_none_or(serde_json::Map::is_empty);
    Ok(html! { @if !is_empty { section.card { h2 { "Params" } (show::json(&params)) } } })
}

pub(in crate::web) fn graph(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let cells = visit.app.run_cells(&looked.row)?;
    let dag = visit.app.look(&looked.dag_id, &looked.run_id, |run| {
        run.state.dag().clone()
    })?;
    let path = looked.link();
    let task_link = |task_id: &str, is_mapped: bool| {
        if is_mapped {
            link::query(&path, &[("task", task_id)])
        } else {
            link::task_instance(&looked.dag_id, &looked.run_id, task_id, -1)
        }
    };
    let drawing = Drawing {
        dag: &dag,
        cells: Some(&cells),
        folded: folded(visit),
        task_link: &task_link,
        fold_link: &|group| fold_link(visit, group),
    };
    let body = html! { (crate::web::dag::overview::legend()) (drawing.draw()) };
    Ok(looked.page(visit, "Graph", &body).into())
}

pub(in crate::web) fn xcoms(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let xcoms = visit.app.look(&looked.dag_id, &looked.run_id, all_xcoms)?;
    let body = html! {
        @if xcoms.is_empty() { (layout::empty("No task instance has pushed anything yet.", "What an operator answers becomes the XCom return_value.")) }
        @else {
            @if xcoms.len() > XCOMS_MAX { p.count { "first " (XCOMS_MAX) " of " (xcoms.len()) } }
            div.scroll tabindex="0" role="group" aria-label="XComs" {
                table.list.wide data-rows {
                    thead { tr { th { "Task instance" } th { "Key" } th { "Value" } } }
                    tbody {
                        @for (task_id, map_index, key, value) in xcoms.iter().take(XCOMS_MAX) {
                            tr {
                                td { a.id href=(link::task_instance(&looked.dag_id, &looked.run_id, task_id, *map_index)) { (show::instance_name(task_id, *map_index)) } }
                                td.id { (key) }
                                td.id { (show::short(&ansi::plain(value))) }
                            }
                        }
                    }
                }
            }
        }
    };
    Ok(looked.page(visit, "XComs", &body).into())
}

fn all_xcoms(run: &ReplayedRun) -> Vec<(String, i32, String, String)> {
    let mut rows = Vec::new();
    for (ti, _) in run.state.all_instances() {
        let task = run.state.dag().task(ti.task);
        let task_id = task.map_or(String::new(), |task| task.task_id.to_string());
        for (key, value) in run.state.xcoms_of(ti) {
            rows.push((
                task_id.clone(),
                ti.map_index,
                key.to_owned(),
                value.to_owned(),
            ));
        }
    }
    rows
}
