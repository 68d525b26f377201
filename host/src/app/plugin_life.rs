//! A plugin's life on this host: offered, agreed to, updated, granted, removed. An offer is looked at before anything is kept;
//! what is agreed to is durable before the lock file names it. It refuses to ask: whoever called shows the offer to a person.

use super::App;
use super::plugin_errors::untrusted;
use crate::error::{ErrorKind, UserError};
use crate::plugins::{PluginSources, Plugins};
use crate::registry::{Fetched, Locked, RegistryError, Source, Verdict, fetch};
use crate::sandbox::Plugin;
use crate::store::Digest;
use airlock_core::dag::spec::Dag;
use airlock_core::grant::{Asks, Capability, Policy, PolicyError};
use airlock_core::ids::OperatorName;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A component that somebody may agree to. It is compiled already, so that no run waits for that.
#[derive(Debug)]
pub struct Offer {
    /// The name that DAGs will use.
    pub name: String,
    /// The component, as it describes itself.
    pub plugin: Arc<Plugin>,
    /// Where it came from.
    pub source: Source,
    /// Who vouches for it.
    pub verdict: Verdict,
    /// What it asks for.
    pub asks: Asks,
    /// What it would be granted at most.
    pub grants: Policy,
    /// What was agreed to before under this name.
    pub before: Option<Locked>,
    fetched: Fetched,
}

/// How an offer differs from what was agreed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// There was nothing.
    New,
    /// The same bytes.
    Same,
    /// Other bytes, which ask for nothing more.
    Bytes,
    /// Other bytes, which ask for this too.
    Wider(Asks),
}

impl Offer {
    /// SHA-256 of the component.
    pub fn digest(&self) -> Digest {
        self.fetched.digest
    }

    /// How it differs from what was agreed to.
    pub fn change(&self) -> Change {
        match &self.before {
            None => Change::New,
            Some(before) if before.digest == self.fetched.digest => Change::Same,
            Some(before) => {
                let more = self.asks.beyond(&before.asks);
                if more.is_empty() {
                    Change::Bytes
                } else {
                    Change::Wider(more)
                }
            }
        }
    }

    fn locked(&self, folder: &Path) -> Locked {
        Locked {
            version: self.plugin.version().to_owned(),
            digest: self.fetched.digest,
            source: self.source.seen_from(folder).to_string(),
            resolved: self.fetched.resolved.as_ref().map(ToString::to_string),
            signer: self.verdict.signer().map(str::to_owned),
            asks: self.asks.clone(),
            grants: self.grants.clone(),
        }
    }
}

/// What `verify` found about one plugin of the lock file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Its name.
    pub name: String,
    /// Its digest, as agreed to.
    pub digest: Digest,
    /// The name of who vouches for it.
    pub signer: Option<String>,
    /// What is wrong with it.
    pub problem: Option<UserError>,
}

impl App {
    fn plugin_sources(&self) -> &PluginSources {
        self.plugins.sources()
    }

    fn lock_folder(&self) -> PathBuf {
        let lock = self.plugin_sources().lock.path();
        lock.parent().unwrap_or(Path::new("")).to_owned()
    }

    /// What the lock file says, as a source that can be fetched from any folder.
    fn source_of(&self, text: &str) -> Result<Source, UserError> {
        let parsed = Source::parse(text).map_err(RegistryError::from)?;
        Ok(parsed.in_folder(&self.lock_folder()))
    }

    /// Fetches a component, judges its signature, compiles it and asks it what it is; nothing is kept but its compiled form.
    /// `name` is what DAGs call it, if not what it calls itself. Blocks.
    pub fn offer(&self, source: Source, name: Option<&str>) -> Result<Offer, UserError> {
        let fetched = fetch(&source)?;
        let judged = self
            .plugin_sources()
            .trust
            .judge(&fetched.bytes, fetched.signature.as_ref());
        let verdict = judged.map_err(|error| {
            let message = format!("{source} is refused: {error}");
            UserError::new(ErrorKind::Denied, message).hint(untrusted(&error))
        })?;
        let plugin = self.sandbox.load(&fetched.bytes).map_err(|error| {
            UserError::new(ErrorKind::Usage, format!("{source} is no plugin: {error}"))
        })?;
        let name = plugin_name(name.unwrap_or(plugin.name()))?;
        let before = self.plugin_sources().lock.read()?.plugins.remove(&name);
        let asks = Asks::of_imports(plugin.imports());
        let grants = match &before {
            // What was granted or revoked before stays so; what is new is opened, if somebody agrees.
            Some(before) => widened(&before.grants, &asks.beyond(&before.asks))?,
            None => asks.policy(),
        };
        Ok(Offer {
            name,
            plugin,
            source,
            verdict,
            asks,
            grants,
            before,
            fetched,
        })
    }

    /// Fetches again what was agreed to, from where it came or from another source.
    pub fn offer_update(&self, name: &str, from: Option<Source>) -> Result<Offer, UserError> {
        let locked = self.locked(name)?;
        let source = match from {
            Some(source) => source,
            None => self.source_of(&locked.source)?,
        };
        self.offer(source, Some(name))
    }

    /// Keeps an offer: the component first, durably, then the line in the lock file. Where somebody else agreed to another
    /// component of this name meanwhile, nothing is changed.
    pub fn accept(&self, offer: &Offer) -> Result<(), UserError> {
        let sources = self.plugin_sources();
        sources.components.put(
            &offer.fetched.digest,
            &offer.fetched.bytes,
            offer.fetched.signature.as_ref(),
        )?;
        let folder = self.lock_folder();
        let written = sources.lock.change(|lock| {
            let now = lock.plugins.get(&offer.name);
            if now != offer.before.as_ref()
                && now.is_none_or(|now| now.digest != offer.fetched.digest)
            {
                return Ok(false);
            }
            let locked = offer.locked(&folder);
            lock.plugins.insert(offer.name.clone(), locked);
            Ok(true)
        })?;
        if written {
            self.let_go(offer.before.as_ref());
            return Ok(());
        }
        let message = format!("plugin {:?} was changed meanwhile", offer.name);
        Err(UserError::new(ErrorKind::Conflict, message).hint("look at it and try again"))
    }

    /// Removes the component of an entry that is no more, unless another entry is made of it. A file that stays harms nobody.
    fn let_go(&self, gone: Option<&Locked>) {
        let sources = self.plugin_sources();
        let Some(gone) = gone else { return };
        let in_use = sources.lock.read().map_or(true, |lock| {
            lock.plugins
                .values()
                .any(|other| other.digest == gone.digest)
        });
        if !in_use && let Err(error) = sources.components.remove(&gone.digest) {
            tracing::warn!(%error, "a component that is not needed any more stays");
        }
    }

    /// Takes a plugin out of the lock file.
    pub fn remove_plugin(&self, name: &str) -> Result<(), UserError> {
        let gone = self.locked(name)?;
        self.plugin_sources().lock.change(|lock| {
            lock.plugins.remove(name);
            Ok(())
        })?;
        self.let_go(Some(&gone));
        Ok(())
    }

    /// Changes what a plugin may do at most; yields what it may now.
    pub fn change_grants(
        &self,
        name: &str,
        capability: Capability,
        change: impl FnOnce(&mut Policy) -> Result<(), PolicyError>,
    ) -> Result<Locked, UserError> {
        let known = self.locked(name)?;
        if !known.asks.contains(capability) {
            let asked: Vec<&str> = known.asks.iter().map(Capability::name).collect();
            let message = format!("plugin {name:?} does not ask for {}", capability.name());
            let hint = if asked.is_empty() {
                "it asks for nothing".to_owned()
            } else {
                format!("it asks for {}", asked.join(", "))
            };
            return Err(UserError::new(ErrorKind::Usage, message).hint(hint));
        }
        let mut refused = None;
        let changed = self.plugin_sources().lock.change(|lock| {
            let Some(locked) = lock.plugins.get_mut(name) else {
                return Ok(None);
            };
            refused = change(&mut locked.grants).err();
            Ok(Some(locked.clone()))
        })?;
        if let Some(error) = refused {
            return Err(UserError::new(ErrorKind::Usage, error));
        }
        changed.ok_or_else(|| not_locked(name))
    }

    /// What was agreed to about a plugin.
    pub fn locked(&self, name: &str) -> Result<Locked, UserError> {
        let mut lock = self.plugin_sources().lock.read()?;
        lock.plugins.remove(name).ok_or_else(|| not_locked(name))
    }

    /// Names of the plugins in the lock file.
    pub fn locked_names(&self) -> Result<Vec<String>, UserError> {
        let lock = self.plugin_sources().lock.read()?;
        Ok(lock.plugins.into_keys().collect())
    }

    /// Looks at a plugin of the lock file: whether its component is here, is what was agreed to, is trusted and can run.
    pub fn verify_plugin(&self, name: &str) -> Result<Verified, UserError> {
        let locked = self.locked(name)?;
        let sources = self.plugin_sources();
        let signer = |locked: &Locked| -> Result<Option<String>, UserError> {
            let Some(key) = &locked.signer else {
                return Ok(None);
            };
            let bytes = sources.components.get(&locked.digest)?;
            let signature = sources.components.signature(&locked.digest)?;
            let (Some(bytes), Some(signature)) = (bytes, signature) else {
                let message = format!("the signature of plugin {name:?} is missing");
                return Err(UserError::new(ErrorKind::Denied, message)
                    .hint("`airlock plugins install` fetches it again"));
            };
            let checked = signature.check(&bytes, key);
            checked.map_err(RegistryError::from)?;
            Ok(Some(sources.trust.name_of(key).unwrap_or(key).to_owned()))
        };
        let loaded = self.plugins.load(name).map_err(UserError::from);
        let checked = loaded.and_then(|_| signer(&locked));
        let (signer, problem) = match checked {
            Ok(signer) => (signer, None),
            Err(error) => (None, Some(error)),
        };
        Ok(Verified {
            name: name.to_owned(),
            digest: locked.digest,
            signer,
            problem,
        })
    }

    /// Fetches what the lock file names and is not here; nobody is asked, because the bytes are those that were agreed to.
    /// Yields whether anything was fetched.
    pub fn install_plugin(&self, name: &str) -> Result<bool, UserError> {
        let locked = self.locked(name)?;
        let components = &self.plugin_sources().components;
        let here = components.get(&locked.digest).ok().flatten();
        let signed = locked.signer.is_none() || components.signature(&locked.digest)?.is_some();
        if here.is_some() && signed {
            return Ok(false);
        }
        let from = locked.resolved.as_ref().unwrap_or(&locked.source);
        let source = self.source_of(from)?;
        let fetched = fetch(&source)?;
        if fetched.digest != locked.digest {
            let message = format!(
                "{source} is not what was agreed to for plugin {name:?}: it has the SHA-256 {}, not {}",
                fetched.digest, locked.digest
            );
            return Err(UserError::new(ErrorKind::Denied, message).hint(format!(
                "`airlock plugins update {name}` shows what changed and asks"
            )));
        }
        components.put(&locked.digest, &fetched.bytes, fetched.signature.as_ref())?;
        self.plugins.load(name)?;
        Ok(true)
    }

    /// Whether the plugins that a DAG names are as the lock file says; of others nothing is said.
    pub(super) fn check_plugins(&self, dag: &Dag) -> Result<(), UserError> {
        let operators: BTreeSet<&OperatorName> =
            dag.tasks.iter().map(|task| &task.operator).collect();
        for operator in operators {
            self.plugins.check(operator)?;
        }
        Ok(())
    }
}

fn widened(grants: &Policy, more: &Asks) -> Result<Policy, UserError> {
    let mut wider = grants.clone();
    for capability in more.iter() {
        wider
            .grant(capability, &[])
            .map_err(|error| UserError::new(ErrorKind::Bug, error))?;
    }
    Ok(wider)
}

/// The name of a plugin as DAGs write it, before the dot. A name of the program's own plugins would take their tasks over.
fn plugin_name(name: &str) -> Result<String, UserError> {
    let with = "give it another name with `--as NAME`";
    let valid = OperatorName::parse(name).is_ok() && !name.contains('.');
    if !valid {
        let message = format!("{name:?} cannot be a plugin's name");
        return Err(UserError::new(ErrorKind::Usage, message).hint(with));
    }
    if Plugins::is_bundled(name) {
        let message = format!("Airlock has a plugin {name:?} of its own, and DAGs rely on it");
        return Err(UserError::new(ErrorKind::Conflict, message).hint(with));
    }
    Ok(name.to_owned())
}

fn not_locked(name: &str) -> UserError {
    let message = format!("airlock.lock names no plugin {name:?}");
    UserError::new(ErrorKind::NotFound, message)
        .hint("`airlock plugins list` shows what there is; `airlock plugins add` adds one")
}
