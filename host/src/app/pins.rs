//! Which components a DAG's version runs on: what its plugins' names mean when the version is made. An update of a plugin makes a
//! new version of each DAG that uses it; runs that began before keep the old one.

use super::App;
use super::dags::RegisteredDag;
use crate::error::UserError;
use crate::store::StoreError;
use airlock_core::dag::spec::{Dag, Pin};
use std::collections::BTreeMap;
use std::sync::Arc;

impl App {
    /// What the plugins of a DAG are now.
    pub(super) fn pins(&self, dag: &Dag) -> BTreeMap<String, Pin> {
        let pin = |name: &str| Some((name.to_owned(), self.plugins.pin(name)?));
        dag.plugins().into_iter().filter_map(pin).collect()
    }

    /// Keeps the bytes of what a DAG is pinned to, before the version that names them.
    pub(super) fn keep_pinned(&self, dag: &Dag) -> Result<(), StoreError> {
        for (name, pin) in &dag.pins {
            // One that changed this very moment is told as lost when it is used; the next version has it right.
            if let Some(bytes) = self.plugins.pinned_bytes(name, pin) {
                self.store.put_blob(&bytes)?;
            }
        }
        Ok(())
    }

    /// The version of a DAG that runs which begin now take: another one where a plugin was changed.
    pub(super) fn renewed(&self, registered: &RegisteredDag) -> Result<RegisteredDag, UserError> {
        if self.pins(&registered.dag) == registered.dag.pins {
            return Ok(registered.clone());
        }
        let dag = Dag::clone(&registered.dag);
        self.register(dag, registered.source.clone(), &registered.fileloc)
    }

    /// Takes up changed plugins: lets every DAG that uses one have a new version. Yields how many have.
    pub fn renew_dags(&self) -> Result<usize, UserError> {
        let mut renewed = 0;
        for row in self.dags()? {
            let current = self.dag(row.dag_id.as_str())?;
            let now = self.renewed(&current)?;
            renewed += usize::from(!Arc::ptr_eq(&now.dag, &current.dag));
        }
        Ok(renewed)
    }
}
