//! A remote object that is written: in one request where it is small, else in parts that become an object at `finish` and not
//! before. One part is under way while the next one fills. Dropped without `finish` it leaves nothing but the old object.

use super::aborts::Aborts;
use super::bucket::Bucket;
use crate::capability::Answer;
use crate::capability::budget::Reservation;
use crate::capability::files::OBJECT_BYTES_MAX;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use bytes::Bytes;
use object_store::path::Path;
use object_store::{MultipartUpload, PutMultipartOptions, PutOptions, PutPayload};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// A part of an upload, bytes. A writer holds two; 10,000 of them, the most that S3 takes, are more than an object may have.
const PART_BYTES: usize = 8 << 20;
const _: () = assert!(OBJECT_BYTES_MAX <= 10_000 * PART_BYTES as u64);

/// An object that is being written.
pub(in crate::capability) struct RemoteWriter {
    bucket: Bucket,
    path: Path,
    uri: String,
    hash: Sha256,
    size: u64,
    /// Not sent yet, under `PART_BYTES`.
    part: Vec<u8>,
    upload: Option<Upload>,
    /// What a part ended with: nothing is written any more.
    failed: Option<CapabilityError>,
    memory: Reservation,
    runtime: Handle,
    aborts: Aborts,
}

struct Upload {
    parts: Box<dyn MultipartUpload>,
    under_way: Option<JoinHandle<object_store::Result<()>>>,
}

impl RemoteWriter {
    /// Asks the server nothing yet. On a thread that may block.
    pub(super) fn new(
        bucket: Bucket,
        uri: &str,
        memory: Reservation,
        aborts: Aborts,
    ) -> Answer<Self> {
        Ok(Self {
            path: Bucket::path(uri)?,
            bucket,
            uri: uri.to_owned(),
            hash: Sha256::new(),
            size: 0,
            part: Vec::new(),
            upload: None,
            failed: None,
            memory,
            runtime: Handle::current(),
            aborts,
        })
    }

    /// Adds bytes. After an error the object cannot be finished any more.
    pub(in crate::capability) fn append(&mut self, bytes: &[u8]) -> Answer<()> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        let added = self.add(bytes);
        if let Err(error) = &added {
            self.failed = Some(error.clone());
        }
        added
    }

    fn add(&mut self, mut bytes: &[u8]) -> Answer<()> {
        if self.size + bytes.len() as u64 > OBJECT_BYTES_MAX {
            return Err(CapabilityError::TooLarge(OBJECT_BYTES_MAX));
        }
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = PART_BYTES - self.part.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.memory.grow_to((self.part.len() + now.len()) as u64)?;
            self.part.extend_from_slice(now);
            bytes = later;
            if self.part.len() == PART_BYTES {
                self.send_part()?;
            }
        }
        Ok(())
    }

    fn send_part(&mut self) -> Answer<()> {
        self.memory.grow_to(2 * PART_BYTES as u64)?;
        self.part_is_there()?;
        let full = std::mem::replace(&mut self.part, Vec::with_capacity(PART_BYTES));
        let payload = PutPayload::from(Bytes::from(full));
        if self.upload.is_none() {
            let server = &self.bucket.server;
            let begun = server.put_multipart_opts(&self.path, PutMultipartOptions::default());
            self.upload = Some(Upload {
                parts: self.bucket.ask("write", &self.uri, begun)?,
                under_way: None,
            });
        }
        if let Some(upload) = &mut self.upload {
            upload.under_way = Some(self.runtime.spawn(upload.parts.put_part(payload)));
        }
        Ok(())
    }

    /// Waits for the part that is under way.
    fn part_is_there(&mut self) -> Answer<()> {
        let Some(part) = self
            .upload
            .as_mut()
            .and_then(|upload| upload.under_way.as_mut())
        else {
            return Ok(());
        };
        let interrupted = || CapabilityError::Unavailable("writing was interrupted".to_owned());
        let sent = self.bucket.wait.for_end_of(part)?;
        if let Some(upload) = &mut self.upload {
            upload.under_way = None;
        }
        let sent = sent.map_err(|_| interrupted())?;
        self.bucket.told("write", &self.uri, sent)
    }

    /// Makes the object visible and yields the SHA-256 of its bytes in hex.
    pub(in crate::capability) fn finish(mut self) -> Answer<String> {
        if let Some(failed) = &self.failed {
            return Err(failed.clone());
        }
        if self.upload.is_some() {
            if !self.part.is_empty() {
                self.send_part()?;
            }
            self.part_is_there()?;
            self.complete()?;
        } else {
            let payload = PutPayload::from(Bytes::from(std::mem::take(&mut self.part)));
            let server = &self.bucket.server;
            let put = server.put_opts(&self.path, payload, PutOptions::default());
            self.bucket.ask("write", &self.uri, put)?;
        }
        Ok(crate::store::hex(
            &std::mem::take(&mut self.hash).finalize(),
        ))
    }

    fn complete(&mut self) -> Answer<()> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match self
            .bucket
            .ask("finish", &self.uri, upload.parts.complete())
        {
            // The answer to an earlier try was lost, or others removed the upload.
            Err(CapabilityError::NotFound(_)) => Err(CapabilityError::Unavailable(format!(
                "cannot finish {}: the server knows the upload no more; the object may be there or not",
                self.uri
            ))),
            Err(error) => Err(error),
            Ok(_) => {
                self.upload = None;
                Ok(())
            }
        }
    }
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            if let Some(part) = &upload.under_way {
                part.abort();
            }
            self.aborts.take_back(&self.runtime, upload.parts);
        }
    }
}
