//! Callbacks: each is an operator called outside the graph, in the sandbox, with the DAG's grants, a log and a time limit of its own.
//! What it says changes nothing about its run. It refuses to decide when one is called.

use super::accounts::Account;
use super::attempt_secrets::AttemptSecrets;
use super::run_port::CallbackRunPort;
use super::{Parts, Shared, redacted, resolve, shared_session, unrunnable, with_denials};
use crate::capability::Vault;
use crate::plugins::Found;
use crate::render::{self, OF_THE_RUN};
use crate::sandbox::ports::{LogLevel, LogPort, LogSource};
use crate::sandbox::{AttemptLimits, CancelSignal, InterfaceSet, TaskRequest};
use crate::scheduler::{
    Attempt, CallbackCall, CallbackKind, CallbackWork, RunView, task_instance_name,
};
use crate::tracking::{Actor, ActorKind};
use airlock_core::dag::spec::Callback;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::{AttemptError, AttemptErrorKind, Outcome};
use jiff::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// A callback longer than this is stopped.
pub const CALLBACK_TIMEOUT: Duration = Duration::from_mins(5);
/// What is there so much later hangs where the sandbox cannot stop it, and is left behind.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(30);

/// Calls `on_execute` of the attempt's task, in order, before the attempt. One that fails is told and counted.
pub(super) async fn before_attempt(parts: &Arc<Parts>, attempt: &Attempt) {
    let Some(task) = attempt.run.dag.task(attempt.ti.task) else {
        return;
    };
    for (index, callback) in (0_u32..).zip(&task.on_execute) {
        let call = CallbackCall {
            id: String::new(),
            kind: CallbackKind::OnExecute,
            work: CallbackWork::Call(callback.clone()),
            dag_id: attempt.run.dag.dag_id.clone(),
            run_id: attempt.run.header.run_id.clone(),
            task_id: Some(task.task_id.clone()),
            map_index: attempt.ti.map_index,
            try_number: attempt.try_number,
            index,
            reason: String::new(),
            at: Timestamp::now(),
            details: serde_json::Map::new(),
        };
        if let Err(error) = carry_out(parts, &call, &attempt.run).await {
            parts.outbox.went_wrong(&call, &error);
        }
    }
}

/// Runs one callback to its end.
pub(super) async fn carry_out(
    parts: &Arc<Parts>,
    call: &CallbackCall,
    run: &Arc<RunView>,
) -> Result<(), String> {
    let CallbackWork::Call(callback) = &call.work else {
        return Err("it is no callback".to_owned());
    };
    let vault = Vault::default();
    let within = CALLBACK_TIMEOUT.saturating_add(LEFT_BEHIND_AFTER);
    let ended = tokio::time::timeout(within, outcome(parts, call, callback, run, &vault)).await;
    let hung = || Outcome::Error(unrunnable(AttemptErrorKind::TimedOut, "it did not stop"));
    let outcome = redacted(ended.unwrap_or_else(|_| hung()), &vault);
    let ended = judge(outcome);
    if let Err(error) = &ended {
        let text = format!("{} failed: {error}", call.kind.as_str());
        parts
            .logs
            .open_callback(call)
            .line(LogLevel::Error, LogSource::Host, &text);
    }
    ended
}

/// A callback is called once: it can neither wait nor choose what goes on.
fn judge(outcome: Outcome) -> Result<(), String> {
    match outcome {
        Outcome::Error(error) => Err(error.message),
        Outcome::NotYet | Outcome::Defer(_) => Err(
            "its operator wants to wait, and a callback cannot; use one that ends at once"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

async fn outcome(
    parts: &Arc<Parts>,
    call: &CallbackCall,
    callback: &Callback,
    run: &Arc<RunView>,
    vault: &Vault,
) -> Outcome {
    match prepare(parts, call, callback, run, vault).await {
        Ok((request, account)) => {
            let report = parts.sandbox.run(request).await;
            account.count(parts, &account.of(&report));
            with_denials(report.outcome, &report.denied)
        }
        Err(error) => Outcome::Error(error),
    }
}

async fn prepare(
    parts: &Arc<Parts>,
    call: &CallbackCall,
    callback: &Callback,
    run: &Arc<RunView>,
    vault: &Vault,
) -> Result<(TaskRequest, Account), AttemptError> {
    let Found {
        plugin,
        operator,
        allowed,
    } = resolve(parts, &run.dag, &callback.operator).await?;
    let grants = allowed.effective(&run.dag.grants, None);
    let secrets = AttemptSecrets::new(parts.secrets.clone(), &grants, vault.clone());
    let secrets = Arc::new(secrets);
    let of = task_instance(call, run);
    let outside = super::outside(parts, run, &secrets);
    let operator_name = operator.clone();
    let context = render::callback_context(run, of, call, callback, operator, outside)
        .map_err(|error| unrunnable(AttemptErrorKind::InvalidInput, &error))?;
    let limits = AttemptLimits {
        execution_timeout: Some(CALLBACK_TIMEOUT),
        ..AttemptLimits::default().lowered_by(&grants.limits)
    };
    let granted = InterfaceSet::from_grants(&grants);
    let own_run = Arc::new(CallbackRunPort::new(run.clone(), of));
    let account = Account::new(&callback.operator, &limits);
    let session = shared_session(
        parts,
        Shared {
            grants,
            uses: account.uses(),
            actor: actor(call),
            provenance: super::provenance(&plugin, &operator_name),
            run_port: own_run.clone(),
            own_run,
            secrets,
            vault: vault.clone(),
            cards: Vec::new(),
            trace_parent: None,
            log: Box::new(parts.logs.open_callback(call)),
        },
    );
    let request = TaskRequest {
        plugin,
        context,
        limits,
        ports: session,
        granted,
        cancel: CancelSignal::new(),
    };
    Ok((request, account))
}

/// The task instance that it is about, where the run still has its task.
fn task_instance(call: &CallbackCall, run: &RunView) -> TaskInstanceKey {
    let task = call.task_id.as_ref();
    let task = task.and_then(|task_id| run.dag.find(task_id.as_str()));
    task.map_or(OF_THE_RUN, |task| TaskInstanceKey {
        task,
        map_index: call.map_index,
    })
}

fn actor(call: &CallbackCall) -> Actor {
    let (dag_id, run_id, kind) = (&call.dag_id, &call.run_id, call.kind.as_str());
    let id = match &call.task_id {
        Some(task_id) => {
            let name = task_instance_name(dag_id, run_id, task_id.as_str(), call.map_index);
            format!("{name}/{}/{kind}", call.try_number)
        }
        None => format!("{dag_id}/{run_id}/{kind}"),
    };
    Actor {
        kind: ActorKind::TaskInstance,
        id,
    }
}
