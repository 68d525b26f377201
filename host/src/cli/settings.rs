//! From flags, the environment, `airlock.toml` and defaults to a `Config`, in that order of precedence.

use super::args::Global;
use super::session;
use crate::app::{App, Config, Data, LineageSettings, OtlpSettings, RetentionPolicy, SmtpSettings};
use crate::error::{ErrorKind, UserError};
use crate::executor::Echo;
use crate::plugins::PluginSources;
use crate::registry::{Components, LOCK_FILE, LockFile};
use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The data folder where nothing else is said.
pub(super) const DATA_DEFAULT: &str = ".airlock";

/// What a command needs of the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Read or change state; runs that were left stay where they are.
    State,
    /// Carry out runs; what an earlier process left is taken up too.
    Execution,
    /// Carry out one run on a store that is thrown away unless --data is given.
    Test,
}

/// Diagnostics of the host itself: `AIRLOCK_LOG=airlock=debug`, warnings by default.
pub(super) fn start_tracing() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("AIRLOCK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,wasmtime=error,sled=error"));
    // A second start in one process (tests) keeps the first subscriber.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false)
        .try_init();
}

/// The application for a command: the service's own where one carries the command out.
pub(super) fn open(global: &Global, need: Need) -> Result<Arc<App>, UserError> {
    let throwaway = need == Need::Test && global.data.is_none();
    let app = match session::current() {
        Some(session) if !throwaway => session.app,
        _ => Arc::new(App::open(config(global, need)?)?),
    };
    super::audited::opened(&app)?;
    Ok(app)
}

/// The application for a command that changes runs: where no service holds the folder, runs that were left are taken up, and
/// nothing of them is started.
pub(super) fn open_idle(global: &Global) -> Result<Arc<App>, UserError> {
    if session::current().is_some() {
        return open(global, Need::State);
    }
    let app = Arc::new(App::open(Config {
        recover: true,
        parallelism: 0,
        ..config(global, Need::State)?
    })?);
    super::audited::opened(&app)?;
    Ok(app)
}

/// The data folder of a command.
pub(super) fn data_folder(global: &Global) -> PathBuf {
    let folder = global.data.clone();
    folder.unwrap_or_else(|| PathBuf::from(DATA_DEFAULT))
}

pub(super) fn config(global: &Global, need: Need) -> Result<Config, UserError> {
    let folder = data_folder(global);
    let data = match (need, &global.data) {
        (Need::Test, None) => Data::Throwaway,
        (Need::State, _) if !folder.exists() => {
            let message = format!("there is no data folder {}", folder.display());
            return Err(UserError::new(ErrorKind::NotFound, message).hint(
                "`airlock dags trigger FILE` makes it; name another with --data or AIRLOCK_DATA",
            ));
        }
        _ => Data::Folder(folder),
    };
    // On a terminal the live picture has the place; lines would tear it. `runs logs` has them all.
    let silent = global.quiet || global.json || session::can_draw();
    let echo: Option<Echo> = if silent { None } else { Some(echo_line) };
    Ok(Config {
        cache: cache_folder(&data),
        data,
        storage_root: match &global.storage_root {
            Some(root) => root.clone(),
            None => std::env::current_dir().map_err(|error| {
                UserError::new(
                    ErrorKind::Usage,
                    format!("the current folder cannot be read: {error}"),
                )
            })?,
        },
        storage: global.storage.clone(),
        native: global.native.clone(),
        secrets: global.secrets.clone(),
        smtp: smtp(global),
        otlp: match need {
            Need::Execution => OtlpSettings::from_env(|name| std::env::var(name).ok())?,
            _ => None,
        },
        lineage: match need {
            Need::Execution => LineageSettings::new(global.openlineage_url.as_deref(), |name| {
                std::env::var(name).ok()
            })?,
            _ => None,
        },
        plugins: plugin_sources(global)?,
        parallelism: global
            .parallelism
            .unwrap_or(crate::app::PARALLELISM_DEFAULT),
        threads: std::thread::available_parallelism().map_or(2, std::num::NonZero::get),
        queues: None,
        gpus: global.gpu_list.clone(),
        recover: need == Need::Execution,
        echo,
    })
}

/// The lock file lies beside `airlock.toml`, what it names in the data folder, also for runs that keep nothing.
pub(super) fn plugin_sources(global: &Global) -> Result<PluginSources, UserError> {
    let here = std::env::current_dir().map_err(|error| {
        let message = format!("the current folder cannot be read: {error}");
        UserError::new(ErrorKind::Usage, message)
    })?;
    Ok(PluginSources {
        folders: global.plugin_folders.clone(),
        lock: LockFile::at(here.join(LOCK_FILE)),
        components: Components::below(&here.join(data_folder(global))),
        trust: global.trust.clone(),
    })
}

/// Where mails go. No flag says it: the URL may hold a password, and other users see a program's flags.
fn smtp(global: &Global) -> Option<SmtpSettings> {
    let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
    Some(SmtpSettings {
        url: variable("AIRLOCK_SMTP_URL").or_else(|| global.smtp_url.clone())?,
        from: variable("AIRLOCK_SMTP_FROM").or_else(|| global.smtp_from.clone()),
    })
}

/// What the settings let go at `now`; with neither setting, nothing.
pub(super) fn retention(global: &Global, now: jiff::Timestamp) -> RetentionPolicy {
    let days = global.retention_days.map(|days| {
        let hours = jiff::SignedDuration::from_hours(i64::from(days) * 24);
        now.checked_sub(hours).unwrap_or(jiff::Timestamp::MIN)
    });
    RetentionPolicy {
        before: days,
        keep: global
            .retention_runs
            .map(|runs| usize::try_from(runs).unwrap_or(usize::MAX)),
    }
}

/// Compiled components belong to the user, so that a throw-away run does not compile again; without a home, to the data folder.
fn cache_folder(data: &Data) -> PathBuf {
    let home = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")));
    match (home, data) {
        (Some(cache), _) => cache.join("airlock"),
        (None, Data::Folder(folder)) => folder.join("cache"),
        (None, Data::Throwaway) => std::env::temp_dir().join("airlock-cache"),
    }
}

fn echo_line(task_id: &str, map_index: i32, line: &str) {
    let name = if map_index < 0 {
        task_id.to_owned()
    } else {
        format!("{task_id}[{map_index}]")
    };
    // A closed stderr must not stop a run.
    let _ = writeln!(std::io::stderr(), "  {name} | {line}");
}

/// A runtime for the few waits of a command; guests have their own.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> Result<T, UserError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            UserError::new(ErrorKind::Usage, format!("cannot start a runtime: {error}"))
        })?;
    let value = runtime.block_on(future);
    runtime.shutdown_timeout(Duration::from_millis(100));
    Ok(value)
}

/// Parses a point in time as people write it: with a zone, as a civil time in UTC, or as a date.
pub(super) fn timestamp(text: &str) -> Result<jiff::Timestamp, UserError> {
    let civil = || {
        text.parse::<jiff::civil::DateTime>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    let date = || {
        text.parse::<jiff::civil::Date>()
            .ok()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
    };
    text.parse::<jiff::Timestamp>()
        .ok()
        .or_else(|| civil().or_else(date).map(|zoned| zoned.timestamp()))
        .ok_or_else(|| {
            UserError::new(ErrorKind::Usage, format!("{text:?} is no point in time"))
                .hint("write 2026-01-05, 2026-01-05T02:00:00 (UTC) or 2026-01-05T02:00:00+01:00")
        })
}

/// Parses a conf.
pub(super) fn conf(
    text: Option<&str>,
) -> Result<serde_json::Map<String, serde_json::Value>, UserError> {
    let Some(text) = text else {
        return Ok(serde_json::Map::new());
    };
    serde_json::from_str(text).map_err(|error| {
        UserError::new(
            ErrorKind::Usage,
            format!("--conf is no JSON object: {error}"),
        )
        .hint(r#"for example --conf '{"rows": 1000}'"#)
    })
}
