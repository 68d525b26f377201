//! A remote object that is read: by ranges, each of them of the very object that was opened (its `ETag`). One range is read ahead
//! once a reader has shown that it reads on. It refuses to mix two states of an object.

use super::bucket::Bucket;
use super::refusal::{changed, refusal};
use crate::capability::Answer;
use crate::capability::budget::Reservation;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use bytes::{Buf as _, Bytes};
use object_store::path::Path;
use object_store::{GetOptions, GetRange, ObjectMeta};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// The first range of a reader, bytes; each one is twice the last.
const RANGE_BYTES_FIRST: u64 = 1 << 20;
/// The largest range, bytes. A reader holds two.
const RANGE_BYTES_MAX: u64 = 8 << 20;

/// An object as it was when it was opened.
#[derive(Clone)]
pub(super) struct Opened {
    bucket: Bucket,
    path: Path,
    uri: Arc<str>,
    meta: ObjectMeta,
}

impl Opened {
    pub(super) fn open(bucket: Bucket, uri: &str) -> Answer<Self> {
        let meta = bucket.head(uri)?;
        Ok(Self {
            path: Bucket::path(uri)?,
            bucket,
            uri: uri.into(),
            meta,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.meta.size
    }

    async fn range(self, from: u64, to: u64) -> Answer<Bytes> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(from..to)),
            if_match: self.meta.e_tag.clone(),
            ..GetOptions::default()
        };
        let told = |error| refusal("read", &self.uri, &self.bucket.with, &error);
        let answer = self.bucket.server.get_opts(&self.path, options).await;
        let answer = answer.map_err(told)?;
        let now = &answer.meta;
        let same = match (&now.e_tag, &self.meta.e_tag) {
            (Some(now), Some(then)) => now == then,
            _ => now.last_modified == self.meta.last_modified,
        };
        if now.size != self.meta.size || !same {
            return Err(changed(&self.uri));
        }
        let bytes = answer.bytes().await.map_err(told)?;
        if bytes.len() as u64 != to - from {
            return Err(CapabilityError::Unavailable(format!(
                "cannot read {}: the server's answer was cut short",
                self.uri
            )));
        }
        Ok(bytes)
    }
}

/// Reads an object from its beginning to its end, range after range.
pub(in crate::capability) struct RemoteReader {
    object: Opened,
    /// Where the next range that is asked for begins.
    next: u64,
    length: u64,
    ahead: Option<Ahead>,
    /// What was read and not handed out.
    rest: Bytes,
    memory: Reservation,
}

/// A request that is dropped with its owner.
struct Ahead(JoinHandle<Answer<Bytes>>);

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl RemoteReader {
    pub(super) fn new(object: Opened, memory: Reservation) -> Self {
        Self {
            object,
            next: 0,
            length: RANGE_BYTES_FIRST,
            ahead: None,
            rest: Bytes::new(),
            memory,
        }
    }

    /// The next bytes, at most `max`; empty at the end. Blocks.
    pub(in crate::capability) fn read(&mut self, max: u64) -> Answer<Vec<u8>> {
        if self.rest.is_empty() {
            self.rest = self.next_range()?;
        }
        let count = usize::try_from(max)
            .unwrap_or(usize::MAX)
            .min(self.rest.len());
        Ok(self.rest.copy_to_bytes(count).into())
    }

    /// The next range; empty at the end. Blocks.
    pub(super) fn next_range(&mut self) -> Answer<Bytes> {
        let reads_on = self.next > 0;
        let current = match self.ahead.take() {
            Some(ahead) => Some(ahead),
            None => self.request()?,
        };
        let Some(mut current) = current else {
            return Ok(Bytes::new());
        };
        if reads_on {
            self.ahead = self.request()?;
        }
        let read = self.object.bucket.wait.for_end_of(&mut current.0)?;
        read.map_err(|_| CapabilityError::Unavailable("reading was interrupted".to_owned()))?
    }

    /// Asks for the range after the last one; none at the end.
    fn request(&mut self) -> Answer<Option<Ahead>> {
        let from = self.next;
        let to = (from + self.length).min(self.object.size());
        if from >= to {
            return Ok(None);
        }
        self.memory.grow_to(2 * (to - from))?;
        self.next = to;
        self.length = (2 * self.length).min(RANGE_BYTES_MAX);
        let range = self.object.clone().range(from, to);
        Ok(Some(Ahead(Handle::current().spawn(range))))
    }
}
