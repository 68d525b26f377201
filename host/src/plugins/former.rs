//! What a plugin's name means now, for those who pin it, and what it meant when a run began. Which bytes run is settled by the pin;
//! what they may do is settled by what is agreed to about the name now: a plugin that was removed runs no more, what was revoked
//! stays revoked, and a key that is trusted no more vouches for nothing.

use super::known::Source;
use super::{Admitted, Found, Loaded, PluginError, Plugins, select, split};
use crate::registry::{RegistryError, Signature};
use crate::store::Digest;
use airlock_core::dag::spec::Pin;
use airlock_core::ids::OperatorName;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::sync::PoisonError;

impl Plugins {
    /// What a plugin's name means now, without compiling it; none where there is no such plugin, its bytes are not here or they
    /// may not run, which is told when it is used.
    pub fn pin(&self, name: &str) -> Option<Pin> {
        let now = self.known().entries.get(name)?.now();
        let pins = || self.pins.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((of, pin)) = pins().get(name)
            && *of == now
        {
            return Some(pin.clone());
        }
        let (pin, _) = self.current(name)?;
        pins().insert(name.to_owned(), (now, pin.clone()));
        Some(pin)
    }

    /// The bytes of what a plugin's name means now, if that is what the pin says.
    pub fn pinned_bytes(&self, name: &str, pin: &Pin) -> Option<Cow<'static, [u8]>> {
        let (found, bytes) = self.current(name)?;
        (found == *pin).then_some(bytes)
    }

    fn current(&self, name: &str) -> Option<(Pin, Cow<'static, [u8]>)> {
        let known = self.known();
        let entry = known.entries.get(name)?;
        let Admitted {
            bytes, signature, ..
        } = match &entry.source {
            Source::Bundled(bytes) => return Some((pin(bytes, true, None), Cow::Borrowed(bytes))),
            Source::File(path, _) => self.admitted_file(name, path, entry).ok()?,
            Source::Locked => self.admitted_locked(name, entry).ok()?,
        };
        Some((pin(&bytes, false, signature.as_ref()), Cow::Owned(bytes)))
    }

    /// An operator of the component that a run is pinned to, if it is loaded; never blocks.
    pub fn resolve_former(
        &self,
        pin: &Pin,
        operator: &OperatorName,
    ) -> Option<Result<Found, PluginError>> {
        let (name, wanted) = split(operator);
        let current = self.if_loaded(name).filter(|it| it.sha256() == pin.sha256);
        let loaded = current.or_else(|| self.former.find(name, &pin.sha256))?;
        Some(select(loaded, name, wanted))
    }

    /// The same if the plugin's name means it now; compiles it.
    pub fn resolve_current(
        &self,
        pin: &Pin,
        operator: &OperatorName,
    ) -> Option<Result<Found, PluginError>> {
        let (name, wanted) = split(operator);
        if self.pin(name)?.sha256 != pin.sha256 {
            return None;
        }
        match self.loaded(name) {
            // The file was written after it was loaded.
            Ok(loaded) if loaded.sha256() != pin.sha256 => None,
            loaded => Some(loaded.and_then(|loaded| select(loaded, name, wanted))),
        }
    }

    /// Loads what a plugin's name meant once, and keeps it at hand.
    pub fn load_former(&self, name: &str, pin: &Pin, bytes: &[u8]) -> Result<(), PluginError> {
        let from = "the store";
        let loaded = if pin.is_bundled {
            Loaded::unbounded(self.load_bytes(name, bytes, from)?)
        } else {
            let known = self.known();
            let unknown = || PluginError::UnknownPlugin {
                name: name.to_owned(),
                known: known.names().join(", "),
            };
            let entry = known.entries.get(name).ok_or_else(unknown)?;
            let signature = pin.signature.as_ref();
            let signature = signature.map(|text| Signature::parse(text.as_bytes()));
            let signature = signature.transpose().map_err(RegistryError::from)?;
            self.judge(name, bytes, signature.as_ref())?;
            self.bounded(name, bytes, from, entry.locked.as_ref())?
        };
        self.former.keep(name, loaded);
        Ok(())
    }
}

fn pin(bytes: &[u8], is_bundled: bool, signature: Option<&Signature>) -> Pin {
    Pin {
        sha256: Digest(Sha256::digest(bytes).into()).to_string(),
        is_bundled,
        signature: signature.map(|signature| signature.text().to_owned()),
    }
}
