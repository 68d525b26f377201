//! A component that was compiled, checked and asked what it is. It refuses to run it.

use super::admission::Share;
use super::bindings::OperatorPre;
use super::bindings::airlock::operator::types::{OperatorKind, PluginInfo};
use super::config::{AttemptLimits, DESCRIBE_MEMORY_BYTES, MESSAGE_BYTES_MAX, OPERATORS_MAX};
use super::contract::Stamp;
use super::engine::Shared;
use super::inspect::{self, LoadError};
use super::interface::InterfaceSet;
use super::state::{self, AttemptState, Given, GuestState};
use super::{text, trap, weigh};
use sha2::{Digest, Sha256};
use std::borrow::Cow;
use std::sync::{Arc, PoisonError};
use tokio::runtime::Handle;
use wasmtime::component::Component;

/// One operator of a plugin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorInfo {
    /// Unique in its plugin.
    pub name: String,
    /// One line.
    pub summary: String,
    /// Whether it is a sensor.
    pub is_sensor: bool,
    /// JSON Schema of its config, as text that parses.
    pub config_schema: String,
}

/// A component that can run here.
pub struct Plugin {
    digest: [u8; 32],
    name: String,
    version: String,
    operators: Vec<OperatorInfo>,
    dags: Vec<String>,
    imports: Vec<String>,
    stamp: Option<Stamp>,
    pub(super) pre: OperatorPre<GuestState>,
    pub(super) share: Share,
}

impl Plugin {
    /// SHA-256 of its bytes.
    pub fn digest(&self) -> &[u8; 32] {
        &self.digest
    }

    /// Its name; a valid operator name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its version, as it says.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Its operators; names are unique and valid.
    pub fn operators(&self) -> &[OperatorInfo] {
        &self.operators
    }

    /// DAGs that it brings, each a JSON document that parses.
    pub fn dags(&self) -> &[String] {
        &self.dags
    }

    /// What its SDK says about itself, if it was built with one.
    pub fn stamp(&self) -> Option<&Stamp> {
        self.stamp.as_ref()
    }

    /// Everything that it imports, with versions: its request for capabilities.
    pub fn imports(&self) -> &[String] {
        &self.imports
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Plugin({} {})", self.name, self.version)
    }
}

/// See [`Sandbox::load`](super::Sandbox::load).
pub(super) fn load(
    shared: &Arc<Shared>,
    guests: Option<&Handle>,
    bytes: &[u8],
) -> Result<Arc<Plugin>, LoadError> {
    inspect::check_bytes(bytes)?;
    let contract = inspect::check_contract(bytes)?;
    let digest: [u8; 32] = Sha256::digest(bytes).into();
    if let Some(known) = known(shared, &digest) {
        return Ok(known);
    }
    let guests = guests.ok_or(LoadError::ShuttingDown)?;
    let _turn = turn(shared, guests)?;
    let component = compile(shared, &digest, bytes, || Ok(Cow::Borrowed(bytes)))?;
    let imports = inspect::imports(&shared.engine, &component)?;
    inspect::check_exports(&shared.engine, &component)?;
    let pre = shared.linker.instantiate_pre(&component).map_err(|error| {
        LoadError::Unlinkable(text::message(&format!("{error:#}"), MESSAGE_BYTES_MAX))
    })?;
    let pre = OperatorPre::new(pre).map_err(|error| {
        LoadError::WrongGuest(text::message(&format!("{error:#}"), MESSAGE_BYTES_MAX))
    })?;
    let info = wait(guests, describe(Arc::clone(shared), pre.clone()))
        .ok_or_else(|| LoadError::Describe("the host failed while it was asked".to_owned()))??;
    let plugin = Plugin {
        stamp: contract.stamp,
        ..checked(digest, info, imports, pre, shared.admission.plugin_share())?
    };
    let plugin = Arc::new(plugin);
    let mut plugins = shared
        .plugins
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    plugins.retain(|_, plugin| plugin.strong_count() > 0);
    plugins.insert(digest, Arc::downgrade(&plugin));
    Ok(plugin)
}

/// One turn for compiling and describing: both need memory that no admission counts.
pub(super) fn turn<'a>(shared: &'a Arc<Shared>, guests: &Handle) -> Result<Turn<'a>, LoadError> {
    let waiting = Arc::clone(shared);
    wait(guests, async move {
        let turn = waiting.compilations.acquire().await;
        turn.map(tokio::sync::SemaphorePermit::forget).is_ok()
    })
    .filter(|taken| *taken)
    .map(|_| Turn(shared))
    .ok_or(LoadError::ShuttingDown)
}

/// Gives the turn back.
pub(super) struct Turn<'a>(&'a Shared);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.compilations.add_permits(1);
    }
}

/// Runs `work` on the guests' threads and blocks until it is done; none when it panicked or the threads are gone.
fn wait<T: Send + 'static>(
    guests: &Handle,
    work: impl Future<Output = T> + Send + 'static,
) -> Option<T> {
    let (send, receive) = std::sync::mpsc::sync_channel(1);
    guests.spawn(async move {
        // Nobody waits for the answer only when the waiting thread is gone.
        let _ = send.send(work.await);
    });
    receive.recv().ok()
}

fn known(shared: &Shared, digest: &[u8; 32]) -> Option<Arc<Plugin>> {
    let plugins = shared
        .plugins
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    plugins.get(digest)?.upgrade()
}

/// The compiled form of `bytes`, which `component` makes a component of where they are none. Kept under `digest`.
pub(super) fn compile<'a>(
    shared: &Shared,
    digest: &[u8; 32],
    bytes: &[u8],
    component: impl FnOnce() -> Result<Cow<'a, [u8]>, LoadError>,
) -> Result<Component, LoadError> {
    let cached = shared.cache.as_ref();
    if let Some(component) = cached.and_then(|cache| cache.load(&shared.engine, digest)) {
        return Ok(component);
    }
    weigh::check(bytes)?;
    let component = component()?;
    let component = Component::from_binary(&shared.engine, &component).map_err(|error| {
        LoadError::Invalid(text::message(&format!("{error:#}"), MESSAGE_BYTES_MAX))
    })?;
    if let Some(Err(error)) = cached.map(|cache| cache.store(&shared.engine, digest, &component)) {
        tracing::warn!(%error, "a compiled component is not kept; it is compiled again at the next start");
    }
    Ok(component)
}

async fn describe(
    shared: Arc<Shared>,
    pre: OperatorPre<GuestState>,
) -> Result<PluginInfo, LoadError> {
    let limits = AttemptLimits {
        memory_bytes: DESCRIBE_MEMORY_BYTES,
        ..AttemptLimits::default()
    };
    let _live = shared.ticker.live();
    let attempt = Arc::new(AttemptState::new(None, InterfaceSet::NONE, 0));
    let mut store = state::store(&shared.engine, attempt, &limits, Given::default());
    let call = async {
        let instance = pre.instantiate_async(&mut store).await?;
        instance
            .airlock_operator_guest()
            .call_describe(&mut store)
            .await
    };
    let limit = shared.describe_timeout;
    match tokio::time::timeout(limit, call).await {
        Ok(Ok(info)) => Ok(info),
        Ok(Err(error)) => Err(LoadError::Describe(
            trap::explain(&error, &store.data().stderr.tail()).message,
        )),
        Err(_) => Err(LoadError::Describe(format!("no answer within {limit:?}"))),
    }
}

fn checked(
    digest: [u8; 32],
    info: PluginInfo,
    imports: Vec<String>,
    pre: OperatorPre<GuestState>,
    share: Share,
) -> Result<Plugin, LoadError> {
    let wrong = |what: String| LoadError::Description(text::message(&what, MESSAGE_BYTES_MAX));
    let name = |name: &str| {
        airlock_core::ids::OperatorName::parse(name)
            .map_err(|error| wrong(error.to_string()))
            .map(|name| name.as_str().to_owned())
    };
    if info.operators.is_empty() && info.dags.is_empty() {
        return Err(wrong("it has neither operators nor DAGs".to_owned()));
    }
    if info.operators.len() > OPERATORS_MAX {
        return Err(wrong(format!("it has more than {OPERATORS_MAX} operators")));
    }
    let mut operators: Vec<OperatorInfo> = Vec::with_capacity(info.operators.len());
    for operator in info.operators {
        let operator_name = name(&operator.name)?;
        if operators.iter().any(|other| other.name == operator_name) {
            return Err(wrong(format!(
                "it has two operators called {operator_name:?}"
            )));
        }
        json(&operator.config_schema).map_err(|error| {
            wrong(format!(
                "the config schema of {operator_name:?} is not JSON: {error}"
            ))
        })?;
        operators.push(OperatorInfo {
            name: operator_name,
            summary: text::neutral(text::bounded(&operator.summary, MESSAGE_BYTES_MAX))
                .into_owned(),
            is_sensor: operator.kind == OperatorKind::Sensor,
            config_schema: operator.config_schema,
        });
    }
    for dag in &info.dags {
        json(dag).map_err(|error| wrong(format!("one of its DAGs is not JSON: {error}")))?;
    }
    Ok(Plugin {
        name: name(&info.name)?,
        version: text::neutral(text::bounded(&info.version, 64)).into_owned(),
        dags: info.dags,
        digest,
        operators,
        imports,
        stamp: None,
        pre,
        share,
    })
}

/// Whether `text` is JSON, without keeping it.
pub(super) fn json(text: &str) -> Result<(), serde_json::Error> {
    serde_json::from_str::<serde::de::IgnoredAny>(text).map(|_| ())
}
