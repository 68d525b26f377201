//! The rows that the scheduler keeps beside the event streams: what lists and look-ups read without replaying a run.

use airlock_core::dag::spec::Dag;
use airlock_core::ids::{DagId, RunId};
use airlock_core::run::event::RunType;
use airlock_core::task_instance::state::DagRunState;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::{Digest, StreamId, Table};
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;

/// The longest text that is written out in a key: two of them with what stands between are shorter than any key may be.
const KEY_PART_BYTES_MAX: usize = 480;

/// A DAG as it is now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DagRow {
    /// Its id.
    pub dag_id: DagId,
    /// Digest of the version that new runs take, in hex.
    pub dag_version: String,
    /// Whether the timetable makes no runs.
    pub is_paused: bool,
    /// Whether its file is gone: it makes no runs.
    #[serde(default)]
    pub is_stale: bool,
    /// Where it was read from.
    pub fileloc: String,
    /// When this version came.
    pub updated_at: Timestamp,
}

/// One version of a DAG; a run finishes on the version it began with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DagVersionRow {
    /// The DAG.
    pub dag: Dag,
    /// Its text as written.
    pub source: String,
}

/// A run, without its task instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunRow {
    /// Of which DAG.
    pub dag_id: DagId,
    /// Its id.
    pub run_id: RunId,
    /// Why it exists.
    pub run_type: RunType,
    /// Its state.
    pub state: DagRunState,
    /// Why it has its state; empty while it goes well.
    pub reason: String,
    /// What it is about.
    pub logical_date: Option<Timestamp>,
    /// When it was due or asked for.
    pub run_after: Timestamp,
    /// When it was recorded.
    pub queued_at: Timestamp,
    /// When it began.
    pub start_date: Option<Timestamp>,
    /// When it ended.
    pub end_date: Option<Timestamp>,
    /// Digest of its DAG version, in hex.
    pub dag_version: String,
    /// The backfill that it is part of.
    #[serde(default)]
    pub backfill_id: Option<u64>,
    /// Who or what made it.
    #[serde(default)]
    pub triggered_by: String,
    /// Free text of the person who asked for it.
    #[serde(default)]
    pub note: String,
    /// The `traceparent` of whoever asked for it; empty where nobody said one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace_parent: String,
}

/// The stream that holds a run's events.
pub fn run_stream(dag_id: &DagId, run_id: &RunId) -> StreamId {
    StreamId(format!("run/{dag_id}/{run_id}"))
}

/// Key of a run's row in `Table::Run`. Ids hold no byte below 0x20, so the separator is unambiguous.
pub fn run_key(dag_id: &DagId, run_id: &RunId) -> Vec<u8> {
    format!("{dag_id}\0{run_id}").into_bytes()
}

/// Prefix of the keys of all runs of one DAG.
pub fn runs_prefix(dag_id: &DagId) -> Vec<u8> {
    format!("{dag_id}\0").into_bytes()
}

/// Where the index rows live.
pub const INDEX: Table = Table::State;

/// Index of runs that have not ended: what a restart takes up again.
pub fn unfinished_key(dag_id: &DagId, run_id: &RunId) -> Vec<u8> {
    format!("run.unfinished\0{dag_id}\0{run_id}").into_bytes()
}

/// Prefix of `unfinished_key`.
pub const UNFINISHED_PREFIX: &[u8] = b"run.unfinished\0";

/// The run that an `unfinished_key` is of.
pub fn unfinished_ids(key: &[u8]) -> Option<(DagId, RunId)> {
    let text = std::str::from_utf8(key.strip_prefix(UNFINISHED_PREFIX)?).ok()?;
    let (dag_id, run_id) = text.split_once('\0')?;
    Some((DagId::parse(dag_id).ok()?, RunId::parse(run_id).ok()?))
}

/// Index of runs by logical date, the newest first: what `(dag_id, logical_date)` being unique, sensors on other DAGs and
/// `latest_run_before` read. The value is the run id.
pub fn date_key(dag_id: &DagId, logical_date: Timestamp) -> Vec<u8> {
    let mut key = date_prefix(dag_id);
    // Of one width, the sign bit turned so that times before 1970 are smaller, all bits turned so that the newest is first.
    let ordered = logical_date.as_nanosecond().cast_unsigned() ^ (1 << 127);
    key.extend_from_slice(&(!ordered).to_be_bytes());
    key
}

/// Prefix of the `date_key`s of one DAG.
pub fn date_prefix(dag_id: &DagId) -> Vec<u8> {
    format!("run.date\0{dag_id}\0").into_bytes()
}

/// Prefix of the keys of all `DagSchedule`s in `Table::State`; the DAG's id follows.
pub const SCHEDULES_PREFIX: &[u8] = b"schedule\0";

/// Key of a DAG's `DagSchedule` in `Table::State`.
pub fn schedule_key(dag_id: &DagId) -> Vec<u8> {
    format!("schedule\0{dag_id}").into_bytes()
}

/// Key of a backfill that has ended in `Table::State`.
pub(super) fn backfill_key(dag_id: &DagId, id: u64) -> Vec<u8> {
    format!("backfill\0{dag_id}\0{id:020}").into_bytes()
}

/// Prefix of the keys of all backfills that have ended; the DAG's id and another `\0` follow.
pub const BACKFILLS_PREFIX: &[u8] = b"backfill\0";

/// Prefix of the keys of all backfills of a DAG that have ended.
pub fn backfills_prefix(dag_id: &DagId) -> Vec<u8> {
    format!("backfill\0{dag_id}\0").into_bytes()
}

/// Key of an asset event in `Table::State`, oldest first for each asset.
pub(super) fn asset_event_key(uri: &str, at: Timestamp, source: &str) -> Vec<u8> {
    let source = key_part(source);
    let mut key = asset_events_prefix(uri);
    key.extend_from_slice(format!("{:020}\0{source}", at.as_microsecond()).as_bytes());
    key
}

/// Prefix of the keys of asset events that no schedule has heard of.
pub(super) const UNTOLD_PREFIX: &[u8] = b"asset_untold\0";

/// Key of an asset event that no schedule has heard of, beside its own row.
pub(super) fn untold_event_key(uri: &str, at: Timestamp, source: &str) -> Vec<u8> {
    let (uri, source) = (key_part(uri), key_part(source));
    let key = format!("asset_untold\0{uri}\0{:020}\0{source}", at.as_microsecond());
    key.into_bytes()
}

/// A text as a part of a key. Of a long one, the store's limit for keys being near, the front and a digest of the whole.
fn key_part(text: &str) -> Cow<'_, str> {
    if text.len() <= KEY_PART_BYTES_MAX {
        return Cow::Borrowed(text);
    }
    let front = text.get(..text.floor_char_boundary(KEY_PART_BYTES_MAX / 2));
    let digest = Digest(Sha256::digest(text).into());
    Cow::Owned(format!("{}#{digest}", front.unwrap_or_default()))
}

/// Prefix of the keys of all events of one asset, or with an empty `uri` of all assets.
pub fn asset_events_prefix(uri: &str) -> Vec<u8> {
    match uri {
        "" => b"asset_event\0".to_vec(),
        uri => format!("asset_event\0{}\0", key_part(uri)).into_bytes(),
    }
}
