//! The grammar of `airlock pools`, `variables` and `connections`. It refuses to do anything.
//! Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What an import does with what is there already.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum OnExistingKey {
    /// Take the new one
    Overwrite,
    /// Keep the old one
    Skip,
    /// Import nothing
    Fail,
}

/// A file to import.
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// A JSON file as Airflow exports it; `-` is stdin
    pub file: PathBuf,
    /// What to do with what is there already
    #[arg(long, value_enum, default_value = "overwrite", value_name = "ACTION")]
    pub action_on_existing_key: OnExistingKey,
}

/// Verbs of `airlock pools`.
#[derive(Debug, Subcommand)]
pub enum Pools {
    /// List pools
    List,
    /// Show a pool
    Get {
        /// Its name
        name: String,
    },
    /// Create or resize a pool
    Set {
        /// Its name
        name: String,
        /// Its slots; -1 is unlimited
        #[arg(allow_hyphen_values = true)]
        slots: i64,
        /// Free text
        #[arg(default_value = "")]
        description: String,
        /// Deferred task instances keep their slots
        #[arg(long)]
        include_deferred: bool,
        /// A pool of kind gpu gives each of its task instances GPUs of this machine
        #[arg(long, value_enum, default_value_t)]
        kind: PoolKind,
        /// Only cards with this in their product's name
        #[arg(long, value_name = "TEXT")]
        gpu_name: Option<String>,
    },
    /// Delete a pool that nothing waits for
    Delete {
        /// Its name
        name: String,
    },
    /// Set the pools of a JSON file
    Import(ImportArgs),
    /// Write all pools as JSON
    Export {
        /// The file to write; `-` is stdout
        file: PathBuf,
    },
}

/// What a pool gives out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum PoolKind {
    /// Slots alone
    #[default]
    Slots,
    /// Slots, and with each GPUs
    Gpu,
}

/// Verbs of `airlock variables`.
#[derive(Debug, Subcommand)]
pub enum Variables {
    /// List the variables of the store; values whose keys look secret are hidden
    List,
    /// Print a variable, from the secrets folder, the environment (AIRLOCK_VAR_KEY) or the store
    Get {
        /// Its key
        key: String,
        /// Print the value although the key looks secret
        #[arg(long)]
        with_secrets: bool,
        /// Print this where the variable is not set
        #[arg(long, value_name = "VALUE")]
        default: Option<String>,
    },
    /// Set a variable in the store
    Set {
        /// Its key
        key: String,
        /// Its value; `-` reads it from stdin
        #[arg(allow_hyphen_values = true)]
        value: String,
        /// Free text
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Delete a variable of the store
    Delete {
        /// Its key
        key: String,
    },
    /// Set the variables of a JSON file
    Import(ImportArgs),
    /// Write the variables of the store as JSON; without those whose keys look secret
    Export {
        /// The file to write; `-` is stdout
        file: PathBuf,
        /// Write the secret ones too
        #[arg(long)]
        with_secrets: bool,
    },
}

/// Verbs of `airlock connections`.
#[derive(Debug, Subcommand)]
pub enum Connections {
    /// List the connections of the store; secrets are hidden
    List,
    /// Show a connection, from the secrets folder, the environment (AIRLOCK_CONN_ID) or the store; secrets are hidden
    Get {
        /// Its conn_id
        conn_id: String,
    },
    /// Set a connection in the store
    Set(Box<ConnectionArgs>),
    /// Delete a connection of the store
    Delete {
        /// Its conn_id
        conn_id: String,
    },
    /// Set the connections of a JSON file
    Import(ImportArgs),
    /// Write the connections of the store as JSON; without their secrets
    Export {
        /// The file to write; `-` is stdout
        file: PathBuf,
        /// Write their secrets too
        #[arg(long)]
        with_secrets: bool,
    },
}

/// A connection: as a URI, as JSON, or by its members.
#[derive(Debug, Args)]
pub struct ConnectionArgs {
    /// Its conn_id
    pub conn_id: String,
    /// type://login:password@host:port/schema?member=value, percent-encoded; `-` reads it from stdin
    #[arg(long, value_name = "URI", allow_hyphen_values = true)]
    pub conn_uri: Option<String>,
    /// A JSON object; `-` reads it from stdin
    #[arg(
        long,
        value_name = "JSON",
        allow_hyphen_values = true,
        conflicts_with = "conn_uri"
    )]
    pub conn_json: Option<String>,
    /// Kind, for example http
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_type: Option<String>,
    /// Free text
    #[arg(long, value_name = "TEXT")]
    pub conn_description: Option<String>,
    /// Host name
    #[arg(long, value_name = "HOST", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_host: Option<String>,
    /// TCP port
    #[arg(long, value_name = "PORT", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_port: Option<u16>,
    /// User name
    #[arg(long, value_name = "LOGIN", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_login: Option<String>,
    /// Password; `-` reads it from stdin, where no other user of this machine sees it
    #[arg(long, value_name = "PASSWORD", allow_hyphen_values = true, conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_password: Option<String>,
    /// Database or path
    #[arg(long, value_name = "SCHEMA", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_schema: Option<String>,
    /// Anything else: a JSON object
    #[arg(long, value_name = "JSON", conflicts_with_all = ["conn_uri", "conn_json"])]
    pub conn_extra: Option<String>,
}
