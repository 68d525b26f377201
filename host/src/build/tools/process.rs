//! Running a tool, and what it said when it failed.

use crate::build::BuildError;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The most of a tool's output that an error shows, bytes.
const OUTPUT_BYTES_MAX: usize = 32 << 10;

/// A tool with nothing on its standard input, and without what cargo told this process about itself.
pub(in crate::build) fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_")
            || text.starts_with("CARGO_MANIFEST_")
            || text == "CARGO_ENCODED_RUSTFLAGS"
            || text == "RUSTFLAGS"
        {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs a tool on the source at `path` and yields its standard output; fails with everything that it said.
pub(in crate::build) fn run(command: &mut Command, path: &Path) -> Result<String, BuildError> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(BuildError::Refused {
        path: path.to_owned(),
        command: show(command),
        output: said(&output),
    })
}

/// Runs a tool to its end.
pub(super) fn output(command: &mut Command) -> Result<Output, BuildError> {
    command
        .output()
        .map_err(|error| BuildError::io(Path::new(command.get_program()), error))
}

/// What a tool wrote, the end of it where it is long.
pub(super) fn said(output: &Output) -> String {
    let mut text = String::from_utf8_lossy(&output.stderr)
        .trim_end()
        .to_owned();
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Tools that answer in JSON say what is wrong on the other stream.
    let readable = stdout.lines().filter(|line| !line.starts_with('{'));
    for line in readable {
        text.push('\n');
        text.push_str(line);
    }
    let start = text.len().saturating_sub(OUTPUT_BYTES_MAX);
    let start = (start..=text.len())
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    text.split_off(start).trim().to_owned()
}

/// A command line as a person would type it.
pub(super) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
