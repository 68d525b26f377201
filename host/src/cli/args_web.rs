//! The grammar of `airlock dev`. It refuses to do anything.
//! Documentation comments here are the help texts.

use super::args_api::ListenArgs;
use clap::Args;
use std::path::PathBuf;

/// `airlock dev`.
#[derive(Debug, Args)]
pub struct Dev {
    /// Folder with DAG files; where there is none in it, an example is written
    #[arg(value_name = "DIR", default_value = "dags")]
    pub dags: PathBuf,
    #[expect(missing_docs, reason = "a comment would become help text")]
    #[command(flatten)]
    pub api: ListenArgs,
}
