//! What one turn of the scheduler's loop produced: one commit, and the effects that may happen only once it is durable.

use super::codec::encode_row;
use super::handle::Handle;
use super::message::{Attempt, Executor, Notice, Reply, SchedulerError};
use super::records::{INDEX, RunRow, date_key, run_key, run_stream, unfinished_key};
use super::view::RunView;
use crate::store::{Append, Commit, RowWrite, Seq, Store, Table};
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::Fence;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Bytes of events and rows after which a turn ends early: what one more input adds is far from what a commit may hold.
const TURN_BYTES_MAX: usize = 8 << 20;

/// Something to do after the commit is durable.
pub(super) enum Effect {
    Start(Attempt),
    Stop {
        run: RunNumber,
        ti: TaskInstanceKey,
        fence: Fence,
        reason: String,
    },
    /// Callbacks of this run are in the outbox.
    Call(Arc<RunView>),
    Reply(Reply<()>, Result<(), SchedulerError>),
    Notify(mpsc::UnboundedSender<Notice>, Notice),
    /// Told whether the commit was made.
    Then(Box<dyn FnOnce(Result<(), SchedulerError>) + Send>),
}

/// A row to be written or removed.
struct Write {
    /// The version that it must have.
    expect: Option<u64>,
    value: Option<Vec<u8>>,
}

/// Gathers a turn's changes. They are one commit: what happened in one run and what it led to in others is there together or
/// not at all.
#[derive(Default)]
pub(super) struct Batch {
    streams: BTreeMap<RunNumber, Append>,
    rows: BTreeMap<(Table, Vec<u8>), Write>,
    effects: Vec<Effect>,
    /// About what the commit holds.
    bytes: usize,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.streams.is_empty() && self.rows.is_empty() && self.effects.is_empty()
    }

    /// Whether it is to be submitted before anything more is put into it.
    pub(super) fn is_full(&self) -> bool {
        self.bytes >= TURN_BYTES_MAX
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Appends an event; `head` is the stream's head before this turn's events.
    pub(super) fn event(&mut self, run: RunNumber, row: &RunRow, head: Seq, payload: Vec<u8>) {
        let append = self.streams.entry(run).or_insert_with(|| Append {
            stream: run_stream(&row.dag_id, &row.run_id),
            expect: Some(head),
            events: Vec::new(),
        });
        self.bytes += payload.len();
        append.events.push(payload);
    }

    /// Writes the run's row, and removes its index row when it ends.
    pub(super) fn run_row(&mut self, row: &RunRow) {
        let Ok(value) = encode_row(row) else { return };
        self.row(Table::Run, run_key(&row.dag_id, &row.run_id), Some(value));
        if row.state.is_finished() {
            self.row(INDEX, unfinished_key(&row.dag_id, &row.run_id), None);
        }
    }

    /// The index row of a run that was reopened.
    pub(super) fn unfinished(&mut self, row: &RunRow) {
        let name = row.run_id.as_str().as_bytes().to_vec();
        self.row(INDEX, unfinished_key(&row.dag_id, &row.run_id), Some(name));
    }

    /// Writes or removes a row. The last write of a turn wins.
    pub(super) fn row(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>) {
        self.write(table, key, None, value);
    }

    fn write(&mut self, table: Table, key: Vec<u8>, expect: Option<u64>, value: Option<Vec<u8>>) {
        self.bytes += key.len() + value.as_ref().map_or(0, Vec::len);
        self.rows.insert((table, key), Write { expect, value });
    }

    /// The index rows of a new run. The engine has seen that its id and its logical date are free; that they are is checked
    /// once more where nothing can come between.
    pub(super) fn new_run(&mut self, row: &RunRow) {
        let name = row.run_id.as_str().as_bytes().to_vec();
        let key = unfinished_key(&row.dag_id, &row.run_id);
        self.write(INDEX, key, Some(0), Some(name.clone()));
        if let Some(logical_date) = row.logical_date {
            let key = date_key(&row.dag_id, logical_date);
            self.write(INDEX, key, Some(0), Some(name));
        }
    }

    /// Submits the turn. Effects happen on the committer's thread, in order, if the commit was made; otherwise none happens and
    /// the scheduler is told, because its state is then ahead of the truth and only a restart mends that. It owns every run, so
    /// nobody else can make a condition fail.
    pub(super) fn submit(
        self,
        store: &Arc<dyn Store>,
        executor: &Arc<dyn Executor>,
        handle: &Handle,
    ) {
        let executor = executor.clone();
        let handle = handle.clone();
        if self.streams.is_empty() && self.rows.is_empty() {
            return act(self.effects, &executor);
        }
        let write = |((table, key), write): (_, Write)| {
            let Write { expect, value } = write;
            (table, RowWrite { key, expect, value })
        };
        let commit = Commit {
            more_streams: self.streams.into_values().collect(),
            rows: self.rows.into_iter().map(write).collect(),
            ..Commit::default()
        };
        let effects = self.effects;
        let done =
            Box::new(move |results: Vec<Result<_, crate::store::CommitError>>| {
                match results.into_iter().find_map(Result::err) {
                    None => act(effects, &executor),
                    Some(error) => {
                        refuse(effects, &error.to_string());
                        handle.failed(error.to_string());
                    }
                }
            });
        store.submit(vec![commit], done);
    }
}

fn act(effects: Vec<Effect>, executor: &Arc<dyn Executor>) {
    for effect in effects {
        match effect {
            Effect::Start(attempt) => executor.start(attempt),
            Effect::Stop {
                run,
                ti,
                fence,
                reason,
            } => executor.stop(run, ti, fence, &reason),
            Effect::Call(run) => executor.call(&run),
            // A caller or watcher that is gone needs no answer.
            Effect::Reply(reply, result) => drop(reply.send(result)),
            Effect::Notify(watcher, notice) => drop(watcher.send(notice)),
            Effect::Then(tell) => tell(Ok(())),
        }
    }
}

fn refuse(effects: Vec<Effect>, error: &str) {
    for effect in effects {
        let failed = Err(SchedulerError::Store(error.to_owned()));
        match effect {
            Effect::Reply(reply, _) => drop(reply.send(failed)),
            Effect::Then(tell) => tell(failed),
            _ => {}
        }
    }
}
