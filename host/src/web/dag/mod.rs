//! One DAG: its grid, graph, runs, durations, calendar, code and details; trigger and pause.

pub(super) mod calendar;
pub(super) mod code;
pub(super) mod details;
pub(super) mod durations;
pub(super) mod overview;
pub(super) mod runs;
pub(super) mod trigger;

use super::answer::{Answer, Page, Refusal};
use super::visit::Visit;
use super::{dags, layout, link, show};
use crate::app::{RegisteredDag, Role};
use airlock_core::ids::DagId;
use maud::{Markup, html};
use serde_json::json;

/// A DAG that is looked at.
struct Looked {
    dag_id: DagId,
    registered: RegisteredDag,
    is_paused: bool,
    is_stale: bool,
}

impl Looked {
    fn at(visit: &Visit) -> Result<Self, Refusal> {
        let dag_id = visit.dag_id()?;
        let registered = visit.app.dag(dag_id.as_str())?;
        let row = visit.app.dag_state(&dag_id)?;
        Ok(Self {
            is_paused: row.is_paused,
            is_stale: row.is_stale,
            dag_id,
            registered,
        })
    }

    /// The page of a view.
    fn page(&self, visit: &Visit, view: &str, body: &Markup) -> Page {
        let dag = &self.registered.dag;
        let id = &self.dag_id;
        let tabs = [
            ("Grid", link::dag(id)),
            ("Graph", link::dag_view(id, "graph")),
            ("Runs", link::dag_view(id, "runs")),
            ("Durations", link::dag_view(id, "durations")),
            ("Calendar", link::dag_view(id, "calendar")),
            ("Code", link::dag_view(id, "code")),
            ("Details", link::dag_view(id, "details")),
        ];
        Page {
            title: id.to_string(),
            section: "/dags",
            live: vec![format!("dag:{id}")],
            crumbs: vec![("/dags".to_owned(), "DAGs".to_owned())],
            body: html! {
                div.headline {
                    div {
                        h1 { (dag.dag_display_name.as_deref().unwrap_or(id.as_str())) }
                        p.faint {
                            (show::schedule(&dag.schedule)) " · " (dag.timezone)
                            @if self.is_paused { " · " (show::state("paused")) }
                            @if self.is_stale { " · its file is gone: it makes no runs" }
                        }
                        @if let Some(text) = &dag.description { p { (text) } }
                    }
                    div.actions {
                        @if visit.may(Role::Operator) {
                            (dags::list::pause(visit, self.is_paused, id.as_str()))
                            a.button.primary href=(link::dag_view(id, "trigger")) { "Trigger" }
                        }
                    }
                }
                (layout::tabs("Views of the DAG", view, &tabs))
                (body)
            },
        }
    }
}

/// Stops or starts the making of runs.
pub(super) fn pause(visit: &Visit) -> Result<Answer, Refusal> {
    let dag_id = visit.dag_id()?;
    let is_paused = match visit.form.get("is_paused") {
        "true" => true,
        "false" => false,
        _ => {
            return Err(Refusal::usage(
                "the form does not say whether to pause",
                "load the page again",
            ));
        }
    };
    visit.app.set_paused(dag_id.as_str(), is_paused)?;
    let action = if is_paused {
        "dag.pause"
    } else {
        "dag.unpause"
    };
    visit.app.note_change(
        visit.by(),
        action,
        dag_id.to_string(),
        json!({"is_paused": is_paused}),
    )?;
    let back = visit.form.get("back");
    let is_list = back == "/dags";
    Ok(Answer::See(if is_list {
        back.to_owned()
    } else {
        link::dag(&dag_id)
    }))
}

/// A choice of how many runs are shown.
fn how_many(visit: &Visit, current: usize, choices: &[usize]) -> Markup {
    html! {
        span.choices role="group" aria-label="Runs shown" {
            @for choice in choices {
                a href=(visit.with("runs", &choice.to_string())) aria-current=[(*choice == current).then_some("true")] { (choice) }
            }
            span.faint { " runs" }
        }
    }
}

/// Groups that are folded, as the address says: `fold=a,b`.
pub(super) fn folded(visit: &Visit) -> std::collections::BTreeSet<&str> {
    visit
        .option("fold")
        .split(',')
        .filter(|group| !group.is_empty())
        .collect()
}

/// The address of this page with a group folded, or opened again.
pub(super) fn fold_link(visit: &Visit, group: &str) -> String {
    let mut groups = folded(visit);
    if !groups.remove(group) {
        groups.insert(group);
    }
    visit.with("fold", &groups.into_iter().collect::<Vec<_>>().join(","))
}
