//! `airlock variables`.

use super::admin::{import_file, open_new, report, text_or_stdin, write_export};
use super::args::Global;
use super::args_admin::Variables;
use super::output::{print, print_json, say, table};
use super::settings::{Need, open};
use crate::app::VariableRow;
use crate::error::{ErrorKind, UserError};
use crate::secrets::{HIDDEN, Variable, is_sensitive};
use serde_json::json;

/// How much of a value a table shows, in characters.
const SHOWN_CHARS_MAX: usize = 60;

pub(super) fn run(global: &Global, command: Variables) -> Result<(), UserError> {
    match command {
        Variables::List => list(global),
        Variables::Get {
            key,
            with_secrets,
            default,
        } => get(global, &key, with_secrets, default),
        Variables::Set {
            key,
            value,
            description,
        } => {
            let value = text_or_stdin(value)?;
            open_new(global)?.set_variable(&key, &Variable { value, description })?;
            say(&format!("variable {key} is set"));
            Ok(())
        }
        Variables::Delete { key } => {
            open(global, Need::State)?.delete_variable(&key)?;
            say(&format!("variable {key} is deleted"));
            Ok(())
        }
        Variables::Import(args) => {
            let (members, on_existing) = import_file(&args)?;
            let imported = open_new(global)?.import_variables(members, on_existing)?;
            report(global, "variables", &imported)
        }
        Variables::Export { file, with_secrets } => {
            let exported = open(global, Need::State)?.export_variables(with_secrets)?;
            write_export(&file, "variables", &exported)
        }
    }
}

fn list(global: &Global) -> Result<(), UserError> {
    let variables = open(global, Need::State)?.variables()?;
    if global.json {
        return print_json(&variables);
    }
    let row = |variable: &VariableRow| {
        vec![
            variable.key.clone(),
            one_line(&variable.value),
            variable.description.clone().unwrap_or_default(),
        ]
    };
    print(&table(
        &["key", "value", "description"],
        &variables.iter().map(row).collect::<Vec<_>>(),
    ))
}

fn one_line(value: &str) -> String {
    let first = value.lines().next().unwrap_or_default();
    let mut shown: String = first.chars().take(SHOWN_CHARS_MAX).collect();
    if shown.len() < value.len() {
        shown.push('…');
    }
    shown
}

fn get(
    global: &Global,
    key: &str,
    with_secrets: bool,
    default: Option<String>,
) -> Result<(), UserError> {
    // The environment and a secrets folder need no data folder.
    let (value, source) = match (open_new(global)?.variable(key), default) {
        (Ok(found), _) => (found.value.value, found.source),
        (Err(error), Some(default)) if error.kind == ErrorKind::NotFound => (default, "default"),
        (Err(error), _) => return Err(error),
    };
    let value = if is_sensitive(key) && !with_secrets {
        say("the key looks secret; --with-secrets prints the value");
        HIDDEN.to_owned()
    } else {
        value
    };
    if global.json {
        return print_json(&json!({"key": key, "value": value, "source": source}));
    }
    print(&format!("{value}\n"))
}
