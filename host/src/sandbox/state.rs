//! What one store holds. It owns the line between interfaces that were granted and those that answer `denied`, and refuses to
//! know what lies behind a port.

use super::attempt::Denial;
use super::bindings::airlock::operator::types::CapabilityError;
use super::command::Quota;
use super::config::{
    AttemptLimits, DENIALS_MAX, HANDLES_MAX, HOSTCALL_BYTES_MAX, HTTP_FIELDS_BYTES_MAX,
    MESSAGE_BYTES_MAX, RANDOM_BYTES_MAX,
};
use super::imports::http::HttpHooks;
use super::interface::{Interface, InterfaceSet};
use super::limiter::Budget;
use super::log_sink::LogSink;
use super::ports::{LogLevel, LogSource, Ports};
use super::stdio::GuestStream;
use super::text;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// The data of a store.
pub(super) struct GuestState {
    pub(super) attempt: Arc<AttemptState>,
    pub(super) stdout: GuestStream,
    pub(super) stderr: GuestStream,
    /// Of the scratch folder that a command-line program may have.
    pub(super) quota: Option<Arc<Quota>>,
    budget: Budget,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    http_hooks: HttpHooks,
    table: ResourceTable,
}

/// What host calls of an attempt share, those that outlive one call included.
pub(super) struct AttemptState {
    ports: Option<Arc<Ports>>,
    granted: InterfaceSet,
    pub(super) log: Arc<LogSink>,
    told_to_stop: AtomicBool,
    denials: Mutex<Vec<Denial>>,
}

impl AttemptState {
    pub(super) fn new(ports: Option<Arc<Ports>>, granted: InterfaceSet, log_bytes: u64) -> Self {
        Self {
            log: Arc::new(LogSink::new(ports.clone(), log_bytes)),
            ports,
            granted,
            told_to_stop: AtomicBool::new(false),
            denials: Mutex::default(),
        }
    }

    /// From now on `progress.is-cancelled` says yes.
    pub(super) fn tell_to_stop(&self) {
        self.told_to_stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_told_to_stop(&self) -> bool {
        self.told_to_stop.load(Ordering::Relaxed)
    }

    /// The ports, if `interface` was granted; else the text of the denial, which is remembered.
    pub(super) fn open(&self, interface: Interface) -> Result<&Arc<Ports>, String> {
        match &self.ports {
            Some(ports) if self.granted.contains(interface) => Ok(ports),
            _ => {
                let message = format!(
                    "{} is not granted; the task needs the grant `{}`",
                    interface.name(),
                    interface.grant()
                );
                self.remember(interface, &message);
                Err(message)
            }
        }
    }

    /// Keeps a denial for the report: each text once, and only so many.
    pub(super) fn remember(&self, interface: Interface, message: &str) {
        let message = text::message(message, MESSAGE_BYTES_MAX);
        let mut denials = self.denials.lock().unwrap_or_else(PoisonError::into_inner);
        let known = denials
            .iter()
            .any(|denial| denial.interface == interface && denial.message == message);
        if !known && denials.len() < DENIALS_MAX {
            denials.push(Denial { interface, message });
        }
    }

    pub(super) fn take_denials(&self) -> Vec<Denial> {
        std::mem::take(&mut self.denials.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl GuestState {
    /// See [`AttemptState::open`]; a denial as the value that WIT has for it.
    pub(super) fn port(&self, interface: Interface) -> Result<&Ports, CapabilityError> {
        match self.attempt.open(interface) {
            Ok(ports) => Ok(ports),
            Err(message) => Err(CapabilityError::Denied(message)),
        }
    }

    /// Passes an answer on and remembers a denial.
    pub(super) fn noted<T>(
        &self,
        interface: Interface,
        answer: Result<T, CapabilityError>,
    ) -> Result<T, CapabilityError> {
        if let Err(CapabilityError::Denied(message)) = &answer {
            self.attempt.remember(interface, message);
        }
        answer
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }
}

/// What a store holds besides: nothing for an operator.
#[derive(Default)]
pub(super) struct Given {
    /// Arguments, environment, standard input and folder.
    pub(super) wasi: WasiCtxBuilder,
    /// Of the folder.
    pub(super) quota: Option<Arc<Quota>>,
    /// The longest last line of stdout that is kept, bytes.
    pub(super) result_bytes: usize,
}

/// A fresh store with every limit set.
pub(super) fn store(
    engine: &Engine,
    attempt: Arc<AttemptState>,
    limits: &AttemptLimits,
    given: Given,
) -> Store<GuestState> {
    let stream =
        |level, source, keep| GuestStream::new(Arc::clone(&attempt.log), level, source, keep);
    let stdout = stream(LogLevel::Info, LogSource::Stdout, given.result_bytes);
    let stderr = stream(LogLevel::Warn, LogSource::Stderr, 0);
    let mut wasi = given.wasi;
    wasi.max_random_size(RANDOM_BYTES_MAX)
        .stdout(stdout.clone())
        .stderr(stderr.clone());
    let mut http = WasiHttpCtx::new();
    http.set_field_size_limit(HTTP_FIELDS_BYTES_MAX);
    let mut table = ResourceTable::new();
    table.set_max_capacity(HANDLES_MAX);
    let state = GuestState {
        http_hooks: HttpHooks::new(Arc::clone(&attempt)),
        budget: Budget::new(limits.memory_bytes),
        wasi: wasi.build(),
        attempt,
        stdout,
        stderr,
        quota: given.quota,
        http,
        table,
    };
    let mut store = Store::new(engine, state);
    store.limiter(|state| &mut state.budget);
    store.set_hostcall_fuel(HOSTCALL_BYTES_MAX);
    store.set_max_component_handles(HANDLES_MAX);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            ctx: &mut self.http,
            table: &mut self.table,
            hooks: &mut self.http_hooks,
        }
    }
}
