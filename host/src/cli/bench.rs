//! `airlock bench`.

use super::args::{Bench, Global};
use super::output::{print, print_json, say};
use super::settings::{Need, block_on, config};
use crate::app::{App, Config, Data, PoolRow};
use crate::bench::{
    GateReport, LinearReport, MlReport, MlShape, Report, Shape, SizeReport, Start, TrainShape,
    fill, gate, linear, measure, ml, start, train,
};
use crate::error::{ErrorKind, UserError};
use airlock_core::ids::PoolName;
use std::path::Path;
use std::time::Instant;

pub(super) fn run(global: &Global, args: &Bench) -> Result<(), UserError> {
    if args.start {
        let config = Config {
            echo: None,
            ..config(global, Need::Execution)?
        };
        return print_json(&block_on(start(config))??);
    }
    if args.size {
        return size(global, args);
    }
    if args.http {
        return super::bench_http::run(global, args);
    }
    if args.train {
        return training(global, args);
    }
    let base = config(global, Need::Execution)?;
    if args.lang {
        return super::bench_lang::run(global, args, base);
    }
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
    let shape = Shape {
        fan_out: args.fan_out,
        chain: args.chain,
        mapped: args.mapped,
        threads,
    };
    let result = if args.linear {
        bench(config, linear).map(|report| told(global, &report, LinearReport::text))
    } else if args.ml {
        let shape = MlShape { runs: args.ml_runs };
        let measured = bench(config, async |app: &App| {
            Ok(PlatformReport {
                tracking: ml(app.tracking(), shape)?,
                gate: gate(app, &folder).await?,
            })
        });
        measured.map(|report| told(global, &report, PlatformReport::text))
    } else {
        let measured = bench(config, async |app: &App| measure(app, &folder, shape).await);
        measured.map(|report| told(global, &report, Report::text))
    };
    let _ = std::fs::remove_dir_all(&folder);
    result?
}

/// What `--ml` measures.
#[derive(serde::Serialize)]
struct PlatformReport {
    tracking: MlReport,
    gate: GateReport,
}

impl PlatformReport {
    fn text(&self) -> String {
        format!("{}{}", self.tracking.text(), self.gate.text())
    }
}

pub(super) fn told<T: serde::Serialize>(
    global: &Global,
    report: &T,
    text: fn(&T) -> String,
) -> Result<(), UserError> {
    if global.json {
        print_json(report)
    } else {
        print(&text(report))
    }
}

/// Opens what is measured, with a pool that holds nothing back.
pub(super) fn bench<T>(
    config: Config,
    measure: impl AsyncFnOnce(&App) -> Result<T, UserError>,
) -> Result<T, UserError> {
    let app = App::open(config)?;
    let name = PoolName::parse("bench").map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    block_on(async {
        app.set_pool(PoolRow {
            name,
            slots: -1,
            description: String::new(),
            include_deferred: false,
            gpus: None,
        })
        .await?;
        measure(&app).await
    })?
}

fn training(global: &Global, args: &Bench) -> Result<(), UserError> {
    let all = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    let report = train(TrainShape {
        data: args.train_data,
        rounds: args.rounds,
        threads: args.threads.unwrap_or(all),
        repeats: args.repeats,
    })?;
    if global.json {
        print_json(&report)
    } else {
        print(&report.text())
    }
}

/// Fills a store, then lets processes of their own start on it and on an empty one.
fn size(global: &Global, args: &Bench) -> Result<(), UserError> {
    let scratch = std::env::current_dir()
        .unwrap_or_default()
        .join(format!(".airlock-size-{}", std::process::id()));
    let full = args.store.clone().unwrap_or_else(|| scratch.join("full"));
    let result = size_in(args, &full, &scratch.join("empty"));
    let _ = std::fs::remove_dir_all(&scratch);
    let report = result?;
    if global.json {
        return print_json(&report);
    }
    let mut text = format!(
        "{} DAGs, {} finished runs, filled in {:.1} s\n",
        report.dags, report.runs, report.fill_s
    );
    for (name, start) in [("empty", &report.empty), ("full", &report.full)] {
        text += &format!(
            "{name:6} open {:8.1} ms   resident {:7.1} MiB   trigger to running {:7.2} ms\n",
            start.open_ms, start.rss_mib, start.trigger_to_running_ms
        );
    }
    print(&text)
}

fn size_in(args: &Bench, full: &Path, empty: &Path) -> Result<SizeReport, UserError> {
    let began = Instant::now();
    let is_new = !full.exists();
    if is_new {
        fill(full, args.dags, args.runs)?;
    }
    let fill_s = began.elapsed().as_secs_f64();
    // Once for what only the first start pays: compiled components, page cache.
    start_process(empty)?;
    let (empty, full) = (start_process(empty)?, start_process(full)?);
    Ok(SizeReport {
        dags: args.dags,
        runs: args.runs,
        fill_s,
        open_ratio: full.open_ms / empty.open_ms,
        trigger_ratio: full.trigger_to_running_ms / empty.trigger_to_running_ms,
        empty,
        full,
    })
}

fn start_process(folder: &Path) -> Result<Start, UserError> {
    let failed =
        |what: String| UserError::new(ErrorKind::Bug, format!("the measured process {what}"));
    let program = std::env::current_exe().map_err(|error| failed(error.to_string()))?;
    let output = std::process::Command::new(program)
        .args(["bench", "--start", "--data"])
        .arg(folder)
        .stderr(std::process::Stdio::inherit())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    serde_json::from_slice(&output.stdout)
        .map_err(|error| failed(format!("ended with {}: {error}", output.status)))
}
