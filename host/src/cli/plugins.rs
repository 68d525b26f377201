//! `airlock plugins`.

use super::args::{Global, Plugins};
use super::output::{print, print_json, table};
use super::settings::{Need, open};
use super::{plugin_sources, plugin_test};
use crate::error::UserError;
use crate::sandbox::Plugin;
use crate::store::Digest;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(global: &Global, command: Plugins) -> Result<(), UserError> {
    match command {
        Plugins::New(args) => plugin_sources::new(global, &args),
        Plugins::Build(args) => plugin_sources::make(global, &args),
        Plugins::Test(args) => plugin_test::run(global, &args),
        command => look(global, command),
    }
}

/// What there is, and what is in it.
fn look(global: &Global, command: Plugins) -> Result<(), UserError> {
    let app = open(
        &Global {
            data: None,
            ..global.clone()
        },
        Need::Test,
    )?;
    match command {
        Plugins::List => {
            let mut rows = Vec::new();
            let mut values = Vec::new();
            for name in app.plugins().names() {
                let plugin = app.plugins().load(name)?;
                values.push(value(&plugin));
                for operator in plugin.operators() {
                    rows.push(vec![
                        format!("{name}.{}", operator.name),
                        plugin.version().to_owned(),
                        operator.summary.clone(),
                    ]);
                }
            }
            if global.json {
                return print_json(&values);
            }
            print(&table(&["operator", "version", "summary"], &rows))
        }
        Plugins::Inspect { plugin } => {
            let path = Path::new(&plugin);
            let plugin = if path.is_file() {
                app.plugins().load_file(path)?
            } else {
                app.plugins().load(&plugin)?
            };
            if global.json {
                print_json(&value(&plugin))
            } else {
                print(&text(&plugin))
            }
        }
        // Carried out by `run`.
        Plugins::New(_) | Plugins::Build(_) | Plugins::Test(_) => Ok(()),
    }
}

fn hex(plugin: &Plugin) -> String {
    Digest(*plugin.digest()).to_string()
}

fn value(plugin: &Plugin) -> Value {
    let operators: Vec<Value> = plugin
        .operators()
        .iter()
        .map(|operator| {
            let schema: Value =
                serde_json::from_str(&operator.config_schema).unwrap_or(Value::Null);
            json!({"name": operator.name, "summary": operator.summary, "config_schema": schema})
        })
        .collect();
    json!({
        "name": plugin.name(), "version": plugin.version(), "digest": hex(plugin), "imports": plugin.imports(), "operators": operators,
    })
}

fn text(plugin: &Plugin) -> String {
    let mut text = format!(
        "plugin {} {}\n  sha256 {}\n\nasks for:\n",
        plugin.name(),
        plugin.version(),
        hex(plugin)
    );
    for import in plugin.imports() {
        text.push_str(&format!("  {import}\n"));
    }
    for operator in plugin.operators() {
        text.push_str(&format!(
            "\noperator {}.{}: {}\n",
            plugin.name(),
            operator.name,
            operator.summary
        ));
        let schema: Value = serde_json::from_str(&operator.config_schema).unwrap_or(Value::Null);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        for (name, property) in schema
            .get("properties")
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
        {
            let description = property
                .get("description")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let mark = if required.contains(&name.as_str()) {
                " (required)"
            } else {
                ""
            };
            text.push_str(&format!("  {name}{mark}: {description}\n"));
        }
    }
    text
}
