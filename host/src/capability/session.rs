//! Builds the ports of one attempt from what the attempt may do. Everything that a port holds is dropped with them.

use super::budget::Budget;
use super::calendar::Calendar;
use super::dag_runs::{DagRunTrigger, DagRuns};
use super::dag_state::{DagState, DagStateSource};
use super::dataset::{DATASET_BYTES_MAX, Dataset};
use super::email::Email;
use super::files::Files;
use super::granted::{Granted, Uses};
use super::http::{Http, Resolver};
use super::human::Human;
use super::log::RedactedLog;
use super::models::Models;
use super::objects::{ConnectionSource, ObjectStorage, Objects};
use super::own_run::OwnRun;
use super::provenance::{Ledger, Provenance, stamps};
use super::secrets::{SecretSource, Secrets};
use super::storage::Storage;
use super::tracking::TrackingCapability;
use super::training::{self, Training};
use super::vault::Vault;
use super::xcom::{RunPort, Xcom};
use crate::email::Mailer;
use crate::sandbox::ports::{LogPort, Ports};
use crate::store::Store;
use crate::tracking::{Actor, Registry, Tracking};
use crate::training::Trainers;
use airlock_core::grant::Effective;
use std::path::PathBuf;
use std::sync::Arc;

/// What the ports of one attempt are made of.
pub struct SessionContext {
    /// What the attempt may do: policy, plugin and DAG already narrowed to one.
    pub grants: Effective,
    /// Where is noted what it made use of.
    pub uses: Uses,
    /// The folder that `file://./` stands for.
    pub base_dir: PathBuf,
    /// Who the audit trail names.
    pub actor: Actor,
    /// What runs.
    pub provenance: Provenance,
    /// The attempt's own run.
    pub run_port: Arc<dyn RunPort>,
    /// What else the attempt may know and do in its own run.
    pub own_run: Arc<dyn OwnRun>,
    /// Makes runs.
    pub dag_runs: Arc<dyn DagRunTrigger>,
    /// States of other runs.
    pub dag_state: Arc<dyn DagStateSource>,
    /// Artifacts.
    pub store: Arc<dyn Store>,
    /// Who trains.
    pub trainers: Trainers,
    /// The cards, by UUID, that a pool gave to the task instance.
    pub cards: Vec<String>,
    /// Experiments.
    pub tracking: Tracking,
    /// Models.
    pub registry: Registry,
    /// Who takes mails; none where the host has no mail server.
    pub mailer: Option<Arc<Mailer>>,
    /// Values of secrets.
    pub secrets: Arc<dyn SecretSource>,
    /// Connections that remote objects are reached with. No guest sees one.
    pub connections: Arc<dyn ConnectionSource>,
    /// What the host's attempts share about remote objects.
    pub objects: Arc<ObjectStorage>,
    /// Placeholders that the attempt's config holds already, and what its log and XComs must not show.
    pub vault: Vault,
    /// Addresses of names; `SystemResolver` unless in a test.
    pub resolver: Arc<dyn Resolver>,
    /// The `traceparent` of its requests that have none of their own.
    pub trace_parent: Option<String>,
    /// Where lines go.
    pub log: Box<dyn LogPort>,
}

/// The ports of one attempt. Calls need a tokio runtime with time and IO.
pub fn session(context: SessionContext) -> Ports {
    let grants = Arc::new(Granted::new(context.grants.into_grants(), context.uses));
    let vault = context.vault;
    let ledger = Ledger::default();
    let task_instance = context.own_run.task_instance();
    let stamps = stamps(&context.provenance, &task_instance, &context.actor);
    let files = Files::new(Arc::clone(&grants), &context.base_dir);
    let memory = Budget::new(DATASET_BYTES_MAX);
    let (objects, lifeline) = Objects::new(
        files,
        Arc::clone(&grants),
        context.connections,
        context.objects,
        memory.clone(),
    );
    let dataset = Dataset::new(objects.clone(), memory.clone(), lifeline.clone());
    let (tracking, models) = tracked(
        &grants,
        (context.tracking, context.registry),
        &context.actor,
        (stamps, &ledger),
    );
    Ports {
        log: Box::new(RedactedLog {
            inner: context.log,
            vault: vault.clone(),
        }),
        xcom: Box::new(Xcom {
            run: context.run_port,
            vault: vault.clone(),
        }),
        storage: Box::new(Storage::new(objects, lifeline)),
        training: Box::new(Training::new(
            Arc::clone(&grants),
            training::House {
                name: context.actor.id.clone(),
                cards: context.cards,
                trainers: context.trainers,
                store: context.store,
                matrices: Arc::new(dataset.clone()),
            },
            memory,
        )),
        dataset: Box::new(dataset.noting(ledger)),
        tracking,
        models,
        dag_state: Box::new(DagState {
            grants: Arc::clone(&grants),
            source: context.dag_state,
        }),
        secrets: Box::new(Secrets {
            grants: Arc::clone(&grants),
            source: context.secrets,
            vault: vault.clone(),
        }),
        dag_runs: Box::new(DagRuns {
            grants: Arc::clone(&grants),
            own_run: Arc::clone(&context.own_run),
            trigger: context.dag_runs,
        }),
        human: Box::new(Human {
            own_run: Arc::clone(&context.own_run),
            vault: vault.clone(),
        }),
        calendar: Box::new(Calendar {
            own_run: context.own_run,
        }),
        email: Box::new(Email::new(Arc::clone(&grants), context.mailer)),
        http: Box::new(Http::new(grants, vault, context.resolver).traced(context.trace_parent)),
    }
}

/// Experiments and the registry: of both the host says where what is in them came from.
fn tracked(
    grants: &Arc<Granted>,
    (service, registry): (Tracking, Registry),
    actor: &Actor,
    (stamps, ledger): (Vec<(String, String)>, &Ledger),
) -> (Box<TrackingCapability>, Box<Models>) {
    let tracking = TrackingCapability {
        grants: Arc::clone(grants),
        service,
        actor: actor.clone(),
        stamps: stamps.clone(),
        ledger: ledger.clone(),
    };
    let models = Models {
        grants: Arc::clone(grants),
        registry,
        actor: actor.clone(),
        stamps,
        ledger: ledger.clone(),
        read: Arc::default(),
    };
    (Box::new(tracking), Box::new(models))
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
