//! The other runs of a DAG as a run's templates name them, read from the index of runs by logical date. It refuses to read all
//! runs, and to replay any.

use super::codec::decode_event;
use super::queries::{latest_run_before, latest_successful_run_before};
use super::records::{RunRow, run_stream};
use super::recovery::RecoveryError;
use super::view::RunView;
use crate::store::Store;
use airlock_core::run::event::{Event, RunHeader, RunType};
use airlock_core::template::{PreviousRun, RunHistory};
use airlock_core::timetable::{DueRun, Timetable};
use jiff::Timestamp;
use std::sync::Arc;

/// Other runs as the run of `view` sees them now: as in Airflow, a later try may see a later success.
pub struct RunsAround {
    store: Arc<dyn Store>,
    view: Arc<RunView>,
}

impl RunsAround {
    /// Reads from `store` when it is asked.
    pub fn new(store: Arc<dyn Store>, view: Arc<RunView>) -> Self {
        Self { store, view }
    }
}

impl RunHistory for RunsAround {
    fn previous_success(&self) -> Result<Option<PreviousRun>, String> {
        let Some(date) = self.view.header.logical_date else {
            return Ok(None);
        };
        let store = self.store.as_ref();
        let found = latest_successful_run_before(store, &self.view.dag.dag_id, date)
            .and_then(|row| row.map(|row| previous(store, &row)).transpose());
        found.map_err(|error| error.to_string())
    }

    fn previous_logical_date(&self) -> Result<Option<Timestamp>, String> {
        let Some(date) = self.view.header.logical_date else {
            return Ok(None);
        };
        let found = latest_run_before(self.store.as_ref(), &self.view.dag.dag_id, date);
        let found = found.map_err(|error| error.to_string())?;
        Ok(found.and_then(|run| run.logical_date))
    }

    fn next_logical_date(&self) -> Result<Option<Timestamp>, String> {
        let header = &self.view.header;
        let (Some(logical_date), Some(start), Some(end)) = (
            header.logical_date,
            header.data_interval_start,
            header.data_interval_end,
        ) else {
            return Ok(None);
        };
        // No run of the timetable comes after one that a person asked for.
        if header.run_type == RunType::Manual {
            return Ok(None);
        }
        let timetable = Timetable::new(&self.view.dag).map_err(|error| error.to_string())?;
        let own = DueRun {
            logical_date,
            data_interval_start: start,
            data_interval_end: end,
            run_after: header.run_after,
        };
        let next = timetable.unrestricted().next(Some(&own), header.run_after);
        Ok(next.map(|next| next.logical_date))
    }
}

fn previous(store: &dyn Store, row: &RunRow) -> Result<PreviousRun, RecoveryError> {
    let header = run_header(store, row)?;
    Ok(PreviousRun {
        data_interval_start: header.data_interval_start,
        data_interval_end: header.data_interval_end,
        start_date: row.start_date,
        end_date: row.end_date,
    })
}

/// What is fixed about a run: its first event holds it.
///
/// # Errors
/// When the store does not answer, or the event is not there.
pub fn run_header(store: &dyn Store, row: &RunRow) -> Result<RunHeader, RecoveryError> {
    let place = || format!("run {} of dag {}", row.run_id, row.dag_id);
    let first = store.read(&run_stream(&row.dag_id, &row.run_id), 0, 1)?;
    let first = first.first().map(|stored| decode_event(&stored.payload));
    match first.transpose() {
        Ok(Some(Event::RunQueued { header, .. })) => Ok(*header),
        Ok(_) => Err(RecoveryError::Missing(format!(
            "the first event of {}",
            place()
        ))),
        Err(source) => Err(RecoveryError::Codec {
            place: place(),
            source,
        }),
    }
}
