//! Recovery is replay: a run's state is the fold of its events over the DAG version that its first event names.

use super::codec::{CodecError, decode_event, decode_row};
use super::records::{
    DagVersionRow, RunRow, UNFINISHED_PREFIX, run_key, run_stream, unfinished_ids,
};
use super::rows::Times;
use super::view::RunView;
use crate::store::{Seq, Store, StoreError, Table};
use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::IllegalEvent;
use airlock_core::run::event::{Event, RunHeader};
use airlock_core::run::state::RunState;
use std::sync::Arc;

/// Events read at once while replaying.
const READ_EVENTS: usize = 4_096;
/// Index rows read at once.
const READ_ROWS: usize = 1_024;

/// Why a run could not be taken up.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The store did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An event or a row cannot be decoded.
    #[error("{place}: {source}")]
    Codec {
        /// Which stream or row.
        place: String,
        /// What is wrong.
        source: CodecError,
    },
    /// The events do not follow from each other.
    #[error("{place}: {source}")]
    Illegal {
        /// Which stream.
        place: String,
        /// What is wrong.
        source: IllegalEvent,
    },
    /// Something that a run names is not there.
    #[error("{0} is missing from the store")]
    Missing(String),
    /// The scheduler's thread could not be started.
    #[error("cannot start the scheduler's thread: {0}")]
    Thread(std::io::Error),
}

/// A run as its events say.
pub struct ReplayedRun {
    /// Its state.
    pub state: RunState,
    /// Times and errors of its task instances.
    pub times: Times,
    /// What is fixed about it.
    pub header: RunHeader,
    /// Its row.
    pub row: RunRow,
    /// Its stream's head.
    pub head: Seq,
}

/// Every run that has not ended, oldest first.
pub(super) fn unfinished(store: &dyn Store) -> Result<Vec<ReplayedRun>, RecoveryError> {
    let mut runs = Vec::new();
    let mut after: Option<Vec<u8>> = None;
    loop {
        let rows = store.scan(
            super::records::INDEX,
            UNFINISHED_PREFIX,
            after.as_deref(),
            READ_ROWS,
        )?;
        let Some(last) = rows.last() else { break };
        after = Some(last.key.clone());
        for row in &rows {
            let (dag_id, run_id) = unfinished_ids(&row.key)
                .ok_or_else(|| RecoveryError::Missing(format!("run {:?}", row.key)))?;
            runs.push(replay_run(store, &dag_id, &run_id)?);
        }
    }
    runs.sort_by(|one, other| {
        (one.row.run_after, &one.row.run_id).cmp(&(other.row.run_after, &other.row.run_id))
    });
    Ok(runs)
}

/// Folds a run's events.
pub fn replay_run(
    store: &dyn Store,
    dag_id: &DagId,
    run_id: &RunId,
) -> Result<ReplayedRun, RecoveryError> {
    let place = format!("run {run_id} of dag {dag_id}");
    let codec = |source| RecoveryError::Codec {
        place: place.clone(),
        source,
    };
    let key = run_key(dag_id, run_id);
    let row = store
        .get(Table::Run, &key)?
        .ok_or_else(|| RecoveryError::Missing(place.clone()))?;
    let row: RunRow = decode_row(&row.value).map_err(codec)?;
    let events = store.read(&run_stream(dag_id, run_id), 0, 1)?;
    let missing = || RecoveryError::Missing(format!("the first event of {place}"));
    let stored = events.first().ok_or_else(missing)?;
    let event = decode_event(&stored.payload).map_err(codec)?;
    let (state, header) = first(store, &place, &event)?;
    let mut times = Times::default();
    times.follow(&event);
    let mut run = ReplayedRun {
        state,
        times,
        header,
        row,
        head: 1,
    };
    run.follow(store)?;
    Ok(run)
}

impl ReplayedRun {
    /// Goes on with what is new in the run's stream. False where the stream is shorter than what was seen of it: another run has
    /// its place, and this one is to be forgotten.
    ///
    /// # Errors
    /// When the store does not answer, or what is new cannot be read; then, too, it is to be forgotten.
    pub fn follow(&mut self, store: &dyn Store) -> Result<bool, RecoveryError> {
        let RunRow { dag_id, run_id, .. } = &self.row;
        let place = format!("run {run_id} of dag {dag_id}");
        let stream = run_stream(dag_id, run_id);
        if store.head(&stream)? < self.head {
            return Ok(false);
        }
        loop {
            let events = store.read(&stream, self.head, READ_EVENTS)?;
            if events.is_empty() {
                return Ok(true);
            }
            for stored in events {
                let event = decode_event(&stored.payload).map_err(|source| {
                    let place = place.clone();
                    RecoveryError::Codec { place, source }
                })?;
                self.head = stored.seq + 1;
                self.times.follow(&event);
                apply(store, &place, &mut self.state, &event)?;
            }
        }
    }
}

/// A run as templates see it, read back from its events. It is not live: its number names no run.
pub fn replayed_view(
    store: &dyn Store,
    dag_id: &DagId,
    run_id: &RunId,
) -> Result<RunView, RecoveryError> {
    let run = replay_run(store, dag_id, run_id)?;
    let view = RunView::new(0, run.state.dag().clone(), run.header);
    for (ti, _) in run.state.all_instances() {
        for (key, value) in run.state.xcoms_of(ti) {
            view.put(ti, key, value);
        }
    }
    Ok(view)
}

fn apply(
    store: &dyn Store,
    place: &str,
    state: &mut RunState,
    event: &Event,
) -> Result<(), RecoveryError> {
    let applied = match event {
        Event::VersionChanged { dag_version, .. } => {
            let dag = version_of(store, place, dag_version)?;
            state.apply_version(dag, event)
        }
        event => state.apply(event),
    };
    applied.map_err(|source| RecoveryError::Illegal {
        place: place.to_owned(),
        source,
    })
}

fn version_of(
    store: &dyn Store,
    place: &str,
    dag_version: &[u8; 32],
) -> Result<Arc<Dag>, RecoveryError> {
    let version = store
        .get(Table::DagVersion, dag_version)?
        .ok_or_else(|| RecoveryError::Missing(format!("the DAG version of {place}")))?;
    let version: DagVersionRow =
        decode_row(&version.value).map_err(|source| RecoveryError::Codec {
            place: place.to_owned(),
            source,
        })?;
    Ok(Arc::new(version.dag))
}

fn first(
    store: &dyn Store,
    place: &str,
    event: &Event,
) -> Result<(RunState, RunHeader), RecoveryError> {
    let Event::RunQueued {
        header,
        dag_version,
        ..
    } = event
    else {
        return Err(RecoveryError::Missing(format!(
            "the first event of {place}"
        )));
    };
    let mut state = RunState::new(version_of(store, place, dag_version)?);
    apply(store, place, &mut state, event)?;
    Ok((state, (**header).clone()))
}
