//! Objects by URI, wherever they are: the one place that decides by scheme. `file://` is `files`', buckets are this folder's, and
//! `storage` and `dataset` know neither. Every call checks the grant first. It blocks: callers move it off the async threads.

mod aborts;
mod bucket;
mod choice;
mod credentials;
mod network;
mod reader;
mod refusal;
mod spool;
mod wait;
mod writer;

pub use choice::{STORAGE_PREFIXES_MAX, StorageConnections, StorageCredentials};
pub use spool::SPOOL_BYTES_MAX;
pub(super) use spool::{Spool, Spooled};
pub(super) use wait::Lifeline;

use super::budget::Budget;
use super::files::{self, Files};
use super::granted::Granted;
use super::handles::lock;
use super::table::Source;
use super::uri::{self, Scheme};
use super::{Answer, policy};
use crate::sandbox::bindings::airlock::operator::storage::ObjectInfo;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::secrets::Connection;
use aborts::Aborts;
use bucket::Bucket;
use cap_std::fs::File;
use reader::{Opened, RemoteReader};
use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use wait::Wait;
use writer::RemoteWriter;

/// The most buckets whose clients an attempt keeps.
const BUCKETS_MAX: usize = 16;

/// Where connections come from.
pub trait ConnectionSource: Send + Sync {
    /// The connection with its password, or none where there is none. May block. The error must not hold a value of it.
    fn storage_connection(&self, conn_id: &str) -> Result<Option<Connection>, String>;
}

/// What all attempts of a host share about remote objects.
pub struct ObjectStorage {
    connections: StorageConnections,
    spool: Spool,
    aborts: Aborts,
}

impl ObjectStorage {
    /// `folder` is where objects lie while tables are read from them; it is made when needed.
    pub fn new(connections: StorageConnections, folder: PathBuf) -> Self {
        Self {
            connections,
            spool: Spool::new(folder),
            aborts: Aborts::default(),
        }
    }

    /// Waits until uploads that were given up are taken back, and no longer than `limit`.
    pub fn settle(&self, limit: Duration) {
        self.aborts.settle(limit);
    }
}

/// The objects that one attempt may reach.
#[derive(Clone)]
pub(super) struct Objects {
    files: Files,
    grants: Arc<Granted>,
    source: Arc<dyn ConnectionSource>,
    house: Arc<ObjectStorage>,
    memory: Budget,
    wait: Wait,
    /// By `scheme://bucket/` and credentials.
    buckets: Arc<Mutex<BTreeMap<String, Bucket>>>,
}

/// An object that is read.
pub(super) enum Reader {
    Local(File),
    Remote(Box<RemoteReader>),
}

/// An object that is written. Dropped without `finish` it leaves nothing behind.
pub(super) enum Writer {
    Local(Box<files::Writer>),
    Remote(Box<RemoteWriter>),
}

impl Objects {
    /// Buffers are taken from `memory`. What waits for a server gives up when the last lifeline is gone.
    pub(super) fn new(
        files: Files,
        grants: Arc<Granted>,
        source: Arc<dyn ConnectionSource>,
        house: Arc<ObjectStorage>,
        memory: Budget,
    ) -> (Self, Lifeline) {
        let (lifeline, wait) = wait::lifeline();
        let objects = Self {
            files,
            grants,
            source,
            house,
            memory,
            wait,
            buckets: Arc::default(),
        };
        (objects, lifeline)
    }

    /// The bucket of a remote URI under the grant, or none where it is of the local disk.
    fn bucket(&self, uri: &str, write: bool, folder: bool) -> Answer<Option<Bucket>> {
        let scheme = uri::check(uri, folder)?;
        if scheme == Scheme::File {
            return Ok(None);
        }
        uri::check(policy::storage_prefix(&self.grants, uri, write)?, true)?;
        let Some(place) = uri::remote(uri) else {
            return Ok(None);
        };
        let root = uri.strip_suffix(place.key).unwrap_or(uri);
        let choice = self.house.connections.of(uri, scheme);
        let (with, known) = match &choice {
            StorageCredentials::Connection(conn_id) => (
                format!("connection {conn_id:?}"),
                format!("{root} {conn_id}"),
            ),
            StorageCredentials::Environment => ("the environment".to_owned(), format!("{root} ")),
        };
        if let Some(bucket) = lock(&self.buckets).get(&known) {
            return Ok(Some(bucket.clone()));
        }
        let server = match &choice {
            StorageCredentials::Connection(conn_id) => {
                let connection = self.connection(conn_id, root)?;
                credentials::of_connection(place, &connection)
            }
            StorageCredentials::Environment => credentials::of_environment(place),
        };
        let bucket = Bucket {
            server: server
                .map_err(|why| CapabilityError::Denied(format!("{with} for {root}: {why}")))?,
            with: with.into(),
            root: root.into(),
            wait: self.wait.clone(),
        };
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= BUCKETS_MAX {
            buckets.clear();
        }
        buckets.insert(known, bucket.clone());
        Ok(Some(bucket))
    }

    /// A connection that is not there is a denial: what is there cannot be known, so it must not look as if nothing were.
    fn connection(&self, conn_id: &str, root: &str) -> Answer<Connection> {
        match self.source.storage_connection(conn_id) {
            Ok(Some(connection)) => Ok(connection),
            Ok(None) => Err(CapabilityError::Denied(format!(
                "there is no connection {conn_id:?} for {root}: `airlock connections set {conn_id} --conn-uri URI` makes it, and [storage.{root:?}] connection = \"ID\" in airlock.toml names another"
            ))),
            Err(reason) => Err(CapabilityError::Unavailable(format!(
                "connection {conn_id:?} cannot be read: {reason}"
            ))),
        }
    }

    /// Opens an object for reading.
    pub(super) fn open(&self, uri: &str) -> Answer<Reader> {
        match self.bucket(uri, false, false)? {
            None => Ok(Reader::Local(self.files.open(uri)?.0)),
            Some(bucket) => {
                let object = Opened::open(bucket, uri)?;
                let reader = RemoteReader::new(object, self.memory.take(0)?);
                Ok(Reader::Remote(Box::new(reader)))
            }
        }
    }

    /// The whole of an object, for a table: a local one in memory, a remote one on the disk. No larger than what `memory` has left.
    pub(super) fn whole(&self, uri: &str) -> Answer<Source> {
        let Some(bucket) = self.bucket(uri, false, false)? else {
            return self.whole_file(uri).map(Source::from);
        };
        let object = Opened::open(bucket, uri)?;
        let size = object.size();
        drop(self.memory.take(size)?);
        let reader = RemoteReader::new(object, self.memory.take(0)?);
        self.house.spool.fetch(reader, size).map(Source::Disk)
    }

    fn whole_file(&self, uri: &str) -> Answer<Vec<u8>> {
        let (mut file, size) = self.files.open(uri)?;
        let _reading = self.memory.take(size)?;
        let mut bytes = Vec::new();
        let room =
            usize::try_from(size).is_ok_and(|size| bytes.try_reserve_exact(size + 1).is_ok());
        if !room {
            return Err(CapabilityError::TooLarge(size));
        }
        // One byte more than it said: an object that grows while it is read is refused and not followed.
        let read = (&mut file).take(size + 1).read_to_end(&mut bytes);
        read.map_err(|error| {
            CapabilityError::Unavailable(format!("cannot read {uri}: {}", error.kind()))
        })?;
        if bytes.len() as u64 > size {
            return Err(CapabilityError::Conflict(format!(
                "{uri} grew while it was read"
            )));
        }
        Ok(bytes)
    }

    /// Size of an object, or none where there is nothing.
    pub(super) fn head(&self, uri: &str) -> Answer<Option<ObjectInfo>> {
        let Some(bucket) = self.bucket(uri, false, false)? else {
            return self.files.head(uri);
        };
        match bucket.head(uri) {
            Ok(meta) => Ok(Some(ObjectInfo {
                uri: uri.to_owned(),
                size: meta.size,
            })),
            Err(CapabilityError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Begins an object.
    pub(super) fn create(&self, uri: &str) -> Answer<Writer> {
        match self.bucket(uri, true, false)? {
            None => Ok(Writer::Local(Box::new(self.files.create(uri)?))),
            Some(bucket) => {
                let aborts = self.house.aborts.clone();
                let writer = RemoteWriter::new(bucket, uri, self.memory.take(0)?, aborts)?;
                Ok(Writer::Remote(Box::new(writer)))
            }
        }
    }

    /// Removes an object, durably; nothing there is no error.
    pub(super) fn delete(&self, uri: &str) -> Answer<()> {
        match self.bucket(uri, true, false)? {
            None => self.files.delete(uri),
            Some(bucket) => bucket.delete(uri),
        }
    }

    /// Objects whose URI begins with `prefix` and is greater than `after`, in order, at most `files::LIST_MAX`.
    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Answer<Vec<ObjectInfo>> {
        match self.bucket(prefix, false, true)? {
            None => self.files.list(prefix, after),
            Some(bucket) => bucket.list(prefix, after),
        }
    }
}

impl Reader {
    /// The next bytes, at most `max`; empty at the end.
    pub(super) fn read(&mut self, max: u64) -> Answer<Vec<u8>> {
        match self {
            Self::Local(file) => {
                let mut bytes = Vec::new();
                let read = file.take(max).read_to_end(&mut bytes);
                read.map_err(|error| {
                    CapabilityError::Unavailable(format!("cannot read on: {}", error.kind()))
                })?;
                Ok(bytes)
            }
            Self::Remote(reader) => reader.read(max),
        }
    }
}

impl Writer {
    /// Adds bytes.
    pub(super) fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        match self {
            Self::Local(writer) => writer.append(bytes),
            Self::Remote(writer) => writer.append(bytes),
        }
    }

    /// Makes the object visible, durably, and yields the SHA-256 of its bytes in hex.
    pub(super) fn finish(self) -> Answer<String> {
        match self {
            Self::Local(writer) => writer.finish(),
            Self::Remote(writer) => writer.finish(),
        }
    }
}

/// For writers of formats. The error of a remote object holds the answer itself.
impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Local(writer) => writer.write(bytes),
            Self::Remote(writer) => {
                writer.append(bytes).map_err(io::Error::other)?;
                Ok(bytes.len())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Local(writer) => writer.flush(),
            Self::Remote(_) => Ok(()),
        }
    }
}
