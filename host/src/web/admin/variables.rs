//! Variables of the store. Those whose names look secret are hidden, here as everywhere.

use crate::app::{Role, Variable};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, layout, show};
use maud::{Markup, html};
use serde_json::json;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    look(visit, None)
}

fn look(visit: &Visit, refusal: Option<&Refusal>) -> Result<Answer, Refusal> {
    let variables = visit.app.variables()?;
    let page = Page {
        title: "Variables".to_owned(),
        section: "/variables",
        live: vec!["variables".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Variables" }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            @if variables.is_empty() { (layout::empty("No variable is set.", "A config reads one as {{ var.value.KEY }}.")) }
            @else {
                div.scroll tabindex="0" role="group" aria-label="Variables" {
                    table.list.wide data-rows {
                        thead { tr { th { "Key" } th { "Value" } th { "Description" } @if visit.may(Role::Admin) { th { span.sr { "Actions" } } } } }
                        tbody {
                            @for variable in &variables {
                                tr {
                                    td.id { (variable.key) }
                                    td.id { (show::short(&variable.value)) }
                                    td { (variable.description.as_deref().unwrap_or_default()) }
                                    @if visit.may(Role::Admin) { td.actions { (form::button(visit, "/variables/delete", "Delete", &[("key", &variable.key)])) } }
                                }
                            }
                        }
                    }
                }
            }
            @if visit.may(Role::Admin) { (set_form(visit, refusal.is_some())) }
        },
    };
    Ok(Answer::of(page, refusal))
}

fn set_form(visit: &Visit, again: bool) -> Markup {
    let sent = |name: &str| {
        if again {
            visit.form.get(name).to_owned()
        } else {
            String::new()
        }
    };
    let fields = html! {
        div.field { label for="key" { "Key" } input id="key" name="key" type="text" required value=(sent("key")) spellcheck="false"; }
        div.field { label for="value" { "Value" } textarea id="value" name="value" rows="3" spellcheck="false" { (sent("value")) } }
        div.field { label for="description" { "Description" } input id="description" name="description" type="text" value=(sent("description")); }
        div.actions { button.primary type="submit" { "Set" } }
    };
    html! { section.card.narrow { h2 { "Set a variable" } (form::post(visit, "/variables", "stack", &fields)) } }
}

pub(in crate::web) fn set(visit: &Visit) -> Result<Answer, Refusal> {
    let form = &visit.form;
    let description = Some(form.get("description").to_owned()).filter(|text| !text.is_empty());
    let variable = Variable {
        value: form.get("value").to_owned(),
        description,
    };
    if let Err(error) = visit.app.set_variable(form.get("key"), &variable) {
        return look(visit, Some(&error.into()));
    }
    // The value is nobody's business but the task's.
    visit.app.note_change(
        visit.by(),
        "variable.set",
        form.get("key").to_owned(),
        json!(null),
    )?;
    Ok(Answer::See("/variables".to_owned()))
}

pub(in crate::web) fn delete(visit: &Visit) -> Result<Answer, Refusal> {
    let key = visit.form.get("key");
    if let Err(error) = visit.app.delete_variable(key) {
        return look(visit, Some(&error.into()));
    }
    visit
        .app
        .note_change(visit.by(), "variable.delete", key.to_owned(), json!(null))?;
    Ok(Answer::See("/variables".to_owned()))
}
