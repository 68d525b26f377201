//! Running a tool, and what it said when it failed.

use crate::build::BuildError;
use std::io::Read;
use std::path::Path;
use std::process::{Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The most of a tool's output that an error shows, bytes.
const OUTPUT_BYTES_MAX: usize = 32 << 10;
/// How long a tool may take; code that runs while it is built may never end.
const TOOL_TIME_MAX: Duration = Duration::from_mins(20);
/// How often a running tool is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);

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
    run_within(command, path, TOOL_TIME_MAX)
}

/// The same with a limit of its own.
pub(in crate::build) fn run_within(
    command: &mut Command,
    path: &Path,
    limit: Duration,
) -> Result<String, BuildError> {
    let output = output_within(command, limit)?;
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
    output_within(command, TOOL_TIME_MAX)
}

fn output_within(command: &mut Command, limit: Duration) -> Result<Output, BuildError> {
    let io = |command: &Command, error| BuildError::io(Path::new(command.get_program()), error);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| io(command, error))?;
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let began = Instant::now();
    let status: Option<ExitStatus> = loop {
        match child.try_wait().map_err(|error| io(command, error))? {
            Some(status) => break Some(status),
            None if began.elapsed() > limit => break None,
            None => std::thread::sleep(LOOK_EVERY),
        }
    };
    let Some(status) = status else {
        // Both fail only where it has ended by itself meanwhile.
        let _ = child.kill();
        let _ = child.wait();
        return Err(BuildError::TooLong {
            command: show(command),
            seconds: limit.as_secs(),
        });
    };
    Ok(Output {
        status,
        stdout: stdout.join().unwrap_or_default(),
        stderr: stderr.join().unwrap_or_default(),
    })
}

/// Reads a stream beside the others, so that a full pipe stops nobody.
fn reader(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What was read before an error is shown.
            let _ = stream.read_to_end(&mut bytes);
        }
        bytes
    })
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
