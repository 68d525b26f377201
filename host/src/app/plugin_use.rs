//! What a plugin used of its grants lately, and its line in `airlock.lock` reduced to that. It refuses to take anything away on the
//! ground of nothing: a plugin that did not run, or that used too many different things to tell, stays as it is.

use super::App;
use crate::error::{ErrorKind, UserError};
use crate::executor::{DAYS_KEPT, PluginUseError, USES_A_DAY_MAX, Used};
use crate::registry::Locked;
use airlock_core::grant::Policy;
use jiff::Timestamp;

/// A plugin's grants, and what would be left of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tightening {
    /// What is agreed to now.
    pub locked: Locked,
    /// What the plugin used in the last `DAYS_KEPT` days.
    pub used: Used,
    /// What that needs.
    pub grants: Policy,
}

impl Tightening {
    /// Whether anything would be taken away.
    pub fn is_tighter(&self) -> bool {
        self.grants != self.locked.grants
    }

    /// What it may do now and might not any more, and what it may do afterwards, in sentences.
    pub fn sentences(&self) -> (Vec<String>, Vec<String>) {
        let mut now = self.locked.grants.sentences(&self.locked.asks);
        let then = self.grants.sentences(&self.locked.asks);
        now.retain(|sentence| !then.contains(sentence));
        (now, then)
    }
}

impl App {
    /// What a plugin used in the last `DAYS_KEPT` days.
    pub fn plugin_use(&self, name: &str) -> Result<Used, UserError> {
        Ok(self.plugin_use.of(name, Timestamp::now())?)
    }

    /// What tightening would leave of a plugin's grants.
    ///
    /// # Errors
    /// When `airlock.lock` does not name the plugin, or what it used says too little.
    pub fn tightening(&self, name: &str) -> Result<Tightening, UserError> {
        let locked = self.locked(name)?;
        let used = self.plugin_use(name)?;
        if used.attempts == 0 {
            let message = format!("plugin {name:?} did not run in the last {DAYS_KEPT} days");
            return Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
                "tighten it after its DAGs ran; `airlock plugins revoke {name} CAPABILITY` takes away what you name"
            )));
        }
        if used.is_cut {
            let message =
                format!("plugin {name:?} used over {USES_A_DAY_MAX} different things in a day");
            return Err(UserError::new(ErrorKind::Conflict, message).hint(format!(
                "not all of them were kept; name patterns with `airlock plugins grant {name} CAPABILITY PATTERN...`"
            )));
        }
        let grants = locked.grants.tightened(&used.uses);
        Ok(Tightening {
            locked,
            used,
            grants,
        })
    }

    /// Takes away what a plugin did not use; holds for attempts that start from now on.
    pub fn tighten(&self, name: &str) -> Result<Tightening, UserError> {
        let tightening = self.tightening(name)?;
        let lock = &self.plugins.sources().lock;
        let is_written = lock.change(|lock| {
            let Some(locked) = lock.plugins.get_mut(name) else {
                return Ok(false);
            };
            if *locked != tightening.locked {
                return Ok(false);
            }
            locked.grants = tightening.grants.clone();
            Ok(true)
        })?;
        if !is_written {
            let message = format!("plugin {name:?} was changed meanwhile");
            return Err(UserError::new(ErrorKind::Conflict, message).hint("look again"));
        }
        self.plugins.reload()?;
        Ok(tightening)
    }
}

impl Drop for App {
    /// What was counted since it was written last would be lost.
    fn drop(&mut self) {
        self.plugin_use.write_or_warn();
    }
}

impl From<PluginUseError> for UserError {
    fn from(error: PluginUseError) -> Self {
        match error {
            PluginUseError::Store(error) => error.into(),
            PluginUseError::Commit(error) => error.into(),
            PluginUseError::Codec(error) => error.into(),
        }
    }
}
