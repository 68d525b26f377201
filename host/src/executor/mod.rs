//! The executor: turns an attempt into a task request for the sandbox and its report into an outcome for the scheduler.
//! It owns live attempts and their cancel signals. It refuses to decide anything about a run.

mod accounts;
mod attempt_secrets;
mod callbacks;
mod commands;
mod dag_state;
mod limits;
mod log_file;
mod mails;
mod outbox;
mod plugin_use;
mod reporting;
mod resolving;
mod reuse;
mod run_port;

pub use accounts::{AttemptUse, OfLimit};
pub use callbacks::CALLBACK_TIMEOUT;
pub use commands::{Recent, WorkFolders};
pub use dag_state::StoreDagState;
pub use log_file::{Echo, LogStore, LogStream};
pub use outbox::{CALLBACKS_LIVE_MAX, EMAILS_LIVE_MAX, Outbox};
pub use plugin_use::{DAYS_KEPT, PluginUse, PluginUseError, USES_A_DAY_MAX, Used};
pub use reuse::{KEPT_PREFIX, REUSED_FROM, kept_at};

use accounts::Account;
use attempt_secrets::AttemptSecrets;
use reporting::Reporting;
use resolving::resolve;
use reuse::Reuse;

use crate::capability::{
    self, DagRunTrigger, ObjectStorage, OwnRun, Provenance, RunPort, SessionContext,
    SystemResolver, Uses, Vault,
};
use crate::email::Mailer;
use crate::native::NativePrograms;
use crate::plugins::{Found, Plugins};
use crate::render::{self, Outside};
use crate::sandbox::ports::{LogPort, Ports};
use crate::sandbox::{CancelSignal, Denial, InterfaceSet, Plugin, Sandbox, TaskRequest};
use crate::scheduler::{Attempt, Executor, Handle, RunView, RunsAround};
use crate::secrets::Secrets;
use crate::store::Store;
use crate::traces::RunTrace;
use crate::tracking::{Actor, ActorKind, Registry, Tracking};
use crate::training::Trainers;
use airlock_core::dag::spec::{Cache, Dag};
use airlock_core::dispatch::RunNumber;
use airlock_core::grant::{Asks, Effective, Grants, effective};
use airlock_core::ids::{OperatorName, TaskId, TaskInstanceKey};
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Fence, Outcome};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Runtime;

/// What every attempt shares.
pub struct Parts {
    /// Runs components.
    pub sandbox: Sandbox,
    /// Finds components.
    pub plugins: Arc<Plugins>,
    /// Where outcomes go.
    pub handle: Handle,
    /// Blobs, other runs of the same DAG.
    pub store: Arc<dyn Store>,
    /// States of other DAGs.
    pub dag_state: Arc<StoreDagState>,
    /// Makes runs for tasks.
    pub dag_runs: Arc<dyn DagRunTrigger>,
    /// Variables and connections.
    pub secrets: Arc<Secrets>,
    /// Who trains.
    pub trainers: Trainers,
    /// Experiments.
    pub tracking: Arc<Tracking>,
    /// Models.
    pub registry: Arc<Registry>,
    /// Where logs go.
    pub logs: Arc<LogStore>,
    /// Callbacks and mails that wait.
    pub outbox: Arc<Outbox>,
    /// Where mails are handed in; `None` where no mail server is set.
    pub mailer: Option<Arc<Mailer>>,
    /// What `file://./` is relative to.
    pub storage_root: PathBuf,
    /// What attempts share about objects in buckets.
    pub objects: Arc<ObjectStorage>,
    /// What plugins used, by day.
    pub plugin_use: Arc<PluginUse>,
    /// Programs that may be started outside the sandbox.
    pub native: NativePrograms,
    /// Where programs work.
    pub folders: WorkFolders,
    /// WASI programs that ran last.
    pub programs: Recent,
    /// Whether traces of runs are sent somewhere, so that whom a task asks may hang its own below them.
    pub traced: bool,
}

type Live = Mutex<HashMap<Key, CancelSignal>>;

/// Threads that prepare attempts: rendering, finding plugins, building ports. Guests have threads of their own.
const PREPARING_THREADS: usize = 2;
/// After `execution_timeout` the sandbox gives an attempt its grace and stops it; what is there so much later hangs.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(30);
/// How long a shutdown waits for what does not stop.
const SHUTDOWN_MAX: Duration = Duration::from_millis(100);
/// How long a shutdown waits for uploads that are being taken back.
const SETTLE_MAX: Duration = Duration::from_secs(2);
/// The most denials that an attempt's error tells.
const DENIALS_TOLD_MAX: usize = 3;

/// Runs attempts in this process.
pub struct LocalExecutor {
    parts: Arc<Parts>,
    live: Arc<Live>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
}

impl LocalExecutor {
    /// An executor without live attempts.
    pub fn new(parts: Parts) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(PREPARING_THREADS)
            .thread_name("executor")
            .enable_all()
            .build()?;
        let parts = Arc::new(parts);
        runtime.spawn(outbox::work(parts.clone()));
        Ok(Self {
            parts,
            live: Arc::default(),
            runtime: Some(runtime),
        })
    }
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        // Live attempts are lost, and found again at the next start; waiting for them would keep a person waiting. What only
        // waits for work lets the store go at once.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(SHUTDOWN_MAX);
        }
        self.parts.objects.settle(SETTLE_MAX);
    }
}

impl Executor for LocalExecutor {
    fn start(&self, attempt: Attempt) {
        let cancel = CancelSignal::new();
        let key = (attempt.run.number, attempt.ti, attempt.fence);
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key, cancel.clone());
        let (parts, live) = (self.parts.clone(), self.live.clone());
        let Some(runtime) = &self.runtime else { return };
        runtime.spawn(async move {
            let mut lost = LostUnlessEnded {
                handle: parts.handle.clone(),
                live,
                key,
                ended: false,
            };
            if attempt.on_execute {
                callbacks::before_attempt(&parts, &attempt).await;
            }
            let outcome = within_limit(&parts, &attempt, cancel).await;
            lost.ended = true;
            drop(lost);
            parts
                .handle
                .finish(attempt.run.number, attempt.ti, attempt.fence, outcome);
        });
    }

    fn call(&self, run: &Arc<RunView>) {
        self.parts.outbox.filled(run);
    }

    fn stop(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, reason: &str) {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cancel) = live.get(&(run, ti, fence)) {
            cancel.cancel(reason);
        }
    }
}

type Key = (RunNumber, TaskInstanceKey, Fence);

/// An attempt whose future goes away without an end (a panic, a runtime that stops) is lost at once, not after a time without
/// heartbeats: the scheduler fences it and starts it again.
struct LostUnlessEnded {
    handle: Handle,
    live: Arc<Live>,
    key: Key,
    ended: bool,
}

impl Drop for LostUnlessEnded {
    fn drop(&mut self) {
        self.live
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&self.key);
        if !self.ended {
            let (run, ti, fence) = self.key;
            self.handle.lose(run, ti, fence);
        }
    }
}

/// What hangs where the sandbox cannot stop it (a host call, a plugin that is being compiled) is left behind: its fence is
/// over, so whatever it says later is dropped.
async fn within_limit(parts: &Arc<Parts>, attempt: &Attempt, cancel: CancelSignal) -> Outcome {
    let task = attempt.run.dag.task(attempt.ti.task);
    let Some(timeout) = task.and_then(|task| task.execution_timeout) else {
        return carry_out(parts, attempt, cancel).await;
    };
    let limit = timeout.unsigned_abs().saturating_add(LEFT_BEHIND_AFTER);
    let ended = tokio::time::timeout(limit, carry_out(parts, attempt, cancel)).await;
    ended.unwrap_or_else(|_| {
        let message = format!(
            "execution_timeout of {timeout:#} passed and the attempt did not stop when it was told; it was left behind"
        );
        let kind = AttemptErrorKind::TimedOut;
        Outcome::Error(AttemptError { kind, message })
    })
}

async fn carry_out(parts: &Arc<Parts>, attempt: &Attempt, cancel: CancelSignal) -> Outcome {
    let vault = Vault::default();
    let outcome = match prepare(parts, attempt, cancel, &vault).await {
        Ok((Prepared::Operator(request, Some(reuse)), account)) => {
            return reuse
                .carry_out(parts, attempt, *request, (&account, &vault))
                .await;
        }
        Ok((Prepared::Operator(request, None), account)) => {
            let report = parts.sandbox.run(*request).await;
            account.close(parts, attempt, &report, &vault);
            with_denials(report.outcome, &report.denied)
        }
        Ok((Prepared::Program(program), account)) => {
            let report = program.carry_out(parts).await;
            account.close(parts, attempt, &report, &vault);
            with_denials(report.outcome, &report.denied)
        }
        Err(error) => Outcome::Error(error),
    };
    redacted(outcome, &vault)
}

/// What an attempt says at its end is kept and shown, so no value of a secret may be in it.
fn redacted(outcome: Outcome, vault: &Vault) -> Outcome {
    match outcome {
        Outcome::Success(Some(value)) => Outcome::Success(Some(vault.redact_json(&value))),
        Outcome::Skip(reason) => Outcome::Skip(vault.redact(&reason)),
        Outcome::Error(error) => Outcome::Error(AttemptError {
            message: vault.redact(&error.message),
            ..error
        }),
        other => other,
    }
}

/// Adds to an error what the attempt was denied, where the guest did not say it: `wasi:http` has no words for why, and the grant that
/// would allow it must reach a person.
fn with_denials(outcome: Outcome, denied: &[Denial]) -> Outcome {
    let Outcome::Error(mut error) = outcome else {
        return outcome;
    };
    for denial in denied.iter().take(DENIALS_TOLD_MAX) {
        if !error.message.contains(&denial.message) {
            error.message.push_str("\nit was denied: ");
            error.message.push_str(&denial.message);
        }
    }
    Outcome::Error(error)
}

/// Who the audit trail names for what the attempt changes.
fn actor(attempt: &Attempt) -> Actor {
    let name = attempt.run.task_instance_name(attempt.ti);
    Actor {
        kind: ActorKind::TaskInstance,
        id: format!("{name}/{}", attempt.try_number),
    }
}

/// What runs in an attempt.
fn provenance(plugin: &Plugin, operator: &str) -> Provenance {
    let digest = crate::store::Digest(*plugin.digest());
    Provenance {
        component: digest.to_string(),
        plugin: plugin.name().to_owned(),
        operator: operator.to_owned(),
    }
}

fn unrunnable(kind: AttemptErrorKind, message: &(impl ToString + ?Sized)) -> AttemptError {
    AttemptError {
        kind,
        message: message.to_string(),
    }
}

/// What an attempt runs.
enum Work {
    Operator(Found),
    Program(commands::Kind),
}

impl Work {
    async fn of(
        parts: &Arc<Parts>,
        dag: &Dag,
        operator: &OperatorName,
    ) -> Result<Self, AttemptError> {
        if let Some(kind) = commands::Kind::of(operator) {
            return Ok(Self::Program(kind));
        }
        Ok(Self::Operator(resolve(parts, dag, operator).await?))
    }

    /// What the attempt may do. A program is no plugin, so no policy speaks of it: the DAG and the task do.
    fn effective(&self, dag: &Grants, task: Option<&Grants>) -> Effective {
        match self {
            Self::Operator(found) => found.allowed.effective(dag, task),
            Self::Program(_) => effective(&[], &Asks::everything(), dag, task),
        }
    }

    /// Its name in its plugin.
    fn operator(&self, name: &OperatorName) -> String {
        match self {
            Self::Operator(found) => found.operator.clone(),
            Self::Program(_) => name.to_string(),
        }
    }

    /// A program reaches no port that writes down where something came from.
    fn provenance(&self, operator: &OperatorName) -> Provenance {
        match self {
            Self::Operator(found) => provenance(&found.plugin, &found.operator),
            Self::Program(_) => Provenance {
                component: String::new(),
                plugin: operator.to_string(),
                operator: operator.to_string(),
            },
        }
    }
}

/// An attempt that is ready to run.
enum Prepared {
    Operator(Box<TaskRequest>, Option<Reuse>),
    Program(Box<commands::Program>),
}

async fn prepare(
    parts: &Arc<Parts>,
    attempt: &Attempt,
    cancel: CancelSignal,
    vault: &Vault,
) -> Result<(Prepared, Account), AttemptError> {
    let dag = &attempt.run.dag;
    let task = dag
        .task(attempt.ti.task)
        .ok_or_else(|| unrunnable(AttemptErrorKind::Unrunnable, "the task is not in the DAG"))?;
    let work = Work::of(parts, dag, &task.operator).await?;
    let grants = work.effective(&dag.grants, task.grants.as_ref());
    let secrets = AttemptSecrets::new(parts.secrets.clone(), &grants, vault.clone());
    let secrets = Arc::new(secrets);
    let outside = outside(parts, &attempt.run, &secrets);
    let rendered = render::task_context(attempt, task, work.operator(&task.operator), outside)
        .map_err(|error| unrunnable(AttemptErrorKind::InvalidInput, &error))?;
    if let Some(fields) = rendered.fields {
        let (run, ti, fence) = (attempt.run.number, attempt.ti, attempt.fence);
        let fields = vault.redact_json(&fields);
        parts.handle.render(run, ti, fence, fields);
    }
    let limits = limits::attempt_limits(task, &grants.limits);
    let granted = InterfaceSet::from_grants(&grants);
    let log = log_of(parts, attempt, &task.task_id);
    let own_run = Arc::new(run_port::AttemptRunPort::new(
        parts.handle.clone(),
        attempt.clone(),
    ));
    let reuse = (task.cache == Cache::Content).then(|| Reuse::new(own_run.clone()));
    let (run_port, own_run) = run_ports(reuse.as_ref(), own_run);
    let scratch_bytes = grants.scratch_bytes;
    let account = Account::new(&task.operator, &limits);
    let session = shared_session(
        parts,
        Shared {
            grants,
            uses: account.uses(),
            actor: actor(attempt),
            provenance: work.provenance(&task.operator),
            run_port,
            own_run,
            secrets,
            vault: vault.clone(),
            cards: attempt.gpus.clone(),
            trace_parent: trace_parent(parts, attempt, task.task_id.as_str()),
            log: Box::new(log),
        },
    );
    let context = rendered.context;
    let prepared = match work {
        Work::Operator(found) => {
            let request = TaskRequest {
                plugin: found.plugin,
                context,
                limits,
                ports: session,
                granted,
                cancel,
            };
            Prepared::Operator(Box::new(request), reuse)
        }
        Work::Program(kind) => Prepared::Program(Box::new(commands::Program {
            kind,
            about: commands::about(&context),
            config: context.config,
            limits,
            scratch_bytes,
            granted,
            ports: Arc::new(session),
            cancel,
        })),
    };
    Ok((prepared, account))
}

fn log_of(parts: &Parts, attempt: &Attempt, task_id: &TaskId) -> Reporting {
    let (dag_id, run_id) = (&attempt.run.dag.dag_id, &attempt.run.header.run_id);
    let log = parts.logs.open(dag_id, run_id, task_id, attempt);
    Reporting::new(log, parts.handle.clone(), attempt.run.number, attempt.ti)
}

/// The attempt's own run; where its result may be reused, what it asks is written down.
fn run_ports(
    reuse: Option<&Reuse>,
    own_run: Arc<run_port::AttemptRunPort>,
) -> (Arc<dyn RunPort>, Arc<dyn OwnRun>) {
    match reuse {
        Some(reuse) => reuse.run_ports(),
        None => (own_run.clone(), own_run),
    }
}

/// What templates read that the run itself does not hold.
fn outside(parts: &Parts, run: &Arc<RunView>, secrets: &Arc<AttemptSecrets>) -> Outside {
    Outside {
        lookup: secrets.clone(),
        history: Arc::new(RunsAround::new(parts.store.clone(), run.clone())),
    }
}

/// What the ports of an attempt and of a callback differ in.
struct Shared {
    grants: Effective,
    uses: Uses,
    actor: Actor,
    provenance: Provenance,
    run_port: Arc<dyn RunPort>,
    own_run: Arc<dyn OwnRun>,
    secrets: Arc<AttemptSecrets>,
    vault: Vault,
    cards: Vec<String>,
    trace_parent: Option<String>,
    log: Box<dyn LogPort>,
}

/// What an attempt's requests say about the trace that they are a part of; nothing where nobody records one.
fn trace_parent(parts: &Parts, attempt: &Attempt, task_id: &str) -> Option<String> {
    let started = attempt
        .run_started
        .filter(|_| parts.traced || !attempt.trace_parent.is_empty())?;
    let (dag_id, run_id) = (&attempt.run.dag.dag_id, &attempt.run.header.run_id);
    let parent = &attempt.trace_parent;
    let trace = RunTrace::new(dag_id.as_str(), run_id.as_str(), started, parent);
    Some(trace.header(task_id, attempt.ti.map_index, attempt.fence))
}

fn shared_session(parts: &Parts, shared: Shared) -> Ports {
    capability::session(SessionContext {
        grants: shared.grants,
        uses: shared.uses,
        base_dir: parts.storage_root.clone(),
        actor: shared.actor,
        provenance: shared.provenance,
        run_port: shared.run_port,
        own_run: shared.own_run,
        dag_runs: parts.dag_runs.clone(),
        dag_state: parts.dag_state.clone(),
        store: parts.store.clone(),
        trainers: parts.trainers.clone(),
        cards: shared.cards,
        tracking: Tracking::clone(&parts.tracking),
        registry: Registry::clone(&parts.registry),
        connections: shared.secrets.clone(),
        objects: parts.objects.clone(),
        mailer: parts.mailer.clone(),
        secrets: shared.secrets,
        vault: shared.vault,
        resolver: Arc::new(SystemResolver),
        trace_parent: shared.trace_parent,
        log: shared.log,
    })
}
