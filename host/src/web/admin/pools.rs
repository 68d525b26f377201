//! Pools: their sizes; making, resizing, deleting.

use crate::app::{PoolRow, Role};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::form;
use crate::web::visit::Visit;
use airlock_core::ids::PoolName;
use maud::{Markup, html};
use serde_json::json;

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    show(visit, None)
}

fn show(visit: &Visit, refusal: Option<&Refusal>) -> Result<Answer, Refusal> {
    let pools = visit.app.pools()?;
    let page = Page {
        title: "Pools".to_owned(),
        section: "/pools",
        live: vec!["pools".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Pools" }
            p { "A task takes slots of its pool while it runs. " code { "-1" } " is unlimited." }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            div.scroll tabindex="0" role="group" aria-label="Pools" { table.list {
                thead { tr { th { "Pool" } th.num { "Slots" } th { "Kind" } th { "Description" } @if visit.may(Role::Admin) { th { span.sr { "Actions" } } } } }
                tbody { @for pool in &pools { (row(visit, pool)) } }
            } }
            @if visit.may(Role::Admin) { (set_form(visit)) }
        },
    };
    Ok(Answer::of(page, refusal))
}

fn row(visit: &Visit, pool: &PoolRow) -> Markup {
    html! {
        tr {
            td.id { (pool.name) }
            td.num { @if pool.slots < 0 { "unlimited" } @else { (pool.slots) } }
            td { @if pool.gpus.is_some() { "gpu" } @else { "slots" } @if pool.include_deferred { ", deferred ones count" } }
            td { (pool.description) }
            @if visit.may(Role::Admin) {
                td.actions { (form::button(visit, "/pools/delete", "Delete", &[("name", pool.name.as_str())])) }
            }
        }
    }
}

fn set_form(visit: &Visit) -> Markup {
    let sent = |name: &str| visit.form.get(name).to_owned();
    let fields = html! {
        div.field { label for="name" { "Pool" } input id="name" name="name" type="text" required value=(sent("name")); }
        div.field { label for="slots" { "Slots" } input id="slots" name="slots" type="number" min="-1" required value=(sent("slots")); }
        div.field { label for="description" { "Description" } input id="description" name="description" type="text" value=(sent("description")); }
        label.check { input type="checkbox" name="include_deferred" value="1"; "Deferred task instances keep their slots" }
        div.actions { button.primary type="submit" { "Set" } }
    };
    html! { section.card.narrow { h2 { "Make or change a pool" } (form::post(visit, "/pools", "stack", &fields)) } }
}

pub(in crate::web) fn set(visit: &Visit) -> Result<Answer, Refusal> {
    match try_set(visit) {
        Ok(()) => Ok(Answer::See("/pools".to_owned())),
        Err(refusal) => show(visit, Some(&refusal)),
    }
}

fn try_set(visit: &Visit) -> Result<(), Refusal> {
    let form = &visit.form;
    let name = PoolName::parse(form.get("name"))
        .map_err(|error| Refusal::usage(error.to_string(), "give another name"))?;
    let slots = form.get("slots").parse().map_err(|_| {
        Refusal::usage(
            format!("{:?} is no number of slots", form.get("slots")),
            "-1 is unlimited",
        )
    })?;
    let old = visit
        .app
        .pools()?
        .into_iter()
        .find(|pool| pool.name == name);
    let pool = PoolRow {
        name: name.clone(),
        slots,
        description: form.get("description").to_owned(),
        include_deferred: form.has("include_deferred"),
        gpus: old.and_then(|pool| pool.gpus),
    };
    pool.check()?;
    visit.wait(visit.app.set_pool(pool))?;
    visit.app.note_change(
        visit.by(),
        "pool.set",
        name.to_string(),
        json!({"slots": slots}),
    )?;
    Ok(())
}

pub(in crate::web) fn delete(visit: &Visit) -> Result<Answer, Refusal> {
    let name = visit.form.get("name");
    if let Err(error) = visit.wait(visit.app.delete_pool(name)) {
        return show(visit, Some(&error.into()));
    }
    visit
        .app
        .note_change(visit.by(), "pool.delete", name.to_owned(), json!(null))?;
    Ok(Answer::See("/pools".to_owned()))
}
