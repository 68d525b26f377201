//! The application handle: what the command line, the API and the pages go through. It opens the rooms in the right order and
//! offers requests and queries in Airflow's nouns. It refuses to print, to parse arguments and to know how bytes are stored.

mod assets;
mod attempts;
mod audit;
mod backfills;
mod callbacks;
mod changes;
mod connections;
mod dag_files;
mod dag_list;
mod dag_runs;
mod dag_versions;
mod dags;
mod deletions;
mod experiments;
mod feed;
mod folders;
mod follow_plugins;
mod gpus;
mod health;
mod history;
mod import;
mod log_parts;
mod looks;
mod models;
mod open;
mod pins;
mod plugin_errors;
mod plugin_life;
mod plugin_rows;
mod plugin_use;
mod pools;
mod questions;
mod reach;
mod recent;
mod retention;
mod rows;
mod run_inside;
mod runs;
mod task_instances;
mod tokens;
mod variables;

pub use crate::capability::{Question, Response, StorageConnections, StorageCredentials};
pub use crate::email::SmtpSettings;
pub use crate::executor::{AttemptUse, DAYS_KEPT, LogStream, OfLimit, Used};
pub use crate::lineage::LineageSettings;
pub use crate::sandbox::Plugin;
pub use crate::scheduler::{
    ChangedInstance, DagRow, ReplayedRun, RunRow, Selection, TaskInstanceRow, Version,
    task_instance_name, task_instance_rows,
};
pub(crate) use crate::secrets::random;
pub use crate::secrets::{Connection, Found, HIDDEN, Variable};
pub(crate) use crate::store::hex;
pub use crate::traces::{OtlpSettings, TraceParent};
pub use assets::{ASSET_EXTRA_BYTES_MAX, AssetEventRow, AssetRow};
pub use attempts::{AttemptEnd, AttemptFact};
pub use audit::{AuditDigest, AuditRow, ChangeNote};
pub use backfills::BackfillRow;
pub use changes::{ChangedRow, InstanceName, RunChoice};
pub use connections::ConnectionRow;
pub use dag_files::{DagFile, ReadDag, is_component, split_dag};
pub use dag_list::DagOverview;
pub use dag_versions::DagVersionInfo;
pub use dags::{RegisteredDag, is_file, read_dag};
pub use deletions::DeletedDag;
pub use experiments::{ArtifactRow, TrackingRunDetail};
pub use feed::{CHANGES_KEPT_MAX, Changed, Feed, News, Topic};
pub use folders::{DagFolders, ImportError, Watch};
pub use health::{Health, PoolUse};
pub use history::VersionRow;
pub use import::{Exported, Imported, OnExisting};
pub use log_parts::{LOG_PART_BYTES_MAX, LOG_SEARCH_BYTES_MAX, LogFile, LogFound, LogPart};
pub use looks::{ATTEMPTS_MAX, AttemptRow, Attempts, Cell, cells, worst};
pub use models::{ModelAt, ModelDetail, ProductionVersion, VersionDetail};
pub use open::{Config, Data, PARALLELISM_DEFAULT};
pub use plugin_life::{Change, Offer, Verified};
pub use plugin_rows::{OperatorRow, PluginRow, digest_of};
pub use plugin_use::Tightening;
pub use pools::PoolRow;
pub use questions::PendingInput;
pub use reach::{PATTERNS_MAX, Reach, TokenLimits};
pub use recent::{NewestRuns, RUNS_KEPT_MAX, newest_first};
pub use retention::{Cleaned, RetentionPolicy};
pub use run_inside::{InstanceRow, RunInside};
pub use runs::{NOTE_CHARS_MAX, RunDetail, TriggerRequest, XComRow};
pub use task_instances::TaskInstanceDetail;
pub use tokens::{Caller, NewToken, Role, TOKEN_NAME_BYTES_MAX, TOKENS_MAX, TokenRow};
pub use variables::VariableRow;

use crate::error::{ErrorKind, UserError};
use crate::executor::{LogStore, Outbox, PluginUse};
use crate::gpus::GpuSource;
use crate::lineage::WrongUrl;
use crate::metrics::Metrics;
use crate::plugins::Plugins;
use crate::sandbox::Sandbox;
use crate::scheduler::{CodecError, RecoveryError, Scheduler, SchedulerError, SeenRuns};
use crate::secrets::{Secrets, SecretsError};
use crate::store::{CommitError, Store, StoreError};
use crate::traces::Unreadable;
use crate::tracking::{Registry, Tracking};
use std::sync::Arc;

/// A running Airlock over one data folder.
pub struct App {
    // Dropped in this order: the scheduler stops before what it uses.
    scheduler: Scheduler,
    store: Arc<dyn Store>,
    sandbox: Sandbox,
    plugins: Arc<Plugins>,
    tracking: Arc<Tracking>,
    registry: Arc<Registry>,
    secrets: Arc<Secrets>,
    logs: Arc<LogStore>,
    outbox: Arc<Outbox>,
    plugin_use: Arc<PluginUse>,
    gpus: Arc<GpuSource>,
    seen: Arc<SeenRuns>,
    metrics: Arc<Metrics>,
    feed: Arc<Feed>,
    recent: recent::Recent,
    looks: looks::Looks,
    dag_rows: deletions::DagRows,
    _scratch: Option<open::Scratch>,
}

impl App {
    /// The plugins.
    pub fn plugins(&self) -> &Plugins {
        &self.plugins
    }

    /// A plugin by name; it is compiled when it is first asked for.
    pub fn plugin(&self, name: &str) -> Result<Arc<Plugin>, UserError> {
        Ok(self.plugins.load(name)?)
    }

    /// The sandbox, for measuring it.
    pub fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// What is counted and measured.
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// The store, for maintenance.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.store
    }

    /// Experiments and their runs.
    pub fn tracking(&self) -> &Tracking {
        &self.tracking
    }

    /// What changes, as it becomes durable.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    /// Registered models.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }
}

/// After the disk refused a write. Nothing that was acknowledged is lost by it.
const STORE_FAILED_HINT: &str =
    "check free space and permissions of the data folder, then `airlock runs resume`";

impl From<StoreError> for UserError {
    fn from(error: StoreError) -> Self {
        let hint = match &error {
            StoreError::Damaged { .. } => {
                "nothing was changed; run `airlock db check`, or `airlock db import` of an export into an empty folder"
            }
            StoreError::TooNew { .. } => {
                "start the Airlock version that wrote it, or import an export of it"
            }
            StoreError::InUse(_) => {
                "stop the other process, or give this one another folder with --data"
            }
            StoreError::NotEmpty => "give an empty folder with --data",
            StoreError::Held(_) => "wait until the lease runs out",
            StoreError::Io { .. } => {
                "check free space and permissions of the data folder, then start again"
            }
        };
        let kind = match &error {
            StoreError::InUse(_) | StoreError::Held(_) | StoreError::NotEmpty => {
                ErrorKind::Conflict
            }
            _ => ErrorKind::Store,
        };
        Self::new(kind, error).hint(hint)
    }
}

impl From<CommitError> for UserError {
    fn from(error: CommitError) -> Self {
        let kind = match &error {
            CommitError::Failed(_) | CommitError::Unknown => ErrorKind::Store,
            CommitError::TooLarge { .. } => ErrorKind::Usage,
            _ => ErrorKind::Conflict,
        };
        let told = Self::new(kind, error);
        if kind == ErrorKind::Store {
            told.hint(STORE_FAILED_HINT)
        } else {
            told
        }
    }
}

impl From<SecretsError> for UserError {
    fn from(error: SecretsError) -> Self {
        match error {
            SecretsError::Store(error) => error.into(),
            SecretsError::Commit(error) => error.into(),
            error @ SecretsError::Sealed { .. } => Self::new(ErrorKind::Store, error),
            error => Self::new(ErrorKind::Usage, error),
        }
    }
}

impl From<Unreadable> for UserError {
    fn from(error: Unreadable) -> Self {
        Self::new(ErrorKind::Usage, error)
            .hint("OTEL_EXPORTER_OTLP_ENDPOINT=http://localhost:4318 sends traces to a collector there; unset it to send none")
    }
}

impl From<WrongUrl> for UserError {
    fn from(error: WrongUrl) -> Self {
        Self::new(ErrorKind::Usage, error)
            .hint("openlineage_url = \"http://localhost:5000\" in airlock.toml sends lineage events to a consumer there")
    }
}

impl From<CodecError> for UserError {
    fn from(error: CodecError) -> Self {
        Self::new(ErrorKind::Store, error)
    }
}

impl From<RecoveryError> for UserError {
    fn from(error: RecoveryError) -> Self {
        match error {
            RecoveryError::Store(error) => error.into(),
            error => Self::new(ErrorKind::Store, error).hint("run `airlock db check`"),
        }
    }
}

impl From<SchedulerError> for UserError {
    fn from(error: SchedulerError) -> Self {
        let kind = match &error {
            SchedulerError::NotFound { .. } => ErrorKind::NotFound,
            SchedulerError::Conflict { .. }
            | SchedulerError::HasRuns { .. }
            | SchedulerError::Fenced => ErrorKind::Conflict,
            SchedulerError::Refused(_) => ErrorKind::Usage,
            SchedulerError::Store(_) => ErrorKind::Store,
            SchedulerError::Stopped => ErrorKind::Bug,
        };
        let told = Self::new(kind, error);
        if kind == ErrorKind::Store {
            told.hint(STORE_FAILED_HINT)
        } else {
            told
        }
    }
}
