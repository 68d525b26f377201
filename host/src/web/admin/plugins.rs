//! Plugins: their operators, and what each asks for, in sentences.

use crate::app::Plugin;
use crate::web::answer::{Answer, Page, Refusal};
use crate::web::visit::Visit;
use crate::web::{layout, link, show};
use maud::{Markup, html};
use serde_json::Value;
use std::sync::Arc;

/// What an import lets a plugin ask for; what it may really do is what the DAG's grants leave of it.
const SENTENCES: [(&str, &str); 18] = [
    (
        "airlock:operator/log",
        "It writes to the log of its task instance.",
    ),
    ("airlock:operator/progress", "It says how far it is."),
    ("airlock:operator/clock", "It asks for the time, and waits."),
    (
        "airlock:operator/xcom",
        "It reads and pushes XComs of its run.",
    ),
    (
        "airlock:operator/storage",
        "It reads and writes objects, where the grant `storage` names them.",
    ),
    (
        "airlock:operator/dataset",
        "It works on tables that the host holds, where the grant `storage` names them.",
    ),
    (
        "airlock:operator/training",
        "It has the host train and score, as the grant `training` allows.",
    ),
    (
        "airlock:operator/tracking",
        "It logs params, metrics and artifacts to experiments that the grant `tracking` names.",
    ),
    (
        "airlock:operator/models",
        "It registers and moves model versions that the grant `models` names.",
    ),
    (
        "airlock:operator/dag-state",
        "It reads the states of DAGs that the grant `dag_state` names.",
    ),
    (
        "airlock:operator/dag-runs",
        "It makes runs of DAGs that the grant `trigger_dags` names.",
    ),
    (
        "airlock:operator/secrets",
        "It gets placeholders for secrets that the grant `secrets` names; the host puts the values into requests.",
    ),
    (
        "airlock:operator/human",
        "It asks a person and waits for the answer.",
    ),
    (
        "airlock:operator/calendar",
        "It asks for dates of its DAG's timetable.",
    ),
    (
        "airlock:operator/email",
        "It mails addresses that the grant `email` names.",
    ),
    (
        "airlock:operator/http",
        "It sends HTTP requests to hosts that the grant `http` names.",
    ),
    (
        "wasi:http/outgoing-handler",
        "It sends HTTP requests to hosts that the grant `http` names.",
    ),
    ("wasi:random", "It draws random numbers."),
];

#[expect(clippy::unnecessary_wraps, reason = "a row of the table of pages")]
pub(in crate::web) fn list(visit: &Visit) -> Result<Answer, Refusal> {
    let names = visit.app.plugins().names();
    let loaded: Vec<(&str, Result<Arc<Plugin>, Refusal>)> = names
        .iter()
        .map(|name| (name.as_str(), visit.app.plugin(name).map_err(Refusal::from)))
        .collect();
    let page = Page {
        title: "Plugins".to_owned(),
        section: "/plugins",
        live: Vec::new(),
        crumbs: Vec::new(),
        body: html! {
            h1.sr { "Plugins" }
            @if loaded.is_empty() { (layout::empty("There is no plugin.", "`cargo xtask guests` builds those that come with Airlock; --plugins names folders with others.")) }
            div.scroll tabindex="0" role="group" aria-label="Plugins" {
                table.list.wide data-rows {
                    thead { tr { th { "Plugin" } th { "Version" } th { "Operators" } th { "Asks for" } } }
                    tbody {
                        @for (name, plugin) in &loaded {
                            tr {
                                td { a.strong href=(link::plugin(name)) { (name) } }
                                @match plugin {
                                    Ok(plugin) => {
                                        td { (plugin.version()) }
                                        td { (plugin.operators().iter().map(|one| one.name.clone()).collect::<Vec<_>>().join(", ")) }
                                        td { (asks(plugin).len()) " capabilities" }
                                    }
                                    Err(refusal) => td colspan="3" { (refusal.message) },
                                }
                            }
                        }
                    }
                }
            }
        },
    };
    Ok(page.into())
}

/// Imports that ask for something, in sentences; those that every program has are left out.
fn asks(plugin: &Plugin) -> Vec<String> {
    let is_plain = |import: &str| {
        import.starts_with("wasi:") && !import.starts_with("wasi:http/outgoing")
            || import.ends_with("/types")
    };
    let asked = plugin.imports().iter().filter(|import| {
        let name = import.split('@').next().unwrap_or_default();
        !is_plain(name)
    });
    let sentence = |import: &String| {
        let name = import.split('@').next().unwrap_or_default();
        let known = SENTENCES.iter().find(|(known, _)| name == *known);
        known.map_or_else(
            || format!("It imports {import}."),
            |(_, text)| (*text).to_owned(),
        )
    };
    asked.map(sentence).collect()
}

pub(in crate::web) fn page(visit: &Visit) -> Result<Answer, Refusal> {
    let name = visit.option("name");
    let plugin = visit.app.plugin(name)?;
    let page = Page {
        title: name.to_owned(),
        section: "/plugins",
        live: Vec::new(),
        crumbs: vec![("/plugins".to_owned(), "Plugins".to_owned())],
        body: html! {
            h1 { (plugin.name()) }
            (layout::facts(&[
                ("Version", html! { (plugin.version()) }),
                ("SHA-256", html! { span.id { (crate::app::hex(plugin.digest())) } }),
            ]))
            section.card {
                h2 { "What it may ask for" }
                p.hint { "Each DAG's grants decide what of it is given; the rest is answered with denied." }
                ul { @for sentence in asks(&plugin) { li { (sentence) } } }
                details { summary { "Imports" } ul.plain { @for import in plugin.imports() { li.id { (import) } } } }
            }
            (super::plugin_use::card(visit, name)?)
            @for operator in plugin.operators() {
                section.card {
                    h2.id { (plugin.name()) "." (operator.name) }
                    p { (operator.summary) @if operator.is_sensor { " It is a sensor." } }
                    (config(&operator.config_schema))
                }
            }
        },
    };
    Ok(page.into())
}

fn config(schema: &str) -> Markup {
    let schema: Value = serde_json::from_str(schema).unwrap_or_default();
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties: Vec<(&String, &Value)> = schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
        .collect();
    html! {
        @if !properties.is_empty() {
            table.list {
                thead { tr { th { "Config" } th { "Type" } th { "What it is" } } }
                tbody {
                    @for (name, property) in properties {
                        tr {
                            td { span.id { (name) } @if required.contains(&name.as_str()) { " required" } }
                            td.id { (show::short(&property.get("type").map_or(String::new(), |kind| kind.to_string().replace('"', "")))) }
                            td { (property.get("description").and_then(Value::as_str).unwrap_or_default()) }
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sentence_is_a_sentence() {
        for (import, text) in SENTENCES {
            assert!(text.starts_with("It ") && text.ends_with('.'), "{import}");
        }
    }
}
