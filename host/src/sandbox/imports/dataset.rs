//! `airlock:operator/dataset`. Functions that have no error in WIT trap when the host cannot answer: a made-up number of rows
//! would be worse.

use crate::sandbox::bindings::airlock::operator::dataset::{
    self, Column, ColumnData, ColumnProfile, Matrix, MatrixSpec, MemoryNeed, Stats, Table,
    TableWriter, ValueCounts,
};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::interface::Interface::Dataset;
use crate::sandbox::ports::{DatasetPort, Handle, MatrixInfo};
use crate::sandbox::state::GuestState;
use wasmtime::component::Resource;

type Answer<T> = Result<T, CapabilityError>;

impl GuestState {
    fn dataset(&self) -> Answer<&dyn DatasetPort> {
        Ok(&*self.port(Dataset)?.dataset)
    }

    fn close_dataset(&self, handle: Handle) {
        if let Ok(port) = self.dataset() {
            port.close(handle);
        }
    }

    async fn matrix_info(&mut self, matrix: &Resource<Matrix>) -> wasmtime::Result<MatrixInfo> {
        let port = self.dataset().map_err(|error| unanswered(&error))?;
        let info = port.matrix_info(matrix.rep()).await;
        info.map_err(|error| unanswered(&error))
    }
}

/// The error of a function that has none.
fn unanswered(error: &CapabilityError) -> wasmtime::Error {
    wasmtime::Error::msg(format!(
        "the host cannot answer a question about a table: {error}"
    ))
}

impl dataset::Host for GuestState {}

impl dataset::HostTable for GuestState {
    async fn open(&mut self, uri: String) -> Answer<Resource<Table>> {
        let answer = self.dataset()?.open(uri).await;
        self.noted(Dataset, answer).map(Resource::new_own)
    }

    async fn rows(&mut self, table: Resource<Table>) -> wasmtime::Result<u64> {
        let port = self.dataset().map_err(|error| unanswered(&error))?;
        let answer = port.rows(table.rep()).await;
        answer.map_err(|error| unanswered(&error))
    }

    async fn schema(&mut self, table: Resource<Table>) -> wasmtime::Result<Vec<Column>> {
        let port = self.dataset().map_err(|error| unanswered(&error))?;
        let answer = port.schema(table.rep()).await;
        answer.map_err(|error| unanswered(&error))
    }

    async fn digest(&mut self, table: Resource<Table>) -> wasmtime::Result<String> {
        let port = self.dataset().map_err(|error| unanswered(&error))?;
        let answer = port.digest(table.rep()).await;
        answer.map_err(|error| unanswered(&error))
    }

    async fn stats(&mut self, table: Resource<Table>, column: String) -> Answer<Stats> {
        self.dataset()?.stats(table.rep(), column).await
    }

    async fn read(
        &mut self,
        table: Resource<Table>,
        column: String,
        offset: u64,
        limit: u32,
    ) -> Answer<ColumnData> {
        let port = self.dataset()?;
        port.read(table.rep(), column, offset, limit).await
    }

    async fn take(
        &mut self,
        table: Resource<Table>,
        column: String,
        rows: Vec<u32>,
    ) -> Answer<ColumnData> {
        self.dataset()?.take(table.rep(), column, rows).await
    }

    async fn profile(
        &mut self,
        table: Resource<Table>,
        columns: Vec<String>,
        probabilities: Vec<f64>,
    ) -> Answer<Vec<ColumnProfile>> {
        let port = self.dataset()?;
        port.profile(table.rep(), columns, probabilities).await
    }

    async fn value_counts(
        &mut self,
        table: Resource<Table>,
        column: String,
        limit: u32,
    ) -> Answer<ValueCounts> {
        self.dataset()?
            .value_counts(table.rep(), column, limit)
            .await
    }

    async fn distinct_rows(&mut self, table: Resource<Table>, columns: Vec<String>) -> Answer<u64> {
        self.dataset()?.distinct_rows(table.rep(), columns).await
    }

    async fn split(
        &mut self,
        table: Resource<Table>,
        label: String,
        valid_fraction: f64,
        seed: u64,
    ) -> Answer<(Resource<Table>, Resource<Table>)> {
        let port = self.dataset()?;
        let parts = port.split(table.rep(), label, valid_fraction, seed).await;
        parts.map(|(train, valid)| (Resource::new_own(train), Resource::new_own(valid)))
    }

    async fn matrix(
        &mut self,
        table: Resource<Table>,
        spec: MatrixSpec,
    ) -> Answer<Resource<Matrix>> {
        let matrix = self.dataset()?.matrix(table.rep(), spec).await;
        matrix.map(Resource::new_own)
    }

    async fn drop(&mut self, table: Resource<Table>) -> wasmtime::Result<()> {
        self.close_dataset(table.rep());
        Ok(())
    }
}

impl dataset::HostTableWriter for GuestState {
    async fn create(&mut self, uri: String, columns: Vec<Column>) -> Answer<Resource<TableWriter>> {
        let answer = self.dataset()?.create(uri, columns).await;
        self.noted(Dataset, answer).map(Resource::new_own)
    }

    async fn append(
        &mut self,
        writer: Resource<TableWriter>,
        batch: Vec<ColumnData>,
    ) -> Answer<()> {
        self.dataset()?.append(writer.rep(), batch).await
    }

    async fn finish(&mut self, writer: Resource<TableWriter>) -> Answer<String> {
        self.dataset()?.finish(writer.rep()).await
    }

    async fn drop(&mut self, writer: Resource<TableWriter>) -> wasmtime::Result<()> {
        self.close_dataset(writer.rep());
        Ok(())
    }
}

impl dataset::HostMatrix for GuestState {
    async fn rows(&mut self, matrix: Resource<Matrix>) -> wasmtime::Result<u64> {
        Ok(self.matrix_info(&matrix).await?.rows)
    }

    async fn features(&mut self, matrix: Resource<Matrix>) -> wasmtime::Result<u32> {
        Ok(self.matrix_info(&matrix).await?.features)
    }

    async fn digest(&mut self, matrix: Resource<Matrix>) -> wasmtime::Result<String> {
        Ok(self.matrix_info(&matrix).await?.digest)
    }

    async fn memory(&mut self, matrix: Resource<Matrix>) -> wasmtime::Result<MemoryNeed> {
        Ok(self.matrix_info(&matrix).await?.memory)
    }

    async fn drop(&mut self, matrix: Resource<Matrix>) -> wasmtime::Result<()> {
        self.close_dataset(matrix.rep());
        Ok(())
    }
}
