//! The words of the store: plain data, the same for every backend.

use std::fmt;

/// The number of an event inside its stream, from 0, dense.
pub type Seq = u64;
/// The number of a commit in the store's one order, from 1, dense.
pub type Position = u64;
/// Grows with each change of holder; a write with an older one is refused.
pub type Fence = u64;
/// A row's key, at most `KEY_BYTES_MAX`.
pub type Key = Vec<u8>;

/// The longest key, bytes.
pub const KEY_BYTES_MAX: usize = 1_024;
/// The largest single event or row value, bytes. Values over 4 KiB are kept in blobs by the backend.
pub const VALUE_BYTES_MAX: usize = 16 << 20;
/// A blob is not collected for so long after it was put, milliseconds: time for the commit that names it.
pub const BLOB_GRACE_MS: i64 = 60 * 60 * 1_000;
/// The most bytes of one commit.
pub const COMMIT_BYTES_MAX: usize = 64 << 20;

/// Names a stream of events, for example `run/churn/manual__...`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub String);

/// Where rows live. A fixed list, so that a typing error is no new table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Table {
    /// DAGs by id: the current version, paused or not.
    Dag,
    /// DAG versions by hash.
    DagVersion,
    /// Runs by DAG and run id: state and dates.
    Run,
    /// Plugins by name: digest, imports, operators.
    Plugin,
    /// Pools by name.
    Pool,
    /// Variables by key.
    Variable,
    /// Connections by id.
    Connection,
    /// Experiments by name.
    Experiment,
    /// Tracking runs by id.
    TrackingRun,
    /// Points of metrics by run, key and step.
    Metric,
    /// Registered models by name.
    Model,
    /// Model versions by name and number.
    ModelVersion,
    /// Statistics and other small values that outlive a run.
    State,
}

impl Table {
    /// Every table, in the order of their numbers.
    pub const ALL: [Self; 13] = [
        Self::Dag,
        Self::DagVersion,
        Self::Run,
        Self::Plugin,
        Self::Pool,
        Self::Variable,
        Self::Connection,
        Self::Experiment,
        Self::TrackingRun,
        Self::Metric,
        Self::Model,
        Self::ModelVersion,
        Self::State,
    ];
}

/// SHA-256 of a blob.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Reads 64 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Self> {
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        let pairs: &[[u8; 2]; 32] = pairs.try_into().ok().filter(|_| rest.is_empty())?;
        let mut digest = [0; 32];
        for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
            *byte = hex_digit(*high)? << 4 | hex_digit(*low)?;
        }
        Some(Self(digest))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&hex(&self.0))
    }
}

/// Bytes in a digest's notation: two lower-case hexadecimal digits each.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

impl fmt::Debug for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "sha256:{self}")
    }
}

/// An event as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// Its number in the stream.
    pub seq: Seq,
    /// As committed.
    pub payload: Vec<u8>,
}

/// A row as read back; `version` counts its writes from 1 and never repeats for a key that lives on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Its key.
    pub key: Key,
    /// As committed.
    pub value: Vec<u8>,
    /// For `RowWrite::expect`.
    pub version: u64,
}

/// One atomic change. All conditions are checked against the state at its place in the order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// The stream to append to, with the head it must have (`None`: whatever it is).
    pub stream: Option<(StreamId, Option<Seq>)>,
    /// Appended to the stream in order.
    pub events: Vec<Vec<u8>>,
    /// Further streams to append to in the same change; none twice, and none of them `stream`.
    pub more_streams: Vec<Append>,
    /// Leases that must still be held with these fences.
    pub guards: Vec<Guard>,
    /// Rows to write or remove.
    pub rows: Vec<(Table, RowWrite)>,
    /// Work to hand out.
    pub enqueue: Vec<(String, Vec<u8>)>,
    /// Work that is done.
    pub acks: Vec<Ack>,
    /// Timers to set or clear.
    pub timers: Vec<TimerWrite>,
    /// Streams that are there no more, with all their events; one that is not there is no error. None of them may be a
    /// stream appended to: the next commit may begin it again, from 0.
    pub remove_streams: Vec<StreamId>,
    /// A second commit with the same key answers the first one's receipt and changes nothing.
    pub idempotency_key: Option<Vec<u8>>,
}

/// Events for one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Which stream.
    pub stream: StreamId,
    /// The head it must have (`None`: whatever it is).
    pub expect: Option<Seq>,
    /// Appended in order.
    pub events: Vec<Vec<u8>>,
}

/// A lease that must still be held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Which lease.
    pub lease: Key,
    /// With which fence.
    pub fence: Fence,
}

/// A write to one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowWrite {
    /// Which row.
    pub key: Key,
    /// The version it must have: 0 is absent, `None` is whatever it is.
    pub expect: Option<u64>,
    /// The new value, or none to remove it.
    pub value: Option<Vec<u8>>,
}

/// Says that a claimed work item is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ack {
    /// Which item.
    pub item: u64,
    /// The fence of the claim; an older one is refused.
    pub fence: Fence,
}

/// Sets (with a payload) or clears a timer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimerWrite {
    /// Which timer.
    pub key: Key,
    /// When, in milliseconds since the epoch, and with what; none clears it.
    pub at: Option<(i64, Vec<u8>)>,
}

/// A claimed work item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkItem {
    /// Its number.
    pub item: u64,
    /// Proves this claim.
    pub fence: Fence,
    /// As enqueued.
    pub payload: Vec<u8>,
}

/// A lease as granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Proves this holder's turn.
    pub fence: Fence,
    /// Until when, in milliseconds since the epoch by the store's clock.
    pub until_ms: i64,
}

/// What a durable commit got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receipt {
    /// Its place in the store's order.
    pub position: Position,
    /// The head of the commit's `stream` after it; 0 without one.
    pub head: Seq,
}

/// Why a commit was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Somebody else appended first.
    #[error("the stream's head is {head}, not what the commit expects")]
    WrongHead {
        /// The head it has.
        head: Seq,
    },
    /// A row has another version than expected.
    #[error("a row has version {version}, not what the commit expects")]
    WrongVersion {
        /// The version it has; 0 is absent.
        version: u64,
    },
    /// A lease or claim is held with another fence.
    #[error("fenced: the current fence is {current}")]
    Fenced {
        /// The current fence; 0 is nobody.
        current: Fence,
    },
    /// A key, a value or the whole commit is over a limit.
    #[error("over the limit of {limit} bytes for a {what}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// The limit in bytes.
        limit: usize,
    },
    /// The disk refused; the store takes no more commits. Restart after mending the cause.
    #[error("the store failed and takes no more commits: {0}")]
    Failed(String),
    /// Nobody knows whether it was made: read before trying again.
    #[error("it is not known whether the commit was made")]
    Unknown,
}

/// Why the store could not answer.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// What is on disk is not what was written. Nothing was changed.
    #[error("the store is damaged: {what} in {place}")]
    Damaged {
        /// What is wrong.
        what: String,
        /// Which file or key.
        place: String,
    },
    /// A newer Airlock wrote it.
    #[error("the store has format {found}, this Airlock reads up to {supported}")]
    TooNew {
        /// The format it has.
        found: u32,
        /// The newest this program reads.
        supported: u32,
    },
    /// Another process has the folder open.
    #[error("another Airlock process has this data folder open: {0}")]
    InUse(String),
    /// A lease is held by somebody else.
    #[error("held by {0}")]
    Held(String),
    /// Import needs an empty store.
    #[error("the store is not empty")]
    NotEmpty,
    /// The disk or the folder refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, for example `write`.
        action: &'static str,
        /// Which file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// What a collection of blobs removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Collected {
    /// How many.
    pub blobs: u64,
    /// How many bytes they had.
    pub bytes: u64,
}

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// The newest position.
    pub position: Position,
    /// Commits, rows and blobs that were verified.
    pub commits: u64,
    /// Rows that were verified.
    pub rows: u64,
    /// Blobs that were verified.
    pub blobs: u64,
    /// What is wrong, one line each; empty is good.
    pub problems: Vec<String>,
}
