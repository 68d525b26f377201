//! Python: a file or a folder of files to a component.

use super::{BuildError, Language, Source, Tools};
use std::path::Path;

/// Makes the component.
pub(super) fn build(_source: &Source, _out: &Path, _tools: &Tools) -> Result<(), BuildError> {
    Err(BuildError::NotBuiltIn {
        language: Language::Python,
    })
}
