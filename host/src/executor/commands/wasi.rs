//! `wasi-command`: a WASI program in the sandbox. Its bytes come through the attempt's storage grants.

use super::config::{self, WasiConfig, Words};
use super::folder::WorkFolder;
use super::{Program, objects, refused, scratch_bytes};
use crate::executor::Parts;
use crate::sandbox::ports::StoragePort;
use crate::sandbox::{AttemptReport, Command, CommandRequest, LoadError, Scratch};
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The largest program, bytes: that of a component.
const PROGRAM_BYTES_MAX: usize = crate::sandbox::config::COMPONENT_BYTES_MAX;

pub(super) async fn run(
    program: Program,
    parts: &Arc<Parts>,
) -> Result<AttemptReport, AttemptError> {
    let config: WasiConfig = config::read(&program.config)?;
    let quota = scratch_bytes(config.scratch()?, program.scratch_bytes)?;
    config::check_names(&config.inputs)?;
    config::check_names(&config.outputs)?;
    let words = Words::new(config.args, config.env, config.stdin)?;
    let session = Arc::clone(&program.ports);
    let storage = session.storage.as_ref();
    let uri = objects::uri_of(&config.program);
    let command = load(parts, storage, &uri).await?;
    let folder = match quota {
        Some(bytes) => Some((folder(parts)?, bytes)),
        None => None,
    };
    let scratch = folder.as_ref().map(|(folder, quota_bytes)| Scratch {
        folder: folder.path().to_owned(),
        quota_bytes: *quota_bytes,
    });
    if let Some(scratch) = &scratch {
        fetch_all(storage, scratch, &config.inputs).await?;
    }
    let name = uri.rsplit('/').next().unwrap_or_default().to_owned();
    let request = CommandRequest {
        command,
        arguments: std::iter::once(name).chain(words.arguments).collect(),
        environment: words.environment,
        stdin: words.stdin,
        scratch: scratch.clone(),
        limits: program.limits,
        ports: program.ports,
        granted: program.granted,
        cancel: program.cancel,
    };
    let mut report = parts.sandbox.run_command(request).await;
    if let (Outcome::Success(_), Some(scratch)) = (&report.outcome, &scratch)
        && let Err(error) = keep_all(storage, scratch, &config.outputs).await
    {
        report.outcome = Outcome::Error(error);
    }
    if let Some((folder, _)) = folder {
        // A large folder is not removed on the threads that others wait for. What fails is logged there.
        let _ = tokio::task::spawn_blocking(move || drop(folder)).await;
    }
    Ok(report)
}

/// The program, compiled: at once where it is known.
async fn load(
    parts: &Arc<Parts>,
    storage: &dyn StoragePort,
    uri: &str,
) -> Result<Arc<Command>, AttemptError> {
    let bytes = objects::read(storage, uri, PROGRAM_BYTES_MAX).await?;
    let sandbox = parts.sandbox.clone();
    let loaded = tokio::task::spawn_blocking(move || sandbox.load_command(&bytes)).await;
    let interrupted = "loading the program was interrupted";
    let loaded = loaded.map_err(|_| refused(AttemptErrorKind::Transient, interrupted))?;
    let command = loaded.map_err(|error: LoadError| {
        let message = format!("the program {uri} cannot be run: {error}");
        refused(AttemptErrorKind::Unrunnable, &message)
    })?;
    parts.programs.remember(&command);
    Ok(command)
}

fn folder(parts: &Parts) -> Result<WorkFolder, AttemptError> {
    parts.folders.make().map_err(|error| {
        let message = format!("the scratch folder cannot be made: {error}");
        refused(AttemptErrorKind::Transient, &message)
    })
}

async fn fetch_all(
    storage: &dyn StoragePort,
    scratch: &Scratch,
    inputs: &BTreeMap<String, String>,
) -> Result<(), AttemptError> {
    let mut left = scratch.quota_bytes;
    for (name, uri) in inputs {
        left -= objects::fetch(storage, uri, &scratch.folder, name, left).await?;
    }
    Ok(())
}

async fn keep_all(
    storage: &dyn StoragePort,
    scratch: &Scratch,
    outputs: &BTreeMap<String, String>,
) -> Result<(), AttemptError> {
    for (name, uri) in outputs {
        objects::keep(storage, &scratch.folder, name, uri).await?;
    }
    Ok(())
}
