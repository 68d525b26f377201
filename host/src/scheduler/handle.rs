//! The scheduler's front door: cloneable, safe from any thread, never blocks an async one.

use super::message::{
    BackfillChange, BackfillReply, Change, ChangedInstance, GpuUse, Message, Notice, PoolSize,
    Removal, Reply, SchedulerError,
};
use super::records::DagRow;
use crate::store::Table;
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::RunNumber;
use airlock_core::failed_deps::FailedDep;
use airlock_core::gpu::Gpu;
use airlock_core::ids::{DagId, PoolName, RunId, TaskInstanceKey};
use airlock_core::run::event::{AssetEvent, Fence, Outcome, RunHeader};
use airlock_core::task_instance::state::DagRunState;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use tokio::sync::{mpsc, oneshot};

/// Speaks to the scheduler's thread.
#[derive(Debug, Clone)]
pub struct Handle {
    inbox: Sender<Message>,
}

impl Handle {
    pub(super) fn new(inbox: Sender<Message>) -> Self {
        Self { inbox }
    }

    async fn ask<T>(&self, message: impl FnOnce(Reply<T>) -> Message) -> Result<T, SchedulerError> {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply))?;
        answer.await.unwrap_or(Err(SchedulerError::Stopped))
    }

    fn tell(&self, message: Message) -> Result<(), SchedulerError> {
        self.inbox
            .send(message)
            .map_err(|_| SchedulerError::Stopped)
    }

    /// Records a run durably.
    pub async fn trigger(
        &self,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        header: RunHeader,
    ) -> Result<(), SchedulerError> {
        self.trigger_traced(dag, dag_version, header, String::new())
            .await
    }

    /// The same, as a part of the trace that a `traceparent` names; empty for none.
    pub async fn trigger_traced(
        &self,
        dag: Arc<Dag>,
        dag_version: [u8; 32],
        header: RunHeader,
        trace_parent: String,
    ) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::Trigger {
            dag,
            dag_version,
            header: Box::new(header),
            trace_parent,
            reply,
        })
        .await
    }

    /// Says how a DAG is now; a scheduler that has stopped reads it at its next start.
    pub fn put_dag(&self, dag: Arc<Dag>, dag_version: [u8; 32], row: DagRow) {
        let _ = self.tell(Message::PutDag {
            dag,
            dag_version,
            row: Box::new(row),
        });
    }

    /// Lets a DAG go with these rows, durably, if no run of it is there. Blocks: not for async threads.
    pub fn forget_dag(
        &self,
        dag_id: DagId,
        rows: Vec<(Table, Vec<u8>)>,
    ) -> Result<(), SchedulerError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::ForgetDag {
            dag_id,
            rows,
            reply,
        })?;
        answer
            .blocking_recv()
            .unwrap_or(Err(SchedulerError::Stopped))
    }

    /// From now on runs are made when they are due.
    pub async fn start_service(&self) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::StartService { reply }).await
    }

    /// Cancels a run durably.
    pub async fn cancel(
        &self,
        dag_id: DagId,
        run_id: RunId,
        reason: String,
    ) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::Cancel {
            dag_id,
            run_id,
            reason,
            reply,
        })
        .await
    }

    /// Changes a run, live or ended, durably; yields which task instances are concerned, in the state they had.
    pub async fn change(
        &self,
        dag_id: DagId,
        run_id: RunId,
        change: Change,
    ) -> Result<Vec<ChangedInstance>, SchedulerError> {
        self.ask(|reply| Message::Change {
            dag_id,
            run_id,
            change,
            reply,
        })
        .await
    }

    /// Removes runs that have ended; the answer says of each whether it went. Blocks: not for async threads.
    pub fn remove_runs(&self, removals: Vec<Removal>) -> Result<Vec<bool>, SchedulerError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::RemoveRuns { removals, reply })?;
        answer
            .blocking_recv()
            .unwrap_or(Err(SchedulerError::Stopped))
    }

    /// Makes, changes or shows a backfill.
    pub async fn backfill(
        &self,
        dag_id: DagId,
        change: BackfillChange,
    ) -> Result<BackfillReply, SchedulerError> {
        self.ask(|reply| Message::Backfill {
            dag_id,
            change,
            reply,
        })
        .await
    }

    /// Records durably that an asset was updated.
    pub async fn asset_updated(&self, event: AssetEvent) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::AssetUpdated { event, reply })
            .await
    }

    /// Why a task instance does not run.
    pub async fn failed_deps(
        &self,
        dag_id: DagId,
        run_id: RunId,
        task_id: String,
        map_index: i32,
    ) -> Result<Vec<FailedDep>, SchedulerError> {
        self.ask(|reply| Message::FailedDeps {
            dag_id,
            run_id,
            task_id,
            map_index,
            reply,
        })
        .await
    }

    /// Stores an XCom durably.
    pub async fn push_xcom(
        &self,
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        key: String,
        value: String,
    ) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::PushXCom {
            run,
            ti,
            fence,
            key,
            value,
            reply,
        })
        .await
    }

    /// Records durably that an attempt asks a person something; the same again is harmless.
    pub async fn request_input(
        &self,
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        request: String,
    ) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::RequestInput {
            run,
            ti,
            fence,
            request,
            reply,
        })
        .await
    }

    /// Records what the templates of an attempt came to: a JSON object, for people. Nobody waits for it.
    pub fn render(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, fields: String) {
        let _ = self.tell(Message::Render {
            run,
            ti,
            fence,
            fields,
        });
    }

    /// Records what an attempt used of its limits and grants: a JSON object, for people. Told before its end; nobody waits for it.
    pub fn record_use(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, used: String) {
        let _ = self.tell(Message::Use {
            run,
            ti,
            fence,
            used,
        });
    }

    /// Says how far an attempt is, to those who watch its run.
    pub fn report(&self, run: RunNumber, ti: TaskInstanceKey, message: String) {
        let _ = self.tell(Message::Report { run, ti, message });
    }

    /// Says that the owner of an attempt is gone: the same try is started again.
    pub fn lose(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence) {
        let _ = self.tell(Message::Lose { run, ti, fence });
    }

    /// Says how an attempt ended. A scheduler that has stopped finds the attempt lost at its next start.
    pub fn finish(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, outcome: Outcome) {
        let _ = self.tell(Message::Finish {
            run,
            ti,
            fence,
            outcome,
        });
    }

    /// Creates, resizes or removes a pool for this process; the durable row is the caller's.
    pub async fn set_pool(
        &self,
        name: PoolName,
        size: Option<PoolSize>,
    ) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::SetPool { name, size, reply })
            .await
    }

    /// The machine's cards, if the scheduler was not told of them at its start.
    pub async fn set_gpus(&self, gpus: Vec<Gpu>) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::SetGpus { gpus, reply }).await
    }

    /// The machine's cards and who holds how much of each.
    pub async fn gpus(&self) -> Result<Vec<GpuUse>, SchedulerError> {
        self.ask(|reply| Message::Gpus { reply }).await
    }

    /// Follows a live run; yields its state now. The channel closes after the run's end.
    pub async fn watch(
        &self,
        dag_id: DagId,
        run_id: RunId,
    ) -> Result<(DagRunState, mpsc::UnboundedReceiver<Notice>), SchedulerError> {
        let (notices, receiver) = mpsc::unbounded_channel();
        let state = self
            .ask(|reply| Message::Watch {
                dag_id,
                run_id,
                notices,
                reply,
            })
            .await?;
        Ok((state, receiver))
    }

    /// Stops the scheduler's thread after what is in its inbox.
    pub fn shutdown(&self) {
        let _ = self.tell(Message::Shutdown);
    }

    /// Puts a message behind what is in the inbox.
    pub(super) fn again(&self, message: Message) {
        let _ = self.tell(message);
    }

    pub(super) fn failed(&self, reason: String) {
        let _ = self.tell(Message::Failed(reason));
    }
}
