//! The first page: what runs, what failed, what is late, what comes next, and whether all is well.

use super::answer::{Answer, Page, Refusal};
use super::visit::Visit;
use super::{layout, link, show};
use crate::app::{DagOverview, ImportError, RunRow};
use airlock_core::task_instance::state::DagRunState;
use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};
use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Rows of each list.
const ROWS_MAX: usize = 12;
/// How long a failure is news.
const NEWS: SignedDuration = SignedDuration::from_hours(7 * 24);
/// A run that should have begun so long ago is late.
const LATE: SignedDuration = SignedDuration::from_secs(60);

/// What the page shows.
struct Found {
    running: Vec<Arc<RunRow>>,
    queued: Vec<Arc<RunRow>>,
    failed: Vec<Arc<RunRow>>,
    overviews: Vec<DagOverview>,
    errors: Vec<ImportError>,
    questions: usize,
    now: Timestamp,
}

pub(super) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let found = Found::read(visit)?;
    let page = Page {
        title: "Home".to_owned(),
        section: "/",
        live: ["runs", "dags", "import_errors"]
            .map(str::to_owned)
            .to_vec(),
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Home" }
            (found.figures())
            div.columns {
                div {
                    (found.health())
                    (runs("Running now", "running", &found.running, found.now, "Nothing runs."))
                    (found.late())
                }
                div {
                    (runs("Failed in the last 7 days", "failed", &found.failed, found.now, "Nothing failed."))
                    (found.next())
                }
            }
        },
    };
    Ok(page.into())
}

impl Found {
    fn read(visit: &Visit) -> Result<Self, Refusal> {
        let now = Timestamp::now();
        let (mut running, mut queued, mut failed) = (Vec::new(), Vec::new(), Vec::new());
        let since = now.checked_sub(NEWS).unwrap_or(Timestamp::MIN);
        visit.app.with_recent(|dags| {
            for run in dags.values().flatten() {
                match run.state {
                    DagRunState::Running => running.push(run.clone()),
                    DagRunState::Queued => queued.push(run.clone()),
                    DagRunState::Failed if run.end_date.is_some_and(|end| end > since) => {
                        failed.push(run.clone());
                    }
                    _ => {}
                }
            }
        })?;
        running.sort_by_key(|run| run.start_date);
        queued.sort_by_key(|run| run.run_after);
        failed.sort_by_key(|run| Reverse(run.end_date));
        let questions = match (running.len(), queued.len()) {
            (0, 0) => 0,
            _ => visit.app.pending_inputs()?.len(),
        };
        Ok(Self {
            running,
            queued,
            failed,
            overviews: visit.app.dag_overviews()?,
            errors: visit.app.import_errors()?,
            questions,
            now,
        })
    }

    fn figures(&self) -> Markup {
        let active = self
            .overviews
            .iter()
            .filter(|one| !one.row.is_paused && !one.row.is_stale)
            .count();
        let failed: BTreeSet<_> = self.failed.iter().map(|run| &run.dag_id).collect();
        let figures = [
            (
                self.running.len(),
                "running",
                "running",
                "/dags?state=running",
            ),
            (self.queued.len(), "queued", "queued", "/dags?state=running"),
            (
                failed.len(),
                "DAGs with failures",
                if failed.is_empty() {
                    "success"
                } else {
                    "failed"
                },
                "/dags?state=failed",
            ),
            (active, "active DAGs", "success", "/dags?state=active"),
            (
                self.questions,
                "questions",
                if self.questions == 0 {
                    "none"
                } else {
                    "awaiting_input"
                },
                "/questions",
            ),
            (
                self.errors.len(),
                "import errors",
                if self.errors.is_empty() {
                    "none"
                } else {
                    "failed"
                },
                "/import-errors",
            ),
        ];
        html! {
            ul.figures {
                @for (number, name, word, path) in figures {
                    li { a href=(path) class={"figure f-" (word)} { strong { (number) } span { (show::icon(word)) (name) } } }
                }
            }
        }
    }

    fn health(&self) -> Markup {
        html! {
            section.card {
                h2 { "Health" }
                @if self.overviews.is_empty() {
                    (layout::empty("There is no DAG yet.", "Put a YAML file into a folder that `airlock serve --dags` or `airlock dev` follows; it is taken up when it is saved."))
                } @else if self.errors.is_empty() {
                    p.well { (show::icon("success")) "The scheduler and the store answer; every DAG file could be read." }
                } @else {
                    p.ill { (show::icon("failed")) a href="/import-errors" { (show::count(self.errors.len(), "DAG file")) " cannot be read" } ". Their DAGs keep the last good version." }
                }
            }
        }
    }

    /// Runs that are due and have not begun.
    fn late(&self) -> Markup {
        let before = self.now.checked_sub(LATE).unwrap_or(Timestamp::MIN);
        let late: Vec<_> = self
            .queued
            .iter()
            .filter(|run| run.run_after < before)
            .cloned()
            .collect();
        runs("Late", "late", &late, self.now, "Nothing is late.")
    }

    fn next(&self) -> Markup {
        let mut next: Vec<_> = self
            .overviews
            .iter()
            .filter_map(|one| Some((one.next.as_ref()?.run_after, one)))
            .collect();
        next.sort_by_key(|(at, _)| *at);
        html! {
            section.card {
                h2 { "Next runs" }
                @if next.is_empty() {
                    p.faint { "No active DAG has a timetable." }
                } @else {
                    table.list {
                        thead { tr { th { "DAG" } th { "Due" } } }
                        tbody {
                            @for (at, one) in next.iter().take(ROWS_MAX) {
                                tr { td { a href=(link::dag(&one.row.dag_id)) { (one.row.dag_id) } } td { (show::time(*at)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn runs(title: &str, id: &str, runs: &[Arc<RunRow>], now: Timestamp, none: &str) -> Markup {
    html! {
        section.card id={"card-" (id)} {
            h2 { (title) @if runs.len() > ROWS_MAX { span.more { " first " (ROWS_MAX) " of " (runs.len()) } } }
            @if runs.is_empty() {
                p.faint { (none) }
            } @else {
                table.list {
                    thead { tr { th { "DAG" } th { "Run" } th { "State" } th { "Took" } } }
                    tbody {
                        @for run in runs.iter().take(ROWS_MAX) {
                            tr {
                                td { a href=(link::dag(&run.dag_id)) { (run.dag_id) } }
                                td { a.id href=(link::run(&run.dag_id, &run.run_id)) { (run.run_id) } }
                                td { (show::run_state(run.state)) }
                                td { (show::took(run.start_date, run.end_date, now)) }
                            }
                        }
                    }
                }
            }
        }
    }
}
