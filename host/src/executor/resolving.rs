//! From an operator's name to the component that runs it: the one that the DAG's version is pinned to, or a plugin of this host.
//! It refuses to compile on the threads that others wait for.

use super::{Parts, unrunnable};
use crate::plugins::{Found, PluginError, Plugins};
use crate::store::{Digest, Store};
use airlock_core::dag::spec::{Component, Dag};
use airlock_core::ids::OperatorName;
use airlock_core::run::event::{AttemptError, AttemptErrorKind};
use std::sync::Arc;

type Resolved = Result<Found, AttemptError>;

/// What is loaded comes at once; the first use of a plugin compiles.
pub(super) async fn resolve(parts: &Arc<Parts>, dag: &Dag, operator: &OperatorName) -> Resolved {
    let pinned = dag
        .component
        .as_ref()
        .filter(|component| component.has(operator));
    let loaded = match pinned {
        Some(component) => parts.plugins.resolve_pinned(component, operator),
        None => parts.plugins.resolve_loaded(operator),
    };
    if let Some(resolved) = loaded {
        return resolved.map_err(|error| refused(&error));
    }
    let (parts, operator, pinned) = (parts.clone(), operator.clone(), pinned.cloned());
    let loading = tokio::task::spawn_blocking(move || match pinned {
        Some(component) => from_store(&parts.plugins, parts.store.as_ref(), &component, &operator),
        None => parts
            .plugins
            .resolve(&operator)
            .map_err(|error| refused(&error)),
    });
    let interrupted = "loading the plugin was interrupted";
    let resolved = loading.await;
    resolved.map_err(|_| unrunnable(AttemptErrorKind::Transient, interrupted))?
}

fn refused(error: &PluginError) -> AttemptError {
    unrunnable(AttemptErrorKind::Unrunnable, error)
}

/// A component that was registered with its DAG, whatever became of its file since.
fn from_store(
    plugins: &Plugins,
    store: &dyn Store,
    component: &Component,
    operator: &OperatorName,
) -> Resolved {
    let lost = || {
        refused(&PluginError::Lost {
            name: component.name.clone(),
            sha256: component.sha256.clone(),
        })
    };
    let digest = Digest::parse(&component.sha256).ok_or_else(lost)?;
    let bytes = store
        .get_blob(&digest)
        .map_err(|error| unrunnable(AttemptErrorKind::Transient, &error))?
        .ok_or_else(lost)?;
    plugins
        .load_component(&bytes, None)
        .map_err(|error| refused(&error))?;
    plugins
        .resolve_pinned(component, operator)
        .ok_or_else(lost)?
        .map_err(|error| refused(&error))
}
