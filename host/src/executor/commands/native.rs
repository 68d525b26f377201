//! `native.command`: a program outside the sandbox, where `airlock.toml` allows it.

use super::config::{self, NativeConfig, Words};
use super::{Program, refused};
use crate::executor::Parts;
use crate::native::{self, Ended, Output, Request};
use crate::sandbox::ports::LogLevel;
use crate::sandbox::{AttemptReport, ProgramLog, Usage, exit_outcome, failure};
use airlock_core::dag::commands::NATIVE_MARK;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

/// Where programs look for others; nothing of the host's own environment comes along.
const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

impl Output for ProgramLog {
    fn stdout(&self, bytes: &[u8]) {
        Self::stdout(self, bytes);
    }

    fn stderr(&self, bytes: &[u8]) {
        Self::stderr(self, bytes);
    }
}

pub(super) async fn run(
    program: Program,
    parts: &Arc<Parts>,
) -> Result<AttemptReport, AttemptError> {
    let config: NativeConfig = config::read(&program.config)?;
    let words = Words::new(config.args, config.env, config.stdin)?;
    let unrunnable = |error: native::NativeError| refused(AttemptErrorKind::Unrunnable, &error);
    let allowed = parts.native.find(&config.program).map_err(unrunnable)?;
    let folder = parts.folders.make().map_err(|error| {
        let message = format!("the working folder cannot be made: {error}");
        refused(AttemptErrorKind::Transient, &message)
    })?;
    let environment = allowed
        .environment(own(program.about, folder.path()), words.environment)
        .map_err(unrunnable)?;
    let limits = &program.limits;
    let log = ProgramLog::new(
        Arc::clone(&program.ports),
        limits.log_bytes,
        limits.output_bytes,
    );
    log.note(
        LogLevel::Warn,
        &format!("{NATIVE_MARK}: starts {}", config.program),
    );
    let started = Instant::now();
    let request = Request {
        program: allowed,
        arguments: words.arguments,
        environment,
        stdin: words.stdin,
        folder: folder.path().to_owned(),
        timeout: limits.execution_timeout,
        grace: limits.grace,
    };
    let cancelled = async { program.cancel.cancelled().await.to_owned() };
    let ended = native::run(request, &log, cancelled).await;
    let (last_line, stderr) = log.finish();
    let outcome = match ended {
        Ok(Ended::Exited(code)) => {
            exit_outcome(code, last_line.as_ref(), &stderr, limits.output_bytes)
        }
        Ok(other) => Outcome::Error(stopped(
            other,
            limits.execution_timeout,
            limits.grace,
            &stderr,
        )),
        Err(error) => {
            let message = format!("{} cannot be started or watched: {error}", config.program);
            Outcome::Error(refused(AttemptErrorKind::Transient, &message))
        }
    };
    // What fails is logged there.
    let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    Ok(AttemptReport {
        outcome,
        usage: Usage {
            wall: started.elapsed(),
            ..Usage::default()
        },
        denied: Vec::new(),
    })
}

/// The host's part of the environment.
fn own(about: Vec<(String, String)>, folder: &Path) -> Vec<(String, String)> {
    let home = folder.display().to_string();
    let fixed = [
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
        ("HOME", &home),
        ("TMPDIR", &home),
    ];
    let fixed = fixed.map(|(name, value)| (name.to_owned(), value.to_owned()));
    about.into_iter().chain(fixed).collect()
}

fn stopped(
    ended: Ended,
    timeout: Option<std::time::Duration>,
    grace: std::time::Duration,
    stderr: &str,
) -> AttemptError {
    let how = |in_grace| {
        if in_grace {
            "it was sent SIGTERM and ended".to_owned()
        } else {
            format!("it was sent SIGTERM and, after its grace of {grace:?}, SIGKILL")
        }
    };
    match ended {
        Ended::Cancelled(reason, in_grace) => refused(
            AttemptErrorKind::Cancelled,
            &format!("the task was cancelled: {reason}; {}", how(in_grace)),
        ),
        Ended::TimedOut(in_grace) => refused(
            AttemptErrorKind::TimedOut,
            &format!(
                "the task ran longer than its execution_timeout of {:?}; {}",
                timeout.unwrap_or_default(),
                how(in_grace)
            ),
        ),
        Ended::Signalled(signal) => {
            let message = failure(&format!("was ended by signal {signal}"), stderr);
            refused(AttemptErrorKind::Transient, &message)
        }
        Ended::Exited(code) => {
            let message = failure(&format!("exited with code {code}"), stderr);
            refused(AttemptErrorKind::Transient, &message)
        }
    }
}
