//! The ports of an attempt with a trace beside them: each passes its call on and writes down what the answer depended on.
//! They refuse to answer anything themselves.

use super::record::sha256;
use super::trace::Trace;
use crate::capability::{OwnRun, RunPort};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::bindings::airlock::operator::{dataset, models, storage, tracking};
use crate::sandbox::ports::{
    DatasetPort, Handle, MatrixInfo, ModelsPort, Ports, StoragePort, TrackingPort,
};
use crate::store::hex;
use async_trait::async_trait;
use sha2::{Digest as _, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Answer<T> = Result<T, CapabilityError>;

/// Bytes of one read while an object is digested.
const DIGEST_READ_BYTES: u32 = 1 << 20;
/// What is written down of a call that failed: the next time it may not.
const UNREADABLE: &str = "an object that could not be read";

/// SHA-256, in hex, of an object's bytes; none where there is nothing.
pub(super) async fn digest_of(storage: &dyn StoragePort, uri: &str) -> Answer<Option<String>> {
    let reader = match storage.open(uri.to_owned()).await {
        Ok(reader) => reader,
        Err(CapabilityError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut hash = Sha256::new();
    let read = loop {
        match storage.read(reader, DIGEST_READ_BYTES).await {
            Ok(bytes) if bytes.is_empty() => break Ok(()),
            Ok(bytes) => hash.update(&bytes),
            Err(error) => break Err(error),
        }
    };
    storage.close(reader);
    read.map(|()| Some(hex(&hash.finalize())))
}

/// The ports with a trace beside those whose answers are content, or may not be.
pub(super) fn traced(ports: Ports, trace: &Arc<Trace>) -> Ports {
    Ports {
        storage: Box::new(Traced::new(ports.storage, trace)),
        dataset: Box::new(Traced::new(ports.dataset, trace)),
        tracking: Box::new(Traced::new(ports.tracking, trace)),
        models: Box::new(Traced::new(ports.models, trace)),
        ..ports
    }
}

struct Traced<P: ?Sized> {
    inner: Box<P>,
    trace: Arc<Trace>,
    /// URIs of what is being written.
    writing: Mutex<HashMap<Handle, String>>,
}

impl<P: ?Sized> Traced<P> {
    fn new(inner: Box<P>, trace: &Arc<Trace>) -> Self {
        Self {
            inner,
            trace: trace.clone(),
            writing: Mutex::default(),
        }
    }

    fn writing(&self) -> MutexGuard<'_, HashMap<Handle, String>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn began(&self, handle: Handle, uri: String) -> Handle {
        self.writing().insert(handle, uri);
        handle
    }

    fn finished(&self, handle: Handle, digest: &str) {
        if let Some(uri) = self.writing().remove(&handle) {
            self.trace.wrote(&uri, Some(digest.to_owned()));
        }
    }
}

impl Traced<dyn StoragePort> {
    /// The digest comes before the guest's own look: if the object changes between the two, it is not found again.
    async fn see(&self, uri: &str) {
        match digest_of(self.inner.as_ref(), uri).await {
            Ok(digest) => self.trace.saw(uri, digest.as_deref()),
            Err(_) => self.trace.outside(UNREADABLE),
        }
    }
}

#[async_trait]
impl StoragePort for Traced<dyn StoragePort> {
    async fn open(&self, uri: String) -> Answer<Handle> {
        self.see(&uri).await;
        self.inner.open(uri).await
    }

    async fn read(&self, reader: Handle, max: u32) -> Answer<Vec<u8>> {
        self.inner.read(reader, max).await
    }

    async fn create(&self, uri: String) -> Answer<Handle> {
        let handle = self.inner.create(uri.clone()).await?;
        Ok(self.began(handle, uri))
    }

    async fn write(&self, writer: Handle, bytes: Vec<u8>) -> Answer<()> {
        self.inner.write(writer, bytes).await
    }

    async fn finish(&self, writer: Handle) -> Answer<String> {
        let digest = self.inner.finish(writer).await?;
        self.finished(writer, &digest);
        Ok(digest)
    }

    async fn head(&self, uri: String) -> Answer<Option<storage::ObjectInfo>> {
        self.see(&uri).await;
        self.inner.head(uri).await
    }

    async fn list(
        &self,
        prefix: String,
        after: Option<String>,
    ) -> Answer<Vec<storage::ObjectInfo>> {
        let listed = self.inner.list(prefix.clone(), after.clone()).await;
        match &listed {
            Ok(found) => self.trace.listed(prefix, after, entries(found)),
            Err(_) => self.trace.outside(UNREADABLE),
        }
        listed
    }

    async fn delete(&self, uri: String) -> Answer<()> {
        self.inner.delete(uri.clone()).await?;
        self.trace.wrote(&uri, None);
        Ok(())
    }

    fn close(&self, handle: Handle) {
        self.writing().remove(&handle);
        self.inner.close(handle);
    }
}

/// What a listing says: URIs and sizes.
pub(super) fn entries(found: &[storage::ObjectInfo]) -> Vec<(String, u64)> {
    let entry = |info: &storage::ObjectInfo| (info.uri.clone(), info.size);
    found.iter().map(entry).collect()
}

#[async_trait]
impl DatasetPort for Traced<dyn DatasetPort> {
    async fn open(&self, uri: String) -> Answer<Handle> {
        let opened = self.inner.open(uri.clone()).await;
        match &opened {
            Ok(table) => match self.inner.digest(*table).await {
                Ok(digest) => self.trace.saw(&uri, Some(&digest)),
                Err(_) => self.trace.outside(UNREADABLE),
            },
            Err(CapabilityError::NotFound(_)) => self.trace.saw(&uri, None),
            Err(_) => self.trace.outside(UNREADABLE),
        }
        opened
    }

    async fn rows(&self, table: Handle) -> Answer<u64> {
        self.inner.rows(table).await
    }

    async fn schema(&self, table: Handle) -> Answer<Vec<dataset::Column>> {
        self.inner.schema(table).await
    }

    async fn digest(&self, table: Handle) -> Answer<String> {
        self.inner.digest(table).await
    }

    async fn stats(&self, table: Handle, column: String) -> Answer<dataset::Stats> {
        self.inner.stats(table, column).await
    }

    async fn read(
        &self,
        table: Handle,
        column: String,
        offset: u64,
        limit: u32,
    ) -> Answer<dataset::ColumnData> {
        self.inner.read(table, column, offset, limit).await
    }

    async fn take(
        &self,
        table: Handle,
        column: String,
        rows: Vec<u32>,
    ) -> Answer<dataset::ColumnData> {
        self.inner.take(table, column, rows).await
    }

    async fn profile(
        &self,
        table: Handle,
        columns: Vec<String>,
        probabilities: Vec<f64>,
    ) -> Answer<Vec<dataset::ColumnProfile>> {
        self.inner.profile(table, columns, probabilities).await
    }

    async fn value_counts(
        &self,
        table: Handle,
        column: String,
        limit: u32,
    ) -> Answer<dataset::ValueCounts> {
        self.inner.value_counts(table, column, limit).await
    }

    async fn distinct_rows(&self, table: Handle, columns: Vec<String>) -> Answer<u64> {
        self.inner.distinct_rows(table, columns).await
    }

    async fn split(
        &self,
        table: Handle,
        label: String,
        valid_fraction: f64,
        seed: u64,
    ) -> Answer<(Handle, Handle)> {
        self.inner.split(table, label, valid_fraction, seed).await
    }

    async fn matrix(&self, table: Handle, spec: dataset::MatrixSpec) -> Answer<Handle> {
        self.inner.matrix(table, spec).await
    }

    async fn create(&self, uri: String, columns: Vec<dataset::Column>) -> Answer<Handle> {
        let handle = self.inner.create(uri.clone(), columns).await?;
        Ok(self.began(handle, uri))
    }

    async fn append(&self, writer: Handle, batch: Vec<dataset::ColumnData>) -> Answer<()> {
        self.inner.append(writer, batch).await
    }

    async fn finish(&self, writer: Handle) -> Answer<String> {
        let digest = self.inner.finish(writer).await?;
        self.finished(writer, &digest);
        Ok(digest)
    }

    async fn matrix_info(&self, matrix: Handle) -> Answer<MatrixInfo> {
        self.inner.matrix_info(matrix).await
    }

    fn close(&self, handle: Handle) {
        self.writing().remove(&handle);
        self.inner.close(handle);
    }
}

#[async_trait]
impl TrackingPort for Traced<dyn TrackingPort> {
    async fn start_run(&self, experiment: String, name: String) -> Answer<String> {
        let run_id = self.inner.start_run(experiment, name).await?;
        self.trace.began_run(&run_id);
        Ok(run_id)
    }

    async fn log_params(&self, run_id: String, params: Vec<(String, String)>) -> Answer<()> {
        self.inner.log_params(run_id, params).await
    }

    async fn log_metrics(&self, run_id: String, metrics: Vec<tracking::Metric>) -> Answer<()> {
        self.inner.log_metrics(run_id, metrics).await
    }

    async fn set_tags(&self, run_id: String, tags: Vec<(String, String)>) -> Answer<()> {
        self.inner.set_tags(run_id, tags).await
    }

    async fn log_artifact(&self, run_id: String, path: String, artifact: String) -> Answer<()> {
        self.inner.log_artifact(run_id, path, artifact).await
    }

    async fn end_run(&self, run_id: String, status: tracking::RunStatus) -> Answer<()> {
        self.inner.end_run(run_id, status).await
    }

    async fn get_run(&self, run_id: String) -> Answer<tracking::RunInfo> {
        if !self.trace.is_own_run(&run_id) {
            self.trace.outside("a tracking run of another attempt");
        }
        self.inner.get_run(run_id).await
    }
}

/// Registering a version is a result. Whatever asks for stages or moves them is not the same tomorrow.
const STAGES: &str = "the stages of the model registry";

#[async_trait]
impl ModelsPort for Traced<dyn ModelsPort> {
    async fn register(
        &self,
        name: String,
        run_id: String,
        artifact: String,
        tags: Vec<(String, String)>,
    ) -> Answer<models::ModelVersion> {
        self.inner.register(name, run_id, artifact, tags).await
    }

    async fn get_version(
        &self,
        name: String,
        version: u32,
    ) -> Answer<Option<models::ModelVersion>> {
        self.trace.outside(STAGES);
        self.inner.get_version(name, version).await
    }

    async fn get_latest_versions(
        &self,
        name: String,
        stages: Vec<models::Stage>,
    ) -> Answer<Vec<models::ModelVersion>> {
        self.trace.outside(STAGES);
        self.inner.get_latest_versions(name, stages).await
    }

    async fn transition_stage(
        &self,
        name: String,
        version: u32,
        stage: models::Stage,
        archive_existing: bool,
    ) -> Answer<models::ModelVersion> {
        self.trace.outside(STAGES);
        let moved = self
            .inner
            .transition_stage(name, version, stage, archive_existing);
        moved.await
    }

    async fn set_alias(&self, name: String, alias: String, version: u32) -> Answer<()> {
        self.trace.outside(STAGES);
        self.inner.set_alias(name, alias, version).await
    }

    async fn rollback(&self, name: String, from_version: u32) -> Answer<models::ModelVersion> {
        self.trace.outside(STAGES);
        self.inner.rollback(name, from_version).await
    }

    async fn read_artifact(
        &self,
        name: String,
        version: u32,
        offset: u64,
        max: u32,
    ) -> Answer<Vec<u8>> {
        // A model may be removed and made anew: the same number then names other bytes.
        self.trace.outside("a version of the model registry");
        self.inner.read_artifact(name, version, offset, max).await
    }
}

/// The attempt's own run with a trace beside it.
pub(super) struct TracedRun<R> {
    pub(super) inner: Arc<R>,
    pub(super) trace: Arc<Trace>,
}

#[async_trait]
impl<R: RunPort> RunPort for TracedRun<R> {
    async fn push_xcom(&self, key: &str, value: String) -> Result<(), String> {
        self.inner.push_xcom(key, value.clone()).await?;
        self.trace.pushed(key, &value);
        Ok(())
    }

    fn xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String> {
        let value = self.inner.xcom(task_id, key, map_index);
        let digest = value.as_ref().map(|value| sha256(value.as_bytes()));
        self.trace.pulled((task_id, key), map_index, digest);
        value
    }
}

#[async_trait]
impl<R: OwnRun> OwnRun for TracedRun<R> {
    fn task_instance(&self) -> String {
        self.inner.task_instance()
    }

    fn timezone(&self) -> String {
        self.inner.timezone()
    }

    fn is_latest_interval(&self) -> Result<bool, String> {
        self.trace.outside("the time");
        self.inner.is_latest_interval()
    }

    async fn ask(&self, question: String) -> Result<Option<String>, String> {
        self.trace.outside("a person");
        self.inner.ask(question).await
    }
}
