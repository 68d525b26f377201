//! A program that was compiled and checked. It refuses what no command is, and imports that the host does not have, by name.

use super::adapt;
use crate::sandbox::admission::Share;
use crate::sandbox::config::MESSAGE_BYTES_MAX;
use crate::sandbox::engine::Shared;
use crate::sandbox::inspect::{self, LoadError};
use crate::sandbox::state::GuestState;
use crate::sandbox::{plugin, text};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use tokio::runtime::Handle;
use wasmtime_wasi::p2::bindings::CommandPre;

/// A command-line program that can run here.
pub struct Command {
    digest: [u8; 32],
    imports: Vec<String>,
    pub(super) pre: CommandPre<GuestState>,
    pub(super) share: Share,
}

impl Command {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Everything that it imports, with versions.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }
}

impl std::fmt::Debug for Command {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Command({:02x?})", &self.digest)
    }
}

/// See [`Sandbox::load_command`](crate::sandbox::Sandbox::load_command).
pub(super) fn load(
    shared: &Arc<Shared>,
    guests: Option<&Handle>,
    bytes: &[u8],
) -> Result<Arc<Command>, LoadError> {
    let is_module = match inspect::check_bytes(bytes) {
        Err(LoadError::CoreModule) => true,
        other => other.map(|()| false)?,
    };
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(known) = known(shared, &digest) {
        return Ok(known);
    }
    let guests = guests.ok_or(LoadError::ShuttingDown)?;
    let _turn = plugin::turn(shared, guests)?;
    let component = plugin::compile(shared, &digest, bytes, || {
        if is_module {
            adapt::component(bytes).map(Cow::Owned)
        } else {
            Ok(Cow::Borrowed(bytes))
        }
    })?;
    let imports = inspect::command_imports(&shared.engine, &component)?;
    let unfit = |error: wasmtime::Error| text::message(&format!("{error:#}"), MESSAGE_BYTES_MAX);
    let pre = shared.command_linker.instantiate_pre(&component);
    let pre = pre.map_err(|error| LoadError::Unlinkable(unfit(error)))?;
    let pre = CommandPre::new(pre).map_err(|error| LoadError::NoCommand(unfit(error)))?;
    let command = Arc::new(Command {
        digest,
        imports,
        pre,
        share: shared.admission.plugin_share(),
    });
    let mut commands = shared
        .commands
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    commands.retain(|_, command| command.strong_count() > 0);
    commands.insert(digest, Arc::downgrade(&command));
    Ok(command)
}

fn known(shared: &Shared, digest: &[u8; 32]) -> Option<Arc<Command>> {
    let commands = shared
        .commands
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    commands.get(digest)?.upgrade()
}
