//! `cache: content`: a success that the same component reached before from the same config, inputs and data takes the place of an
//! attempt. What an attempt read is written down with digests while it runs; before the next one starts, all of it is looked at
//! again, and so is what the first one wrote. A result that depends on what has no digest (a person, the time, the stages of the
//! registry) is not kept; grants for the network, secrets and other runs are refused where the DAG is read.
//! It refuses to reuse anything but a success, and what the guest's own clock or random numbers decided it cannot see.

mod ports;
mod record;
mod trace;

use super::accounts::Account;
use super::run_port::AttemptRunPort;
use super::{Parts, actor, redacted, with_denials};
use crate::capability::{OwnRun, RunPort, Vault};
use crate::sandbox::TaskRequest;
use crate::sandbox::bindings::airlock::operator::types::TaskContext;
use crate::sandbox::ports::{LogLevel, LogPort, LogSource, StoragePort};
use crate::scheduler::Attempt;
use crate::store::{Commit, RowWrite, Store, Table};
use airlock_core::run::event::Outcome;
use jiff::Timestamp;
use ports::{TracedRun, digest_of, entries, traced};
pub use record::{KEPT_PREFIX, kept_at};
use record::{Record, Told, key, sha256};
use std::sync::Arc;
use trace::Trace;

/// The XCom of a task instance whose result was reused: the attempt that reached it, as `dag/run/task/map_index/try`.
pub const REUSED_FROM: &str = "airlock.reused_from";

/// An attempt whose result may come from an earlier one, or be kept for a later one.
pub(super) struct Reuse {
    run: Arc<AttemptRunPort>,
    trace: Arc<Trace>,
}

impl Reuse {
    pub(super) fn new(run: Arc<AttemptRunPort>) -> Self {
        Self {
            run,
            trace: Arc::default(),
        }
    }

    /// The attempt's run, for its ports.
    pub(super) fn run_ports(&self) -> (Arc<dyn RunPort>, Arc<dyn OwnRun>) {
        let traced = Arc::new(TracedRun {
            inner: self.run.clone(),
            trace: self.trace.clone(),
        });
        (traced.clone(), traced)
    }

    /// Reuses an earlier result, or runs the attempt and keeps its own.
    pub(super) async fn carry_out(
        self,
        parts: &Arc<Parts>,
        attempt: &Attempt,
        mut request: TaskRequest,
        (account, vault): (&Account, &Vault),
    ) -> Outcome {
        without_dates(&mut request.context);
        let key = key(
            request.plugin.digest(),
            &attempt.run.dag.timezone,
            &request.context,
        );
        if let Some(record) = self.find(parts, &key, request.ports.storage.as_ref()).await
            && let Some(outcome) = self.repeat(record, request.ports.log.as_ref()).await
        {
            return outcome;
        }
        let log = Arc::<dyn LogPort>::from(request.ports.log);
        request.ports.log = Box::new(SharedLog(log.clone()));
        request.ports = traced(request.ports, &self.trace);
        let report = parts.sandbox.run(request).await;
        account.close(parts, attempt, &report, vault);
        let outcome = redacted(with_denials(report.outcome, &report.denied), vault);
        if let Outcome::Success(value) = &outcome {
            match self.trace.end() {
                Ok(told) => {
                    let from = actor(attempt).id;
                    let record = Record::new(from, Timestamp::now(), value.clone(), told);
                    keep(parts.store.clone(), key, record).await;
                }
                Err(what) => say(
                    log.as_ref(),
                    &format!("not kept for reuse: the attempt depended on {what}"),
                ),
            }
        }
        outcome
    }

    /// A kept success of which everything is as it was.
    async fn find(
        &self,
        parts: &Arc<Parts>,
        key: &[u8],
        storage: &dyn StoragePort,
    ) -> Option<Record> {
        let (store, key) = (parts.store.clone(), key.to_vec());
        let row = tokio::task::spawn_blocking(move || store.get(Table::State, &key));
        let row = row.await.ok()?;
        let row = row.inspect_err(|error| tracing::warn!(%error, "kept results cannot be read"));
        let record = Record::decode(&row.ok()??.value)?;
        self.still_holds(&record.told, storage)
            .await
            .then_some(record)
    }

    async fn still_holds(&self, told: &Told, storage: &dyn StoragePort) -> bool {
        for (task_id, key, map_index, digest) in &told.pulled {
            let value = self.run.xcom(task_id, key, *map_index);
            if value.map(|value| sha256(value.as_bytes())) != *digest {
                return false;
            }
        }
        for (prefix, after, found) in &told.listings {
            let listed = storage.list(prefix.clone(), after.clone()).await;
            if !listed.is_ok_and(|listed| told.listed(&entries(&listed)) == *found) {
                return false;
            }
        }
        for (uri, digest) in told.objects.iter().chain(&told.written) {
            if !digest_of(storage, uri)
                .await
                .is_ok_and(|now| now == *digest)
            {
                return false;
            }
        }
        true
    }

    /// Leaves what the earlier attempt left. None where the run does not take it: then the attempt runs and says why.
    async fn repeat(&self, record: Record, log: &dyn LogPort) -> Option<Outcome> {
        for (key, value) in record.told.pushed {
            self.run.push_xcom(&key, value).await.ok()?;
        }
        let from = serde_json::Value::from(record.from.clone()).to_string();
        self.run.push_xcom(REUSED_FROM, from).await.ok()?;
        let at = record.at.strftime("%Y-%m-%d %H:%M:%SZ");
        let text = format!(
            "reused the result of {} of {at}: component, config, inputs and data are unchanged",
            record.from
        );
        say(log, &text);
        Some(Outcome::Success(record.value))
    }
}

/// What is equal for the same content must not depend on when it is asked for.
fn without_dates(context: &mut TaskContext) {
    context.logical_date = None;
    context.data_interval_start = None;
    context.data_interval_end = None;
}

fn say(log: &dyn LogPort, text: &str) {
    log.line(LogLevel::Info, LogSource::Host, text);
}

/// A result that cannot be kept is only not found later.
async fn keep(store: Arc<dyn Store>, key: Vec<u8>, record: Record) {
    let Some(value) = record.encode() else { return };
    let write = RowWrite {
        key,
        expect: None,
        value: Some(value),
    };
    let commit = Commit {
        rows: vec![(Table::State, write)],
        ..Commit::default()
    };
    let kept = tokio::task::spawn_blocking(move || store.commit(commit)).await;
    if let Ok(Err(error)) = kept {
        tracing::warn!(%error, "a result could not be kept for reuse");
    }
}

/// A log that the attempt and its host both write to.
struct SharedLog(Arc<dyn LogPort>);

impl LogPort for SharedLog {
    fn line(&self, level: LogLevel, source: LogSource, text: &str) {
        self.0.line(level, source, text);
    }

    fn progress(&self, fraction: Option<f64>, message: &str) {
        self.0.progress(fraction, message);
    }
}
