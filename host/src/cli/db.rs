//! `airlock db`.

use super::args::{Db, Global};
use super::output::{print, print_json, say};
use super::settings::{Need, config, open};
use crate::app::App;
use crate::error::{ErrorKind, UserError};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::Path;

pub(super) fn run(global: &Global, command: Db) -> Result<(), UserError> {
    match command {
        Db::Check => check(global),
        Db::Export { file } => export(global, &file),
        Db::Import { file } => import(global, &file),
        Db::RotateKey => {
            let count = open(global, Need::State)?.rotate_key()?;
            say(&format!("{count} secrets are sealed with the new key"));
            Ok(())
        }
    }
}

fn check(global: &Global) -> Result<(), UserError> {
    let report = open(global, Need::State)?.store().check()?;
    if global.json {
        print_json(&json!({
            "position": report.position, "commits": report.commits, "rows": report.rows, "blobs": report.blobs, "problems": report.problems,
        }))?;
    } else {
        print(&format!(
            "{} commits, {} rows and {} blobs verified up to position {}\n",
            report.commits, report.rows, report.blobs, report.position
        ))?;
    }
    if report.problems.is_empty() {
        return Ok(());
    }
    Err(UserError::new(
        ErrorKind::Store,
        format!("the store is damaged:\n  {}", report.problems.join("\n  ")),
    )
    .hint(
        "keep a copy of the folder, then `airlock db import` the newest export into an empty one",
    ))
}

fn file_error(action: &str, path: &Path, error: &std::io::Error) -> UserError {
    UserError::new(
        ErrorKind::Usage,
        format!("cannot {action} {}: {error}", path.display()),
    )
}

fn export(global: &Global, path: &Path) -> Result<(), UserError> {
    let app = open(global, Need::State)?;
    // An export is never written over another one.
    let file = File::create_new(path).map_err(|error| file_error("create", path, &error))?;
    let mut writer = BufWriter::new(file);
    let records = app.store().export(&mut writer)?;
    writer
        .flush()
        .and_then(|()| writer.get_ref().sync_all())
        .map_err(|error| file_error("write", path, &error))?;
    say(&format!("{}: {records} records", path.display()));
    Ok(())
}

fn import(global: &Global, path: &Path) -> Result<(), UserError> {
    let file = File::open(path).map_err(|error| file_error("read", path, &error))?;
    let app = App::open(crate::app::Config {
        recover: false,
        ..config(global, Need::Execution)?
    })?;
    let records = app.store().import(&mut BufReader::new(file))?;
    say(&format!("{}: {records} records", path.display()));
    Ok(())
}
