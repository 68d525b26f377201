//! Settings and limits of the sandbox, each with its unit and its reason. It refuses to act on them.

use airlock_core::grant::Limits;
use std::path::PathBuf;
use std::time::Duration;

/// The largest component that is accepted, bytes. A Python component is about 18 MB.
pub const COMPONENT_BYTES_MAX: usize = 64 << 20;
/// Stack of wasm code in one attempt, bytes. Deeper recursion traps.
pub const WASM_STACK_BYTES_MAX: usize = 512 << 10;
/// Stack of one attempt in all: wasm and the host calls on top of it, bytes.
pub const ASYNC_STACK_BYTES: usize = 2 << 20;
/// The largest linear memory that one attempt may ever be given, bytes (wasm32's own limit).
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// Linear memories of one attempt.
pub const MEMORIES_MAX: u32 = 4;
/// Tables of one attempt.
pub const TABLES_MAX: u32 = 16;
/// Elements over all tables of one attempt. Large language runtimes need over 10,000.
pub const TABLE_ELEMENTS_MAX: usize = 100_000;
/// Core instances of one attempt.
pub const CORE_INSTANCES_MAX: u32 = 64;
/// Live handles (component-model resources) of one attempt.
pub const HANDLES_MAX: usize = 1024;
/// Bytes that a guest may hand over in one host call, or as its result. Covers the largest message of `wit/` (8 MiB) twice.
pub const HOSTCALL_BYTES_MAX: usize = 16 << 20;
/// Bytes of randomness in one call.
pub const RANDOM_BYTES_MAX: u64 = 64 << 10;
/// Bytes of one set of HTTP headers as they lie in memory.
pub const HTTP_FIELDS_BYTES_MAX: usize = 32 << 10;
/// HTTP exchanges of one attempt that are open at the same time, their unread answers included.
pub const HTTP_OPEN_MAX: usize = 16;
/// How long one HTTP exchange may take where the guest does not say.
pub const HTTP_TIMEOUT_DEFAULT: Duration = Duration::from_mins(1);
/// How long one HTTP exchange may take at most.
pub const HTTP_TIMEOUT_MAX: Duration = Duration::from_mins(10);
/// Bytes of one log line; the rest of a longer one goes into the next.
pub const LINE_BYTES_MAX: usize = 8 << 10;
/// Bytes of a message in an outcome.
pub const MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Guest functions that a trap's message names.
pub const TRAP_FRAMES_MAX: usize = 8;
/// Frames of a trap that are looked at: a panic has a dozen of its own before the guest's begin.
pub const TRAP_FRAMES_READ: usize = 32;
/// Different denials that one report keeps.
pub const DENIALS_MAX: usize = 16;
/// Operators of one plugin.
pub const OPERATORS_MAX: usize = 256;
/// Components that are compiled at the same time: each may take hundreds of megabytes.
pub const COMPILATIONS_MAX: usize = 2;
/// How long `describe` may compute.
pub const DESCRIBE_TIMEOUT: Duration = Duration::from_secs(10);
/// Linear memory that `describe` may use, bytes.
pub const DESCRIBE_MEMORY_BYTES: u64 = 256 << 20;
/// How often the epoch advances at least, so how long a guest may hold a worker.
pub const EPOCH_TICK_MAX: Duration = Duration::from_millis(10);

/// Where instances live.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allocation {
    /// From a pool that is reserved once, where the address space allows it; else on demand.
    Auto,
    /// From a pool, or an error.
    Pooling,
    /// Mapped and unmapped for each attempt.
    OnDemand,
}

/// Settings of a [`Sandbox`](super::Sandbox).
#[derive(Debug, Clone)]
pub struct SandboxConfig {
    /// Where compiled components are kept; none compiles each time.
    pub cache_dir: Option<PathBuf>,
    /// Threads that run guests.
    pub workers: usize,
    /// Attempts that live at the same time.
    pub attempts_max: u32,
    /// Sum of the memory limits of live attempts, bytes.
    pub memory_bytes: u64,
    /// Where instances live.
    pub allocation: Allocation,
    /// How long a component's `describe` may compute.
    pub describe_timeout: Duration,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            cache_dir: None,
            workers: std::thread::available_parallelism().map_or(1, usize::from),
            attempts_max: 128,
            memory_bytes: 8 << 30,
            allocation: Allocation::Auto,
            describe_timeout: DESCRIBE_TIMEOUT,
        }
    }
}

/// Limits of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLimits {
    /// Linear memory over all memories, bytes.
    pub memory_bytes: u64,
    /// Log lines, bytes; further lines are dropped with one line that says so.
    pub log_bytes: u64,
    /// The value it returns, bytes.
    pub output_bytes: u64,
    /// Time on a worker; none is without limit. Counts time that the system gives to others meanwhile.
    pub cpu: Option<Duration>,
    /// From instantiation; none is without limit.
    pub execution_timeout: Option<Duration>,
    /// Time between being told to stop and being stopped.
    pub grace: Duration,
}

impl Default for AttemptLimits {
    fn default() -> Self {
        Self {
            memory_bytes: 256 << 20,
            log_bytes: 1 << 20,
            output_bytes: 48 << 10,
            cpu: None,
            execution_timeout: None,
            grace: Duration::from_secs(10),
        }
    }
}

impl AttemptLimits {
    /// These limits where `limits` does not lower them.
    #[must_use]
    pub fn lowered_by(mut self, limits: &Limits) -> Self {
        let lower = |own: &mut u64, other: Option<u64>| *own = other.unwrap_or(*own).min(*own);
        lower(&mut self.memory_bytes, limits.memory_bytes);
        lower(&mut self.log_bytes, limits.log_bytes);
        lower(&mut self.output_bytes, limits.output_bytes);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grant_lowers_limits_and_never_raises_them() {
        let own = AttemptLimits::default();
        let limits = Limits {
            memory_bytes: Some(1 << 20),
            log_bytes: Some(u64::MAX),
            output_bytes: None,
        };
        let lowered = own.clone().lowered_by(&limits);
        assert_eq!(lowered.memory_bytes, 1 << 20);
        assert_eq!(lowered.log_bytes, own.log_bytes);
        assert_eq!(lowered.output_bytes, own.output_bytes);
    }
}
