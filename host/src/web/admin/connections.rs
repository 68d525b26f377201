//! Connections of the store. A password is written and never shown.

use crate::app::{Connection, ConnectionRow, Role};
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{form, layout};
use maud::{Markup, html};
use serde_json::{Value, json};

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    look(visit, None)
}

fn look(visit: &Visit, refusal: Option<&Refusal>) -> Result<Answer, Refusal> {
    let connections = visit.app.connections()?;
    let page = Page {
        title: "Connections".to_owned(),
        section: "/connections",
        live: vec!["connections".to_owned()],
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Connections" }
            @if let Some(refusal) = refusal { (refusal.notice()) }
            @if connections.is_empty() { (layout::empty("No connection is set.", "An operator with the grant `secrets` gets a placeholder for its password.")) }
            @else {
                div.scroll tabindex="0" role="group" aria-label="Connections" {
                    table.list.wide data-rows {
                        thead { tr { th { "Connection" } th { "Type" } th { "Host" } th { "Port" } th { "Login" } th { "Password" } th { "Schema" } @if visit.may(Role::Admin) { th { span.sr { "Actions" } } } } }
                        tbody { @for row in &connections { (connection_row(visit, row)) } }
                    }
                }
            }
            @if visit.may(Role::Admin) { (set_form(visit, refusal.is_some())) }
        },
    };
    Ok(Answer::of(page, refusal))
}

fn connection_row(visit: &Visit, row: &ConnectionRow) -> Markup {
    let connection = &row.connection;
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    html! {
        tr {
            td { span.id { (row.conn_id) } @if let Some(text) = &connection.description { div.faint { (text) } } }
            td { (connection.conn_type) }
            td.id { (text(&connection.host)) }
            td.num { @if let Some(port) = connection.port { (port) } }
            td.id { (text(&connection.login)) }
            td { @if connection.password.is_some() { "set, hidden" } @else { span.faint { "none" } } }
            td.id { (text(&connection.schema)) }
            @if visit.may(Role::Admin) { td.actions { (form::button(visit, "/connections/delete", "Delete", &[("conn_id", &row.conn_id)])) } }
        }
    }
}

fn set_form(visit: &Visit, again: bool) -> Markup {
    let sent = |name: &str| {
        if again {
            visit.form.get(name).to_owned()
        } else {
            String::new()
        }
    };
    let texts = [
        ("conn_id", "Connection id"),
        ("conn_type", "Type"),
        ("host", "Host"),
        ("port", "Port"),
        ("login", "Login"),
        ("schema", "Schema"),
        ("description", "Description"),
    ];
    let fields = html! {
        @for (name, label) in texts {
            div.field { label for=(name) { (label) } input id=(name) name=(name) type="text" value=(sent(name)) required[matches!(name, "conn_id" | "conn_type")] spellcheck="false"; }
        }
        div.field { label for="password" { "Password" } input id="password" name="password" type="password" autocomplete="new-password"; }
        div.field { label for="extra" { "Extra, a JSON object" } textarea id="extra" name="extra" rows="3" spellcheck="false" {} }
        div.actions { button.primary type="submit" { "Set" } }
    };
    html! {
        section.card.narrow {
            h2 { "Set a connection" }
            p.hint { "It replaces the one with this id, password included." }
            (form::post(visit, "/connections", "stack", &fields))
        }
    }
}

fn read(visit: &Visit) -> Result<Connection, Refusal> {
    let text = |name: &str| Some(visit.form.get(name).to_owned()).filter(|text| !text.is_empty());
    let port = match text("port") {
        None => None,
        Some(port) => Some(port.parse().map_err(|_| {
            Refusal::usage(
                format!("{port:?} is no port"),
                "a number from 1 to 65535, or nothing",
            )
        })?),
    };
    let extra: Value = match text("extra") {
        None => Value::Null,
        // The text may hold a secret: the error says where, not what.
        Some(extra) => serde_json::from_str(&extra).map_err(|error| {
            Refusal::usage(
                format!(
                    "the extra is no JSON: line {}, column {}",
                    error.line(),
                    error.column()
                ),
                "write a JSON object, or nothing",
            )
        })?,
    };
    Ok(Connection {
        conn_type: visit.form.get("conn_type").to_owned(),
        description: text("description"),
        login: text("login"),
        password: text("password"),
        host: text("host"),
        port,
        schema: text("schema"),
        extra,
    })
}

pub(in crate::web) fn set(visit: &Visit) -> Result<Answer, Refusal> {
    let conn_id = visit.form.get("conn_id");
    let done =
        read(visit).and_then(|connection| Ok(visit.app.set_connection(conn_id, &connection)?));
    if let Err(refusal) = done {
        return look(visit, Some(&refusal));
    }
    visit.app.note_change(
        visit.by(),
        "connection.set",
        conn_id.to_owned(),
        json!(null),
    )?;
    Ok(Answer::See("/connections".to_owned()))
}

pub(in crate::web) fn delete(visit: &Visit) -> Result<Answer, Refusal> {
    let conn_id = visit.form.get("conn_id");
    if let Err(error) = visit.app.delete_connection(conn_id) {
        return look(visit, Some(&error.into()));
    }
    visit.app.note_change(
        visit.by(),
        "connection.delete",
        conn_id.to_owned(),
        json!(null),
    )?;
    Ok(Answer::See("/connections".to_owned()))
}
