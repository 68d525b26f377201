//! The outbox: callbacks and mails wait in the store from the commit of the event that led to them, so that none is forgotten
//! when the process dies. It refuses to carry them out: that is told to the executor once they are durable.

use super::Engine;
use crate::scheduler::batch::{Batch, Effect};
use crate::scheduler::callbacks::Happened;
use crate::scheduler::codec::encode_row;
use crate::store::Table;
use airlock_core::dispatch::RunNumber;
use airlock_core::run::event::Event;
use airlock_core::task_instance::state::TaskInstanceState;

impl Engine {
    /// Puts what follows from the events of a step into the outbox. `head` is the stream's head before them, `before` the state
    /// of the task instance whose attempt ended in the step.
    pub(super) fn emit_callbacks(
        &mut self,
        number: RunNumber,
        head: u64,
        events: &[Event],
        before: Option<TaskInstanceState>,
        batch: &mut Batch,
    ) {
        let Some(run) = self.runs.get(&number) else {
            return;
        };
        let happened = Happened {
            events,
            head,
            state: &run.state,
            row: &run.row,
            before,
        };
        let calls = happened.calls();
        if calls.is_empty() {
            return;
        }
        for call in calls {
            match encode_row(&call) {
                Ok(value) => batch.row(Table::State, call.key(), Some(value)),
                Err(error) => tracing::error!(%error, "a callback cannot be encoded"),
            }
        }
        batch.effect(Effect::Call(run.view.clone()));
    }
}
