//! Plugins: which component an operator's name means, and what it may do at most. Bundled ones are part of the binary; others
//! are what `airlock.lock` names, and files in a folder. It owns names, bytes and the rules for them. It refuses to run
//! anything: the sandbox loads, the executor runs.

mod bundled;
mod error;
mod former;
mod known;
mod pinned;

pub use error::{PluginError, Refusal};

use crate::registry::{Components, LockFile, Locked, Signature, Trust};
use crate::sandbox::{Plugin, Sandbox};
use crate::store::Digest;
use airlock_core::dag::spec::{Component, Pin};
use airlock_core::grant::{Asks, Effective, Grants, Policy, effective, shut_imports};
use airlock_core::ids::OperatorName;
use known::{Entry, Known, Source};
use pinned::Pinned;
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Where plugins are looked for, and the rules for them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PluginSources {
    /// Folders with components, each named by its file.
    pub folders: Vec<PathBuf>,
    /// What was agreed to.
    pub lock: LockFile,
    /// What the lock file names.
    pub components: Components,
    /// Rules for every plugin that is not part of the program.
    pub trust: Trust,
}

/// What a plugin may do at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    policies: Vec<Policy>,
    asks: Asks,
}

/// A component that may run under a plugin's name.
struct Admitted {
    bytes: Vec<u8>,
    /// Where it was, for messages.
    from: String,
    signature: Option<Signature>,
}

impl Allowed {
    /// What an attempt of it may do: the one place where policy, request and DAG meet.
    pub fn effective(&self, dag: &Grants, task: Option<&Grants>) -> Effective {
        let policies: Vec<&Policy> = self.policies.iter().collect();
        effective(&policies, &self.asks, dag, task)
    }
}

/// An operator that can be run.
#[derive(Debug, Clone)]
pub struct Found {
    /// Its plugin.
    pub plugin: Arc<Plugin>,
    /// Its name in the plugin.
    pub operator: String,
    /// What it may do at most.
    pub allowed: Arc<Allowed>,
}

#[derive(Clone)]
struct Loaded {
    plugin: Arc<Plugin>,
    allowed: Arc<Allowed>,
}

impl Loaded {
    /// A component of the program: no policy is about it.
    fn unbounded(plugin: Arc<Plugin>) -> Self {
        let asks = Asks::of_imports(plugin.imports());
        let policies = Vec::new();
        let allowed = Arc::new(Allowed { policies, asks });
        Self { plugin, allowed }
    }

    fn sha256(&self) -> String {
        Digest(*self.plugin.digest()).to_string()
    }
}

/// All plugins of this process; each is compiled when first used, unless it was when it was added.
pub struct Plugins {
    sandbox: Sandbox,
    sources: PluginSources,
    known: RwLock<Arc<Known>>,
    loaded: Mutex<BTreeMap<String, Loaded>>,
    /// Components that DAGs came in.
    components: Pinned,
    /// Components that a plugin's name meant when a run began.
    former: Pinned,
    /// Pins of what names mean now, and of what entry each was made.
    pins: Mutex<BTreeMap<String, (Entry, Pin)>>,
}

impl Plugins {
    /// The bundled plugins, those of the lock file, and every `*.wasm` of the folders; a later kind wins over an earlier one.
    pub fn open(sandbox: Sandbox, sources: PluginSources) -> Result<Self, PluginError> {
        Ok(Self {
            sandbox,
            known: RwLock::new(Arc::new(Known::read(&sources)?)),
            sources,
            loaded: Mutex::default(),
            components: Pinned::default(),
            former: Pinned::default(),
            pins: Mutex::default(),
        })
    }

    /// Names of all plugins.
    pub fn names(&self) -> Vec<String> {
        self.known().names()
    }

    /// Where they are looked for.
    pub fn sources(&self) -> &PluginSources {
        &self.sources
    }

    /// What was agreed about a plugin; none for what the lock file does not name.
    pub fn locked(&self, name: &str) -> Option<Locked> {
        self.known().entries.get(name)?.locked.clone()
    }

    /// Whether a plugin of this name is part of the program.
    pub fn is_bundled(name: &str) -> bool {
        known::is_bundled(name)
    }

    /// Where a plugin is from, in words: `bundled`, a file, or where the lock file says that it came from.
    pub fn origin(&self, name: &str) -> String {
        match self.known().entries.get(name) {
            Some(Entry {
                source: Source::File(path, _),
                ..
            }) => path.display().to_string(),
            Some(Entry {
                locked: Some(locked),
                ..
            }) => locked.source.clone(),
            _ => "bundled".to_owned(),
        }
    }

    /// Reads lock file and folders again. What changed is loaded now, so that no run waits for it; what is gone is let go, and
    /// attempts that run keep what they have. Yields the names of what changed.
    pub fn reload(&self) -> Result<Vec<String>, PluginError> {
        let new = Arc::new(Known::read(&self.sources)?);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let old = std::mem::replace(&mut *known, new.clone());
        drop(known);
        let mut changed = new.names();
        changed.extend(old.names());
        changed.sort();
        changed.dedup();
        changed.retain(|name| old.entries.get(name) != new.entries.get(name));
        self.loaded
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|name, _| !changed.contains(name));
        self.former.clear();
        for name in &changed {
            if new.entries.contains_key(name) {
                self.load(name)?;
            }
        }
        Ok(changed)
    }

    /// Loads what the lock file names, so that no run waits for it. What cannot be loaded is told when it is used.
    pub fn warm(&self) {
        for (name, entry) in &self.known().entries {
            if entry.source == Source::Locked
                && let Err(error) = self.load(name)
            {
                tracing::warn!(%error, "a plugin cannot be used");
            }
        }
    }

    /// Whether what the lock file says about this operator's plugin holds; what it does not name is not looked at.
    pub fn check(&self, operator: &OperatorName) -> Result<(), PluginError> {
        let (name, _) = split(operator);
        match self.locked(name) {
            Some(_) => self.load(name).map(|_| ()),
            None => Ok(()),
        }
    }

    /// Loads a plugin, once.
    pub fn load(&self, name: &str) -> Result<Arc<Plugin>, PluginError> {
        self.loaded(name).map(|loaded| loaded.plugin)
    }

    fn known(&self) -> Arc<Known> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&known)
    }

    fn if_loaded(&self, name: &str) -> Option<Loaded> {
        let loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        loaded.get(name).cloned()
    }

    fn loaded(&self, name: &str) -> Result<Loaded, PluginError> {
        if let Some(loaded) = self.if_loaded(name) {
            return Ok(loaded);
        }
        let known = self.known();
        let entry = known
            .entries
            .get(name)
            .ok_or_else(|| PluginError::UnknownPlugin {
                name: name.to_owned(),
                known: known.names().join(", "),
            })?;
        let made = self.make(name, entry)?;
        let current = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if Arc::ptr_eq(&current, &known) {
            // Under the lock, so that a reload cannot have looked through what is loaded already.
            let mut loaded = self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
            return Ok(loaded.entry(name.to_owned()).or_insert(made).clone());
        }
        Ok(made)
    }

    fn make(&self, name: &str, entry: &Entry) -> Result<Loaded, PluginError> {
        let Admitted { bytes, from, .. } = match &entry.source {
            Source::Bundled(bytes) => {
                let plugin = self.load_bytes(name, bytes, "the airlock binary")?;
                return Ok(Loaded::unbounded(plugin));
            }
            Source::File(path, _) => self.admitted_file(name, path, entry)?,
            Source::Locked => self.admitted_locked(name, entry)?,
        };
        self.bounded(name, &bytes, &from, entry.locked.as_ref())
    }

    /// Loads a component under the policies that hold for its plugin.
    fn bounded(
        &self,
        name: &str,
        bytes: &[u8],
        from: &str,
        locked: Option<&Locked>,
    ) -> Result<Loaded, PluginError> {
        let plugin = self.load_bytes(name, bytes, from)?;
        let allowed = Arc::new(self.allowed(name, &plugin, locked)?);
        Ok(Loaded { plugin, allowed })
    }

    fn admitted_file(
        &self,
        name: &str,
        path: &Path,
        entry: &Entry,
    ) -> Result<Admitted, PluginError> {
        let signature = known::signature_beside(path)?;
        self.admitted(name, read(path)?, path, signature, entry)
    }

    fn admitted_locked(&self, name: &str, entry: &Entry) -> Result<Admitted, PluginError> {
        let locked = entry.locked.as_ref();
        let digest = locked.map_or(Digest([0; 32]), |locked| locked.digest);
        let components = &self.sources.components;
        let bytes = self.locked_bytes(name, &digest)?;
        let signature = components.signature(&digest)?;
        self.admitted(name, bytes, &components.path(&digest), signature, entry)
    }

    fn locked_bytes(&self, name: &str, digest: &Digest) -> Result<Vec<u8>, PluginError> {
        let not_here = |what: String| PluginError::NotHere {
            name: name.to_owned(),
            lock: self.sources.lock.path().to_owned(),
            what,
        };
        match self.sources.components.get(digest) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(not_here(format!(
                "{} is missing",
                self.sources.components.path(digest).display()
            ))),
            Err(error) => Err(not_here(error.to_string())),
        }
    }

    /// Bytes that may run under this name, before anybody looks into them.
    fn admitted(
        &self,
        name: &str,
        bytes: Vec<u8>,
        from: &Path,
        signature: Option<Signature>,
        entry: &Entry,
    ) -> Result<Admitted, PluginError> {
        let from = from.display().to_string();
        let found = Digest(Sha256::digest(&bytes).into());
        let locked = entry.locked.as_ref();
        if let Some(locked) = locked.filter(|locked| locked.digest != found) {
            return Err(PluginError::Refused {
                name: name.to_owned(),
                refusal: Refusal::OtherComponent {
                    from,
                    found: found.to_string(),
                    agreed: locked.digest.to_string(),
                },
            });
        }
        self.judge(name, &bytes, signature.as_ref())?;
        Ok(Admitted {
            bytes,
            from,
            signature,
        })
    }

    /// Whether the operator's keys vouch for these bytes, where they must.
    fn judge(
        &self,
        name: &str,
        bytes: &[u8],
        signature: Option<&Signature>,
    ) -> Result<(), PluginError> {
        let judged = self.sources.trust.judge(bytes, signature);
        let refused = |error| PluginError::Refused {
            name: name.to_owned(),
            refusal: Refusal::from(error),
        };
        judged.map(|_| ()).map_err(refused)
    }

    /// What a plugin may do at most. One that imports what is shut altogether is refused here, before it is ever linked.
    fn allowed(
        &self,
        name: &str,
        plugin: &Plugin,
        locked: Option<&Locked>,
    ) -> Result<Allowed, PluginError> {
        let own = locked.map(|locked| {
            (
                &locked.grants,
                self.sources.lock.path().display().to_string(),
            )
        });
        let most = self.sources.trust.at_most.as_ref();
        let most = most.map(|most| (most, "plugin_policy in airlock.toml".to_owned()));
        let mut policies = Vec::new();
        for (policy, by) in own.into_iter().chain(most) {
            if let Some((import, capability)) = shut_imports(plugin.imports(), policy).pop() {
                let refusal = Refusal::NotGranted {
                    import,
                    capability: capability.name(),
                    by,
                };
                return Err(PluginError::Refused {
                    name: name.to_owned(),
                    refusal,
                });
            }
            policies.push(policy.clone());
        }
        Ok(Allowed {
            policies,
            asks: Asks::of_imports(plugin.imports()),
        })
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

    /// Loads a component that brings DAGs, and keeps it at hand for their runs. The rules for plugins are its rules; `path` is its
    /// file, beside which a signature may lie. What comes from the store was judged when it was registered.
    pub fn load_component(
        &self,
        bytes: &[u8],
        path: Option<&Path>,
    ) -> Result<Arc<Plugin>, PluginError> {
        let from = path.map_or_else(|| "the store".to_owned(), |path| path.display().to_string());
        if let Some(path) = path {
            let signature = known::signature_beside(path)?;
            self.judge(&from, bytes, signature.as_ref())?;
        }
        let plugin = self.load_bytes("", bytes, &from)?;
        let allowed = Arc::new(self.allowed(&from, &plugin, None)?);
        let loaded = Loaded {
            plugin: plugin.clone(),
            allowed,
        };
        self.components.keep(plugin.name(), loaded);
        Ok(plugin)
    }

    /// An operator of the component that a DAG came in; none where the component is not loaded.
    pub fn resolve_component(
        &self,
        component: &Component,
        operator: &OperatorName,
    ) -> Option<Result<Found, PluginError>> {
        let loaded = self.components.find(&component.name, &component.sha256)?;
        Some(select(loaded, &component.name, split(operator).1))
    }

    /// The plugin and the operator in it: `plugin.operator`, or `plugin` where both are equal or it has one only.
    pub fn resolve(&self, operator: &OperatorName) -> Result<Found, PluginError> {
        let (plugin_name, wanted) = split(operator);
        select(self.loaded(plugin_name)?, plugin_name, wanted)
    }

    /// The same if the plugin is loaded; never blocks.
    pub fn resolve_loaded(&self, operator: &OperatorName) -> Option<Result<Found, PluginError>> {
        let (plugin_name, wanted) = split(operator);
        Some(select(self.if_loaded(plugin_name)?, plugin_name, wanted))
    }
}

fn split(operator: &OperatorName) -> (&str, Option<&str>) {
    match operator.as_str().split_once('.') {
        Some((plugin, operator)) => (plugin, Some(operator)),
        None => (operator.as_str(), None),
    }
}

fn select(loaded: Loaded, plugin_name: &str, wanted: Option<&str>) -> Result<Found, PluginError> {
    let Loaded { plugin, allowed } = loaded;
    let operators = plugin.operators();
    let named = operators
        .iter()
        .find(|info| info.name == wanted.unwrap_or(plugin_name));
    let found = named.or(match (wanted, operators) {
        (None, [only]) => Some(only),
        _ => None,
    });
    match found.map(|info| info.name.clone()) {
        Some(operator) => Ok(Found {
            plugin,
            operator,
            allowed,
        }),
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
