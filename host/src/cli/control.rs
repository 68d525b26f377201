//! The control socket: how a command reaches the service that holds its data folder. The other terminal lends the service
//! its arguments, its folder and its screen; the service carries the command out and answers with text and an exit code.
//! One JSON value a line, both ways. The socket lies in the data folder and is the owner's alone; it refuses other users.

use super::session::STDIN_BYTES_MAX;
use crate::error::{ErrorKind, UserError};
use serde::{Deserialize, Serialize};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// The socket's name in the data folder.
const SOCKET: &str = "control.sock";
/// The longest request, bytes: standard input and some arguments.
pub(super) const REQUEST_BYTES_MAX: usize = 2 * STDIN_BYTES_MAX;
/// A socket's path must be shorter, bytes; a longer one is named through its folder's descriptor.
const SOCKET_PATH_MAX: usize = 100;

/// A command that another terminal wants carried out.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Request {
    /// Of the program that asks; it must be the service's.
    pub(super) version: String,
    /// Without the program's name.
    pub(super) arguments: Vec<String>,
    /// The folder that the person is in.
    pub(super) folder: PathBuf,
    /// What they piped in, where the command reads it.
    pub(super) stdin: String,
    /// Who they are.
    pub(super) user: String,
}

/// A piece of the answer.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    /// For standard output.
    Out(String),
    /// For standard error.
    Err(String),
    /// The end, with the exit code.
    Exit(u8),
}

/// Where the socket of a data folder is. The descriptor must stay open while the path is used.
pub(super) fn socket_path(folder: &Path) -> std::io::Result<(PathBuf, Option<std::fs::File>)> {
    let path = folder.join(SOCKET);
    if path.as_os_str().len() < SOCKET_PATH_MAX {
        return Ok((path, None));
    }
    let open = std::fs::File::open(folder)?;
    let number = std::os::fd::AsRawFd::as_raw_fd(&open);
    Ok((
        PathBuf::from(format!("/proc/self/fd/{number}/{SOCKET}")),
        Some(open),
    ))
}

/// The service that holds `folder`, if one does.
pub(super) fn find(folder: &Path) -> Option<UnixStream> {
    let (path, _descriptor) = socket_path(folder).ok()?;
    UnixStream::connect(path).ok()
}

/// Has the service carry this process's command out; yields the exit code.
pub(super) fn forward(service: UnixStream, request: &Request) -> Result<u8, UserError> {
    let lost = |error: &dyn std::fmt::Display| {
        UserError::new(
            ErrorKind::Usage,
            format!("the service that holds the data folder did not answer: {error}"),
        )
        .hint("look at the terminal or journal of `airlock serve`, then try again")
    };
    let mut line =
        serde_json::to_vec(request).map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    line.push(b'\n');
    (&service).write_all(&line).map_err(|error| lost(&error))?;
    for line in BufReader::new(service).lines() {
        let line = line.map_err(|error| lost(&error))?;
        let frame = serde_json::from_str(&line).map_err(|error| lost(&error))?;
        match frame {
            Frame::Out(text) => super::output::print(&text)?,
            Frame::Err(text) => super::output::talk(&text),
            Frame::Exit(code) => return Ok(code),
        }
    }
    Err(lost(&"it ended before the command did"))
}

/// One request from another terminal.
pub(super) fn read_request(stream: &UnixStream) -> Result<Request, UserError> {
    let limit = u64::try_from(REQUEST_BYTES_MAX).unwrap_or(u64::MAX);
    let mut line = String::new();
    BufReader::new(stream.take(limit))
        .read_line(&mut line)
        .map_err(|error| UserError::new(ErrorKind::Usage, error))?;
    let request: Request = serde_json::from_str(&line).map_err(|error| {
        UserError::new(ErrorKind::Usage, format!("the request is broken: {error}"))
    })?;
    if request.version != env!("CARGO_PKG_VERSION") {
        let message = format!(
            "the service that holds the data folder is Airlock {}, this program is {}",
            env!("CARGO_PKG_VERSION"),
            request.version
        );
        return Err(UserError::new(ErrorKind::Usage, message)
            .hint("use the same version, or restart the service with the new one"));
    }
    Ok(request)
}
