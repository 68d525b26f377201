//! Questions that task instances ask people: who asks what, and a form for the answer.

use crate::app::{InstanceName, PendingInput, Response, Role};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{ansi, form, layout, link, show};
use airlock_core::ids::{DagId, RunId};
use maud::{Markup, html};
use serde_json::{Map, Value};

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    look(visit, None)
}

fn look(visit: &Visit, refusal: Option<&Refusal>) -> Result<Answer, Refusal> {
    let pending = visit.app.pending_inputs()?;
    let page = Page {
        title: "Questions".to_owned(),
        section: "/questions",
        live: vec!["runs".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Questions" }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            @if pending.is_empty() { (layout::empty("Nobody asks anything.", "A task that waits for a person is listed here.")) }
            @for one in &pending { (question(visit, one)) }
        },
    };
    Ok(Answer::of(page, refusal))
}

fn question(visit: &Visit, one: &PendingInput) -> Markup {
    let question = &one.question;
    let is_for = &question.assigned_users;
    let may = visit.may(Role::Operator)
        && (is_for.is_empty() || is_for.iter().any(|user| user == visit.by()));
    html! {
        section.card.narrow {
            h2 { (ansi::plain(&question.subject)) }
            p.faint {
                "asked by " a.id href=(link::task_instance(&one.dag_id, &one.run_id, &one.task_id, one.map_index)) { (one.dag_id) "/" (show::instance_name(&one.task_id, one.map_index)) }
                @if let Some(until) = question.expires_at { " · an answer counts until " (show::time(until)) }
            }
            @if let Some(body) = &question.body { pre.doc tabindex="0" { (ansi::plain(body)) } }
            @if may { (answer_form(visit, one)) }
            @else { p.hint { "This is for " (if is_for.is_empty() { "people with the role operator".to_owned() } else { is_for.join(", ") }) "." } }
        }
    }
}

fn answer_form(visit: &Visit, one: &PendingInput) -> Markup {
    let question = &one.question;
    let kind = if question.multiple {
        "checkbox"
    } else {
        "radio"
    };
    let is_default = |option: &String| {
        question
            .defaults
            .as_ref()
            .is_some_and(|defaults| defaults.contains(option))
    };
    let fields = html! {
        input type="hidden" name="dag_id" value=(one.dag_id);
        input type="hidden" name="run_id" value=(one.run_id);
        input type="hidden" name="task_id" value=(one.task_id);
        input type="hidden" name="map_index" value=(one.map_index);
        @if !question.options.is_empty() {
            fieldset {
                legend { "Answer" }
                @for option in &question.options {
                    label.check { input type=(kind) name="option" value=(option) checked[is_default(option)]; (ansi::plain(option)) }
                }
            }
        }
        @for (name, schema) in &question.params {
            @let field = format!("param.{name}");
            div.field {
                label for=(field) { (name) }
                input id=(field) name=(field) type="text" value=(schema.get("default").map_or(String::new(), text_of));
                @if let Some(text) = schema.get("description").and_then(Value::as_str) { p.hint { (text) } }
            }
        }
        div.actions { button.primary type="submit" { "Answer" } }
    };
    form::post(visit, "/questions", "stack", &fields)
}

fn text_of(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

pub(in crate::web) fn answer(visit: &Visit) -> Result<Answer, Refusal> {
    match try_answer(visit) {
        Ok(()) => Ok(Answer::See("/questions".to_owned())),
        Err(refusal) => look(visit, Some(&refusal)),
    }
}

fn try_answer(visit: &Visit) -> Result<(), Refusal> {
    let form = &visit.form;
    let stale = |error: airlock_core::ids::InvalidId| {
        Refusal::usage(error.to_string(), "load the page again")
    };
    let name = InstanceName {
        dag_id: DagId::parse(form.get("dag_id")).map_err(stale)?,
        run_id: RunId::parse(form.get("run_id")).map_err(stale)?,
        task_id: form.get("task_id").to_owned(),
        map_index: form.get("map_index").parse().unwrap_or(-1),
    };
    let pending = visit.app.pending_inputs()?;
    let asked = pending.iter().find(|one| {
        (&one.dag_id, &one.run_id, &one.task_id, one.map_index)
            == (&name.dag_id, &name.run_id, &name.task_id, name.map_index)
    });
    let mut params_input = Map::new();
    for (param, schema) in asked.into_iter().flat_map(|one| &one.question.params) {
        params_input.insert(
            param.clone(),
            entered(schema, form.get(&format!("param.{param}"))),
        );
    }
    let response = Response {
        chosen_options: form.all("option").map(str::to_owned).collect(),
        params_input,
        ..Response::default()
    };
    Ok(visit.wait(visit.app.answer(&name, response, visit.by()))?)
}

/// By the schema's type; what cannot be read as it stays text, and the question's own check says so.
fn entered(schema: &Value, text: &str) -> Value {
    let is_text = schema.get("type").and_then(Value::as_str) == Some("string");
    let read = || serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
    if is_text {
        Value::String(text.to_owned())
    } else {
        read()
    }
}
