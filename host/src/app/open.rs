//! Opens the rooms in order: store, sandbox, plugins, tracking, executor, scheduler.

use super::App;
use super::dag_runs::StoredDagRuns;
use super::feed::Announced;
use super::pools::pool_sizes;
use crate::capability::{ObjectStorage, StorageConnections};
use crate::email::{EmailError, Mailer, SmtpSettings};
use crate::error::{ErrorKind, UserError};
use crate::executor::{
    Echo, LocalExecutor, LogStore, Outbox, Parts, PluginUse, Recent, StoreDagState, WorkFolders,
};
use crate::gpus::GpuSource;
use crate::lineage::{LineageSettings, Moment, Sender};
use crate::metrics::{Metered, Metrics, OnRun};
use crate::native::NativePrograms;
use crate::plugins::{PluginSources, Plugins};
use crate::sandbox::{Sandbox, SandboxConfig};
use crate::scheduler::{Options, SeenRuns, SystemClock, prepare};
use crate::secrets::Secrets;
use crate::store::local::Options as StoreOptions;
use crate::store::{LocalStore, MemoryStore, Store};
use crate::traces::{Exporter, OtlpSettings};
use crate::tracking::{Registry, Tracking};
use crate::training::{Options as TrainingOptions, Trainers};
use jiff::Timestamp;
use std::collections::BTreeSet;
use std::hash::{BuildHasher, RandomState};
use std::path::PathBuf;
use std::sync::Arc;

/// Where state lives.
#[derive(Debug, Clone)]
pub enum Data {
    /// One folder; survives everything but the loss of the disk.
    Folder(PathBuf),
    /// Memory and a temporary folder; gone at the end.
    Throwaway,
}

/// How to open an `App`.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where state lives.
    pub data: Data,
    /// What `file://./` in a DAG is relative to.
    pub storage_root: PathBuf,
    /// With whose credentials buckets are reached.
    pub storage: StorageConnections,
    /// Where plugins are looked for besides those of the program, and the rules for them.
    pub plugins: PluginSources,
    /// Where compiled components are kept; safe to delete.
    pub cache: PathBuf,
    /// Task instances that hold slots at once.
    pub parallelism: u32,
    /// Threads that run guests.
    pub threads: usize,
    /// The queues whose tasks this host runs; `None` for every queue.
    pub queues: Option<BTreeSet<String>>,
    /// A JSON file that lists the machine's GPUs instead of its driver.
    pub gpus: Option<PathBuf>,
    /// Whether runs that an earlier process left are taken up.
    pub recover: bool,
    /// The secrets folder or file that is looked at before the environment and the store.
    pub secrets: Option<PathBuf>,
    /// Where mails are handed in; none are sent without.
    pub smtp: Option<SmtpSettings>,
    /// Where traces of runs are sent; none are without.
    pub otlp: Option<OtlpSettings>,
    /// Where lineage events of runs are sent; none are without.
    pub lineage: Option<LineageSettings>,
    /// Programs that tasks may start outside the sandbox.
    pub native: NativePrograms,
    /// Where log lines go besides their files.
    pub echo: Option<Echo>,
}

/// Airflow's default for `parallelism`.
pub const PARALLELISM_DEFAULT: u32 = 32;

/// A temporary folder that goes with its owner.
#[derive(Debug)]
pub(super) struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, UserError> {
        let path =
            std::env::temp_dir().join(format!("airlock-{}-{:016x}", std::process::id(), random()));
        std::fs::create_dir_all(&path).map_err(|error| {
            UserError::new(
                ErrorKind::Store,
                format!("cannot create {}: {error}", path.display()),
            )
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A number that no earlier start had: seeded by the system for every new `RandomState`.
fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

type Opened = (Arc<dyn Store>, PathBuf, Option<Scratch>);

/// The store, the folder for what lies beside it, and what must live as long.
fn open_store(data: &Data) -> Result<Opened, UserError> {
    match data {
        Data::Folder(path) => {
            let store = LocalStore::open(path, &StoreOptions::default())?;
            Ok((Arc::new(store), path.clone(), None))
        }
        Data::Throwaway => {
            let scratch = Scratch::new()?;
            let folder = scratch.0.clone();
            Ok((Arc::new(MemoryStore::default()), folder, Some(scratch)))
        }
    }
}

/// Who is told of runs that started or ended.
fn followers(
    otlp: Option<OtlpSettings>,
    lineage: Option<LineageSettings>,
    store: &Arc<dyn Store>,
) -> Result<Option<OnRun>, UserError> {
    let failed = |error: std::io::Error| UserError::new(ErrorKind::Usage, error);
    let exporter = otlp.map(Exporter::start).transpose().map_err(failed)?;
    let sender = lineage.map(Sender::start).transpose().map_err(failed)?;
    if exporter.is_none() && sender.is_none() {
        return Ok(None);
    }
    if let Some(exporter) = &exporter {
        exporter.reads(store);
    }
    if let Some(sender) = &sender {
        sender.reads(store);
    }
    Ok(Some(Box::new(move |moment, run| {
        if let (Some(exporter), Moment::Ended) = (&exporter, moment) {
            exporter.ended(run);
        }
        if let Some(sender) = &sender {
            sender.happened(moment, run);
        }
    })))
}

impl App {
    /// Opens everything; see `Config`.
    #[expect(
        clippy::too_many_lines,
        reason = "one room after the other, each given what it needs"
    )]
    pub fn open(config: Config) -> Result<Self, UserError> {
        let (store, folder, scratch) = open_store(&config.data)?;
        let metrics = Arc::new(Metrics::default());
        let traced = config.otlp.is_some();
        let on_run = followers(config.otlp, config.lineage, &store)?;
        let store = Metered::over(store, metrics.clone(), on_run);
        let (store, feed) = Announced::over(store);
        let sandbox = Sandbox::new(&SandboxConfig {
            cache_dir: Some(config.cache.clone()),
            workers: config.threads,
            ..SandboxConfig::default()
        })
        .map_err(|error| {
            UserError::new(
                ErrorKind::Usage,
                format!("the sandbox cannot start: {error}"),
            )
        })?;
        let plugins =
            Arc::new(Plugins::open(sandbox.clone(), config.plugins).map_err(UserError::from)?);
        let clock: crate::tracking::Clock = Arc::new(|| Timestamp::now().as_millisecond());
        let tracking = Arc::new(Tracking::new(store.clone(), clock.clone()));
        let registry = Arc::new(Registry::new(store.clone(), clock));
        let logs = Arc::new(LogStore::new(folder.join("logs"), config.echo));
        let secrets = Arc::new(Secrets::new(store.clone(), &folder, config.secrets));
        let mailer = config.smtp.as_ref().map(Mailer::new).transpose()?;
        let outbox = Arc::new(Outbox::new(store.clone()));
        let plugin_use = Arc::new(PluginUse::new(store.clone()));
        let gpus = Arc::new(GpuSource::new(config.gpus));
        let seen = Arc::new(SeenRuns::new(store.clone()));
        let folders = WorkFolders::new(folder.join("work")).map_err(|error| {
            let message = format!(
                "what programs left in {} cannot be removed: {error}",
                folder.display()
            );
            UserError::new(ErrorKind::Store, message)
        })?;
        let starter = prepare();
        let executor = LocalExecutor::new(Parts {
            sandbox: sandbox.clone(),
            plugins: plugins.clone(),
            handle: starter.handle(),
            dag_runs: Arc::new(StoredDagRuns {
                store: store.clone(),
                handle: starter.handle(),
                gpus: gpus.clone(),
            }),
            store: store.clone(),
            dag_state: Arc::new(StoreDagState::new(store.clone(), seen.clone())),
            secrets: secrets.clone(),
            trainers: Trainers::new(TrainingOptions::default(), gpus.clone()),
            tracking: tracking.clone(),
            registry: registry.clone(),
            logs: logs.clone(),
            outbox: outbox.clone(),
            mailer: mailer.map(Arc::new),
            storage_root: config.storage_root,
            objects: Arc::new(ObjectStorage::new(config.storage, folder.join("spool"))),
            plugin_use: plugin_use.clone(),
            native: config.native,
            folders,
            programs: Recent::default(),
            traced,
        })
        .map_err(|error| {
            UserError::new(
                ErrorKind::Usage,
                format!("cannot start the executor's threads: {error}"),
            )
        })?;
        let pools = pool_sizes(store.as_ref())?;
        let needs_gpus = pools.iter().any(|(_, size)| size.gpus.is_some());
        let cards = if needs_gpus { gpus.gpus()? } else { &[] };
        let options = Options {
            owner: random(),
            parallelism: config.parallelism,
            pools,
            gpus: cards.to_vec(),
            recover: config.recover,
            queues: config.queues,
        };
        let scheduler = starter.start(
            store.clone(),
            Arc::new(executor),
            Arc::new(SystemClock),
            options,
        )?;
        if config.recover && config.parallelism > 0 {
            outbox.resume();
        }
        Ok(Self {
            scheduler,
            outbox,
            store,
            sandbox,
            plugins,
            tracking,
            registry,
            secrets,
            logs,
            plugin_use,
            gpus,
            seen,
            metrics,
            feed,
            recent: super::recent::Recent::default(),
            looks: super::looks::Looks::default(),
            dag_rows: super::deletions::DagRows::default(),
            _scratch: scratch,
        })
    }
}

impl From<EmailError> for UserError {
    fn from(error: EmailError) -> Self {
        Self::new(ErrorKind::Usage, error)
            .hint("AIRLOCK_SMTP_URL and AIRLOCK_SMTP_FROM, or smtp_url and smtp_from in airlock.toml, say where mails go")
    }
}
