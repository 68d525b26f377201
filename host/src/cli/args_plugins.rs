//! The grammar of a plugin's life: `airlock plugins add, update, remove, ...`. Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use airlock_core::grant::Capability;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// Verbs of `airlock plugins` that change what may run here.
#[derive(Debug, Subcommand)]
pub enum PluginLife {
    /// Add a plugin: show what it asks for, ask once, and write it to airlock.lock
    Add(AddArgs),
    /// Fetch plugins again from where they came, show what changed, and ask
    Update(UpdateArgs),
    /// Take a plugin out of airlock.lock
    Remove {
        /// Which plugin
        plugin: String,
    },
    /// Fetch what airlock.lock names and this machine lacks; nobody is asked, because the bytes are those that were agreed to
    Install,
    /// Let a plugin do what it asks for: as far as a DAG grants it, or at most what patterns name
    Grant(GrantArgs),
    /// Take back what a plugin may do, or some patterns of it
    Revoke(GrantArgs),
    /// Take back what a plugin did not use in the last 30 days: shows what would go, and asks
    Tighten(TightenArgs),
    /// Check that the components of airlock.lock are here, unchanged, trusted and able to run
    Verify {
        /// Which plugins [default: all]
        plugins: Vec<String>,
    },
    /// Sign a component: writes FILE.minisig beside it
    Sign {
        /// The component
        file: PathBuf,
        /// The secret key, as `airlock plugins keygen` or minisign makes it, without a password
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
    },
    /// Make a pair of keys: NAME.key signs, NAME.pub is for `trusted_keys` in airlock.toml
    Keygen {
        /// Where, without an ending
        name: PathBuf,
    },
    /// Put a component, with the signature beside it, into an OCI registry
    Push {
        /// The component
        file: PathBuf,
        /// Where, for example oci://registry.example/team/churn:1.2.0
        target: String,
    },
    /// Have the service that holds the data folder read airlock.lock again; the other verbs do this themselves
    #[command(hide = true)]
    Reload {
        /// Which lock file was written
        lock: PathBuf,
    },
}

/// What is added.
#[derive(Debug, Args)]
pub struct AddArgs {
    /// A file, oci://REGISTRY/NAME:TAG, oci://REGISTRY/NAME@sha256:..., or https://...
    pub source: String,
    /// What DAGs call it [default: what it calls itself]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What is updated.
#[derive(Debug, Args)]
pub struct UpdateArgs {
    /// Which plugins [default: all]
    pub plugins: Vec<String>,
    /// Another source than the one it came from; for one plugin
    #[arg(long, value_name = "SOURCE")]
    pub from: Option<String>,
    /// Do not ask, also where a plugin asks for more than before
    #[arg(long, short)]
    pub yes: bool,
}

/// What is tightened.
#[derive(Debug, Clone, Args)]
pub struct TightenArgs {
    /// Which plugin
    pub plugin: String,
    /// Only show what would be taken back
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long, short)]
    pub yes: bool,
}

/// What is granted or taken back.
#[derive(Debug, Args)]
pub struct GrantArgs {
    /// Which plugin
    pub plugin: String,
    /// What: a member of `grants`
    #[arg(value_parser = capability)]
    pub capability: Capability,
    /// Hosts, URI prefixes or names, as in a DAG's grants; NAME=HOST for secrets [default: all that a DAG grants]
    pub patterns: Vec<String>,
}

fn capability(text: &str) -> Result<Capability, String> {
    Capability::parse(text).ok_or_else(|| {
        let all: Vec<&str> = Capability::ALL.into_iter().map(Capability::name).collect();
        format!("it is one of {}", all.join(", "))
    })
}
