//! `airlock:operator/dataset`: tables, table writers and matrices by handle, under the storage grants and one memory budget.

use super::budget::Budget;
use super::handles::{Handles, lock};
use super::matrices::{HeldMatrix, Matrices};
use super::objects::{Lifeline, Objects};
use super::provenance::Ledger;
use super::table::{Part, Table, TableWriter};
use super::{Answer, blocking};
use crate::sandbox::bindings::airlock::operator::dataset::{
    Column, ColumnData, ColumnProfile, MatrixSpec, MemoryNeed, Stats, ValueCounts,
};
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::{DatasetPort, Handle, MatrixInfo};
use airlock_trainer::{Matrix, MatrixInput};
use async_trait::async_trait;
use std::sync::{Arc, Mutex};

/// The most host memory that tables, matrices and scores of one attempt hold, bytes.
pub const DATASET_BYTES_MAX: u64 = 4 << 30;

#[derive(Clone)]
enum Held {
    Table(Part),
    Writer(Arc<Mutex<Option<TableWriter>>>),
    Matrix(Arc<HeldMatrix>),
}

/// The tables of one attempt. Clones share them.
#[derive(Clone)]
pub(super) struct Dataset {
    objects: Objects,
    budget: Budget,
    held: Arc<Handles<Held>>,
    /// Learns what is opened.
    ledger: Ledger,
    _lifeline: Lifeline,
}

impl Dataset {
    pub(super) fn new(objects: Objects, budget: Budget, lifeline: Lifeline) -> Self {
        Self {
            objects,
            budget,
            held: Arc::new(Handles::new()),
            ledger: Ledger::default(),
            _lifeline: lifeline,
        }
    }

    /// The same, telling this ledger what is opened.
    pub(super) fn noting(self, ledger: Ledger) -> Self {
        Self { ledger, ..self }
    }

    fn table(&self, handle: Handle) -> Answer<Part> {
        match self.held.get(handle)? {
            Held::Table(part) => Ok(part),
            _ => Err(wrong_kind(handle, "table")),
        }
    }

    fn writer(&self, handle: Handle) -> Answer<Arc<Mutex<Option<TableWriter>>>> {
        match self.held.get(handle)? {
            Held::Writer(writer) => Ok(writer),
            _ => Err(wrong_kind(handle, "table writer")),
        }
    }
}

impl Matrices for Dataset {
    fn matrix_of(&self, handle: Handle) -> Answer<Arc<HeldMatrix>> {
        match self.held.get(handle)? {
            Held::Matrix(matrix) => Ok(matrix),
            _ => Err(wrong_kind(handle, "matrix")),
        }
    }
}

#[async_trait]
impl DatasetPort for Dataset {
    async fn open(&self, uri: String) -> Answer<Handle> {
        let noted = uri.clone();
        let (objects, budget) = (self.objects.clone(), self.budget.clone());
        let part = blocking(move || {
            let whole = objects.whole(&uri)?;
            Table::read(whole, &budget).map(Part::whole)
        })
        .await?;
        self.ledger.read(&noted, part.digest());
        self.held.insert(Held::Table(part))
    }

    async fn rows(&self, table: Handle) -> Answer<u64> {
        Ok(self.table(table)?.rows() as u64)
    }

    async fn schema(&self, table: Handle) -> Answer<Vec<Column>> {
        Ok(self.table(table)?.schema())
    }

    async fn digest(&self, table: Handle) -> Answer<String> {
        let part = self.table(table)?;
        blocking(move || Ok(part.digest())).await
    }

    async fn stats(&self, table: Handle, column: String) -> Answer<Stats> {
        let part = self.table(table)?;
        blocking(move || part.stats(&column)).await
    }

    async fn read(
        &self,
        table: Handle,
        column: String,
        offset: u64,
        limit: u32,
    ) -> Answer<ColumnData> {
        let part = self.table(table)?;
        blocking(move || part.read(&column, offset, limit)).await
    }

    async fn take(&self, table: Handle, column: String, rows: Vec<u32>) -> Answer<ColumnData> {
        let part = self.table(table)?;
        blocking(move || part.take(&column, &rows)).await
    }

    async fn profile(
        &self,
        table: Handle,
        columns: Vec<String>,
        probabilities: Vec<f64>,
    ) -> Answer<Vec<ColumnProfile>> {
        let part = self.table(table)?;
        blocking(move || part.profile(&columns, &probabilities)).await
    }

    async fn value_counts(&self, table: Handle, column: String, limit: u32) -> Answer<ValueCounts> {
        let (part, budget) = (self.table(table)?, self.budget.clone());
        blocking(move || part.value_counts(&column, limit, &budget)).await
    }

    async fn distinct_rows(&self, table: Handle, columns: Vec<String>) -> Answer<u64> {
        let (part, budget) = (self.table(table)?, self.budget.clone());
        blocking(move || part.distinct_rows(&columns, &budget)).await
    }

    async fn split(
        &self,
        table: Handle,
        label: String,
        valid_fraction: f64,
        seed: u64,
    ) -> Answer<(Handle, Handle)> {
        let part = self.table(table)?;
        let (train, valid) = blocking(move || part.split(&label, valid_fraction, seed)).await?;
        let train = self.held.insert(Held::Table(train))?;
        let valid = self.held.insert(Held::Table(valid));
        if valid.is_err() {
            self.close(train);
        }
        Ok((train, valid?))
    }

    async fn matrix(&self, table: Handle, spec: MatrixSpec) -> Answer<Handle> {
        let (part, budget) = (self.table(table)?, self.budget.clone());
        let held = blocking(move || build(&part, &spec, &budget)).await?;
        self.held.insert(Held::Matrix(Arc::new(held)))
    }

    async fn create(&self, uri: String, columns: Vec<Column>) -> Answer<Handle> {
        let (objects, budget) = (self.objects.clone(), self.budget.clone());
        let writer = blocking(move || {
            let object = objects.create(&uri)?;
            TableWriter::new(object, &columns, &budget)
        })
        .await?;
        let writer = Arc::new(Mutex::new(Some(writer)));
        self.held.insert(Held::Writer(writer))
    }

    async fn append(&self, writer: Handle, batch: Vec<ColumnData>) -> Answer<()> {
        let writer = self.writer(writer)?;
        blocking(move || match lock(&writer).as_mut() {
            Some(open) => open.append(&batch),
            None => Err(CapabilityError::Invalid("the table is finished".to_owned())),
        })
        .await
    }

    async fn finish(&self, writer: Handle) -> Answer<String> {
        let open = self.writer(writer)?;
        self.held.remove(writer)?;
        blocking(move || {
            let taken = lock(&open).take();
            taken
                .ok_or_else(|| CapabilityError::Invalid("the table is finished".to_owned()))?
                .finish()
        })
        .await
    }

    async fn matrix_info(&self, matrix: Handle) -> Answer<MatrixInfo> {
        let held = self.matrix_of(matrix)?;
        let memory = held.matrix.memory();
        Ok(MatrixInfo {
            rows: held.matrix.rows() as u64,
            features: u32::try_from(held.matrix.features()).unwrap_or(u32::MAX),
            digest: crate::store::hex(&held.matrix.digest()),
            memory: MemoryNeed {
                host: memory.host,
                device_shared: memory.device_shared,
                device_per_run: memory.device_per_run,
            },
        })
    }

    fn close(&self, handle: Handle) {
        // A handle that is gone already was finished.
        let _ = self.held.remove(handle);
    }
}

/// Builds a matrix. What the trainer needs is reserved before: raw values, bins by row and by column.
fn build(part: &Part, spec: &MatrixSpec, budget: &Budget) -> Answer<HeldMatrix> {
    let columns = spec.features.len() as u64;
    let per_row = 5 * columns + 16 * columns.div_ceil(16) + 8;
    let mut memory = budget.take(per_row.saturating_mul(part.rows() as u64))?;
    let numbers = |name: &String| part.numbers_of(name);
    let input = MatrixInput {
        columns: spec
            .features
            .iter()
            .map(|name| Ok((name.clone(), numbers(name)?)))
            .collect::<Answer<_>>()?,
        label: spec.label.as_ref().map(numbers).transpose()?,
        weight: spec.weight.as_ref().map(numbers).transpose()?,
        max_bins: spec.max_bins,
    };
    let matrix = Matrix::build(input)
        .and_then(Matrix::into_shared)
        .map_err(|error| CapabilityError::Invalid(error.to_string()))?;
    memory.grow_to(matrix.memory().host)?;
    Ok(HeldMatrix {
        matrix: Arc::new(matrix),
        _memory: memory,
    })
}

fn wrong_kind(handle: Handle, wanted: &str) -> CapabilityError {
    CapabilityError::Invalid(format!("handle {handle} is no {wanted}"))
}
