//! One run: its task instances, graph, timeline and XComs; what a person changes about it; one task instance and its log.

pub(super) mod change;
pub(super) mod instance;
pub(super) mod log;
pub(super) mod overview;
pub(super) mod timeline;
mod usage;

use super::answer::{Page, Refusal};
use super::visit::Visit;
use super::{layout, link, show};
use crate::app::{Role, RunRow};
use airlock_core::ids::{DagId, RunId};
use jiff::Timestamp;
use maud::{Markup, html};

/// A run that is looked at.
struct Looked {
    dag_id: DagId,
    run_id: RunId,
    row: RunRow,
}

impl Looked {
    /// The run that the path names; `latest` is the one that was made last.
    fn at(visit: &Visit) -> Result<Self, Refusal> {
        let dag_id = visit.dag_id()?;
        let run_id = match visit.place("run_id") {
            "latest" => {
                let latest = visit.app.latest_run(&dag_id)?;
                latest.ok_or_else(|| Refusal::missing(format!("dag {dag_id} has no run")))?
            }
            _ => visit.run_id()?,
        };
        let row = visit.app.run(&dag_id, &run_id)?;
        Ok(Self {
            dag_id,
            run_id,
            row,
        })
    }

    fn link(&self) -> String {
        link::run(&self.dag_id, &self.run_id)
    }

    fn crumbs(&self) -> Vec<(String, String)> {
        vec![
            ("/dags".to_owned(), "DAGs".to_owned()),
            (link::dag(&self.dag_id), self.dag_id.to_string()),
        ]
    }

    fn live(&self) -> Vec<String> {
        vec![format!("run:{}/{}", self.dag_id, self.run_id)]
    }

    /// The page of a view.
    fn page(&self, visit: &Visit, view: &str, body: &Markup) -> Page {
        let path = self.link();
        let tabs = [
            ("Task instances", path.clone()),
            ("Graph", format!("{path}/graph")),
            ("Timeline", format!("{path}/timeline")),
            ("XComs", format!("{path}/xcoms")),
        ];
        Page {
            title: self.run_id.to_string(),
            section: "/dags",
            live: self.live(),
            crumbs: self.crumbs(),
            body: html! {
                (self.head(visit))
                (layout::tabs("Views of the run", view, &tabs))
                (body)
            },
        }
    }

    fn head(&self, visit: &Visit) -> Markup {
        let row = &self.row;
        let change =
            |action: &str| link::query(&format!("{}/change", self.link()), &[("action", action)]);
        html! {
            div.headline {
                div {
                    h1.id { (self.run_id) }
                    p { (show::run_state(row.state)) @if !row.reason.is_empty() && row.reason != row.state.as_str() { " " span.reason { (row.reason) } } }
                }
                @if visit.may(Role::Operator) {
                    div.actions {
                        @if !row.state.is_finished() { a.button href=(change("cancel")) { "Cancel" } }
                        a.button href=(change("clear")) { "Clear" }
                        a.button href=(change("clear_failed")) { "Rerun failed" }
                        a.button href=(change("mark_success")) { "Mark success" }
                        a.button href=(change("mark_failed")) { "Mark failed" }
                    }
                }
            }
            (self.facts())
        }
    }

    fn facts(&self) -> Markup {
        let row = &self.row;
        let version: String = row.dag_version.chars().take(12).collect();
        let code = link::query(
            &link::dag_view(&self.dag_id, "code"),
            &[("version", &row.dag_version)],
        );
        let mut facts = vec![
            ("Type", html! { (row.run_type.as_str().replace('_', " ")) }),
            ("Logical date", show::maybe_time(row.logical_date)),
            ("Run after", show::time(row.run_after)),
            ("Started", show::maybe_time(row.start_date)),
            ("Ended", show::maybe_time(row.end_date)),
            (
                "Took",
                show::took(row.start_date, row.end_date, Timestamp::now()),
            ),
            ("Version", html! { a.id href=(code) { (version) } }),
            ("By", html! { (row.triggered_by) }),
        ];
        if !row.note.is_empty() {
            facts.push(("Note", html! { (row.note) }));
        }
        layout::facts(&facts)
    }
}
