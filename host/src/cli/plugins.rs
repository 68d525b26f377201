//! `airlock plugins`.

use super::args::{Global, Plugins};
use super::output::{print, print_json, table};
use super::{plugin_sources, plugin_test, plugins_life};
use crate::error::UserError;
use crate::sandbox::Plugin;
use crate::store::Digest;
use airlock_core::grant::Asks;
use serde_json::{Value, json};
use std::path::Path;

pub(super) fn run(global: &Global, command: Plugins) -> Result<(), UserError> {
    match command {
        Plugins::List => list(global),
        Plugins::Inspect { plugin } => inspect(global, &plugin),
        Plugins::New(args) => plugin_sources::new(global, &args),
        Plugins::Build(args) => plugin_sources::make(global, &args),
        Plugins::Test(args) => plugin_test::run(global, &args),
        Plugins::Life(command) => plugins_life::run(global, command),
    }
}

fn list(global: &Global) -> Result<(), UserError> {
    let app = plugins_life::app(global)?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for name in app.plugins().names() {
        let origin = app.plugins().origin(&name);
        let plugin = match app.plugins().load(&name) {
            Ok(plugin) => plugin,
            // One that is refused or not here must not hide the others.
            Err(error) => {
                values.push(json!({"name": name, "origin": origin, "problem": error.to_string()}));
                rows.push(vec![name, "-".to_owned(), origin, error.to_string()]);
                continue;
            }
        };
        let mut told = value(&plugin);
        if let Some(told) = told.as_object_mut() {
            told.insert("name".to_owned(), name.clone().into());
            told.insert("origin".to_owned(), origin.clone().into());
        }
        values.push(told);
        for operator in plugin.operators() {
            rows.push(vec![
                format!("{name}.{}", operator.name),
                plugin.version().to_owned(),
                origin.clone(),
                operator.summary.clone(),
            ]);
        }
    }
    rows.extend(super::native::rows(&global.native));
    values.extend(super::native::values(&global.native));
    if global.json {
        return print_json(&values);
    }
    print(&table(&["operator", "version", "origin", "summary"], &rows))
}

fn inspect(global: &Global, name: &str) -> Result<(), UserError> {
    let app = plugins_life::app(global)?;
    let path = Path::new(name);
    let (plugin, locked) = if path.is_file() {
        (app.plugins().load_file(path)?, None)
    } else {
        (app.plugins().load(name)?, app.plugins().locked(name))
    };
    let asks = Asks::of_imports(plugin.imports());
    let grants = locked
        .as_ref()
        .map_or_else(|| asks.policy(), |locked| locked.grants.clone());
    if !global.json {
        let mut shown = text(&plugin);
        shown.push('\n');
        shown.push_str(&plugins_life::permissions(&grants, &asks));
        if let Some(locked) = locked {
            let signer = locked.signer.as_deref().unwrap_or("nobody");
            shown.push_str(&format!(
                "\nairlock.lock: from {}, signed by {signer}\n",
                locked.source
            ));
        }
        return print(&shown);
    }
    let mut told = value(&plugin);
    if let Some(told) = told.as_object_mut() {
        told.insert("may".to_owned(), grants.sentences(&asks).into());
        let origin = locked.map(|locked| json!({"source": locked.source, "signer": locked.signer}));
        told.insert("locked".to_owned(), origin.unwrap_or_default());
    }
    print_json(&told)
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
    let sdk = plugin.stamp().map(|stamp| {
        json!({"language": stamp.language, "version": stamp.version, "contract": stamp.contract})
    });
    json!({
        "sdk": sdk, "name": plugin.name(), "version": plugin.version(), "digest": hex(plugin), "imports": plugin.imports(), "operators": operators,
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
