//! `airlock:operator/storage`. A handle's number is the port's own.

use crate::sandbox::bindings::airlock::operator::storage::{self, ObjectInfo, Reader, Writer};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface::Storage;
use crate::sandbox::ports::{Handle, StoragePort};
use crate::sandbox::state::GuestState;
use wasmtime::component::Resource;

type Answer<T> = Result<T, CapabilityError>;

/// The most that one read yields, bytes (`wit/host.wit`).
const READ_BYTES_MAX: u32 = 1 << 20;

impl GuestState {
    fn storage(&self) -> Answer<&dyn StoragePort> {
        Ok(&*self.port(Storage)?.storage)
    }

    fn close_storage(&self, handle: Handle) {
        // A handle exists only where the interface is granted.
        if let Ok(port) = self.storage() {
            port.close(handle);
        }
    }
}

impl storage::Host for GuestState {
    async fn open(&mut self, uri: String) -> Answer<Resource<Reader>> {
        let answer = self.storage()?.open(uri).await;
        self.noted(Storage, answer).map(Resource::new_own)
    }

    async fn create(&mut self, uri: String) -> Answer<Resource<Writer>> {
        let answer = self.storage()?.create(uri).await;
        self.noted(Storage, answer).map(Resource::new_own)
    }

    async fn head(&mut self, uri: String) -> Answer<Option<ObjectInfo>> {
        let answer = self.storage()?.head(uri).await;
        self.noted(Storage, answer)
    }

    async fn list(&mut self, prefix: String, after: Option<String>) -> Answer<Vec<ObjectInfo>> {
        let answer = self.storage()?.list(prefix, after).await;
        self.noted(Storage, answer)
    }

    async fn delete(&mut self, uri: String) -> Answer<()> {
        let answer = self.storage()?.delete(uri).await;
        self.noted(Storage, answer)
    }
}

impl storage::HostReader for GuestState {
    async fn read(&mut self, reader: Resource<Reader>, max: u32) -> Answer<Vec<u8>> {
        self.storage()?
            .read(reader.rep(), max.min(READ_BYTES_MAX))
            .await
    }

    async fn drop(&mut self, reader: Resource<Reader>) -> wasmtime::Result<()> {
        self.close_storage(reader.rep());
        Ok(())
    }
}

impl storage::HostWriter for GuestState {
    async fn write(&mut self, writer: Resource<Writer>, bytes: Vec<u8>) -> Answer<()> {
        if bytes.len() > READ_BYTES_MAX as usize {
            return Err(CapabilityError::TooLarge(u64::from(READ_BYTES_MAX)));
        }
        self.storage()?.write(writer.rep(), bytes).await
    }

    async fn finish(&mut self, writer: Resource<Writer>) -> Answer<String> {
        self.storage()?.finish(writer.rep()).await
    }

    async fn drop(&mut self, writer: Resource<Writer>) -> wasmtime::Result<()> {
        self.close_storage(writer.rep());
        Ok(())
    }
}
