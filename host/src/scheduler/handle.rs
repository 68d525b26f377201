//! The scheduler's front door: cloneable, safe from any thread, never blocks an async one.

use super::message::{Message, Notice, Reply, SchedulerError};
use airlock_core::dag::spec::Dag;
use airlock_core::dispatch::{RunNumber, Slots};
use airlock_core::ids::{DagId, PoolName, RunId, TaskInstanceKey};
use airlock_core::run::event::{Fence, Outcome, RunHeader};
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
        self.ask(|reply| Message::Trigger {
            dag,
            dag_version,
            header: Box::new(header),
            reply,
        })
        .await
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

    /// Says how an attempt ended. A scheduler that has stopped finds the attempt lost at its next start.
    pub fn finish(&self, run: RunNumber, ti: TaskInstanceKey, fence: Fence, outcome: Outcome) {
        let _ = self.tell(Message::Finish {
            run,
            ti,
            fence,
            outcome,
        });
    }

    /// Creates or resizes a pool for this process; the durable row is the caller's.
    pub async fn set_pool(&self, name: PoolName, slots: Slots) -> Result<(), SchedulerError> {
        self.ask(|reply| Message::SetPool { name, slots, reply })
            .await
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

    pub(super) fn failed(&self, reason: String) {
        let _ = self.tell(Message::Failed(reason));
    }
}
