//! `airlock plugins new` and `build`: from nothing to a component that a DAG can use.

use super::args::Global;
use super::args_build::{PluginsBuild, PluginsNew};
use super::output::{print, print_json, say};
use super::settings::{Need, open};
use crate::build::{Tools, build, create};
use crate::error::{ErrorKind, UserError};
use crate::sandbox::Plugin;
use serde_json::json;
use std::path::Path;

pub(super) fn new(global: &Global, args: &PluginsNew) -> Result<(), UserError> {
    let folder = create(&args.name, args.lang.into(), Path::new("."))?;
    if global.json {
        return print_json(&json!({"name": args.name, "folder": folder}));
    }
    let shown = folder.strip_prefix(".").unwrap_or(&folder).display();
    print(&format!(
        "made {shown}; its README.md says how to go on, for example:\n  airlock plugins test {shown} --config '{{\"name\": \"Ada\"}}'\n"
    ))
}

/// Makes the component and asks it, in the sandbox, what it is.
pub(super) fn make(global: &Global, args: &PluginsBuild) -> Result<(), UserError> {
    if !global.json && !global.quiet {
        say(&format!("building {}", args.path.display()));
    }
    let built = build(&args.path, args.output.as_deref(), &Tools::of_process())?;
    let app = open(
        &Global {
            data: None,
            ..global.clone()
        },
        Need::Test,
    )?;
    let plugin = app.plugins().load_file(&built.component)?;
    let bytes = std::fs::metadata(&built.component)
        .map(|data| data.len())
        .map_err(|error| {
            let path = built.component.display();
            UserError::new(ErrorKind::Usage, format!("cannot read {path}: {error}"))
        })?;
    let imports = imports(&plugin);
    let operators: Vec<&str> = plugin
        .operators()
        .iter()
        .map(|operator| operator.name.as_str())
        .collect();
    if global.json {
        return print_json(&json!({
            "component": built.component, "bytes": bytes, "language": built.language.word(), "name": plugin.name(),
            "version": plugin.version(), "operators": operators, "imports": plugin.imports(),
        }));
    }
    let list = |names: &[&str]| {
        if names.is_empty() {
            "nothing".to_owned()
        } else {
            names.join(", ")
        }
    };
    let imports: Vec<&str> = imports.iter().map(String::as_str).collect();
    print(&format!(
        "{}: {} {}, {} KiB\n  operators: {}\n  asks for: {}\n",
        built.component.display(),
        plugin.name(),
        plugin.version(),
        bytes.div_ceil(1024),
        list(&operators),
        list(&imports),
    ))
}

/// What a component asks for, without versions and without the shared types, which are no capability.
fn imports(plugin: &Plugin) -> Vec<String> {
    let plain = plugin.imports().iter().map(|import| {
        let name = import.split('@').next().unwrap_or(import);
        name.strip_prefix("airlock:operator/")
            .unwrap_or(name)
            .to_owned()
    });
    plain.filter(|name| name != "types").collect()
}
