//! Which plugins there are: bundled ones, those of the lock file, those in folders. A later kind wins over an earlier one, but a
//! file that the lock file also names must be the component that was agreed to.

use super::{PluginError, PluginSources, bundled, read};
use crate::registry::{Lock, Locked, Signature};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where a plugin's bytes are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    Bundled(&'static [u8]),
    Locked,
    File(PathBuf, Stamp),
}

/// When a file was last written, and how long it is: whether it is worth reading again.
pub(super) type Stamp = Option<(SystemTime, u64)>;

fn stamp(path: &Path) -> Stamp {
    let about = std::fs::metadata(path).ok()?;
    Some((about.modified().ok()?, about.len()))
}

/// A plugin and what was agreed about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) source: Source,
    pub(super) locked: Option<Locked>,
}

impl Entry {
    /// As it is on disk this moment.
    pub(super) fn now(&self) -> Self {
        let source = match &self.source {
            Source::File(path, _) => Source::File(path.clone(), stamp(path)),
            other => other.clone(),
        };
        let locked = self.locked.clone();
        Self { source, locked }
    }
}

/// What there is at one time.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) entries: BTreeMap<String, Entry>,
}

impl Known {
    pub(super) fn read(sources: &PluginSources) -> Result<Self, PluginError> {
        let lock: Lock = sources.lock.read()?;
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        for (name, bytes) in bundled::PLUGINS {
            let source = Source::Bundled(bytes);
            let locked = None;
            entries.insert((*name).to_owned(), Entry { source, locked });
        }
        for (name, locked) in &lock.plugins {
            let source = Source::Locked;
            let locked = Some(locked.clone());
            entries.insert(name.clone(), Entry { source, locked });
        }
        for folder in &sources.folders {
            for (name, path) in components_in(folder)? {
                let stamp = stamp(&path);
                let source = Source::File(path, stamp);
                let locked = lock.plugins.get(&name).cloned();
                entries.insert(name, Entry { source, locked });
            }
        }
        Ok(Self { entries })
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }
}

/// Whether a plugin of this name is part of the program.
pub(super) fn is_bundled(name: &str) -> bool {
    bundled::PLUGINS.iter().any(|(own, _)| *own == name)
}

/// The signature beside a file of a folder.
pub(super) fn signature_beside(path: &Path) -> Result<Option<Signature>, PluginError> {
    let beside = Signature::path_beside(path);
    if !beside.is_file() {
        return Ok(None);
    }
    let signature = Signature::parse(&read(&beside)?);
    Ok(Some(
        signature.map_err(crate::registry::RegistryError::from)?,
    ))
}

fn components_in(folder: &Path) -> Result<Vec<(String, PathBuf)>, PluginError> {
    let error = |source| PluginError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
        {
            let name = path
                .file_stem()
                .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
            found.push((name, path));
        }
    }
    Ok(found)
}
