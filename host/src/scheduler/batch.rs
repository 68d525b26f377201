//! What one turn of the scheduler's loop produced: commits, and the effects that may happen only once they are durable.

use super::codec::encode_row;
use super::handle::Handle;
use super::message::{Attempt, Executor, Notice, Reply, SchedulerError};
use super::records::{INDEX, RunRow, date_key, run_key, run_stream, unfinished_key};
use super::view::RunView;
use crate::store::{Commit, RowWrite, Seq, Store, Table};
use airlock_core::dispatch::RunNumber;
use airlock_core::ids::TaskInstanceKey;
use airlock_core::run::event::Fence;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;

/// Something to do after the commits beside it are durable.
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
    /// Told whether the commits were made.
    Then(Box<dyn FnOnce(Result<(), SchedulerError>) + Send>),
}

/// Gathers a turn's changes; one commit a run.
#[derive(Default)]
pub(super) struct Batch {
    commits: BTreeMap<RunNumber, Commit>,
    /// Rows that belong to no run's commit; they come last, so that what they refer to is there.
    rows: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>,
    effects: Vec<Effect>,
}

impl Batch {
    pub(super) fn is_empty(&self) -> bool {
        self.commits.is_empty() && self.rows.is_empty() && self.effects.is_empty()
    }

    pub(super) fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }

    /// Appends an event; `head` is the stream's head before this turn's events.
    pub(super) fn event(&mut self, run: RunNumber, row: &RunRow, head: Seq, payload: Vec<u8>) {
        let commit = self.commits.entry(run).or_insert_with(|| Commit {
            stream: Some((run_stream(&row.dag_id, &row.run_id), Some(head))),
            ..Commit::default()
        });
        commit.events.push(payload);
    }

    /// Writes the run's row, and its index rows when it begins or ends. Only after `event` in the same turn.
    pub(super) fn run_row(&mut self, run: RunNumber, row: &RunRow) {
        let Some(commit) = self.commits.get_mut(&run) else {
            return;
        };
        let Ok(value) = encode_row(row) else { return };
        let key = run_key(&row.dag_id, &row.run_id);
        commit
            .rows
            .retain(|(table, write)| *table != Table::Run || write.key != key);
        commit.rows.push((
            Table::Run,
            RowWrite {
                key,
                expect: None,
                value: Some(value),
            },
        ));
        if row.state.is_finished() {
            let key = unfinished_key(&row.dag_id, &row.run_id);
            commit.rows.push((
                INDEX,
                RowWrite {
                    key,
                    expect: None,
                    value: None,
                },
            ));
        }
    }

    /// The index row of a run that was reopened.
    pub(super) fn unfinished(&mut self, run: RunNumber, row: &RunRow) {
        let key = unfinished_key(&row.dag_id, &row.run_id);
        let name = row.run_id.as_str().as_bytes().to_vec();
        self.row(Some(run), INDEX, key, Some(name));
    }

    /// Writes or removes a row in the commit of the run `anchor` if this turn has one, else after all runs' commits. The last
    /// write of a turn wins.
    pub(super) fn row(
        &mut self,
        anchor: Option<RunNumber>,
        table: Table,
        key: Vec<u8>,
        value: Option<Vec<u8>>,
    ) {
        let is_same = |(other, write): &(Table, RowWrite)| *other == table && write.key == key;
        for commit in self.commits.values_mut() {
            commit.rows.retain(|row| !is_same(row));
        }
        self.rows.remove(&(table, key.clone()));
        match anchor.and_then(|run| self.commits.get_mut(&run)) {
            Some(commit) => {
                let expect = None;
                commit.rows.push((table, RowWrite { key, expect, value }));
            }
            None => {
                self.rows.insert((table, key), value);
            }
        }
    }

    /// The index rows of a new run; a taken run id or logical date makes the commit fail.
    pub(super) fn new_run(&mut self, run: RunNumber, row: &RunRow) {
        let Some(commit) = self.commits.get_mut(&run) else {
            return;
        };
        let name = row.run_id.as_str().as_bytes().to_vec();
        let key = unfinished_key(&row.dag_id, &row.run_id);
        commit.rows.push((
            INDEX,
            RowWrite {
                key,
                expect: Some(0),
                value: Some(name.clone()),
            },
        ));
        if let Some(logical_date) = row.logical_date {
            let key = date_key(&row.dag_id, logical_date);
            commit.rows.push((
                INDEX,
                RowWrite {
                    key,
                    expect: Some(0),
                    value: Some(name),
                },
            ));
        }
    }

    /// Submits the turn. Effects happen on the committer's thread, in order, if every commit was made; otherwise none happens and
    /// the scheduler is told, because its state is then ahead of the truth and only a restart mends that.
    pub(super) fn submit(
        self,
        store: &Arc<dyn Store>,
        executor: &Arc<dyn Executor>,
        handle: &Handle,
    ) {
        let Self {
            commits,
            rows,
            effects,
        } = self;
        let executor = executor.clone();
        let handle = handle.clone();
        let mut commits: Vec<Commit> = commits.into_values().collect();
        if !rows.is_empty() {
            commits.push(rows_alone(rows));
        }
        if commits.is_empty() {
            return act(effects, &executor);
        }
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
        store.submit(commits, done);
    }
}

fn rows_alone(rows: BTreeMap<(Table, Vec<u8>), Option<Vec<u8>>>) -> Commit {
    let write = |((table, key), value)| {
        let expect = None;
        (table, RowWrite { key, expect, value })
    };
    Commit {
        rows: rows.into_iter().map(write).collect(),
        ..Commit::default()
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
