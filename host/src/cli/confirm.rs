//! Asks before what cannot be taken back, at the terminal that the person sits at: a service could not ask.

use super::args::{Command, Dags, Global, Plugins, RunArgs, Runs, Tasks};
use super::args_plugins::{PluginLife, TightenArgs};
use super::args_service::{RunsClear, TasksClear};
use super::output::talk;
use crate::error::{ErrorKind, UserError};
use std::io::IsTerminal;

/// A command that asks first.
enum Asking {
    Tasks(TasksClear),
    Runs(RunsClear),
    Tighten(TightenArgs),
    /// What is deleted, in words: there is nothing to look at before.
    Delete(String),
}

impl Asking {
    fn of(command: &Command) -> Option<Self> {
        let (asking, needs_none) = match command {
            Command::Tasks(Tasks::Clear(args)) => (
                Self::Tasks(args.clone()),
                args.flags.yes || args.flags.dry_run,
            ),
            Command::Runs(Runs::Clear(args)) => (
                Self::Runs(args.clone()),
                args.flags.yes || args.flags.dry_run,
            ),
            Command::Plugins(Plugins::Life(PluginLife::Tighten(args))) => {
                (Self::Tighten(args.clone()), args.yes || args.dry_run)
            }
            Command::Runs(Runs::Delete(args)) => {
                let RunArgs { dag_id, run_id } = &args.run;
                let what = format!("run {run_id} of dag {dag_id}, with its XComs and logs");
                (Self::Delete(what), args.yes)
            }
            Command::Dags(Dags::Delete(args)) => {
                let what = format!("dag {} with all its runs", args.dag_id);
                (Self::Delete(what), args.yes)
            }
            _ => return None,
        };
        (!needs_none).then_some(asking)
    }

    /// The command that only shows what would be done.
    fn previewed(&self) -> Option<Command> {
        match self {
            Self::Tasks(args) => {
                let mut args = args.clone();
                args.flags.dry_run = true;
                Some(Command::Tasks(Tasks::Clear(args)))
            }
            Self::Runs(args) => {
                let mut args = args.clone();
                args.flags.dry_run = true;
                Some(Command::Runs(Runs::Clear(args)))
            }
            Self::Tighten(args) => {
                let mut args = args.clone();
                args.dry_run = true;
                Some(Command::Plugins(Plugins::Life(PluginLife::Tighten(args))))
            }
            Self::Delete(_) => None,
        }
    }

    /// What nobody can be asked, the question, and what is told after a no.
    fn words(&self) -> (String, String, &'static str) {
        match self {
            Self::Tasks(_) | Self::Runs(_) => (
                "nobody can be asked whether task instances are to be cleared".to_owned(),
                "Clear them? [y/N] ".to_owned(),
                "nothing was cleared",
            ),
            Self::Tighten(args) => (
                format!(
                    "nobody can be asked whether plugin {} is to be tightened",
                    args.plugin
                ),
                "Take back what is marked with -? [y/N] ".to_owned(),
                "nothing was changed",
            ),
            Self::Delete(what) => (
                format!("nobody can be asked whether to delete {what}"),
                format!("Delete {what}? It cannot be taken back. [y/N] "),
                "nothing was deleted",
            ),
        }
    }
}

/// What comes of asking.
pub(super) enum Asked {
    /// Go on, with this added to the command's arguments.
    GoOn(Option<&'static str>),
    /// The preview failed with this exit code.
    Stop(u8),
}

/// Shows what a clear would take, or says what would be deleted, and asks. `preview` carries a command out with an argument added.
pub(super) fn ask(
    global: &Global,
    command: &Command,
    preview: impl FnOnce(Command, &'static str) -> Result<u8, UserError>,
) -> Result<Asked, UserError> {
    let Some(asking) = Asking::of(command) else {
        return Ok(Asked::GoOn(None));
    };
    let (nobody, question, refused) = asking.words();
    let previewed = asking.previewed();
    let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if global.json || !can_ask {
        let hint = match previewed {
            Some(_) => "add --yes, or look with --dry-run first",
            None => "add --yes",
        };
        return Err(UserError::new(ErrorKind::Usage, nobody).hint(hint));
    }
    if let Some(previewed) = previewed {
        let code = preview(previewed, "--dry-run")?;
        if code != 0 {
            return Ok(Asked::Stop(code));
        }
    }
    talk(&question);
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_err() || !matches!(line.trim(), "y" | "Y" | "yes") {
        return Err(UserError::new(ErrorKind::Cancelled, refused));
    }
    Ok(Asked::GoOn(Some("--yes")))
}
