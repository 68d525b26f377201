//! The grammar of `airlock plugins new`, `build` and `test`. Documentation comments here are the help texts.

#![expect(clippy::doc_markdown, reason = "a help text is no Markdown")]

use crate::build::Language;
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// A language on the command line.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Lang {
    /// A crate with the attribute #[operator]
    Rust,
    /// A module with the decorator @operator
    Python,
    /// A package with the function operator()
    #[value(alias = "typescript", alias = "js")]
    Ts,
    /// Files with a table of operators
    C,
    /// A module with NewOperator()
    Go,
}

impl From<Lang> for Language {
    fn from(lang: Lang) -> Self {
        match lang {
            Lang::Rust => Self::Rust,
            Lang::Python => Self::Python,
            Lang::Ts => Self::TypeScript,
            Lang::C => Self::C,
            Lang::Go => Self::Go,
        }
    }
}

/// What a new plugin is.
#[derive(Debug, Args)]
pub struct PluginsNew {
    /// What a DAG will call it; the folder's name too
    pub name: String,
    /// In which language
    #[arg(long, value_enum)]
    pub lang: Lang,
}

/// What is built.
#[derive(Debug, Args)]
pub struct PluginsBuild {
    /// A folder of one language, or a file: *.py, *.ts, *.js, *.c
    pub path: PathBuf,
    /// The component to write [default: beside the source]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// What is tried.
#[derive(Debug, Args)]
pub struct PluginsTest {
    /// A component, or what `plugins build` takes
    pub path: PathBuf,
    /// Which operator [default: the only one]
    #[arg(long, value_name = "NAME")]
    pub operator: Option<String>,
    /// Its config: a JSON object
    #[arg(long, value_name = "JSON", default_value = "{}")]
    pub config: String,
    /// What it may do, as KEY=VALUE with the keys of a DAG's grants, for example storage=file://./data/; may be given several times
    #[arg(long = "grant", value_name = "KEY=VALUE")]
    pub grants: Vec<String>,
    /// What the run is about, for example 2026-01-05T02:00:00Z
    #[arg(long, value_name = "TIME")]
    pub logical_date: Option<String>,
}
