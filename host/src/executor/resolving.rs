//! From an operator's name to the component that runs it: the one that the run's version of the DAG is pinned to, or, where it pins
//! none, a plugin of this host. It refuses to compile on the threads that others wait for.

use super::{Parts, unrunnable};
use crate::plugins::{Found, PluginError, Plugins};
use crate::store::{Digest, Store};
use airlock_core::dag::spec::{Component, Dag, Pin};
use airlock_core::ids::OperatorName;
use airlock_core::run::event::{AttemptError, AttemptErrorKind};
use std::sync::Arc;

type Resolved = Result<Found, AttemptError>;

/// Where an operator is.
#[derive(Clone)]
enum Place {
    /// In the component that brought the DAG.
    Component(Component),
    /// In the component that the plugin's name meant when the DAG's version was made.
    Pinned(Pin),
    /// Wherever its name leads.
    Named,
}

impl Place {
    fn of(dag: &Dag, operator: &OperatorName) -> Self {
        match (&dag.component, dag.pins.get(operator.plugin())) {
            (Some(component), _) if component.has(operator) => Self::Component(component.clone()),
            (_, Some(pin)) => Self::Pinned(pin.clone()),
            (_, None) => Self::Named,
        }
    }

    fn loaded(
        &self,
        plugins: &Plugins,
        operator: &OperatorName,
    ) -> Option<Result<Found, PluginError>> {
        match self {
            Self::Component(component) => plugins.resolve_component(component, operator),
            Self::Pinned(pin) => plugins.resolve_former(pin, operator),
            Self::Named => plugins.resolve_loaded(operator),
        }
    }

    /// Loads it first; compiles what was never compiled.
    fn load(&self, plugins: &Plugins, store: &dyn Store, operator: &OperatorName) -> Resolved {
        let refused = |error| refused(&error);
        match self {
            Self::Component(component) => {
                let bytes = stored(store, &component.name, &component.sha256)?;
                plugins.load_component(&bytes, None).map_err(refused)?;
            }
            Self::Pinned(pin) => {
                if let Some(found) = plugins.resolve_current(pin, operator) {
                    return found.map_err(refused);
                }
                let name = operator.plugin();
                let bytes = stored(store, name, &pin.sha256)?;
                plugins.load_former(name, pin, &bytes).map_err(refused)?;
            }
            Self::Named => return plugins.resolve(operator).map_err(refused),
        }
        let crowded = "so many other components were loaded meanwhile that this one was let go";
        let transient = || unrunnable(AttemptErrorKind::Transient, crowded);
        self.loaded(plugins, operator)
            .ok_or_else(transient)?
            .map_err(refused)
    }
}

/// What is loaded comes at once; the first use of a plugin compiles.
pub(super) async fn resolve(parts: &Arc<Parts>, dag: &Dag, operator: &OperatorName) -> Resolved {
    let place = Place::of(dag, operator);
    if let Some(resolved) = place.loaded(&parts.plugins, operator) {
        return resolved.map_err(|error| refused(&error));
    }
    let (parts, operator) = (parts.clone(), operator.clone());
    let loading = tokio::task::spawn_blocking(move || {
        place.load(&parts.plugins, parts.store.as_ref(), &operator)
    });
    let interrupted = "loading the plugin was interrupted";
    let resolved = loading.await;
    resolved.map_err(|_| unrunnable(AttemptErrorKind::Transient, interrupted))?
}

fn refused(error: &PluginError) -> AttemptError {
    unrunnable(AttemptErrorKind::Unrunnable, error)
}

/// The bytes that were stored with a DAG's version, whatever became of their file since.
fn stored(store: &dyn Store, name: &str, sha256: &str) -> Result<Vec<u8>, AttemptError> {
    let lost = || {
        refused(&PluginError::Lost {
            name: name.to_owned(),
            sha256: sha256.to_owned(),
        })
    };
    let digest = Digest::parse(sha256).ok_or_else(lost)?;
    store
        .get_blob(&digest)
        .map_err(|error| unrunnable(AttemptErrorKind::Transient, &error))?
        .ok_or_else(lost)
}
