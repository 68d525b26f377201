//! The grammar of what changes runs, backfills and assets. It refuses to do anything.
//! Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use super::args::RunArgs;
use clap::{Args, Subcommand, ValueEnum};

/// Which run, or which runs by their logical dates.
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    /// Its DAG
    pub dag_id: String,
    /// Its id, `latest`, or `all`: every run, or with --from and --to those of a span
    pub run_id: String,
    /// With `all`: the earliest logical date
    #[arg(long, value_name = "DATE")]
    pub from: Option<String>,
    /// With `all`: the latest logical date
    #[arg(long, value_name = "DATE")]
    pub to: Option<String>,
    /// The runs with earlier logical dates too
    #[arg(long)]
    pub past: bool,
    /// The runs with later logical dates too
    #[arg(long)]
    pub future: bool,
}

/// What is cleared, and how.
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[derive(Debug, Clone, Args)]
pub struct ClearFlags {
    /// Only what failed
    #[arg(long)]
    pub only_failed: bool,
    /// Only what is running
    #[arg(long)]
    pub only_running: bool,
    /// Go on with the DAG's latest version rather than the one that the run began with
    #[arg(long)]
    pub latest_version: bool,
    /// Only print what would be cleared
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What comes with the named tasks.
#[derive(Debug, Clone, Args)]
pub struct WithTasks {
    /// Everything above the tasks too
    #[arg(long)]
    pub upstream: bool,
    /// Everything below the tasks too
    #[arg(long)]
    pub downstream: bool,
    /// Only this element of the named tasks; may be given several times
    #[arg(long, value_name = "N")]
    pub map_index: Vec<i32>,
}

/// `airlock tasks clear`.
#[derive(Debug, Clone, Args)]
pub struct TasksClear {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Which tasks [default: all]
    #[arg(value_name = "TASK")]
    pub task_ids: Vec<String>,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub with: WithTasks,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub flags: ClearFlags,
}

/// `airlock runs clear`.
#[derive(Debug, Clone, Args)]
pub struct RunsClear {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub runs: RunsArgs,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub flags: ClearFlags,
}

/// `airlock runs delete`.
#[derive(Debug, Clone, Args)]
pub struct RunsDelete {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub run: RunArgs,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `airlock dags delete`.
#[derive(Debug, Clone, Args)]
pub struct DagsDelete {
    /// Which DAG
    #[arg(value_name = "DAG")]
    pub dag_id: String,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// `airlock tasks mark-success` and `mark-failed`.
#[derive(Debug, Clone, Args)]
pub struct TasksMark {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub runs: RunsArgs,
    /// Which tasks
    #[arg(value_name = "TASK", required = true)]
    pub task_ids: Vec<String>,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub with: WithTasks,
}

/// Names a task instance.
#[derive(Debug, Clone, Args)]
pub struct InstanceArgs {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub run: RunArgs,
    /// Which task
    pub task_id: String,
    /// Which element of a mapped task
    #[arg(long, value_name = "N", default_value_t = -1, allow_hyphen_values = true)]
    pub map_index: i32,
}

/// `airlock tasks answer`.
#[derive(Debug, Clone, Args)]
#[group(id = "answered", required = true, multiple = false, args = ["json_answer", "approve", "reject"])]
pub struct AnswerArgs {
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub instance: InstanceArgs,
    /// {"chosen_options": [..], "params_input": {..}}; `-` reads it from stdin
    #[arg(long, value_name = "JSON", allow_hyphen_values = true)]
    pub json_answer: Option<String>,
    /// Choose the option Approve
    #[arg(long)]
    pub approve: bool,
    /// Choose the option Reject
    #[arg(long)]
    pub reject: bool,
}

/// What becomes of dates that were run.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum ReprocessBehaviorArg {
    /// They are left alone
    None,
    /// They run again if they failed
    Failed,
    /// They run again
    Completed,
}

/// `airlock backfill create`.
#[expect(clippy::struct_excessive_bools, reason = "one for each flag")]
#[derive(Debug, Clone, Args)]
pub struct BackfillCreate {
    /// Of which DAG
    #[arg(long, value_name = "DAG")]
    pub dag_id: String,
    /// The earliest logical date
    #[arg(long, value_name = "DATE")]
    pub from_date: String,
    /// The latest logical date, included
    #[arg(long, value_name = "DATE")]
    pub to_date: String,
    /// Begin with the latest date
    #[arg(long)]
    pub run_backwards: bool,
    /// Runs that may be unfinished at once
    #[arg(long, value_name = "N", default_value_t = airlock_core::schedule::BACKFILL_MAX_ACTIVE_RUNS_DEFAULT)]
    pub max_active_runs: u32,
    /// What becomes of dates that were run
    #[arg(long, value_enum, default_value = "none", value_name = "BEHAVIOR")]
    pub reprocess_behavior: ReprocessBehaviorArg,
    /// The conf of its runs: a JSON object
    #[arg(long, value_name = "JSON")]
    pub dag_run_conf: Option<String>,
    /// Only print what it would do
    #[arg(long)]
    pub dry_run: bool,
    /// Runs that are cleared go on with the DAG's latest version [default]
    #[arg(long, overrides_with = "no_run_on_latest_version")]
    pub run_on_latest_version: bool,
    /// Runs that are cleared keep the version that they began with
    #[arg(long)]
    pub no_run_on_latest_version: bool,
}

/// Verbs of `airlock backfill`.
#[derive(Debug, Subcommand)]
pub enum Backfill {
    /// Run the past dates of a DAG's schedule
    Create(BackfillCreate),
    /// List backfills
    List {
        /// Of this DAG only
        dag_id: Option<String>,
    },
    /// Make and start no more of its runs
    Pause {
        /// Its id
        backfill_id: u64,
    },
    /// Go on
    Unpause {
        /// Its id
        backfill_id: u64,
    },
    /// End it: queued runs are cancelled, running ones go on
    Cancel {
        /// Its id
        backfill_id: u64,
    },
}

/// Verbs of `airlock assets`.
#[derive(Debug, Subcommand)]
pub enum Assets {
    /// List assets, with the DAGs that make them and those that wait for them
    List,
    /// List the events of an asset, or of all, the oldest first
    Events {
        /// Which asset
        uri: Option<String>,
    },
    /// Trigger a run of the DAG that makes an asset
    Materialize {
        /// Which asset
        uri: String,
        /// The run's conf: a JSON object
        #[arg(long, value_name = "JSON")]
        conf: Option<String>,
        /// Free text about the run
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Record that an asset was updated by something that is no task
    CreateEvent {
        /// Which asset
        uri: String,
        /// What comes with it: a JSON object
        #[arg(long, value_name = "JSON")]
        extra: Option<String>,
    },
}
