//! The one place that configures wasmtime, and the parts that all attempts share. It refuses to run anything itself.

use super::admission::Admission;
use super::attempt::{self, AttemptReport, TaskRequest};
use super::bindings::Operator;
use super::command::{self, Command};
use super::config::{
    ASYNC_STACK_BYTES, Allocation, COMPILATIONS_MAX, CORE_INSTANCES_MAX, MEMORIES_MAX,
    MEMORY_BYTES_MAX, SandboxConfig, TABLE_ELEMENTS_MAX, TABLES_MAX, WASM_STACK_BYTES_MAX,
};
use super::inspect::LoadError;
use super::plugin::{self, Plugin};
use super::state::GuestState;
use super::ticker::Ticker;
use airlock_aot::{Cache, CacheError};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{
    Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig, RegallocAlgorithm,
    WasmBacktraceDetails,
};

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// Wasmtime refused the settings, or the pool could not be reserved.
    #[error(
        "wasmtime does not start: {0}; where the pool cannot be reserved, choose allocation `on-demand`"
    )]
    Engine(String),
    /// The cache of compiled components cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// A thread could not be started.
    #[error("the sandbox cannot start its threads: {0}; check the limit on processes")]
    Threads(#[from] std::io::Error),
    /// The sandbox offers an interface twice or with another type: a bug.
    #[error("the sandbox cannot offer its interfaces: {0}; this is a bug in Airlock")]
    Linker(String),
}

/// Runs components. Clones are the same sandbox.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) shared: Arc<Shared>,
    /// Behind its own `Arc`: attempts hold `shared`, and must not be what ends the runtime that they run on.
    runtime: Arc<GuestRuntime>,
}

/// What all attempts share.
pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
    /// For command-line programs: WASI, and nothing of `wit/`.
    pub(super) command_linker: Linker<GuestState>,
    pub(super) ticker: Ticker,
    pub(super) admission: Admission,
    pub(super) cache: Option<Cache>,
    pub(super) compilations: Semaphore,
    /// Plugins that somebody holds, so that the same bytes are the same plugin and share its slots.
    pub(super) plugins: Mutex<HashMap<[u8; 32], Weak<Plugin>>>,
    /// The same for programs.
    pub(super) commands: Mutex<HashMap<[u8; 32], Weak<Command>>>,
    pub(super) pooled: bool,
    pub(super) describe_timeout: Duration,
}

/// Guests have threads of their own, so that they never starve the rest of the host.
struct GuestRuntime(Option<Runtime>);

impl Drop for GuestRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // Waiting is not allowed where this may run; attempts are dropped at their next yield.
            runtime.shutdown_background();
        }
    }
}

impl Sandbox {
    /// Starts an engine, its clock and the threads of guests.
    pub fn new(config: &SandboxConfig) -> Result<Self, SandboxError> {
        let (engine, pooled) = make_engine(config)?;
        let unoffered = |error: wasmtime::Error| SandboxError::Linker(format!("{error:#}"));
        let linker = make_linker(&engine).map_err(unoffered)?;
        let command_linker = make_command_linker(&engine).map_err(unoffered)?;
        let workers = config.workers.max(1);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_name("airlock-guest")
            .enable_all()
            .build()?;
        let cache = config.cache_dir.as_deref().map(Cache::open).transpose()?;
        let shared = Shared {
            ticker: Ticker::start(engine.clone(), workers)?,
            admission: Admission::new(config.attempts_max, config.memory_bytes),
            compilations: Semaphore::new(COMPILATIONS_MAX),
            plugins: Mutex::default(),
            commands: Mutex::default(),
            engine,
            linker,
            command_linker,
            cache,
            pooled,
            describe_timeout: config.describe_timeout,
        };
        Ok(Self {
            shared: Arc::new(shared),
            runtime: Arc::new(GuestRuntime(Some(runtime))),
        })
    }

    /// Compiles and checks a component and asks it what it is. Blocks, for seconds where a large component is new: call it
    /// from a thread that may block. The same bytes yield the same plugin while somebody holds it.
    pub fn load(&self, bytes: &[u8]) -> Result<Arc<Plugin>, LoadError> {
        plugin::load(&self.shared, self.handle(), bytes)
    }

    /// Runs one attempt to its end, on the sandbox's own threads. Dropping the future stops the attempt.
    pub fn run(&self, request: TaskRequest) -> impl Future<Output = AttemptReport> + Send + use<> {
        attempt::spawn(&self.shared, self.handle(), request)
    }

    /// Whether instances come from a pool.
    pub fn is_pooled(&self) -> bool {
        self.shared.pooled
    }

    pub(super) fn handle(&self) -> Option<&tokio::runtime::Handle> {
        self.runtime.0.as_ref().map(Runtime::handle)
    }
}

fn make_engine(config: &SandboxConfig) -> Result<(Engine, bool), SandboxError> {
    let start = |pooled| {
        let wasmtime = wasmtime_config(config, pooled);
        Engine::new(&wasmtime).map_err(|error| SandboxError::Engine(format!("{error:#}")))
    };
    match config.allocation {
        Allocation::OnDemand => Ok((start(false)?, false)),
        Allocation::Pooling => Ok((start(true)?, true)),
        Allocation::Auto => match start(true) {
            Ok(engine) => Ok((engine, true)),
            Err(error) => {
                tracing::warn!(%error, "no pool for instances, they are mapped one by one");
                Ok((start(false)?, false))
            }
        },
    }
}

/// Every setting of wasmtime. What is off has had an advisory, or nothing here needs it.
fn wasmtime_config(config: &SandboxConfig, pooled: bool) -> Config {
    let mut wasmtime = Config::new();
    wasmtime
        .cranelift_regalloc_algorithm(RegallocAlgorithm::Backtracking)
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .epoch_interruption(true)
        .max_wasm_stack(WASM_STACK_BYTES_MAX)
        .async_stack_size(ASYNC_STACK_BYTES)
        .concurrency_support(false)
        // wasmtime's own adapters between the parts of a composed component have two; without this they panic.
        .wasm_multi_memory(true)
        .wasm_memory64(false)
        .wasm_backtrace_max_frames(NonZeroUsize::new(super::config::TRAP_FRAMES_READ))
        // Names come from the name section; files and lines would need debug information in every plugin.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable);
    if pooled {
        wasmtime.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(
            config.attempts_max,
        )));
    }
    wasmtime
}

/// A pool that admission can never exhaust: room for each attempt at all its limits, and for components being described.
fn pool(attempts_max: u32) -> PoolingAllocationConfig {
    let attempts = attempts_max.saturating_add(u32::try_from(COMPILATIONS_MAX).unwrap_or(1));
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(attempts)
        .total_core_instances(attempts.saturating_mul(CORE_INSTANCES_MAX))
        .total_memories(attempts.saturating_mul(MEMORIES_MAX))
        .total_tables(attempts.saturating_mul(TABLES_MAX))
        .total_stacks(attempts)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(MEMORIES_MAX)
        // One module may have them all, as it may without a pool: where instances live must not decide what is valid.
        .max_memories_per_module(MEMORIES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX)
        .max_memory_size(usize::try_from(MEMORY_BYTES_MAX).unwrap_or(usize::MAX))
        .max_component_instance_size(16 << 20)
        .max_core_instance_size(16 << 20)
        // Reset by copying what a small guest touched, not by a system call and page faults.
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_KEEP_RESIDENT_BYTES);
    pool
}

/// Bytes of a memory slot that stay mapped between attempts.
const KEEP_RESIDENT_BYTES: usize = 256 << 10;
/// Bytes of a table slot that stay mapped between attempts.
const TABLE_KEEP_RESIDENT_BYTES: usize = 16 << 10;

/// Offers every interface that a component may import; whether it is answered is decided per attempt.
fn make_linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    Operator::add_to_linker::<_, HasSelf<GuestState>>(&mut linker, |state| state)?;
    super::imports::wasi::add_to_linker(&mut linker)?;
    Ok(linker)
}

/// What a command-line program may import. Its sockets reach nothing: no address and no name is allowed.
fn make_command_linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    command::add_to_linker(&mut linker)?;
    Ok(linker)
}
