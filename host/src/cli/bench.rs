//! `airlock bench`.

use super::args::{Bench, Global};
use super::output::{print, print_json, say};
use super::settings::{Need, block_on, config};
use crate::app::{App, Config, Data, PoolRow};
use crate::bench::{Shape, measure};
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::PoolName;

pub(super) fn run(global: &Global, args: &Bench) -> Result<(), UserError> {
    let base = config(global, Need::Execution)?;
    let threads = args.threads.unwrap_or(base.threads);
    // On the disk of the data folder, because the temporary folder may be memory; never among the user's own runs.
    let parent = match &base.data {
        Data::Folder(folder) => folder
            .parent()
            .map(std::path::Path::to_path_buf)
            .unwrap_or_default(),
        Data::Throwaway => std::env::temp_dir(),
    };
    let folder = parent.join(format!(".airlock-bench-{}", std::process::id()));
    let parallelism = global
        .parallelism
        .unwrap_or_else(|| u32::try_from(threads * 16).unwrap_or(u32::MAX));
    let config = Config {
        data: Data::Folder(folder.clone()),
        threads,
        parallelism,
        recover: false,
        echo: None,
        ..base
    };
    if !global.json {
        say("measuring; other work on this machine spoils the figures");
    }
    let result = bench(
        config,
        &folder,
        Shape {
            fan_out: args.fan_out,
            chain: args.chain,
            mapped: args.mapped,
            threads,
        },
    );
    let _ = std::fs::remove_dir_all(&folder);
    let report = result?;
    if global.json {
        print_json(&report)
    } else {
        print(&report.text())
    }
}

fn bench(
    config: Config,
    folder: &std::path::Path,
    shape: Shape,
) -> Result<crate::bench::Report, UserError> {
    let app = App::open(config)?;
    let name = PoolName::parse("bench").map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    block_on(async {
        app.set_pool(PoolRow {
            name,
            slots: -1,
            description: String::new(),
            include_deferred: false,
        })
        .await?;
        measure(&app, folder, shape).await
    })?
}
