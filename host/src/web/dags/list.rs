//! The list of DAGs: searched, by tag, owner and state; what ran last, what runs next; pause.

use crate::app::{App, DagOverview, Role, RunRow};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, layout, link, show};
use airlock_core::dag::spec::Dag;
use airlock_core::task_instance::state::DagRunState;
use maud::{Markup, html};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Runs of each DAG that are shown.
const RUNS_SHOWN: usize = 12;
/// DAGs of one page.
const PAGE: usize = 100;

/// A DAG of the list.
struct Line {
    overview: DagOverview,
    dag: Arc<Dag>,
    runs: Vec<Arc<RunRow>>,
}

impl Line {
    fn owners(&self) -> BTreeSet<&str> {
        self.dag
            .tasks
            .iter()
            .filter_map(|task| task.owner.as_deref())
            .collect()
    }

    fn has_state(&self, state: &str) -> bool {
        let row = &self.overview.row;
        let last = self.runs.first().map(|run| run.state);
        match state {
            "active" => !row.is_paused && !row.is_stale,
            "paused" => row.is_paused,
            "stale" => row.is_stale,
            "running" => self.runs.iter().any(|run| !run.state.is_finished()),
            "failed" => last == Some(DagRunState::Failed),
            _ => true,
        }
    }

    fn is_found(&self, visit: &Visit) -> bool {
        let text = visit.option("q").to_lowercase();
        let description = self.dag.description.as_deref().unwrap_or_default();
        let named = self.dag.dag_id.as_str().to_lowercase().contains(&text);
        let is_named = named || description.to_lowercase().contains(&text);
        let (tag, owner) = (visit.option("tag"), visit.option("owner"));
        let has_tag = tag.is_empty() || self.dag.tags.iter().any(|one| one == tag);
        let has_owner = owner.is_empty() || self.owners().contains(owner);
        is_named && has_tag && has_owner && self.has_state(visit.option("state"))
    }
}

fn lines(app: &App) -> Result<Vec<Line>, Refusal> {
    let line = |overview: DagOverview| {
        let dag = app.dag(overview.row.dag_id.as_str())?.dag;
        let runs = app.recent_runs(&overview.row.dag_id, RUNS_SHOWN)?;
        Ok(Line {
            overview,
            dag,
            runs,
        })
    };
    app.dag_overviews()?.into_iter().map(line).collect()
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let all = lines(&visit.app)?;
    let from: usize = visit.number("from", 0)?;
    let found: Vec<&Line> = all.iter().filter(|line| line.is_found(visit)).collect();
    let shown: Vec<&Line> = found.iter().copied().skip(from).take(PAGE).collect();
    let page = Page {
        title: "DAGs".to_owned(),
        section: "/dags",
        live: ["runs", "dags"].map(str::to_owned).to_vec(),
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "DAGs" }
            (filters(visit, &all))
            p.count { (show::count(found.len(), "DAG")) @if found.len() != all.len() { " of " (all.len()) } }
            @if all.is_empty() {
                (layout::empty("There is no DAG yet.", "Save a DAG file into a folder that the service follows (`airlock serve --dags DIR`)."))
            } @else if found.is_empty() {
                (layout::empty("No DAG fits.", "Take a filter away."))
            } @else {
                (table(visit, &shown))
            }
            (pages(visit, from, found.len()))
        },
    };
    Ok(page.into())
}

fn filters(visit: &Visit, all: &[Line]) -> Markup {
    let tags: BTreeSet<&str> = all
        .iter()
        .flat_map(|line| line.dag.tags.iter().map(String::as_str))
        .collect();
    let owners: BTreeSet<&str> = all.iter().flat_map(Line::owners).collect();
    let states = ["active", "paused", "running", "failed", "stale"];
    html! {
        form.filters method="get" action="/dags" role="search" {
            input type="search" name="q" value=(visit.option("q")) placeholder="Search DAGs" aria-label="Search DAGs" data-search;
            (choice("tag", "Every tag", visit.option("tag"), &mut tags.into_iter()))
            (choice("owner", "Every owner", visit.option("owner"), &mut owners.into_iter()))
            (choice("state", "Every state", visit.option("state"), &mut states.into_iter()))
            button type="submit" { "Filter" }
        }
    }
}

fn choice(
    name: &str,
    every: &str,
    chosen: &str,
    options: &mut dyn Iterator<Item = &str>,
) -> Markup {
    html! {
        select name=(name) aria-label=(every) data-submit {
            option value="" { (every) }
            @for option in options { option value=(option) selected[option == chosen] { (option) } }
        }
    }
}

fn table(visit: &Visit, lines: &[&Line]) -> Markup {
    html! {
        div.scroll tabindex="0" role="group" aria-label="DAGs" {
            table.list.wide data-rows {
                thead { tr { th { "DAG" } th { "Schedule" } th { "Last runs" } th { "Next run" } th { "Owner" } th { span.sr { "Actions" } } } }
                tbody { @for line in lines { (line_row(visit, line)) } }
            }
        }
    }
}

fn line_row(visit: &Visit, line: &Line) -> Markup {
    let row = &line.overview.row;
    let dag_id = &row.dag_id;
    html! {
        tr {
            td {
                a.strong href=(link::dag(dag_id)) { (dag_id) }
                @if row.is_paused { " " (show::state("paused")) }
                @if row.is_stale { " " (show::state("removed")) }
                @if let Some(text) = &line.dag.description { div.faint { (show::short(text)) } }
                @if !line.dag.tags.is_empty() {
                    div.tags { @for tag in &line.dag.tags { a.tag href=(link::query("/dags", &[("tag", tag)])) { (tag) } } }
                }
            }
            td { span.id { (show::schedule(&line.overview.schedule)) } }
            td { (last_runs(line)) }
            td { @match &line.overview.next { Some(next) => (show::time(next.run_after)), None => (show::nothing()) } }
            td { (line.owners().into_iter().collect::<Vec<_>>().join(", ")) }
            td.actions {
                @if visit.may(Role::Operator) {
                    (pause(visit, row.is_paused, dag_id.as_str()))
                    a.button href=(link::dag_view(dag_id, "trigger")) { "Trigger" span.sr { " " (dag_id) } }
                }
            }
        }
    }
}

/// The switch of a DAG.
pub(in crate::web) fn pause(visit: &Visit, is_paused: bool, dag_id: &str) -> Markup {
    let (label, value) = if is_paused {
        ("Unpause", "false")
    } else {
        ("Pause", "true")
    };
    let fields = html! {
        input type="hidden" name="is_paused" value=(value);
        input type="hidden" name="back" value=(visit.path);
        button type="submit" { (label) span.sr { " " (dag_id) } }
    };
    form::post(visit, &format!("/dags/{dag_id}/pause"), "inline", &fields)
}

fn last_runs(line: &Line) -> Markup {
    html! {
        span.lastruns {
            @for run in line.runs.iter().rev() {
                @let name = format!("{}: {}", run.run_id, run.state);
                a class={"cell c-" (run.state.as_str())} href=(link::run(&run.dag_id, &run.run_id)) title=(name) aria-label=(name) { (show::icon(run.state.as_str())) }
            }
            @if line.runs.is_empty() { span.faint { "none yet" } }
        }
    }
}

fn pages(visit: &Visit, from: usize, found: usize) -> Markup {
    html! {
        nav.pages aria-label="Pages" {
            @if from > 0 { a href=(visit.with("from", &from.saturating_sub(PAGE).to_string())) { "Back" } }
            @if from + PAGE < found { a href=(visit.with("from", &(from + PAGE).to_string())) { "More" } }
        }
    }
}
