//! Asks before what cannot be taken back, at the terminal that the person sits at: a service could not ask.

use super::args::{Command, Global, Runs, Tasks};
use super::args_service::{RunsClear, TasksClear};
use super::output::talk;
use crate::error::{ErrorKind, UserError};
use std::io::IsTerminal;

/// A command that asks first.
enum Clear {
    Tasks(TasksClear),
    Runs(RunsClear),
}

impl Clear {
    fn of(command: &Command) -> Option<Self> {
        let (clear, flags) = match command {
            Command::Tasks(Tasks::Clear(args)) => (Self::Tasks(args.clone()), &args.flags),
            Command::Runs(Runs::Clear(args)) => (Self::Runs(args.clone()), &args.flags),
            _ => return None,
        };
        (!flags.yes && !flags.dry_run).then_some(clear)
    }

    fn previewed(self) -> Command {
        match self {
            Self::Tasks(mut args) => {
                args.flags.dry_run = true;
                Command::Tasks(Tasks::Clear(args))
            }
            Self::Runs(mut args) => {
                args.flags.dry_run = true;
                Command::Runs(Runs::Clear(args))
            }
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

/// Shows what a clear would take and asks. `preview` carries a command out with an argument added.
pub(super) fn ask(
    global: &Global,
    command: &Command,
    preview: impl FnOnce(Command, &'static str) -> Result<u8, UserError>,
) -> Result<Asked, UserError> {
    let Some(clear) = Clear::of(command) else {
        return Ok(Asked::GoOn(None));
    };
    let can_ask = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if global.json || !can_ask {
        let message = "nobody can be asked whether task instances are to be cleared";
        return Err(UserError::new(ErrorKind::Usage, message)
            .hint("add --yes, or look with --dry-run first"));
    }
    let code = preview(clear.previewed(), "--dry-run")?;
    if code != 0 {
        return Ok(Asked::Stop(code));
    }
    talk("Clear them? [y/N] ");
    let mut line = String::new();
    let read = std::io::stdin().read_line(&mut line);
    if read.is_err() || !matches!(line.trim(), "y" | "Y" | "yes") {
        return Err(UserError::new(ErrorKind::Cancelled, "nothing was cleared"));
    }
    Ok(Asked::GoOn(Some("--yes")))
}
