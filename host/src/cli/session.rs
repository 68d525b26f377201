//! Whom a command serves: the terminal that started this process, or one that lent itself over the control socket to the
//! service that holds the data folder. It owns where output goes, what relative paths are relative to, and standard input.
//! A command cannot tell the difference otherwise.

use crate::app::App;
use std::cell::RefCell;
use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that a command reads from standard input, bytes.
pub(super) const STDIN_BYTES_MAX: usize = 16 << 20;

/// Where a borrowed terminal takes text. `false` says that it is gone.
pub(super) trait Screen {
    /// Data.
    fn out(&self, text: &str) -> bool;
    /// Talk.
    fn err(&self, text: &str) -> bool;
}

/// A terminal that lent itself to the service.
#[derive(Clone)]
pub(super) struct Session {
    /// The service's application.
    pub(super) app: Arc<App>,
    /// Takes what the command prints.
    pub(super) screen: Arc<dyn Screen>,
    /// The folder that the person is in.
    pub(super) folder: PathBuf,
    /// What the person piped in.
    pub(super) stdin: Arc<str>,
    /// Who the person is, as the audit trail names them.
    pub(super) user: String,
}

thread_local! {
    static SESSION: RefCell<Option<Session>> = const { RefCell::new(None) };
}

/// Carries `command` out for a borrowed terminal.
pub(super) fn lend<T>(session: Session, command: impl FnOnce() -> T) -> T {
    SESSION.with_borrow_mut(|place| *place = Some(session));
    let result = command();
    SESSION.with_borrow_mut(|place| *place = None);
    result
}

/// The borrowed terminal of this thread, if it has one.
pub(super) fn current() -> Option<Session> {
    SESSION.with_borrow(Clone::clone)
}

/// Whether talk goes to a terminal of this process, where a picture can be drawn.
pub(super) fn can_draw() -> bool {
    current().is_none() && std::io::stderr().is_terminal()
}

/// A path as the person meant it.
pub(super) fn path(path: &Path) -> PathBuf {
    match current() {
        Some(session) => session.folder.join(path),
        None => path.to_owned(),
    }
}

/// Who works at the terminal, as the audit trail names them.
pub(super) fn user() -> String {
    current().map_or_else(
        || std::env::var("USER").unwrap_or_else(|_| "unknown".to_owned()),
        |session| session.user,
    )
}

/// All of standard input, up to `STDIN_BYTES_MAX`.
pub(super) fn stdin() -> std::io::Result<String> {
    if let Some(session) = current() {
        return Ok(session.stdin.to_string());
    }
    let mut text = String::new();
    let limit = u64::try_from(STDIN_BYTES_MAX).unwrap_or(u64::MAX);
    std::io::stdin().take(limit + 1).read_to_string(&mut text)?;
    if text.len() > STDIN_BYTES_MAX {
        let message = format!("standard input is longer than {STDIN_BYTES_MAX} bytes");
        return Err(std::io::Error::other(message));
    }
    Ok(text)
}
