//! The command line: parses, asks the application handle, prints. Data goes to stdout, everything else to stderr.
//! It refuses to know sled or wasmtime, and to decide anything.

mod admin;
pub mod args;
pub mod args_admin;
pub mod args_api;
pub mod args_build;
pub mod args_ml;
pub mod args_plugins;
pub mod args_service;
pub mod args_web;
mod assets;
mod audited;
mod backfills;
mod bench;
mod bench_http;
mod bench_lang;
mod changes;
mod confirm;
mod connections;
mod control;
mod dags;
mod db;
mod dev;
mod experiments;
mod gpus;
mod instances;
mod models;
mod native;
mod output;
mod plugin_sources;
mod plugin_test;
mod plugins;
mod plugins_life;
mod plugins_use;
mod pools;
mod progress;
mod runs;
mod serve;
mod session;
mod settings;
mod settings_file;
mod settings_trust;
mod task_instance;
mod tasks;
mod tokens;
mod variables;

use crate::error::{ErrorKind, UserError};
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use std::io::Write;
use std::process::ExitCode;

/// Runs the program and yields its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors; the rest is usage.
            let code = if error.use_stderr() {
                ErrorKind::Usage as u8
            } else {
                0
            };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    match run(cli) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<u8, UserError> {
    settings::start_tracing();
    let Cli { global, command } = cli;
    if let Command::TrainerWorker(worker) = command {
        // It has its host's settings in its arguments, and reads no file of the folder it is started in.
        crate::training::worker_main(worker.parent, &worker.device, worker.fault.as_deref())?;
        return Ok(0);
    }
    if let Command::NativeLauncher(told) = &command {
        crate::native::launcher_main(told)?;
        return Ok(0);
    }
    let global = settings_file::merge(global)?;
    let preview = |command: Command, more| match forward(&global, &command, Some(more))? {
        Some(code) => Ok(code),
        None => carry_out(&global, command).map(|()| 0),
    };
    let more = match confirm::ask(&global, &command, preview)? {
        confirm::Asked::GoOn(more) => more,
        confirm::Asked::Stop(code) => return Ok(code),
    };
    if let Some(code) = forward(&global, &command, more)? {
        return Ok(code);
    }
    carry_out(&global, command)?;
    Ok(0)
}

/// Lets the service that holds the data folder carry the command out, if there is one and the command needs the folder.
/// `more` is added to the arguments that the person gave.
fn forward(
    global: &args::Global,
    command: &Command,
    more: Option<&str>,
) -> Result<Option<u8>, UserError> {
    if !command.needs_data_folder(global) {
        return Ok(None);
    }
    let Some(service) = control::find(&settings::data_folder(global)) else {
        return Ok(None);
    };
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    arguments.extend(more.map(str::to_owned));
    let usage = |error: std::io::Error| UserError::new(ErrorKind::Usage, error);
    let stdin = if arguments.iter().any(|argument| argument == "-") {
        session::stdin().map_err(usage)?
    } else {
        String::new()
    };
    let request = control::Request {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        arguments,
        folder: std::env::current_dir().map_err(usage)?,
        stdin,
        user: session::user(),
    };
    control::forward(service, &request).map(Some)
}

fn carry_out(global: &args::Global, command: Command) -> Result<(), UserError> {
    audited::carry_out(command, |command| dispatch(global, command))
}

fn dispatch(global: &args::Global, command: Command) -> Result<(), UserError> {
    match command {
        Command::Completions { shell } => {
            clap_complete::generate(
                shell,
                &mut Cli::command(),
                "airlock",
                &mut std::io::stdout(),
            );
            Ok(())
        }
        Command::Man => clap_mangen::Man::new(Cli::command())
            .render(&mut std::io::stdout())
            .map_err(|error| {
                UserError::new(
                    ErrorKind::Usage,
                    format!("cannot write the man page: {error}"),
                )
            }),
        Command::Dags(command) => dags::run(global, command),
        Command::Runs(command) => runs::run(global, command),
        Command::Tasks(command) => tasks::run(global, command),
        Command::Backfill(command) => backfills::run(global, command),
        Command::Assets(command) => assets::run(global, command),
        Command::Experiments(command) => experiments::run(global, command),
        Command::Models(command) => models::run(global, command),
        Command::Plugins(command) => plugins::run(global, command),
        Command::Pools(command) => pools::run(global, command),
        Command::Variables(command) => variables::run(global, command),
        Command::Connections(command) => connections::run(global, command),
        Command::Tokens(command) => tokens::run(global, command),
        Command::Gpus => gpus::run(global),
        Command::GpuProbe => gpus::probe(),
        Command::Db(command) => db::run(global, command),
        Command::Bench(command) => bench::run(global, &command),
        Command::Serve(command) => serve::run(global, command),
        Command::Dev(command) => dev::run(global, command),
        // Carried out before settings are read.
        Command::TrainerWorker(_) | Command::NativeLauncher(_) => Ok(()),
    }
}
