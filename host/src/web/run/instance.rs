//! A task instance: state and why, tries, rendered templates, XComs, limits, what a person can do about it.

use super::Looked;
use super::timeline::ended;
use super::usage;
use crate::app::{Attempts, InstanceName, LogStream, Role, TaskInstanceDetail};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, layout, link, show};
use airlock_core::dag::spec::Task;
use airlock_core::ids::TaskId;
use jiff::Timestamp;
use maud::{Markup, html};

/// A task instance that is looked at.
pub(super) struct Instance {
    pub(super) looked: Looked,
    pub(super) task_id: TaskId,
    pub(super) map_index: i32,
}

impl Instance {
    pub(super) fn at(visit: &Visit) -> Result<Self, Refusal> {
        Ok(Self {
            looked: Looked::at(visit)?,
            task_id: visit.task_id()?,
            map_index: visit.number("map_index", -1)?,
        })
    }

    pub(super) fn name(&self) -> String {
        show::instance_name(self.task_id.as_str(), self.map_index)
    }

    /// Its page, or a page of it.
    pub(super) fn link(&self, view: &str) -> String {
        let path = link::task_instance(
            &self.looked.dag_id,
            &self.looked.run_id,
            self.task_id.as_str(),
            -1,
        );
        let path = if view.is_empty() {
            path
        } else {
            format!("{path}/{view}")
        };
        let index = if self.map_index < 0 {
            String::new()
        } else {
            self.map_index.to_string()
        };
        link::query(&path, &[("map_index", &index)])
    }

    pub(super) fn stream(&self) -> LogStream<'_> {
        LogStream {
            dag_id: &self.looked.dag_id,
            run_id: &self.looked.run_id,
            task_id: &self.task_id,
            map_index: self.map_index,
        }
    }

    pub(super) fn page(
        &self,
        visit: &Visit,
        detail: &TaskInstanceDetail,
        view: &str,
        body: &Markup,
    ) -> Page {
        let mut crumbs = self.looked.crumbs();
        crumbs.push((self.looked.link(), self.looked.run_id.to_string()));
        let tabs = [("Overview", self.link("")), ("Log", self.link("log"))];
        Page {
            title: self.name(),
            section: "/dags",
            live: self.looked.live(),
            crumbs,
            body: html! {
                (self.head(visit, detail))
                (layout::tabs("Views of the task instance", view, &tabs))
                (body)
            },
        }
    }

    pub(super) fn detail(&self, visit: &Visit) -> Result<TaskInstanceDetail, Refusal> {
        let ids = (&self.looked.dag_id, &self.looked.run_id);
        Ok(visit
            .app
            .task_instance(ids, &self.task_id, self.map_index)?)
    }

    fn head(&self, visit: &Visit, detail: &TaskInstanceDetail) -> Markup {
        let index = if self.map_index < 0 {
            String::new()
        } else {
            self.map_index.to_string()
        };
        let change = |action: &str| {
            let pairs = [
                ("action", action),
                ("task", self.task_id.as_str()),
                ("map_index", &index),
            ];
            link::query(&format!("{}/change", self.looked.link()), &pairs)
        };
        html! {
            div.headline {
                div {
                    h1.id { (self.name()) }
                    p { (show::ti_state(detail.row.state)) @if let Some(error) = &detail.row.error { " " span.reason { (ansi::plain(error)) } } }
                }
                @if visit.may(Role::Operator) {
                    div.actions {
                        a.button href=(change("clear")) { "Clear" }
                        a.button href=(format!("{}&downstream=1", change("clear"))) { "Clear with downstream" }
                        a.button href=(change("mark_success")) { "Mark success" }
                        a.button href=(change("mark_failed")) { "Mark failed" }
                        a.button href=(change("mark_skipped")) { "Mark skipped" }
                    }
                }
            }
        }
    }
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let instance = Instance::at(visit)?;
    let detail = instance.detail(visit)?;
    let (dag_id, run_id) = (&instance.looked.dag_id, &instance.looked.run_id);
    let attempts = visit.app.attempts(
        dag_id,
        run_id,
        Some((&instance.task_id, instance.map_index)),
    )?;
    let task = visit.app.look(dag_id, run_id, |run| {
        let dag = run.state.dag();
        dag.find(instance.task_id.as_str())
            .and_then(|index| dag.task(index).cloned())
    })?;
    let body = html! {
        (facts(&detail, task.as_ref()))
        (why(visit, &instance, &detail))
        section.card { h2 { "Tries" } (tries(&instance, &attempts)) }
        (usage::card(&attempts))
        section.card { h2 { "XComs" } (xcoms(&detail)) }
        section.card {
            h2 { "Rendered templates" }
            @if detail.rendered_fields.is_null() { p.faint { "Nothing was rendered yet." } } @else { (show::json(&detail.rendered_fields)) }
        }
        @if let Some(task) = &task {
            section.card { h2 { "Config as written" } (show::json(&task.config)) }
            @if let Some(text) = &task.doc_md { section.card { h2 { "Documentation" } pre.doc tabindex="0" { (text) } } }
        }
    };
    Ok(instance.page(visit, &detail, "Overview", &body).into())
}

fn facts(detail: &TaskInstanceDetail, task: Option<&Task>) -> Markup {
    let now = Timestamp::now();
    let mut facts = vec![
        (
            "Operator",
            html! { a.id href=(link::plugin(detail.operator.split('.').next().unwrap_or_default())) { (detail.operator) } },
        ),
        (
            "Try",
            html! { (detail.row.try_number) " of " (detail.retries + 1) },
        ),
        ("Started", show::maybe_time(detail.start_date)),
        ("Ended", show::maybe_time(detail.end_date)),
        ("Took", show::took(detail.start_date, detail.end_date, now)),
    ];
    if let Some(from) = detail.reused_from() {
        facts.push(("Reused from", html! { span.id { (from) } }));
    }
    if let Some(task) = task {
        let limit = task
            .execution_timeout
            .map_or("none".to_owned(), |time| time.to_string());
        facts.push(("Time limit", html! { (limit) }));
        facts.push(("Pool", html! { (task.pool) " × " (task.pool_slots) }));
        facts.push(("Queue", html! { (task.queue) }));
        facts.push(("Priority", html! { (task.priority_weight) }));
    }
    layout::facts(&facts)
}

fn why(visit: &Visit, instance: &Instance, detail: &TaskInstanceDetail) -> Markup {
    if detail.row.state.is_finished() {
        return html! {};
    }
    let name = InstanceName {
        dag_id: instance.looked.dag_id.clone(),
        run_id: instance.looked.run_id.clone(),
        task_id: instance.task_id.to_string(),
        map_index: instance.map_index,
    };
    // It may have ended since.
    let Ok(deps) = visit.wait(visit.app.failed_deps(&name)) else {
        return html! {};
    };
    html! {
        section.card {
            h2 { "Why it does not run" }
            @if deps.is_empty() { p { "Nothing keeps it: it starts at the next turn." } }
            @for dep in &deps { p { strong { (dep.dep) } ": " (dep.reason) span.hint { " · " (dep.hint) } } }
        }
    }
}

fn tries(instance: &Instance, attempts: &Attempts) -> Markup {
    let now = Timestamp::now();
    if attempts.rows.is_empty() {
        return html! { p.faint { "No attempt has started yet." } };
    }
    html! {
        div.scroll tabindex="0" role="group" aria-label="Tries" { table.list.wide {
            thead { tr { th.num { "Try" } th.num { "Attempt" } th { "Started" } th { "Took" } th { "Ended as" } th { "Log" } } }
            tbody {
                @for attempt in &attempts.rows {
                    tr {
                        td.num { (attempt.try_number) }
                        td.num { (attempt.attempt) }
                        td { (show::time(attempt.start)) }
                        td { (show::took(Some(attempt.start), attempt.end, now)) }
                        td { (ended(attempt)) }
                        td { a href=(with_try(&instance.link("log"), attempt.try_number)) { "log" } }
                    }
                }
            }
        } }
    }
}

fn with_try(path: &str, number: u32) -> String {
    let joint = if path.contains('?') { '&' } else { '?' };
    format!("{path}{joint}try={number}")
}

fn xcoms(detail: &TaskInstanceDetail) -> Markup {
    if detail.xcoms.is_empty() {
        return html! { p.faint { "It has pushed nothing." } };
    }
    html! {
        @for xcom in &detail.xcoms {
            h3.id { (xcom.key) }
            (show::json(&xcom.value))
        }
    }
}
