//! Other runs of the same DAG as templates name them: `prev_ds`, `prev_data_interval_start_success` and their like. What is asked
//! for is read then, and nothing else. It refuses to know where runs are kept.

use super::datetime::{self, Date};
use jiff::Timestamp;
use minijinja::{Error, ErrorKind, Value};

/// Where the names of other runs are looked up. Errors are sentences for a person.
pub trait RunHistory: Send + Sync {
    /// The run of the DAG that ended in success and has the newest logical date before this run's, as in Airflow.
    fn previous_success(&self) -> Result<Option<PreviousRun>, String>;
    /// The logical date of the run before this one, whatever became of it.
    fn previous_logical_date(&self) -> Result<Option<Timestamp>, String>;
    /// The logical date of the run that the timetable makes after this one.
    fn next_logical_date(&self) -> Result<Option<Timestamp>, String>;
}

/// What templates see of an earlier run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PreviousRun {
    /// Start of its data interval.
    pub data_interval_start: Option<Timestamp>,
    /// End of its data interval.
    pub data_interval_end: Option<Timestamp>,
    /// When it began.
    pub start_date: Option<Timestamp>,
    /// When it ended.
    pub end_date: Option<Timestamp>,
}

/// A run that knows of no other.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHistory;

impl RunHistory for NoHistory {
    fn previous_success(&self) -> Result<Option<PreviousRun>, String> {
        Ok(None)
    }

    fn previous_logical_date(&self) -> Result<Option<Timestamp>, String> {
        Ok(None)
    }

    fn next_logical_date(&self) -> Result<Option<Timestamp>, String> {
        Ok(None)
    }
}

/// The value of one of the names; `None` where it is none of them.
pub(super) fn value(name: &str, history: &dyn RunHistory) -> Option<Value> {
    let of_success = |part: fn(PreviousRun) -> Option<Timestamp>| {
        let found = history.previous_success();
        told(found.map(|run| run.and_then(part)), Date::value)
    };
    let text = |format: &'static str| move |at| Value::from(datetime::named(format, at));
    Some(match name {
        "prev_data_interval_start_success" => of_success(|run| run.data_interval_start),
        "prev_data_interval_end_success" => of_success(|run| run.data_interval_end),
        "prev_start_date_success" => of_success(|run| run.start_date),
        "prev_end_date_success" => of_success(|run| run.end_date),
        "prev_ds" => told(history.previous_logical_date(), text("ds")),
        "prev_ds_nodash" => told(history.previous_logical_date(), text("ds_nodash")),
        "prev_logical_date" => told(history.previous_logical_date(), Date::value),
        "next_ds" => told(history.next_logical_date(), text("ds")),
        "next_ds_nodash" => told(history.next_logical_date(), text("ds_nodash")),
        "next_logical_date" => told(history.next_logical_date(), Date::value),
        _ => return None,
    })
}

fn told(found: Result<Option<Timestamp>, String>, shown: impl Fn(Timestamp) -> Value) -> Value {
    match found {
        Ok(at) => at.map_or_else(|| Value::from(()), shown),
        Err(sentence) => Value::from(Error::new(ErrorKind::InvalidOperation, sentence)),
    }
}
