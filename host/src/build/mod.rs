//! Making components from sources: which language a path holds, its tools, its way to a component, and the templates of
//! `plugins new`. It refuses to load or run what it made, and to know the sandbox's internals, the scheduler and the store.
//!
//! ```text
//! path --detect--> Source --rust|python|typescript|c|go (tools)--> FILE.wasm
//! ```

mod c;
mod component;
mod detect;
mod error;
mod go;
mod language;
mod new;
mod python;
mod rust;
mod sdk;
mod tools;
mod typescript;

pub use detect::{Source, detect};
pub use error::BuildError;
pub use language::Language;
pub use new::create;
pub use tools::Tools;

use std::path::{Path, PathBuf};

/// A component that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// What it was made from.
    pub language: Language,
    /// The file.
    pub component: PathBuf,
}

/// Makes the component of the folder or file `path` and puts it at `out`, or beside its source where there is no `out`.
/// Blocks for as long as the language's own tools take; they are fetched into the cache of `tools` when they are not there.
///
/// # Errors
/// When the path holds no language or two, when a tool is missing and cannot be fetched, and when the tool refuses the source:
/// then with what the tool said.
pub fn build(path: &Path, out: Option<&Path>, tools: &Tools) -> Result<Built, BuildError> {
    let source = detect(path)?;
    let component = out.map_or_else(|| source.component(), Path::to_path_buf);
    if let Some(parent) = component.parent() {
        std::fs::create_dir_all(parent).map_err(|error| BuildError::io(parent, error))?;
    }
    match source.language {
        Language::Rust => rust::build(&source, &component, tools),
        Language::Python => python::build(&source, &component, tools),
        Language::TypeScript => typescript::build(&source, &component, tools),
        Language::C => c::build(&source, &component, tools),
        Language::Go => go::build(&source, &component, tools),
    }?;
    Ok(Built {
        language: source.language,
        component,
    })
}
