//! What a person changes about a run: clear, mark, cancel. The page shows first what it will touch; the form then does exactly that.

use super::Looked;
use crate::app::{ChangedRow, RunChoice, Selection, Version};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, layout, link, show};
use airlock_core::run::ClearOptions;
use airlock_core::task_instance::state::{DagRunState, TaskInstanceState};
use maud::{Markup, html};
use serde_json::json;

/// Task instances that a preview lists.
const LISTED_MAX: usize = 300;

/// What is to be done, as the address and the form say it.
#[expect(
    clippy::struct_excessive_bools,
    reason = "one for each box of the form"
)]
struct Wish {
    action: String,
    tasks: Vec<String>,
    map_index: Option<i32>,
    upstream: bool,
    downstream: bool,
    only_failed: bool,
    latest_version: bool,
}

/// The actions, their headings, and what they do.
const ACTIONS: [(&str, &str, &str); 6] = [
    (
        "clear",
        "Clear",
        "These task instances run again, with all their retries. What is running is stopped first.",
    ),
    (
        "clear_failed",
        "Rerun what failed",
        "Of these task instances, those that failed run again, and what could not run because of them.",
    ),
    (
        "mark_success",
        "Mark as success",
        "These task instances get the state success without running.",
    ),
    (
        "mark_failed",
        "Mark as failed",
        "These task instances get the state failed without running.",
    ),
    (
        "mark_skipped",
        "Mark as skipped",
        "These task instances get the state skipped without running.",
    ),
    (
        "cancel",
        "Cancel",
        "The run ends in failed: what runs is told to stop, the rest is skipped.",
    ),
];

impl Wish {
    fn read(visit: &Visit) -> Result<Self, Refusal> {
        let pairs = if visit.form.has("action") {
            &visit.form
        } else {
            &visit.query
        };
        let action = pairs.get("action").to_owned();
        if !ACTIONS.iter().any(|(known, ..)| *known == action) {
            return Err(Refusal::usage(
                format!("there is no action {action:?}"),
                "use the buttons of the run's page",
            ));
        }
        let map_index = match pairs.get("map_index") {
            "" => None,
            text => Some(text.parse().map_err(|_| {
                Refusal::usage(
                    format!("{text:?} is no map index"),
                    "take it out of the address",
                )
            })?),
        };
        Ok(Self {
            only_failed: action == "clear_failed",
            action,
            tasks: pairs.all("task").map(str::to_owned).collect(),
            map_index,
            upstream: pairs.has("upstream"),
            downstream: pairs.has("downstream"),
            latest_version: pairs.has("latest_version"),
        })
    }

    fn text(&self) -> (&'static str, &'static str) {
        let found = ACTIONS.iter().find(|(known, ..)| *known == self.action);
        found.map_or(("", ""), |(_, heading, text)| (heading, text))
    }

    fn selection(&self) -> Selection {
        Selection {
            task_ids: self.tasks.clone(),
            options: ClearOptions {
                upstream: self.upstream,
                downstream: self.downstream,
                only_failed: self.only_failed,
                map_indexes: self.map_index.into_iter().collect(),
                ..ClearOptions::default()
            },
        }
    }

    fn version(&self) -> Version {
        if self.latest_version {
            Version::Latest
        } else {
            Version::Original
        }
    }

    fn state(&self) -> Option<TaskInstanceState> {
        match self.action.as_str() {
            "mark_success" => Some(TaskInstanceState::Success),
            "mark_failed" => Some(TaskInstanceState::Failed),
            "mark_skipped" => Some(TaskInstanceState::Skipped),
            _ => None,
        }
    }

    /// What it would touch; nothing is changed.
    fn preview(&self, visit: &Visit, looked: &Looked) -> Result<Vec<ChangedRow>, Refusal> {
        let choice = RunChoice::one(looked.run_id.clone());
        let selection = self.selection();
        let clear = visit
            .app
            .clear(&looked.dag_id, &choice, &selection, self.version(), true);
        let mut rows = visit.wait(clear)?;
        if self.action == "cancel" {
            rows.retain(|row| !row.instance.state.is_finished());
        }
        Ok(rows)
    }

    fn carry_out(&self, visit: &Visit, looked: &Looked) -> Result<usize, Refusal> {
        let choice = RunChoice::one(looked.run_id.clone());
        let (dag_id, run_id) = (&looked.dag_id, &looked.run_id);
        let (is_all, selection) = (self.tasks.is_empty(), self.selection());
        let done = match (self.action.as_str(), self.state()) {
            ("cancel", _) => {
                let reason = format!("cancelled by {} in the pages", visit.by());
                visit.wait(visit.app.cancel(dag_id, run_id, &reason))?;
                0
            }
            ("mark_success", _) if is_all => Self::mark_run(visit, looked, DagRunState::Success)?,
            ("mark_failed", _) if is_all => Self::mark_run(visit, looked, DagRunState::Failed)?,
            (_, Some(state)) => {
                let mark = visit
                    .app
                    .mark(dag_id, &choice, &selection, state, visit.by());
                visit.wait(mark)?.len()
            }
            _ => {
                let clear = visit
                    .app
                    .clear(dag_id, &choice, &selection, self.version(), false);
                visit.wait(clear)?.len()
            }
        };
        let subject = format!("{dag_id}/{run_id}");
        let detail = json!({"tasks": self.tasks, "map_index": self.map_index, "upstream": self.upstream, "downstream": self.downstream});
        visit.app.note_change(
            visit.by(),
            &format!("dag_run.{}", self.action),
            subject,
            detail,
        )?;
        Ok(done)
    }

    fn mark_run(visit: &Visit, looked: &Looked, state: DagRunState) -> Result<usize, Refusal> {
        visit.wait(
            visit
                .app
                .mark_run(&looked.dag_id, &looked.run_id, state, visit.by()),
        )?;
        Ok(0)
    }
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let wish = Wish::read(visit)?;
    let rows = wish.preview(visit, &looked)?;
    let (heading, text) = wish.text();
    let mut crumbs = looked.crumbs();
    crumbs.push((looked.link(), looked.run_id.to_string()));
    let page = Page {
        title: heading.to_owned(),
        section: "/dags",
        live: looked.live(),
        crumbs,
        body: html! {
            h1 { (heading) }
            p { (text) }
            (options(visit, &looked, &wish))
            section.card {
                h2 { "This touches " (show::count(rows.len(), "task instance")) }
                @if rows.is_empty() {
                    (layout::empty("Nothing would change.", "Choose other tasks, or take a filter away."))
                } @else {
                    (touched(&looked, &rows))
                    (confirm(visit, &looked, &wish, heading))
                }
            }
            p { a href=(looked.link()) { "Back to the run" } }
        },
    };
    Ok(page.into())
}

pub(in crate::web) fn submit(visit: &Visit) -> Result<Answer, Refusal> {
    let looked = Looked::at(visit)?;
    let wish = Wish::read(visit)?;
    wish.carry_out(visit, &looked)?;
    let back = match (wish.tasks.as_slice(), wish.map_index) {
        ([task], index) if !wish.upstream && !wish.downstream => {
            link::task_instance(&looked.dag_id, &looked.run_id, task, index.unwrap_or(-1))
        }
        _ => looked.link(),
    };
    Ok(Answer::See(back))
}

/// What comes with the chosen tasks: a form that only looks again.
fn options(visit: &Visit, looked: &Looked, wish: &Wish) -> Markup {
    if wish.action == "cancel" || wish.tasks.is_empty() {
        return html! {};
    }
    let boxes = [
        ("upstream", "Everything above", wish.upstream),
        ("downstream", "Everything below", wish.downstream),
    ];
    html! {
        form.filters method="get" action=(visit.path) {
            input type="hidden" name="action" value=(wish.action);
            @for task in &wish.tasks { input type="hidden" name="task" value=(task); }
            @if let Some(index) = wish.map_index { input type="hidden" name="map_index" value=(index); }
            span { "Tasks " span.id { (wish.tasks.join(", ")) } " of run " span.id { (looked.run_id) } }
            @for (name, label, is_on) in boxes {
                label.check { input type="checkbox" name=(name) value="1" checked[is_on] data-submit; (label) }
            }
            @if wish.action == "clear" {
                label.check { input type="checkbox" name="latest_version" value="1" checked[wish.latest_version] data-submit; "The DAG's latest version" }
            }
            button type="submit" { "Look again" }
        }
    }
}

fn touched(looked: &Looked, rows: &[ChangedRow]) -> Markup {
    html! {
        @if rows.len() > LISTED_MAX { p.count { "first " (LISTED_MAX) " of " (rows.len()) } }
        div.scroll.short tabindex="0" role="group" aria-label="What is touched" {
            table.list {
                thead { tr { th { "Task instance" } th { "State now" } } }
                tbody {
                    @for row in rows.iter().take(LISTED_MAX) {
                        tr {
                            td { a.id href=(link::task_instance(&looked.dag_id, &row.run_id, &row.instance.task_id, row.instance.map_index)) { (show::instance_name(&row.instance.task_id, row.instance.map_index)) } }
                            td { (show::ti_state(row.instance.state)) }
                        }
                    }
                }
            }
        }
    }
}

fn confirm(visit: &Visit, looked: &Looked, wish: &Wish, heading: &str) -> Markup {
    let flags = [
        ("upstream", wish.upstream),
        ("downstream", wish.downstream),
        ("latest_version", wish.latest_version),
    ];
    let fields = html! {
        input type="hidden" name="action" value=(wish.action);
        @for task in &wish.tasks { input type="hidden" name="task" value=(task); }
        @if let Some(index) = wish.map_index { input type="hidden" name="map_index" value=(index); }
        @for (name, is_on) in flags { @if is_on { input type="hidden" name=(name) value="1"; } }
        button.primary type="submit" { (heading) }
    };
    form::post(
        visit,
        &format!("{}/change", looked.link()),
        "actions",
        &fields,
    )
}
