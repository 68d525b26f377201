//! The grammar of the command line: Airflow's nouns, then verbs. It refuses to do anything.
//! Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use super::args_admin::{Connections, Pools, Variables};
use super::args_api::{ListenArgs, Tokens};
use super::args_build::{PluginsBuild, PluginsNew, PluginsTest};
use super::args_ml::{Experiments, Models};
use super::args_plugins::PluginLife;
use super::args_service::{
    AnswerArgs, Assets, Backfill, DagsDelete, InstanceArgs, RunsClear, RunsDelete, TasksClear,
    TasksMark,
};
use super::args_web::Dev;
use crate::app::StorageConnections;
use crate::bench::TrainData;
use crate::native::{Confinement, NativePrograms};
use crate::registry::Trust;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// Schedules DAGs and runs every operator as a sandboxed WebAssembly component
#[derive(Debug, Parser)]
#[command(
    name = "airlock",
    version,
    propagate_version = true,
    max_term_width = 100
)]
pub struct Cli {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub global: Global,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(subcommand)]
    pub command: Command,
}

/// Settings of every command.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// Folder that holds all state
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "AIRLOCK_DATA",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub data: Option<PathBuf>,
    /// What `file://./` in a DAG is relative to [default: the current folder]
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "AIRLOCK_STORAGE_ROOT",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub storage_root: Option<PathBuf>,
    /// Folder with further plugins; may be given several times
    #[arg(
        long = "plugins",
        global = true,
        value_name = "DIR",
        env = "AIRLOCK_PLUGINS",
        hide_env_values = true,
        value_delimiter = ':',
        help_heading = "Settings"
    )]
    pub plugin_folders: Vec<PathBuf>,
    /// Folder with one file a secret (`variables/KEY`, `connections/ID`), or one TOML or JSON file with these tables
    #[arg(
        long,
        global = true,
        value_name = "PATH",
        env = "AIRLOCK_SECRETS",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub secrets: Option<PathBuf>,
    /// JSON file that lists this machine's GPUs; the driver is asked without
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "AIRLOCK_GPU_LIST",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub gpu_list: Option<PathBuf>,
    /// Task instances that may run at once
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "AIRLOCK_PARALLELISM",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub parallelism: Option<u32>,
    /// Days for which finished runs are kept [default: for ever]
    #[arg(
        long,
        global = true,
        value_name = "DAYS",
        env = "AIRLOCK_RETENTION_DAYS",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub retention_days: Option<u32>,
    /// Finished runs of each DAG that are kept [default: all]
    #[arg(
        long,
        global = true,
        value_name = "N",
        env = "AIRLOCK_RETENTION_RUNS",
        hide_env_values = true,
        help_heading = "Settings"
    )]
    pub retention_runs: Option<u32>,
    /// Mail server; only `AIRLOCK_SMTP_URL` and `airlock.toml` say it
    #[arg(skip)]
    pub smtp_url: Option<String>,
    /// Sender of mails; only `AIRLOCK_SMTP_FROM` and `airlock.toml` say it
    #[arg(skip)]
    pub smtp_from: Option<String>,
    /// Consumer of lineage events; only `OPENLINEAGE_URL` and `airlock.toml` say it
    #[arg(skip)]
    pub openlineage_url: Option<String>,
    /// With whose credentials buckets are reached; only `airlock.toml` says it
    #[arg(skip)]
    pub storage: StorageConnections,
    /// Programs that tasks may start outside the sandbox; only `airlock.toml` says them
    #[arg(skip)]
    pub native: NativePrograms,
    /// Queues of a service; `serve --queues`, `AIRLOCK_QUEUES` and `airlock.toml` say them
    #[arg(skip)]
    pub queues: Vec<String>,
    /// Where a service's API listens; `serve --listen`, `AIRLOCK_LISTEN` and `airlock.toml` say it
    #[arg(skip)]
    pub listen: Option<String>,
    /// What a service is called; `serve --listen-name`, `AIRLOCK_LISTEN_NAMES` and `airlock.toml` say it
    #[arg(skip)]
    pub listen_names: Vec<String>,
    /// Rules for plugins; only `airlock.toml` says them
    #[arg(skip)]
    pub trust: Trust,
    /// Print one JSON value on stdout
    #[arg(long, global = true, help_heading = "Settings")]
    pub json: bool,
    /// Print no logs and no progress
    #[arg(long, short, global = true, help_heading = "Settings")]
    pub quiet: bool,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Hold a data folder: make runs when they are due, carry them out, answer the commands of other terminals
    Serve(Serve),
    /// Try things out on this machine: scheduler, API and pages, and a link that logs in
    Dev(Dev),
    /// Manage DAGs
    #[command(subcommand)]
    Dags(Dags),
    /// Manage runs
    #[command(subcommand)]
    Runs(Runs),
    /// Manage tasks
    #[command(subcommand)]
    Tasks(Tasks),
    /// Run past dates of a schedule
    #[command(subcommand)]
    Backfill(Backfill),
    /// Manage assets
    #[command(subcommand)]
    Assets(Assets),
    /// Look at experiments and their tracking runs
    #[command(subcommand)]
    Experiments(Experiments),
    /// Manage registered models
    #[command(subcommand)]
    Models(Models),
    /// Manage plugins
    #[command(subcommand)]
    Plugins(Plugins),
    /// Manage pools
    #[command(subcommand)]
    Pools(Pools),
    /// Manage variables
    #[command(subcommand)]
    Variables(Variables),
    /// Manage connections
    #[command(subcommand)]
    Connections(Connections),
    /// Manage the tokens of the API
    #[command(subcommand)]
    Tokens(Tokens),
    /// List this machine's GPUs and what holds them
    Gpus,
    /// Maintain the store
    #[command(subcommand)]
    Db(Db),
    /// Measure this machine
    Bench(Bench),
    /// Print completions for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print the man page
    Man,
    /// Train for the host at the other end of the standard input; airlock starts this itself
    #[command(hide = true)]
    TrainerWorker(TrainerWorker),
    /// A native program, before it is that
    #[command(hide = true)]
    NativeLauncher(Confinement),
    /// Ask the GPU driver, for the process that started this one
    #[command(hide = true)]
    GpuProbe,
}

/// What a training worker is told.
#[derive(Debug, Args)]
pub struct TrainerWorker {
    /// Process id of the host
    #[arg(long, value_name = "PID")]
    pub parent: u32,
    /// Where to train: cpu, gpu:UUID
    #[arg(long, value_name = "DEVICE")]
    pub device: String,
    /// A fault that a test planned
    #[arg(long, value_name = "KIND@ROUND")]
    pub fault: Option<String>,
}

impl Command {
    /// Whether it works on the data folder, which a service may hold.
    pub(super) fn needs_data_folder(&self, global: &Global) -> bool {
        match self {
            Self::Dags(Dags::Test(_)) | Self::Tasks(Tasks::Test { .. }) => global.data.is_some(),
            Self::Dags(Dags::Validate { .. })
            | Self::Serve(_)
            | Self::Dev(_)
            | Self::Tokens(Tokens::Routes)
            | Self::Bench(_)
            | Self::Completions { .. }
            | Self::Man
            | Self::GpuProbe
            | Self::TrainerWorker(_)
            | Self::NativeLauncher(_) => false,
            Self::Plugins(command) => {
                matches!(command, Plugins::Life(PluginLife::Tighten(_)))
            }
            Self::Dags(Dags::Show { dag } | Dags::NextExecution { dag, .. })
            | Self::Tasks(Tasks::List { dag }) => !crate::app::is_file(dag),
            _ => true,
        }
    }
}

/// How the service runs.
#[derive(Debug, Args)]
pub struct Serve {
    /// Folder with DAG files, read again when one is saved; may be given several times
    #[arg(
        long,
        value_name = "DIR",
        env = "AIRLOCK_DAGS",
        hide_env_values = true,
        value_delimiter = ':'
    )]
    pub dags: Vec<PathBuf>,
    /// Queue whose tasks this host runs; may be given several times [default: every queue]
    #[arg(
        long,
        value_name = "NAME",
        env = "AIRLOCK_QUEUES",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub queues: Vec<String>,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub api: ListenArgs,
}

/// Verbs of `airlock dags`.
#[derive(Debug, Subcommand)]
pub enum Dags {
    /// Check DAG files and print every error in them
    Validate {
        /// DAG files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// List DAGs: what schedules them, whether they are paused or stale, and when the next run is due
    List,
    /// List DAG files that could not be read, with their errors; their DAGs keep the last good version
    ListImportErrors,
    /// Make and start no more runs; running task instances go on
    Pause {
        /// Which DAGs
        #[arg(required = true, value_name = "DAG")]
        dag_ids: Vec<String>,
    },
    /// Make and start runs again
    Unpause {
        /// Which DAGs
        #[arg(required = true, value_name = "DAG")]
        dag_ids: Vec<String>,
    },
    /// Delete a DAG with its runs; refused while a run lives, or a file that a service follows holds it
    Delete(DagsDelete),
    /// Show a DAG: its schedule, its params and its tasks
    Show {
        /// A DAG file or a dag_id
        #[arg(value_name = "FILE_OR_ID")]
        dag: String,
    },
    /// Run a DAG once to its end, here and now, on a throw-away store unless --data is given
    Test(TriggerArgs),
    /// Record a run and carry it out to its end
    Trigger(TriggerArgs),
    /// Print the next runs that the schedule makes: logical date, data interval start and end, run after, in UTC
    NextExecution {
        /// A DAG file or a dag_id
        #[arg(value_name = "FILE_OR_ID")]
        dag: String,
        /// How many
        #[arg(short, long = "num-executions", value_name = "N", default_value_t = 1)]
        num: usize,
        /// Pretend that it is this time [default: now]
        #[arg(long, value_name = "TIME")]
        now: Option<String>,
    },
}

/// How a run is made.
#[derive(Debug, Args)]
pub struct TriggerArgs {
    /// Only record the run; a service carries it out
    #[arg(long)]
    pub no_wait: bool,
    /// A DAG file or a dag_id
    #[arg(value_name = "FILE_OR_ID")]
    pub dag: String,
    /// What the run is about, for example 2026-01-05T02:00:00Z
    #[arg(long, value_name = "TIME")]
    pub logical_date: Option<String>,
    /// The run's conf: a JSON object that overrides params
    #[arg(long, value_name = "JSON")]
    pub conf: Option<String>,
    /// The run's id [default: made from the date]
    #[arg(long, value_name = "ID")]
    pub run_id: Option<String>,
    /// Free text about the run
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

/// Verbs of `airlock runs`.
#[derive(Debug, Subcommand)]
pub enum Runs {
    /// List runs
    List {
        /// Of this DAG only
        dag_id: Option<String>,
        /// In this state only: queued, running, success or failed
        #[arg(long)]
        state: Option<String>,
    },
    /// Show a run with its task instances
    Show(RunArgs),
    /// Print the log of a task instance
    Logs {
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        run: RunArgs,
        /// Which task [default: the callbacks of the run itself]
        task_id: Option<String>,
        /// Which element of a mapped task
        #[arg(long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
        map_index: i32,
        /// Which try [default: all]
        #[arg(long = "try", value_name = "N")]
        try_number: Option<u32>,
    },
    /// End a run: live attempts are stopped, the rest is skipped
    Cancel(RunArgs),
    /// Run task instances of a run again
    Clear(RunsClear),
    /// End a run in success: live attempts are stopped
    MarkSuccess(RunArgs),
    /// End a run in failed: live attempts are stopped, what waits is skipped
    MarkFailed(RunArgs),
    /// Delete a run that has ended, with its XComs and logs
    Delete(RunsDelete),
    /// Take up every run that an earlier process left, and carry it out to its end
    Resume,
}

/// Names a run.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Its DAG
    pub dag_id: String,
    /// Its id, or `latest`
    pub run_id: String,
}

/// Verbs of `airlock tasks`.
#[derive(Debug, Subcommand)]
pub enum Tasks {
    /// List the tasks of a DAG
    List {
        /// A DAG file or a dag_id
        #[arg(value_name = "FILE_OR_ID")]
        dag: String,
    },
    /// Show a task instance: its state, its tries, what its templates came to, its XComs, its error and where its log is
    Show {
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        run: RunArgs,
        /// Which task
        task_id: String,
        /// Which element of a mapped task
        #[arg(long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
        map_index: i32,
    },
    /// Run task instances again
    Clear(TasksClear),
    /// Give task instances the state success without running them
    MarkSuccess(TasksMark),
    /// Give task instances the state failed; live attempts are stopped
    MarkFailed(TasksMark),
    /// Say why a task instance does not run
    FailedDeps(InstanceArgs),
    /// List the task instances of a run with their states
    StatesForDagRun(RunArgs),
    /// List the questions that wait for a person
    PendingInputs,
    /// Answer the question of a task instance
    Answer(AnswerArgs),
    /// Set an XCom of a task instance
    SetXcom {
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        instance: InstanceArgs,
        /// Its key
        key: String,
        /// A JSON value; `-` reads it from stdin
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Delete an XCom of a task instance
    DeleteXcom {
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        instance: InstanceArgs,
        /// Its key
        key: String,
    },
    /// Run one task alone, without its upstream and without recording it
    Test {
        /// A DAG file or a dag_id
        #[arg(value_name = "FILE_OR_ID")]
        dag: String,
        /// Which task
        task_id: String,
        /// What the run would be about
        #[arg(long, value_name = "TIME")]
        logical_date: Option<String>,
        /// The run's conf: a JSON object
        #[arg(long, value_name = "JSON")]
        conf: Option<String>,
    },
}

/// Verbs of `airlock plugins`.
#[derive(Debug, Subcommand)]
pub enum Plugins {
    /// List plugins and their operators
    List,
    /// Show a plugin: its digest, its operators with their config, and what it asks to be allowed
    Inspect {
        /// A plugin's name, or a component file
        plugin: String,
    },
    /// Make a folder with an operator in it that builds and passes its own test
    New(PluginsNew),
    /// Make a component from sources, with the language's own tools, and show what it is
    Build(PluginsBuild),
    /// Run one operator in the sandbox and show how it ends, its log and its XComs
    Test(PluginsTest),
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    Life(PluginLife),
}

/// Verbs of `airlock db`.
#[derive(Debug, Subcommand)]
pub enum Db {
    /// Verify everything in the store
    Check,
    /// Write the whole store into one file
    Export {
        /// The file to write
        file: PathBuf,
    },
    /// Read an export into an empty data folder
    Import {
        /// The file to read
        file: PathBuf,
    },
    /// Seal variables and connections with a new key; with AIRLOCK_SECRET_KEY=NEW,OLD, with NEW
    RotateKey,
    /// Remove finished runs with their events and logs, then DAG versions and blobs that nothing names any more
    Clean(Clean),
}

/// What goes. Runs that have not ended and the newest run of each type of a DAG always stay.
#[derive(Debug, Args)]
pub struct Clean {
    /// Runs that ended before this [default: --retention-days ago]
    #[arg(long, value_name = "TIME")]
    pub before: Option<String>,
    /// All but the N newest finished runs of each DAG; with --before, what both let go [default: --retention-runs]
    #[arg(long, value_name = "N")]
    pub keep: Option<usize>,
    /// Only count what would go
    #[arg(long)]
    pub dry_run: bool,
    /// Do it
    #[arg(long, short)]
    pub yes: bool,
}

/// What to measure.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub struct Bench {
    /// Elements of the fan-out
    #[arg(long, default_value_t = 10_000)]
    pub fan_out: u32,
    /// Tasks of the chain
    #[arg(long, default_value_t = 100)]
    pub chain: u32,
    /// Elements of the large mapped task; 0 leaves it out
    #[arg(long, default_value_t = 100_000)]
    pub mapped: u32,
    /// Threads that run guests
    #[arg(long)]
    pub threads: Option<usize>,
    /// Measure whether the cost of a run is linear in its task instances, and nothing else
    #[arg(long, conflicts_with = "size")]
    pub linear: bool,
    /// Measure the start on a store full of finished runs, and nothing else
    #[arg(long)]
    pub size: bool,
    /// Measure training, and nothing else
    #[arg(long, conflicts_with = "size")]
    pub train: bool,
    /// The made-up rows
    #[arg(long, value_enum, default_value = "churn", requires = "train")]
    pub train_data: TrainData,
    /// Trees of each model
    #[arg(long, default_value_t = 300, requires = "train")]
    pub rounds: u32,
    /// Pairs of turns of each comparison
    #[arg(long, default_value_t = 1, requires = "train", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub repeats: u32,
    /// Measure tracking and the data-quality gate, and nothing else
    #[arg(long, conflicts_with_all = ["size", "train", "linear"])]
    pub ml: bool,
    /// Tracking runs that are searched
    #[arg(long, default_value_t = 100_000, requires = "ml")]
    pub ml_runs: u32,
    /// Measure a task in each language, and nothing else
    #[arg(long, conflicts_with_all = ["size", "train", "linear", "ml"])]
    pub lang: bool,
    /// Component to measure instead of one that is made for each language: one operator with the config {"name": TEXT}; may be given
    /// several times
    #[arg(long = "component", value_name = "FILE", requires = "lang")]
    pub components: Vec<PathBuf>,
    /// Measure reads over HTTP on a store full of finished runs, and nothing else
    #[arg(long, conflicts_with_all = ["size", "train", "linear", "ml"])]
    pub http: bool,
    /// Finished runs in the store that is read over HTTP
    #[arg(long, default_value_t = 100_000, requires = "http")]
    pub http_runs: usize,
    /// DAGs in it
    #[arg(long, default_value_t = 1_000, requires = "http")]
    pub http_dags: usize,
    /// Connections that ask at once
    #[arg(long, default_value_t = 8, requires = "http")]
    pub http_connections: usize,
    /// Requests of each connection to each route
    #[arg(long, default_value_t = 1_000, requires = "http")]
    pub http_requests: usize,
    /// Finished runs in the full store
    #[arg(long, default_value_t = 100_000, requires = "size")]
    pub runs: usize,
    /// DAGs in the full store
    #[arg(long, default_value_t = 1_000, requires = "size")]
    pub dags: usize,
    /// Keep the full store in this folder
    #[arg(long, value_name = "DIR", requires = "size")]
    pub store: Option<PathBuf>,
    /// Measure the start on the data folder: what --size does in a process of its own
    #[arg(long, hide = true)]
    pub start: bool,
}
