//! Logs of attempts, one file an attempt, made at its first line. File names are hashes of ids, never the ids themselves.

use crate::sandbox::ports::{LogLevel, LogPort, LogSource};
use crate::scheduler::{Attempt, CallbackCall};
use airlock_core::ids::{DagId, RunId, TaskId};
use jiff::Timestamp;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The folder of all logs.
#[derive(Debug)]
pub struct LogStore {
    folder: PathBuf,
    echo: Option<Echo>,
}

/// Where lines go besides their file, for a person who watches.
pub type Echo = fn(task_id: &str, map_index: i32, line: &str);

/// Names the log of one task instance.
#[derive(Debug, Clone, Copy)]
pub struct LogStream<'a> {
    /// Its DAG.
    pub dag_id: &'a DagId,
    /// Its run.
    pub run_id: &'a RunId,
    /// Its task.
    pub task_id: &'a TaskId,
    /// -1 when unmapped.
    pub map_index: i32,
}

impl LogStream<'_> {
    fn folder(&self) -> PathBuf {
        let Self {
            dag_id,
            run_id,
            task_id,
            map_index,
        } = self;
        hashed(&format!("{dag_id}\0{run_id}\0{task_id}\0{map_index}"))
    }
}

impl LogStore {
    /// Logs under `folder`, which is made when the first line comes.
    pub fn new(folder: PathBuf, echo: Option<Echo>) -> Self {
        Self { folder, echo }
    }

    /// The folder that holds the logs of a task instance, one file an attempt; it may not exist yet.
    pub fn path(&self, stream: &LogStream<'_>) -> PathBuf {
        self.folder.join(stream.folder())
    }

    /// The log of one attempt; makes no file yet.
    pub(super) fn open(
        &self,
        dag_id: &DagId,
        run_id: &RunId,
        task_id: &TaskId,
        attempt: &Attempt,
    ) -> AttemptLog {
        let stream = LogStream {
            dag_id,
            run_id,
            task_id,
            map_index: attempt.ti.map_index,
        };
        // Zero-padded, so that the order of names is the order of attempts.
        let name = format!("{:05}.{:08}.log", attempt.try_number, attempt.fence.attempt);
        AttemptLog {
            path: self.folder.join(stream.folder()).join(name),
            task_id: task_id.to_string(),
            map_index: attempt.ti.map_index,
            echo: self.echo,
            file: Mutex::new(None),
        }
    }

    /// The log of a callback, beside those of the attempts of its task instance; makes no file yet.
    pub(super) fn open_callback(&self, call: &CallbackCall) -> AttemptLog {
        let name = format!("{:05}.{}.log", call.try_number, call.kind.as_str());
        let (folder, task_id) = match &call.task_id {
            Some(task_id) => {
                let stream = LogStream {
                    dag_id: &call.dag_id,
                    run_id: &call.run_id,
                    task_id,
                    map_index: call.map_index,
                };
                (stream.folder(), task_id.to_string())
            }
            None => (
                run_folder(&call.dag_id, &call.run_id),
                call.kind.as_str().to_owned(),
            ),
        };
        AttemptLog {
            path: self.folder.join(folder).join(name),
            task_id,
            map_index: call.map_index,
            echo: self.echo,
            file: Mutex::new(None),
        }
    }

    /// The logs of a run's own callbacks as text; empty where nothing was logged.
    pub fn read_run(&self, dag_id: &DagId, run_id: &RunId) -> std::io::Result<String> {
        read_folder(&self.folder.join(run_folder(dag_id, run_id)), None)
    }

    /// Removes the logs of a run's own callbacks; none is no error.
    pub fn remove_run(&self, dag_id: &DagId, run_id: &RunId) -> std::io::Result<()> {
        remove_folder(&self.folder.join(run_folder(dag_id, run_id)))
    }

    /// Where the logs of a task instance are, if there are any.
    pub fn folder_of(&self, stream: &LogStream<'_>) -> PathBuf {
        self.folder.join(stream.folder())
    }

    /// Removes every attempt's log of a task instance; none is no error.
    pub fn remove(&self, stream: &LogStream<'_>) -> std::io::Result<()> {
        remove_folder(&self.folder_of(stream))
    }

    /// Every attempt's log of one try (or of all), in order, as text; empty where nothing was logged.
    pub fn read(&self, stream: &LogStream<'_>, try_number: Option<u32>) -> std::io::Result<String> {
        read_folder(&self.folder_of(stream), try_number)
    }
}

fn hashed(name: &str) -> PathBuf {
    let name = blake3::hash(name.as_bytes()).to_hex();
    let (first, _) = name.split_at(2);
    PathBuf::from(first).join(name.as_str())
}

fn run_folder(dag_id: &DagId, run_id: &RunId) -> PathBuf {
    hashed(&format!("{dag_id}\0{run_id}"))
}

fn remove_folder(folder: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn read_folder(folder: &Path, try_number: Option<u32>) -> std::io::Result<String> {
    let mut names: Vec<_> = match std::fs::read_dir(folder) {
        Ok(entries) => entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(error),
    };
    names.sort();
    let prefix = try_number.map(|number| format!("{number:05}."));
    let mut text = String::new();
    for name in names.iter().filter(|name| {
        prefix
            .as_ref()
            .is_none_or(|prefix| name.starts_with(prefix))
    }) {
        let mut bytes = Vec::new();
        File::open(folder.join(name))?.read_to_end(&mut bytes)?;
        text.push_str(&String::from_utf8_lossy(&bytes));
    }
    Ok(text)
}

/// Writes the lines of one attempt.
pub(super) struct AttemptLog {
    path: PathBuf,
    task_id: String,
    map_index: i32,
    echo: Option<Echo>,
    file: Mutex<Option<File>>,
}

impl AttemptLog {
    fn write(&self, line: &str) -> std::io::Result<()> {
        let mut open = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if open.is_none() {
            if let Some(folder) = self.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            *open = Some(
                OpenOptions::new()
                    .create(true)
                    .append(true)
                    .open(&self.path)?,
            );
        }
        open.as_mut()
            .map_or(Ok(()), |file| file.write_all(line.as_bytes()))
    }
}

impl LogPort for AttemptLog {
    fn line(&self, level: LogLevel, source: LogSource, text: &str) {
        let level = match level {
            LogLevel::Debug => "DEBUG",
            LogLevel::Info => "INFO",
            LogLevel::Warn => "WARN",
            LogLevel::Error => "ERROR",
        };
        let source = match source {
            LogSource::Guest => "task",
            LogSource::Stdout => "stdout",
            LogSource::Stderr => "stderr",
            LogSource::Host => "airlock",
        };
        let line = format!("{:.3} {level:5} {source}: {text}\n", Timestamp::now());
        if let Err(error) = self.write(&line) {
            tracing::warn!(path = %self.path.display(), %error, "a log line could not be written");
        }
        if let Some(echo) = self.echo.filter(|_| level != "DEBUG") {
            echo(&self.task_id, self.map_index, line.trim_end());
        }
    }

    fn progress(&self, fraction: Option<f64>, message: &str) {
        let text = progress_text(fraction, message);
        self.line(LogLevel::Debug, LogSource::Guest, &text);
    }
}

/// How far an attempt is, for people: ` 42 % Round 126 of 300`.
pub(super) fn progress_text(fraction: Option<f64>, message: &str) -> String {
    match fraction {
        Some(fraction) => format!("{:3.0} % {message}", fraction * 100.0),
        None => message.to_owned(),
    }
}
