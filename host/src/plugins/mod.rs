//! Plugins: which component an operator's name means. Bundled ones are part of the binary; others are files in a folder.
//! It owns names and bytes. It refuses to run anything: the sandbox loads, the executor runs.

mod bundled;
mod components;

use components::Components;

use crate::sandbox::{LoadError, Plugin, Sandbox};
use airlock_core::dag::spec::Component;
use airlock_core::ids::OperatorName;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why an operator cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No plugin of that name.
    #[error("no plugin is called {name:?}; there are: {known}")]
    UnknownPlugin {
        /// As asked for.
        name: String,
        /// What there is.
        known: String,
    },
    /// The plugin has no such operator.
    #[error("plugin {plugin:?} has no operator {operator:?}; it has: {known}")]
    UnknownOperator {
        /// Which plugin.
        plugin: String,
        /// As asked for.
        operator: String,
        /// What it has.
        known: String,
    },
    /// The component cannot be loaded.
    #[error("plugin {name:?} cannot be loaded from {from}: {source}")]
    Load {
        /// Which plugin.
        name: String,
        /// File, or `the airlock binary`.
        from: String,
        /// What is wrong with it.
        source: LoadError,
    },
    /// The component of a DAG's version is not in the store any more.
    #[error(
        "the component {name} ({sha256}) of this DAG's version is not in the store; register its file again"
    )]
    Lost {
        /// What it called itself.
        name: String,
        /// Its digest, in hex.
        sha256: String,
    },
    /// The file or folder cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Where a plugin's bytes are.
#[derive(Debug, Clone)]
enum Source {
    Bundled(&'static [u8]),
    File(PathBuf),
}

/// All plugins of this process; each is compiled when first used.
pub struct Plugins {
    sandbox: Sandbox,
    sources: BTreeMap<String, Source>,
    loaded: Mutex<BTreeMap<String, Arc<Plugin>>>,
    components: Components,
}

impl Plugins {
    /// The bundled plugins, and every `*.wasm` of the folders, which win over bundled ones of the same name.
    pub fn open(sandbox: Sandbox, folders: &[PathBuf]) -> Result<Self, PluginError> {
        let mut sources: BTreeMap<String, Source> = bundled::PLUGINS
            .iter()
            .map(|(name, bytes)| ((*name).to_owned(), Source::Bundled(bytes)))
            .collect();
        for folder in folders {
            for (name, path) in components_in(folder)? {
                sources.insert(name, Source::File(path));
            }
        }
        Ok(Self {
            sandbox,
            sources,
            loaded: Mutex::default(),
            components: Components::default(),
        })
    }

    /// Names of all plugins.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.sources.keys().map(String::as_str)
    }

    /// Loads a plugin, once.
    pub fn load(&self, name: &str) -> Result<Arc<Plugin>, PluginError> {
        if let Some(plugin) = self
            .loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
        {
            return Ok(plugin.clone());
        }
        let source = self
            .sources
            .get(name)
            .ok_or_else(|| PluginError::UnknownPlugin {
                name: name.to_owned(),
                known: self.names().collect::<Vec<_>>().join(", "),
            })?;
        let plugin = match source {
            Source::Bundled(bytes) => self.load_bytes(name, bytes, "the airlock binary")?,
            Source::File(path) => {
                let bytes = read(path)?;
                self.load_bytes(name, &bytes, &path.display().to_string())?
            }
        };
        let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(loaded.entry(name.to_owned()).or_insert(plugin).clone())
    }

    fn load_bytes(&self, name: &str, bytes: &[u8], from: &str) -> Result<Arc<Plugin>, PluginError> {
        let error = |source| PluginError::Load {
            name: name.to_owned(),
            from: from.to_owned(),
            source,
        };
        self.sandbox.load(bytes).map_err(error)
    }

    /// Loads a component that is not in any folder, for looking at it.
    pub fn load_file(&self, path: &Path) -> Result<Arc<Plugin>, PluginError> {
        let name = path
            .file_stem()
            .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        self.load_bytes(&name, &read(path)?, &path.display().to_string())
    }

    /// Loads a component that brings DAGs, and keeps it at hand for their runs.
    pub fn load_component(&self, bytes: &[u8], from: &str) -> Result<Arc<Plugin>, PluginError> {
        let plugin = self.load_bytes("", bytes, from)?;
        self.components.keep(&plugin);
        Ok(plugin)
    }

    /// An operator of the component that a DAG's version is pinned to; none where the component is not loaded.
    pub fn resolve_pinned(
        &self,
        component: &Component,
        operator: &OperatorName,
    ) -> Option<Result<(Arc<Plugin>, String), PluginError>> {
        let plugin = self.components.find(&component.sha256)?;
        Some(select(plugin, &component.name, split(operator).1))
    }

    /// The plugin and the name of the operator in it: `plugin.operator`, or `plugin` where both are equal or it has one only.
    pub fn resolve(&self, operator: &OperatorName) -> Result<(Arc<Plugin>, String), PluginError> {
        let (plugin_name, wanted) = split(operator);
        select(self.load(plugin_name)?, plugin_name, wanted)
    }

    /// The same if the plugin is loaded; never blocks.
    pub fn resolve_loaded(
        &self,
        operator: &OperatorName,
    ) -> Option<Result<(Arc<Plugin>, String), PluginError>> {
        let (plugin_name, wanted) = split(operator);
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        let plugin = loaded.get(plugin_name)?.clone();
        drop(loaded);
        Some(select(plugin, plugin_name, wanted))
    }
}

fn split(operator: &OperatorName) -> (&str, Option<&str>) {
    match operator.as_str().split_once('.') {
        Some((plugin, operator)) => (plugin, Some(operator)),
        None => (operator.as_str(), None),
    }
}

fn select(
    plugin: Arc<Plugin>,
    plugin_name: &str,
    wanted: Option<&str>,
) -> Result<(Arc<Plugin>, String), PluginError> {
    let operators = plugin.operators();
    let named = operators
        .iter()
        .find(|info| info.name == wanted.unwrap_or(plugin_name));
    let found = named.or(match (wanted, operators) {
        (None, [only]) => Some(only),
        _ => None,
    });
    match found.map(|info| info.name.clone()) {
        Some(name) => Ok((plugin, name)),
        None => Err(PluginError::UnknownOperator {
            plugin: plugin_name.to_owned(),
            operator: wanted.unwrap_or(plugin_name).to_owned(),
            known: operators
                .iter()
                .map(|info| info.name.as_str())
                .collect::<Vec<_>>()
                .join(", "),
        }),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, PluginError> {
    std::fs::read(path).map_err(|source| PluginError::Read {
        path: path.to_owned(),
        source,
    })
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
