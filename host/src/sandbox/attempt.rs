//! One attempt, from admission to its report. It owns the order of things: admit, instantiate, call, tell to stop, stop,
//! drop the store. It refuses to reuse a store, and to let a guest decide when it is over.

use super::admission::{Permit, Share};
use super::bindings::airlock::operator::types::TaskContext;
use super::cancel::CancelSignal;
use super::config::AttemptLimits;
use super::engine::Shared;
use super::interface::{Interface, InterfaceSet};
use super::limiter::LimitError;
use super::plugin::Plugin;
use super::ports::Ports;
use super::state::{self, AttemptState, Given};
use super::{outcome, trap};
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Everything that an attempt is given.
pub struct TaskRequest {
    /// Which component.
    pub plugin: Arc<Plugin>,
    /// What it is told.
    pub context: TaskContext,
    /// What it may use up.
    pub limits: AttemptLimits,
    /// Who answers its host calls, each port with its grant.
    pub ports: Ports,
    /// Interfaces that reach a port at all; calls of all others are answered `denied` here.
    pub granted: InterfaceSet,
    /// Tells it to stop.
    pub cancel: CancelSignal,
}

/// What became of an attempt.
#[derive(Debug)]
pub struct AttemptReport {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// What it asked for and was denied, each once, `DENIALS_MAX` at most.
    pub denied: Vec<Denial>,
}

/// What an attempt used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// From admission to the end.
    pub wall: Duration,
    /// Time on a worker, host calls included where they compute; what the system gave to others meanwhile counts too.
    pub cpu: Duration,
    /// The most linear memory that it held, bytes.
    pub memory_peak_bytes: u64,
    /// Log lines kept, bytes.
    pub log_bytes: u64,
    /// The value it returned, bytes.
    pub output_bytes: u64,
}

/// Something that a guest asked for and did not get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// Where it asked.
    pub interface: Interface,
    /// What it was told.
    pub message: String,
}

/// Starts an attempt on the guests' threads.
pub(super) fn spawn(
    shared: &Arc<Shared>,
    guests: Option<&Handle>,
    request: TaskRequest,
) -> impl Future<Output = AttemptReport> + Send + use<> {
    spawn_report(guests, run(Arc::clone(shared), request))
}

/// Carries `work` out on the guests' threads; a panic in it is a report too.
pub(super) fn spawn_report<F: Future<Output = AttemptReport> + Send + 'static>(
    guests: Option<&Handle>,
    work: F,
) -> impl Future<Output = AttemptReport> + Send + use<F> {
    let task = guests.map(|guests| StopOnDrop(guests.spawn(work)));
    async move {
        match task {
            None => ended(AttemptErrorKind::Cancelled, SHUTTING_DOWN.to_owned()),
            Some(mut task) => match (&mut task.0).await {
                Ok(report) => report,
                Err(error) if error.is_panic() => ended(
                    AttemptErrorKind::Trap,
                    "a host call of this attempt failed with a bug in Airlock; the host's own log has the details, please report it".to_owned(),
                ),
                Err(_) => ended(AttemptErrorKind::Cancelled, SHUTTING_DOWN.to_owned()),
            },
        }
    }
}

const SHUTTING_DOWN: &str = "the host is shutting down";

struct StopOnDrop(JoinHandle<AttemptReport>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Waits for a slot and memory; the report where there will be none.
pub(super) async fn admit(
    shared: &Shared,
    share: &Share,
    limits: &AttemptLimits,
    cancel: &CancelSignal,
) -> Result<Permit, AttemptReport> {
    tokio::select! {
        biased;
        reason = cancel.cancelled() => Err(ended(AttemptErrorKind::Cancelled, cancelled(reason))),
        admitted = shared.admission.admit(share, limits) => match admitted {
            Ok(Some(permit)) => Ok(permit),
            Ok(None) => Err(ended(AttemptErrorKind::Cancelled, SHUTTING_DOWN.to_owned())),
            Err(error) => Err(ended(AttemptErrorKind::Unrunnable, error.to_string())),
        },
    }
}

async fn run(shared: Arc<Shared>, request: TaskRequest) -> AttemptReport {
    let TaskRequest {
        plugin,
        context,
        limits,
        ports,
        granted,
        cancel,
    } = request;
    let _permit = match admit(&shared, &plugin.share, &limits, &cancel).await {
        Ok(permit) => permit,
        Err(report) => return report,
    };
    let _live = shared.ticker.live();
    let started = Instant::now();
    let attempt = Arc::new(AttemptState::new(
        Some(Arc::new(ports)),
        granted,
        limits.log_bytes,
    ));
    let mut store = state::store(
        &shared.engine,
        Arc::clone(&attempt),
        &limits,
        Given::default(),
    );
    let mut cpu = Duration::ZERO;
    let end = {
        let call = async {
            let instance = plugin.pre.instantiate_async(&mut store).await?;
            let guest = instance.airlock_operator_guest();
            guest.call_run(&mut store, &context).await
        };
        let call = std::pin::pin!(call);
        let metered = Metered::new(call, &mut cpu, limits.cpu);
        supervise(metered, &attempt, &limits, &cancel).await
        // The call is dropped here, wherever the guest was: its frames are unwound and it never runs again.
    };
    store.data().stdout.finish();
    store.data().stderr.finish();
    let (outcome, output_bytes) = match end {
        End::Returned(returned) => outcome::translate(returned, limits.output_bytes),
        End::Trapped(error) => (
            Outcome::Error(trap::explain(&error, &store.data().stderr.tail())),
            0,
        ),
        End::Stopped(kind, message) => (failed(kind, message), 0),
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

/// How a call ended.
pub(super) enum End<T> {
    Returned(T),
    Trapped(wasmtime::Error),
    Stopped(AttemptErrorKind, String),
}

impl<T> From<wasmtime::Result<T>> for End<T> {
    fn from(call: wasmtime::Result<T>) -> Self {
        match call {
            Ok(returned) => Self::Returned(returned),
            Err(error) => Self::Trapped(error),
        }
    }
}

/// Waits for the call; when it must stop, tells the guest, waits for its grace, and gives up on it.
pub(super) async fn supervise<T>(
    mut call: Metered<'_, impl Future<Output = wasmtime::Result<T>>>,
    attempt: &AttemptState,
    limits: &AttemptLimits,
    cancel: &CancelSignal,
) -> End<T> {
    // The call comes first: a short one ends at its first poll, before any timer is registered.
    let (kind, why) = tokio::select! {
        biased;
        ended = &mut call => return ended.into(),
        reason = cancel.cancelled() => (AttemptErrorKind::Cancelled, cancelled(reason)),
        timeout = expire(limits.execution_timeout) => (
            AttemptErrorKind::TimedOut,
            format!("the task ran longer than its execution_timeout of {timeout:?}"),
        ),
    };
    attempt.tell_to_stop();
    let in_grace = tokio::select! {
        biased;
        _ = &mut call => true,
        () = tokio::time::sleep(limits.grace) => false,
    };
    let how = if in_grace {
        "it was told to stop and ended by itself".to_owned()
    } else {
        format!(
            "it was told to stop and was stopped after its grace of {:?}",
            limits.grace
        )
    };
    End::Stopped(kind, format!("{why}; {how}"))
}

/// Ends after `timeout`, never if there is none.
async fn expire(timeout: Option<Duration>) -> Duration {
    match timeout {
        Some(timeout) => {
            tokio::time::sleep(timeout).await;
            timeout
        }
        None => std::future::pending().await,
    }
}

/// A call whose time on the worker is counted and limited. A guest yields at every tick, so the limit is exact to one tick.
pub(super) struct Metered<'a, F> {
    call: Pin<&'a mut F>,
    cpu: &'a mut Duration,
    limit: Option<Duration>,
}

impl<'a, F> Metered<'a, F> {
    pub(super) fn new(
        call: Pin<&'a mut F>,
        cpu: &'a mut Duration,
        limit: Option<Duration>,
    ) -> Self {
        Self { call, cpu, limit }
    }
}

impl<T, F: Future<Output = wasmtime::Result<T>>> Future for Metered<'_, F> {
    type Output = wasmtime::Result<T>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let begun = Instant::now();
        let polled = self.call.as_mut().poll(context);
        *self.cpu += begun.elapsed();
        match self.limit {
            Some(limit) if polled.is_pending() && *self.cpu > limit => {
                Poll::Ready(Err(LimitError::Cpu(limit).into()))
            }
            _ => polled,
        }
    }
}

fn cancelled(reason: &str) -> String {
    format!("the task was cancelled: {reason}")
}

pub(super) fn failed(kind: AttemptErrorKind, message: String) -> Outcome {
    Outcome::Error(AttemptError { kind, message })
}

/// The report of an attempt that never began, or of which nothing is known.
pub(super) fn ended(kind: AttemptErrorKind, message: String) -> AttemptReport {
    AttemptReport {
        outcome: failed(kind, message),
        usage: Usage::default(),
        denied: Vec::new(),
    }
}
