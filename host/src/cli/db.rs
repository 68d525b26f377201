//! `airlock db`.

use super::args::{Clean, Db, Global};
use super::output::{print, print_json, say};
use super::settings::{Need, config, open, retention, timestamp};
use crate::app::{App, Cleaned, RetentionPolicy};
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
        Db::Clean(args) => clean(global, &args),
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

/// Runs that go before the next line of progress.
const CLEAN_STEP: usize = 2_000;

fn policy(global: &Global, args: &Clean) -> Result<RetentionPolicy, UserError> {
    let before = args.before.as_deref().map(timestamp).transpose()?;
    let given = RetentionPolicy {
        before,
        keep: args.keep,
    };
    let policy = if given == RetentionPolicy::default() {
        retention(global, jiff::Timestamp::now())
    } else {
        given
    };
    if policy == RetentionPolicy::default() {
        let message = "nothing says which runs may go";
        return Err(UserError::new(ErrorKind::Usage, message).hint(
            "give --before TIME or --keep N, or set retention_days or retention_runs in airlock.toml",
        ));
    }
    Ok(policy)
}

fn clean(global: &Global, args: &Clean) -> Result<(), UserError> {
    let policy = policy(global, args)?;
    let app = open(global, Need::State)?;
    if args.dry_run || !args.yes {
        let runs = app.cleanable(policy)?;
        if !args.dry_run {
            let message = format!("{runs} finished runs would go, with their events and logs");
            return Err(UserError::new(ErrorKind::Usage, message)
                .hint("add --yes to remove them; `airlock db export` makes a copy before"));
        }
        return tell(
            global,
            &json!({"runs": runs, "dry_run": true}),
            &format!("{runs} runs would go\n"),
        );
    }
    let mut all = Cleaned::default();
    loop {
        let step = app.clean(policy, CLEAN_STEP, all.next.as_ref())?;
        all.runs += step.runs;
        all.unreadable += step.unreadable;
        all.results += step.results;
        all.dag_versions += step.dag_versions;
        all.blobs += step.blobs;
        all.blob_bytes += step.blob_bytes;
        all.next = step.next;
        if all.next.is_none() {
            break;
        }
        say(&format!("{} runs removed", all.runs));
    }
    app.store().checkpoint()?;
    let text = format!(
        "{} runs, {} results kept for reuse, {} DAG versions and {} blobs ({} bytes) removed; {} runs could not be read and stay\n",
        all.runs, all.results, all.dag_versions, all.blobs, all.blob_bytes, all.unreadable
    );
    let value = json!({
        "runs": all.runs, "unreadable": all.unreadable, "results": all.results, "dag_versions": all.dag_versions,
        "blobs": all.blobs, "blob_bytes": all.blob_bytes, "dry_run": false,
    });
    tell(global, &value, &text)
}

fn tell(global: &Global, value: &serde_json::Value, text: &str) -> Result<(), UserError> {
    if global.json {
        print_json(value)
    } else {
        print(text)
    }
}
