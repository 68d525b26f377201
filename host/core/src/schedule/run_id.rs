//! Run ids as Airflow writes them: `<run_type>__<run_after in ISO 8601, UTC>`.
//! It refuses to draw random suffixes: who needs one adds it.

use crate::ids::{InvalidId, RunId};
use crate::run::event::RunType;
use jiff::Timestamp;

/// `2025-06-16T02:00:00+00:00`; six digits of a second only where they are not zero, as Python writes it.
pub fn isoformat(at: Timestamp) -> String {
    let seconds = at.strftime("%Y-%m-%dT%H:%M:%S");
    match at.as_microsecond().rem_euclid(1_000_000) {
        0 => format!("{seconds}+00:00"),
        micros => format!("{seconds}.{micros:06}+00:00"),
    }
}

/// The id of a run that is due at `run_after`, for example `scheduled__2025-06-16T02:00:00+00:00`.
pub fn run_id(run_type: RunType, run_after: Timestamp) -> Result<RunId, InvalidId> {
    RunId::parse(&format!("{}__{}", run_type.as_str(), isoformat(run_after)))
}

/// The microsecond that `at` is in. Ids tell no finer instants apart, so no run gets one.
pub fn whole_microsecond(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}
