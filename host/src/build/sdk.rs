//! The SDKs and the contract inside the binary: what `plugins new` puts into a folder, because no registry has them.

include!(concat!(env!("OUT_DIR"), "/sdk.rs"));

use super::new::vendor;
use super::{BuildError, Source, Tools};
use std::path::{Path, PathBuf};

/// Writes every embedded file whose path starts with `prefix` (relative to the repository's root, for example `wit/`) under
/// `folder`, with its path.
pub(super) fn write(prefix: &str, folder: &Path) -> Result<(), BuildError> {
    for (path, text) in FILES.iter().filter(|(path, _)| path.starts_with(prefix)) {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| BuildError::io(parent, error))?;
        }
        std::fs::write(&path, text).map_err(|error| BuildError::io(&path, error))?;
    }
    Ok(())
}

/// Writes one embedded file to `to`.
pub(super) fn copy(path: &str, to: &Path) -> Result<(), BuildError> {
    match FILES.iter().find(|(name, _)| *name == path) {
        Some((_, text)) => std::fs::write(to, text).map_err(|error| BuildError::io(to, error)),
        None => Ok(()),
    }
}

/// Writes the files of a template into `folder`, without the prefix, `{{name}}` replaced and `gitignore` with its dot. False
/// where there is no such template.
pub(super) fn write_template(prefix: &str, folder: &Path, name: &str) -> Result<bool, BuildError> {
    let mut found = false;
    for (path, text) in FILES {
        let Some(path) = path.strip_prefix(prefix) else {
            continue;
        };
        found = true;
        let path = folder.join(if path == "gitignore" {
            ".gitignore"
        } else {
            path
        });
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|error| BuildError::io(parent, error))?;
        }
        let text = text.replace("{{name}}", name);
        std::fs::write(&path, text).map_err(|error| BuildError::io(&path, error))?;
    }
    Ok(found)
}

/// The folder that holds `wit/` and the SDK under `prefix`: the plugin's own copy where it has one, else one of this program's.
pub(super) fn folder(source: &Source, prefix: &str, tools: &Tools) -> Result<PathBuf, BuildError> {
    let own = source.folder.join(vendor(source.language));
    if own.join(prefix).is_dir() {
        return Ok(own);
    }
    let folder = tools.kept(&format!("sdk-{}", env!("CARGO_PKG_VERSION")));
    for part in ["wit/", prefix] {
        write(part, &folder)?;
    }
    Ok(folder)
}
