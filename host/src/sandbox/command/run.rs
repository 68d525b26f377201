//! One run of a program, from admission to its report: the same steps as an operator's attempt, but that a program cannot be
//! told to stop, so it has no grace.

use super::end;
use super::load::Command;
use super::scratch::Quota;
use crate::sandbox::attempt::{
    AttemptReport, End, Metered, Usage, admit, ended, failed, spawn_report, supervise,
};
use crate::sandbox::cancel::CancelSignal;
use crate::sandbox::config::AttemptLimits;
use crate::sandbox::engine::Shared;
use crate::sandbox::interface::InterfaceSet;
use crate::sandbox::ports::Ports;
use crate::sandbox::state::{self, AttemptState, Given};
use crate::sandbox::trap;
use airlock_core::run::event::{AttemptErrorKind, Outcome};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtx};

/// Everything that a program is given.
pub struct CommandRequest {
    /// Which program.
    pub command: Arc<Command>,
    /// Its own name first.
    pub arguments: Vec<String>,
    /// Nothing else is in its environment.
    pub environment: Vec<(String, String)>,
    /// What it reads from standard input.
    pub stdin: Vec<u8>,
    /// Its folder; none is no file system at all.
    pub scratch: Option<Scratch>,
    /// What it may use up.
    pub limits: AttemptLimits,
    /// Log and outgoing requests; it reaches no other port.
    pub ports: Arc<Ports>,
    /// Only `wasi:http/outgoing-handler` is asked for.
    pub granted: InterfaceSet,
    /// Stops it.
    pub cancel: CancelSignal,
}

/// The folder of one run.
#[derive(Debug, Clone)]
pub struct Scratch {
    /// On the host; its owner makes and removes it. The program sees it as `/` and as its current folder.
    pub folder: PathBuf,
    /// Bytes that may lie in it, `ENTRY_BYTES` for each name included.
    pub quota_bytes: u64,
}

pub(super) fn spawn(
    shared: &Arc<Shared>,
    guests: Option<&Handle>,
    request: CommandRequest,
) -> impl Future<Output = AttemptReport> + Send + use<> {
    spawn_report(guests, run(Arc::clone(shared), request))
}

async fn run(shared: Arc<Shared>, request: CommandRequest) -> AttemptReport {
    let mut limits = request.limits;
    limits.grace = Duration::ZERO;
    let _permit = match admit(&shared, &request.command.share, &limits, &request.cancel).await {
        Ok(permit) => permit,
        Err(report) => return report,
    };
    let _live = shared.ticker.live();
    let started = Instant::now();
    let mut wasi = WasiCtx::builder();
    wasi.args(&request.arguments)
        .envs(&request.environment)
        .stdin(MemoryInputPipe::new(request.stdin));
    if let Some(scratch) = &request.scratch
        && let Err(error) = wasi.preopened_dir(&scratch.folder, "/", FsPerms::ReadWrite)
    {
        let message = format!("the scratch folder cannot be opened: {error:#}");
        return ended(AttemptErrorKind::Transient, message);
    }
    let given = Given {
        wasi,
        quota: request
            .scratch
            .clone()
            .map(|scratch| Arc::new(Quota::new(scratch))),
        result_bytes: usize::try_from(limits.output_bytes).unwrap_or(usize::MAX),
    };
    let granted = request.granted;
    let attempt = AttemptState::new(Some(request.ports), granted, limits.log_bytes);
    let attempt = Arc::new(attempt);
    let mut store = state::store(&shared.engine, Arc::clone(&attempt), &limits, given);
    let mut cpu = Duration::ZERO;
    let end = {
        let call = async {
            let instance = request.command.pre.instantiate_async(&mut store).await?;
            instance.wasi_cli_run().call_run(&mut store).await
        };
        let call = std::pin::pin!(call);
        let metered = Metered::new(call, &mut cpu, limits.cpu);
        supervise(metered, &attempt, &limits, &request.cancel).await
    };
    let last_line = store.data().stdout.finish();
    store.data().stderr.finish();
    let stderr = store.data().stderr.tail();
    let judge = |code| {
        let scratch = request.scratch.as_ref();
        end::judge(code, last_line.as_ref(), &stderr, scratch, &limits)
    };
    let (outcome, output_bytes) = match end {
        End::Stopped(kind, message) => (failed(kind, message), 0),
        End::Returned(ended) => judge(i32::from(ended.is_err())),
        End::Trapped(error) => match error.downcast_ref::<I32Exit>() {
            Some(exit) => judge(exit.0),
            None => (Outcome::Error(trap::explain(&error, &stderr)), 0),
        },
    };
    AttemptReport {
        outcome,
        usage: Usage {
            wall: started.elapsed(),
            cpu,
            memory_peak_bytes: store.data().budget().memory_peak(),
            log_bytes: attempt.log.used_bytes(),
            output_bytes,
        },
        denied: attempt.take_denials(),
    }
}
