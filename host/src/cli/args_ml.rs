//! The grammar of `airlock models` and `airlock experiments`. It refuses to do anything.
//! Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use clap::{Args, Subcommand, ValueEnum};

/// Verbs of `airlock models`.
#[derive(Debug, Subcommand)]
pub enum Models {
    /// List registered models and their versions
    List,
    /// Show a model: its versions, their runs, metrics and digests, and its history
    Show {
        /// Which model
        name: String,
    },
    /// Show what happened to a model and its versions: when, what, by whom and why
    History {
        /// Which model; one that was deleted has a history too
        name: String,
        /// Show what was in production at this time instead, and where it came from
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
    /// Move a version to a stage; what was in production becomes archived
    Promote {
        /// Which model
        name: String,
        /// Which version
        version: u32,
        /// none, staging, production or archived
        #[arg(long, default_value = "production")]
        stage: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Put the version that was in production before back into production
    Rollback {
        /// Which model
        name: String,
        /// Why, for the history
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
}

/// Verbs of `airlock experiments`.
#[derive(Debug, Subcommand)]
pub enum Experiments {
    /// List experiments
    List {
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        search: SearchArgs,
    },
    /// Show an experiment and its latest runs
    Show {
        /// Its name or id
        experiment: String,
    },
    /// Look at tracking runs
    #[command(subcommand)]
    Runs(TrackingRuns),
    /// Compare tracking runs: params and metrics side by side
    Compare {
        /// Ids of runs
        #[arg(required = true, num_args = 2..=20)]
        run_ids: Vec<String>,
    },
}

/// Verbs of `airlock experiments runs`.
#[derive(Debug, Subcommand)]
pub enum TrackingRuns {
    /// List the runs of an experiment
    List {
        /// Its name or id
        experiment: String,
        #[expect(missing_docs, reason = "a comment would become help text")]
        #[command(flatten)]
        search: SearchArgs,
        /// Show at most so many
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=50_000))]
        limit: u32,
    },
    /// Show a run: its params, metrics, tags, inputs and artifacts, and the model versions that were made from it
    Show {
        /// Its id
        run_id: String,
    },
}

/// What is looked for.
#[derive(Debug, Args)]
pub struct SearchArgs {
    /// MLflow's filter, for example `metrics.auc > 0.9 AND params.depth = '6'`
    #[arg(
        long,
        value_name = "FILTER",
        default_value = "",
        hide_default_value = true
    )]
    pub filter: String,
    /// A key to order by, for example `metrics.auc DESC`; may be given several times
    #[arg(long, value_name = "KEY")]
    pub order_by: Vec<String>,
    /// What to show
    #[arg(long, value_enum, default_value = "active")]
    pub view: View,
}

/// Whether what was deleted is shown.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum View {
    /// What is in use
    Active,
    /// What was deleted
    Deleted,
    /// Both
    All,
}
