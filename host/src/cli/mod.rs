//! The command line: parses, asks the application handle, prints. Data goes to stdout, everything else to stderr.
//! It refuses to know sled or wasmtime, and to decide anything.

mod admin;
pub mod args;
pub mod args_admin;
mod bench;
mod connections;
mod dags;
mod db;
mod models;
mod output;
mod plugins;
mod pools;
mod progress;
mod runs;
mod settings;
mod settings_file;
mod task_instance;
mod tasks;
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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli) -> Result<(), UserError> {
    settings::start_tracing();
    let Cli { global, command } = cli;
    let global = settings_file::merge(global)?;
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
        Command::Dags(command) => dags::run(&global, command),
        Command::Runs(command) => runs::run(&global, command),
        Command::Tasks(command) => tasks::run(&global, command),
        Command::Models(command) => models::run(&global, command),
        Command::Plugins(command) => plugins::run(&global, command),
        Command::Pools(command) => pools::run(&global, command),
        Command::Variables(command) => variables::run(&global, command),
        Command::Connections(command) => connections::run(&global, command),
        Command::Db(command) => db::run(&global, command),
        Command::Bench(command) => bench::run(&global, &command),
    }
}
