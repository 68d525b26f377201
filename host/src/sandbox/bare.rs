//! The same component without any of the sandbox round it: the figure that the sandbox is measured against. It refuses to be
//! used for anything else.

use super::Sandbox;
use super::bindings::airlock::operator::types::TaskContext;
use super::config::AttemptLimits;
use super::interface::InterfaceSet;
use super::plugin::Plugin;
use super::state::{self, AttemptState, Given};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What bare wasmtime needs on one thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BareReport {
    /// Instantiations, calls and drops that were done.
    pub runs: u32,
    /// For all of them.
    pub wall: Duration,
    /// CPU of the thread for all of them, where the system tells.
    pub cpu: Option<Duration>,
}

impl Sandbox {
    /// Instantiates the component, calls `run` and drops it, `runs` times on this thread: no ports, no admission, no deadline.
    /// Blocks; must not be called on a thread that drives async work.
    pub fn bare(
        &self,
        plugin: &Plugin,
        context: &TaskContext,
        runs: u32,
    ) -> wasmtime::Result<BareReport> {
        let Some(runtime) = self.handle() else {
            wasmtime::bail!("the host is shutting down");
        };
        runtime.block_on(async {
            let limits = AttemptLimits::default();
            let cpu_before = thread_cpu();
            let begun = Instant::now();
            for _ in 0..runs {
                let attempt = Arc::new(AttemptState::new(None, InterfaceSet::NONE, 0));
                let mut store =
                    state::store(&self.shared.engine, attempt, &limits, Given::default());
                let instance = plugin.pre.instantiate_async(&mut store).await?;
                let guest = instance.airlock_operator_guest();
                // What it answers is its own affair; that it answers is what is measured.
                let _ = guest.call_run(&mut store, context).await?;
            }
            Ok(BareReport {
                runs,
                wall: begun.elapsed(),
                cpu: thread_cpu()
                    .zip(cpu_before)
                    .map(|(after, before)| after.saturating_sub(before)),
            })
        })
    }
}

/// CPU time of this thread. The kernel brings it up to date at its ticks: exact to a few milliseconds.
fn thread_cpu() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanos = stat.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}
