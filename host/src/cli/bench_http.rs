//! `airlock bench --http`.

use super::args::{Bench, Global};
use super::output::{print, print_json, say};
use super::settings::{Need, config};
use crate::app::{Config, Data};
use crate::bench::{HttpReport, HttpShape, fill, http};
use crate::error::UserError;
use std::path::Path;

/// Fills a store, then asks a service on it.
pub(super) fn run(global: &Global, args: &Bench) -> Result<(), UserError> {
    let scratch = std::env::current_dir()
        .unwrap_or_default()
        .join(format!(".airlock-http-{}", std::process::id()));
    let measured = measure(global, args, &scratch);
    let _ = std::fs::remove_dir_all(&scratch);
    let report = measured?;
    if global.json {
        print_json(&report)
    } else {
        print(&report.text())
    }
}

fn measure(global: &Global, args: &Bench, scratch: &Path) -> Result<HttpReport, UserError> {
    let shape = HttpShape {
        runs: args.http_runs,
        dags: args.http_dags,
        connections: args.http_connections,
        requests: args.http_requests,
    };
    if !global.json {
        say("filling a store, then measuring; other work on this machine spoils the figures");
    }
    let folder = scratch.join("data");
    fill(&folder, shape.dags, shape.runs)?;
    let config = Config {
        data: Data::Folder(folder.clone()),
        recover: false,
        echo: None,
        otlp: None,
        lineage: None,
        ..config(global, Need::Execution)?
    };
    http(config, &folder, shape)
}
