//! The grammar of `airlock tokens`, and of where the service's API listens. It refuses to do anything.
//! Documentation comments here are the help texts.

use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What a token may do.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum RoleArg {
    /// Read
    Viewer,
    /// Log runs and artifacts, register model versions
    Operator,
    /// Move model versions between stages, set aliases
    Author,
    /// Everything
    Admin,
}

/// Verbs of `airlock tokens`.
#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Make a token and print it: it is shown this once
    Create {
        /// How the audit trail calls whoever uses it
        name: String,
        /// What it may do
        #[arg(long, value_enum, default_value = "operator", value_name = "ROLE")]
        role: RoleArg,
        /// A DAG that it reaches, `*` for any text in its id; may be given several times [default: everything]
        #[arg(long = "dag", value_name = "PATTERN")]
        dags: Vec<String>,
        /// From when on nobody gets in with it: a date and time, or how long from now, as in `90d` [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List tokens; what they are is not kept
    List,
    /// List the routes of the API with the role that each needs
    Routes,
    /// Take a token away: from now on nobody gets in with it
    Revoke {
        /// Its name
        name: String,
    },
}

/// Where the API listens.
#[derive(Debug, Clone, Args)]
pub struct ListenArgs {
    /// Where the API listens: an address and a port, 0 for a free one; or `off` [default: 127.0.0.1:8793]
    #[arg(
        long,
        value_name = "ADDRESS:PORT",
        env = "AIRLOCK_LISTEN",
        hide_env_values = true
    )]
    pub listen: Option<String>,
    /// Listen at an address that other machines can reach, although there is no TLS
    #[arg(long)]
    pub listen_public: bool,
    /// A PEM file with the certificate of the service and those that signed it
    #[arg(
        long,
        value_name = "FILE",
        env = "AIRLOCK_TLS_CERT",
        hide_env_values = true,
        requires = "tls_key"
    )]
    pub tls_cert: Option<PathBuf>,
    /// A PEM file with its private key
    #[arg(
        long,
        value_name = "FILE",
        env = "AIRLOCK_TLS_KEY",
        hide_env_values = true,
        requires = "tls_cert"
    )]
    pub tls_key: Option<PathBuf>,
    /// What the service is called besides its address and localhost, for example by a proxy; may be given several times
    #[arg(
        long = "listen-name",
        value_name = "HOST",
        env = "AIRLOCK_LISTEN_NAMES",
        hide_env_values = true,
        value_delimiter = ','
    )]
    pub listen_names: Vec<String>,
}
