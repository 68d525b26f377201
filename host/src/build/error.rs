//! Why there is no component.

use super::Language;
use crate::error::{ErrorKind, UserError};
use std::path::{Path, PathBuf};

/// Why there is no component.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// A file or folder cannot be read or written.
    #[error("cannot use {path}: {source}")]
    Io {
        /// Which one.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Nothing in it is of a known language.
    #[error("{path} holds no language that Airlock builds")]
    UnknownLanguage {
        /// Which file or folder.
        path: PathBuf,
    },
    /// A folder of two languages.
    #[error("{path} holds two languages: {first} ({first_file}) and {second} ({second_file})")]
    TwoLanguages {
        /// Which folder.
        path: PathBuf,
        /// One.
        first: Language,
        /// What speaks for it.
        first_file: String,
        /// The other.
        second: Language,
        /// What speaks for it.
        second_file: String,
    },
    /// This program was made without the language.
    #[error("this airlock makes no components from {language}")]
    NotBuiltIn {
        /// Which language.
        language: Language,
    },
    /// A tool is not there and cannot be fetched.
    #[error("{tool} is missing: {language} is built with it")]
    MissingTool {
        /// Which tool.
        tool: String,
        /// For which language.
        language: Language,
        /// The command that installs it.
        install: String,
    },
    /// A tool could not be fetched from its registry.
    #[error("cannot fetch {tool}: `{command}` failed\n{output}")]
    Fetch {
        /// Which tool, with its version.
        tool: String,
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// The language's tool refused the source.
    #[error("{path} does not build: `{command}` failed\n{output}")]
    Refused {
        /// What was built.
        path: PathBuf,
        /// What was run.
        command: String,
        /// What it said.
        output: String,
    },
    /// A tool did not come to its end.
    #[error("`{command}` was stopped after {seconds} seconds")]
    TooLong {
        /// What was run.
        command: String,
        /// Its limit.
        seconds: u64,
    },
    /// What the tools made is no component of the contract.
    #[error("{path} does not build: {reason}")]
    Invalid {
        /// What was built.
        path: PathBuf,
        /// One sentence.
        reason: String,
    },
    /// A name that a plugin cannot have.
    #[error("{name:?} is no name for a plugin: {reason}")]
    BadName {
        /// As asked for.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder of a new plugin is there already.
    #[error("{path} exists already, and nothing in it is overwritten")]
    Exists {
        /// Which folder.
        path: PathBuf,
    },
}

impl BuildError {
    /// The system's error about a path.
    pub(super) fn io(path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            path: path.to_owned(),
            source,
        }
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownLanguage { .. } => "it looks for Cargo.toml (Rust), *.py or pyproject.toml (Python), package.json, *.ts or *.js (TypeScript), *.c (C) or go.mod (Go); `airlock plugins new NAME --lang rust` makes a folder to begin with".to_owned(),
            Self::TwoLanguages { .. } => "one component has one language: name the file instead of the folder, or move one of them out".to_owned(),
            Self::MissingTool { install, .. } => format!("install it with `{install}`"),
            Self::Fetch { .. } => "it needs its registry once, and is kept afterwards; AIRLOCK_CACHE names the folder".to_owned(),
            Self::Exists { .. } => "choose another name, or move the folder away".to_owned(),
            Self::TooLong { .. } => "code at the top of a module runs while it is built, and must come to an end".to_owned(),
            Self::NotBuiltIn { .. } => "build the component with the language's own tools against wit/, and give the .wasm file".to_owned(),
            Self::BadName { .. } | Self::Refused { .. } | Self::Invalid { .. } | Self::Io { .. } => return None,
        })
    }
}

impl From<BuildError> for UserError {
    fn from(error: BuildError) -> Self {
        let kind = match &error {
            BuildError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                ErrorKind::NotFound
            }
            BuildError::Exists { .. } => ErrorKind::Conflict,
            BuildError::TooLong { .. } => ErrorKind::TimedOut,
            _ => ErrorKind::Usage,
        };
        let hint = error.hint();
        let error = Self::new(kind, error);
        match hint {
            Some(hint) => error.hint(hint),
            None => error,
        }
    }
}
