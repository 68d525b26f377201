//! `airlock:operator/storage`: readers and writers of objects by handle. Grants, places and durability are `objects`'.

use super::blocking;
use super::handles::{Handles, lock};
use super::objects::{Lifeline, Objects, Reader, Writer};
use super::{Answer, HOST_CALL_BYTES_MAX};
use crate::sandbox::bindings::airlock::operator::storage::ObjectInfo;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::{Handle, StoragePort};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
enum Open {
    Reader(Arc<Mutex<Reader>>),
    Writer(Arc<Mutex<Writer>>),
}

/// The objects that one attempt has open.
pub(super) struct Storage {
    objects: Objects,
    open: Handles<Open>,
    _lifeline: Lifeline,
}

impl Storage {
    pub(super) fn new(objects: Objects, lifeline: Lifeline) -> Self {
        Self {
            objects,
            open: Handles::new(),
            _lifeline: lifeline,
        }
    }
}

#[async_trait]
impl StoragePort for Storage {
    async fn open(&self, uri: String) -> Answer<Handle> {
        let objects = self.objects.clone();
        let reader = blocking(move || objects.open(&uri)).await?;
        self.open.insert(Open::Reader(Arc::new(Mutex::new(reader))))
    }

    async fn read(&self, reader: Handle, max: u32) -> Answer<Vec<u8>> {
        let Open::Reader(open) = self.open.get(reader)? else {
            return Err(wrong_kind(reader, "a writer"));
        };
        let max = u64::from(max).min(HOST_CALL_BYTES_MAX);
        blocking(move || lock(&open).read(max)).await
    }

    async fn create(&self, uri: String) -> Answer<Handle> {
        let objects = self.objects.clone();
        let writer = blocking(move || objects.create(&uri)).await?;
        self.open.insert(Open::Writer(Arc::new(Mutex::new(writer))))
    }

    async fn write(&self, writer: Handle, bytes: Vec<u8>) -> Answer<()> {
        let Open::Writer(writer) = self.open.get(writer)? else {
            return Err(wrong_kind(writer, "a reader"));
        };
        if bytes.len() as u64 > HOST_CALL_BYTES_MAX {
            return Err(CapabilityError::TooLarge(HOST_CALL_BYTES_MAX));
        }
        blocking(move || lock(&writer).append(&bytes)).await
    }

    async fn finish(&self, handle: Handle) -> Answer<String> {
        let Open::Writer(writer) = self.open.get(handle)? else {
            return Err(wrong_kind(handle, "a reader"));
        };
        self.open.remove(handle)?;
        let writer = Arc::into_inner(writer).ok_or_else(|| {
            CapabilityError::Conflict("another call still writes to this object".to_owned())
        })?;
        blocking(move || {
            writer
                .into_inner()
                .map_or_else(|held| held.into_inner().finish(), Writer::finish)
        })
        .await
    }

    async fn head(&self, uri: String) -> Answer<Option<ObjectInfo>> {
        let objects = self.objects.clone();
        blocking(move || objects.head(&uri)).await
    }

    async fn list(&self, prefix: String, after: Option<String>) -> Answer<Vec<ObjectInfo>> {
        let objects = self.objects.clone();
        blocking(move || objects.list(&prefix, after.as_deref())).await
    }

    async fn delete(&self, uri: String) -> Answer<()> {
        let objects = self.objects.clone();
        blocking(move || objects.delete(&uri)).await
    }

    fn close(&self, handle: Handle) {
        // A handle that is gone already was finished.
        let _ = self.open.remove(handle);
    }
}

fn wrong_kind(handle: Handle, what: &str) -> CapabilityError {
    CapabilityError::Invalid(format!("handle {handle} is {what}"))
}
