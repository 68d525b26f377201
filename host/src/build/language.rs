//! The languages that Airlock makes components from, and by which files one knows them.

use std::fmt;

/// A language that an operator can be written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Language {
    /// A crate.
    Rust,
    /// A file or a folder of files.
    Python,
    /// A package or a file; JavaScript too.
    TypeScript,
    /// A file or a folder of files.
    C,
    /// A module.
    Go,
}

impl Language {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Rust,
        Self::Python,
        Self::TypeScript,
        Self::C,
        Self::Go,
    ];

    /// The file that makes a folder a project of this language, where the language has one.
    pub(super) fn manifests(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &["Cargo.toml"],
            Self::Python => &["pyproject.toml"],
            Self::TypeScript => &["package.json"],
            Self::C => &[],
            Self::Go => &["go.mod"],
        }
    }

    /// Endings of source files that can be built without a manifest.
    pub(super) fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Rust | Self::Go => &[],
            Self::Python => &["py"],
            Self::TypeScript => &["ts", "js", "mts", "mjs"],
            Self::C => &["c"],
        }
    }

    /// Its name on the command line.
    pub fn word(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::Python => "python",
            Self::TypeScript => "ts",
            Self::C => "c",
            Self::Go => "go",
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Rust => "Rust",
            Self::Python => "Python",
            Self::TypeScript => "TypeScript",
            Self::C => "C",
            Self::Go => "Go",
        })
    }
}
