//! What the commands about pools, variables and connections share: files that may be `-`, and opening a folder that may be new.

use super::args::Global;
use super::args_admin::{ImportArgs, OnExistingKey};
use super::output::{print, print_json, say};
use super::session;
use super::settings::{Need, config, open};
use crate::app::{App, Exported, Imported, OnExisting};
use crate::error::{ErrorKind, UserError};
use serde_json::{Map, Value};
use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

/// The largest file or text that is read, bytes.
const INPUT_BYTES_MAX: u64 = 64 << 20;
/// Exports may hold secrets: for their owner alone.
const EXPORT_MODE: u32 = 0o600;

/// A variable, a connection or a pool may be the first thing that a new data folder gets.
pub(super) fn open_new(global: &Global) -> Result<Arc<App>, UserError> {
    if session::current().is_some() {
        return open(global, Need::State);
    }
    let app = Arc::new(App::open(crate::app::Config {
        recover: false,
        ..config(global, Need::Execution)?
    })?);
    super::audited::opened(&app)?;
    Ok(app)
}

fn usage(action: &str, place: &str, reason: impl std::fmt::Display) -> UserError {
    UserError::new(
        ErrorKind::Usage,
        format!("cannot {action} {place}: {reason}"),
    )
}

fn limited(from: impl Read, place: &str) -> Result<String, UserError> {
    let mut text = String::new();
    let read = from.take(INPUT_BYTES_MAX + 1).read_to_string(&mut text);
    let length = read.map_err(|error| usage("read", place, error))?;
    if length as u64 > INPUT_BYTES_MAX {
        let reason = format!("it is over {INPUT_BYTES_MAX} bytes");
        return Err(usage("read", place, reason));
    }
    Ok(text)
}

fn stdin() -> Result<String, UserError> {
    session::stdin().map_err(|error| usage("read", "stdin", error))
}

/// The text as given, or of stdin where it is `-`; the line break at its end is the terminal's.
pub(super) fn text_or_stdin(text: String) -> Result<String, UserError> {
    if text != "-" {
        return Ok(text);
    }
    let mut text = stdin()?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The object in a file or, where it is `-`, in stdin.
pub(super) fn import_file(
    args: &ImportArgs,
) -> Result<(Map<String, Value>, OnExisting), UserError> {
    let place = args.file.display().to_string();
    let text = if place == "-" {
        stdin()?
    } else {
        let file = std::fs::File::open(session::path(&args.file)).map_err(|error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Usage,
            };
            UserError::new(kind, format!("cannot read {place}: {error}"))
        })?;
        limited(file, &place)?
    };
    // What the parser says names a place and never a value.
    let members = serde_json::from_str(&text).map_err(|error| {
        let reason = format!(
            "line {}, column {}: it is no JSON object",
            error.line(),
            error.column()
        );
        usage("read", &place, reason)
    })?;
    let on_existing = match args.action_on_existing_key {
        OnExistingKey::Overwrite => OnExisting::Overwrite,
        OnExistingKey::Skip => OnExisting::Skip,
        OnExistingKey::Fail => OnExisting::Fail,
    };
    Ok((members, on_existing))
}

/// Says what an import did.
pub(super) fn report(global: &Global, what: &str, imported: &Imported) -> Result<(), UserError> {
    if global.json {
        return print_json(imported);
    }
    let skipped = match imported.skipped.len() {
        0 => String::new(),
        count => format!(", {count} were there and kept"),
    };
    say(&format!(
        "{} {what} imported{skipped}",
        imported.imported.len()
    ));
    Ok(())
}

/// Writes an export; never over another file.
pub(super) fn write_export(path: &Path, what: &str, exported: &Exported) -> Result<(), UserError> {
    let place = path.display().to_string();
    let text = serde_json::to_string_pretty(&exported.json)
        .map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    if place == "-" {
        print(&format!("{text}\n"))?;
    } else {
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(EXPORT_MODE)
            .open(session::path(path));
        let mut file = file.map_err(|error| usage("create", &place, error))?;
        let written = file
            .write_all(format!("{text}\n").as_bytes())
            .and_then(|()| file.sync_all());
        written.map_err(|error| usage("write", &place, error))?;
        say(&format!("{place}: {} {what}", exported.json.len()));
    }
    if !exported.left_out.is_empty() {
        say(&format!(
            "secrets of {} were left out; --with-secrets writes them",
            exported.left_out.join(", ")
        ));
    }
    Ok(())
}
