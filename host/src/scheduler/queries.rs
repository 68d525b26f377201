//! Questions about runs that several parts ask: answered from rows and index rows, never by replaying. It changes nothing.

use super::codec::decode_row;
use super::records::{INDEX, RunRow, date_key, date_prefix, run_key};
use super::recovery::RecoveryError;
use crate::store::{Store, Table};
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::RunType;
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;

/// Index rows read at once.
const READ_ROWS: usize = 64;

/// The run of a DAG with the newest logical date before this one, whatever made it.
///
/// # Errors
/// As for `runs_before`.
pub fn latest_run_before(
    store: &dyn Store,
    dag_id: &DagId,
    logical_date: Timestamp,
) -> Result<Option<RunRow>, RecoveryError> {
    first_before(store, dag_id, logical_date, |_| true)
}

/// The same among runs that the timetable made.
///
/// # Errors
/// As for `runs_before`.
pub fn latest_scheduled_run_before(
    store: &dyn Store,
    dag_id: &DagId,
    logical_date: Timestamp,
) -> Result<Option<RunRow>, RecoveryError> {
    first_before(store, dag_id, logical_date, |run| {
        run.run_type == RunType::Scheduled
    })
}

/// The same among runs that ended in success.
///
/// # Errors
/// As for `runs_before`.
pub(super) fn latest_successful_run_before(
    store: &dyn Store,
    dag_id: &DagId,
    logical_date: Timestamp,
) -> Result<Option<RunRow>, RecoveryError> {
    first_before(store, dag_id, logical_date, |run| {
        run.state == DagRunState::Success
    })
}

fn first_before(
    store: &dyn Store,
    dag_id: &DagId,
    mut logical_date: Timestamp,
    is_wanted: impl Fn(&RunRow) -> bool,
) -> Result<Option<RunRow>, RecoveryError> {
    // Nearly always the first one is it.
    let mut max = 1;
    loop {
        let runs = runs_before(store, dag_id, logical_date, max)?;
        let Some(oldest) = runs.last().and_then(|run| run.logical_date) else {
            return Ok(None);
        };
        if let Some(run) = runs.into_iter().find(&is_wanted) {
            return Ok(Some(run));
        }
        logical_date = oldest;
        max = READ_ROWS;
    }
}

/// Up to `max` runs of a DAG with a logical date before this one, the newest first.
///
/// # Errors
/// When the store does not answer, or a row cannot be read.
pub fn runs_before(
    store: &dyn Store,
    dag_id: &DagId,
    logical_date: Timestamp,
    max: usize,
) -> Result<Vec<RunRow>, RecoveryError> {
    let after = date_key(dag_id, logical_date);
    let index = store.scan(INDEX, &date_prefix(dag_id), Some(&after), max)?;
    let named = index.iter().map(|row| named_run(store, dag_id, &row.value));
    named.collect()
}

/// The run of a DAG with exactly this logical date.
///
/// # Errors
/// As for `runs_before`.
pub fn run_at(
    store: &dyn Store,
    dag_id: &DagId,
    logical_date: Timestamp,
) -> Result<Option<RunRow>, RecoveryError> {
    let index = store.get(INDEX, &date_key(dag_id, logical_date))?;
    let named = index.map(|row| named_run(store, dag_id, &row.value));
    named.transpose()
}

/// The run that an index row names.
fn named_run(store: &dyn Store, dag_id: &DagId, name: &[u8]) -> Result<RunRow, RecoveryError> {
    let place = || format!("the run index of dag {dag_id}");
    let run_id = std::str::from_utf8(name).ok();
    let run_id = run_id.and_then(|text| RunId::parse(text).ok());
    let run_id =
        run_id.ok_or_else(|| RecoveryError::Missing(format!("a run id in {}", place())))?;
    let row = store.get(Table::Run, &run_key(dag_id, &run_id))?;
    let row = row
        .ok_or_else(|| RecoveryError::Missing(format!("run {run_id}, which {} names,", place())))?;
    decode_row(&row.value).map_err(|source| RecoveryError::Codec {
        place: place(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::encode_row;
    use crate::store::{Commit, MemoryStore, RowWrite};

    fn write(key: Vec<u8>, value: Vec<u8>) -> RowWrite {
        RowWrite {
            key,
            expect: Some(0),
            value: Some(value),
        }
    }

    fn add(store: &dyn Store, dag: &str, run_type: RunType, date: &str) {
        let date: Timestamp = date.parse().unwrap();
        let run = RunRow {
            dag_id: DagId::parse(dag).unwrap(),
            run_id: RunId::parse(&format!("{}__{date}", run_type.as_str())).unwrap(),
            run_type,
            state: DagRunState::Success,
            reason: String::new(),
            logical_date: Some(date),
            run_after: date,
            queued_at: date,
            start_date: None,
            end_date: None,
            dag_version: String::new(),
            backfill_id: None,
            triggered_by: "timetable".to_owned(),
            note: String::new(),
            trace_parent: String::new(),
        };
        let name = run.run_id.as_str().as_bytes().to_vec();
        let rows = vec![
            (
                Table::Run,
                write(run_key(&run.dag_id, &run.run_id), encode_row(&run).unwrap()),
            ),
            (INDEX, write(date_key(&run.dag_id, date), name)),
        ];
        store
            .commit(Commit {
                rows,
                ..Commit::default()
            })
            .unwrap();
    }

    fn date_of(run: Option<RunRow>) -> Option<String> {
        run.and_then(|run| run.logical_date)
            .map(|date| date.to_string())
    }

    #[test]
    fn date_keys_sort_the_newest_first_also_with_fractions_and_before_1970() {
        let dag = DagId::parse("d").unwrap();
        let dates = [
            "1969-12-31T23:59:59.5Z",
            "1970-01-01T00:00:00Z",
            "2026-01-05T02:00:00Z",
            "2026-01-05T02:00:00.000000001Z",
            "2026-01-05T02:00:00.25Z",
            "2026-01-05T02:00:00.5Z",
            "2026-01-05T02:00:01Z",
            "9999-01-01T00:00:00Z",
        ];
        let keys: Vec<_> = dates
            .iter()
            .rev()
            .map(|date| date_key(&dag, date.parse().unwrap()))
            .collect();
        assert!(keys.is_sorted());
    }

    #[test]
    fn the_latest_run_before_a_date_is_the_nearest_of_its_own_dag() {
        let store = MemoryStore::default();
        for date in ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00.5Z"] {
            add(&store, "d", RunType::Scheduled, date);
        }
        add(&store, "d", RunType::Manual, "2026-01-02T00:00:00.75Z");
        add(&store, "d2", RunType::Scheduled, "2026-01-02T12:00:00Z");
        let dag = DagId::parse("d").unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let any = |text: &str| date_of(latest_run_before(&store, &dag, at(text)).unwrap());
        let scheduled =
            |text: &str| date_of(latest_scheduled_run_before(&store, &dag, at(text)).unwrap());
        assert_eq!(any("2026-01-01T00:00:00Z"), None);
        assert_eq!(
            any("2026-01-02T00:00:00.5Z").unwrap(),
            "2026-01-01T00:00:00Z"
        );
        assert_eq!(
            any("2026-01-03T00:00:00Z").unwrap(),
            "2026-01-02T00:00:00.75Z"
        );
        assert_eq!(
            scheduled("2026-01-03T00:00:00Z").unwrap(),
            "2026-01-02T00:00:00.5Z"
        );
        assert_eq!(
            runs_before(&store, &dag, at("2027-01-01T00:00:00Z"), 9)
                .unwrap()
                .len(),
            3
        );
    }

    #[test]
    fn the_latest_scheduled_run_is_found_behind_many_others() {
        let store = MemoryStore::default();
        add(&store, "d", RunType::Scheduled, "2026-01-01T00:00:00Z");
        for second in 0..150 {
            let date = format!("2026-01-02T00:{:02}:{:02}Z", second / 60, second % 60);
            add(&store, "d", RunType::Manual, &date);
        }
        let dag = DagId::parse("d").unwrap();
        let found = latest_scheduled_run_before(&store, &dag, Timestamp::MAX).unwrap();
        assert_eq!(date_of(found).unwrap(), "2026-01-01T00:00:00Z");
    }
}
