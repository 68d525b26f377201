//! A feature matrix: raw values for scoring, bins in two layouts for training. Immutable and shared by every run
//! over it. Refuses infinities, columns of unequal length and sizes over the named limits.
//!
//! Raw values are kept (4 bytes a value) because a model compares raw values with raw cuts: a matrix binned by any
//! cuts, its own or another's, scores right with any model.

use sha2::{Digest, Sha256};

use super::cuts::{self, Binner};
use super::records::{Records, record_words};
use super::shared::{Sections, SharedFile, Sink, Slab, damaged};
use crate::error::TrainError;
use serde::{Deserialize, Serialize};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most rows of one matrix.
pub const MAX_ROWS: usize = 1 << 30;
/// Most features of one matrix.
pub const MAX_FEATURES: usize = 16_384;
/// Most bins of one feature, without the one for missing values.
pub const MAX_BINS: u16 = 255;
/// Features whose bins make one word of a record: their histograms (16 KiB) stay in the first cache.
pub(crate) const LANES: usize = 8;
/// The bin of a missing value.
pub(crate) const MISSING: u8 = 255;

/// What a matrix is built from.
#[derive(Debug, Clone, Default)]
pub struct MatrixInput {
    /// Name and values of each feature; NaN is missing.
    pub columns: Vec<(String, Vec<f32>)>,
    /// One per row.
    pub label: Option<Vec<f32>>,
    /// One per row, not negative. Trees are trained with it; metrics and cuts are not weighted.
    pub weight: Option<Vec<f32>>,
    /// Bins per feature, 2 to [`MAX_BINS`].
    pub max_bins: u16,
}

/// Bytes that training over a matrix needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryNeed {
    /// Of the matrix in the host.
    pub host: u64,
    /// On a device, shared by all runs.
    pub device_shared: u64,
    /// On a device, for each run.
    pub device_per_run: u64,
}

/// A binned feature matrix.
#[derive(Debug)]
pub struct Matrix {
    names: Vec<String>,
    raw: Vec<Slab<f32>>,
    cuts: Vec<Vec<f32>>,
    /// By column, for partitioning.
    columns: Vec<Slab<u8>>,
    /// By row: the bins of [`LANES`] features a word, the first feature lowest, for histograms.
    records: Records,
    label: Option<Slab<f32>>,
    weight: Option<Slab<f32>>,
    rows: usize,
    digest: [u8; 32],
    /// Where all of it lies, if it can be sent to another process.
    file: Option<SharedFile>,
}

/// What a shared matrix says before its sections.
#[derive(Serialize, Deserialize)]
struct Header {
    names: Vec<String>,
    /// Of each feature.
    cuts: Vec<usize>,
    rows: usize,
    label: bool,
    weight: bool,
    digest: [u8; 32],
}

impl Matrix {
    /// Cuts every feature at exact quantiles of `input` and bins it.
    ///
    /// # Errors
    /// [`TrainError::Invalid`] for `max_bins` or sizes out of range, [`TrainError::Data`] for values that cannot be used.
    pub fn build(input: MatrixInput) -> Result<Self, TrainError> {
        if !(2..=MAX_BINS).contains(&input.max_bins) {
            return Err(TrainError::Invalid(format!(
                "max_bins is {}; it must be 2 to {MAX_BINS}",
                input.max_bins
            )));
        }
        let max_bins = usize::from(input.max_bins);
        Self::assemble(input, |_, values| cuts::find(values, max_bins))
    }

    /// Bins `input` by the cuts of `train`, for validation; `max_bins` is not looked at.
    ///
    /// # Errors
    /// As [`Matrix::build`], and [`TrainError::Data`] where the features are not those of `train`, in its order.
    pub fn build_with_cuts_of(train: &Self, input: MatrixInput) -> Result<Self, TrainError> {
        if !input.columns.iter().map(|c| &c.0).eq(train.names.iter()) {
            return Err(TrainError::Data(
                "the features are not those of the training matrix, in its order".to_owned(),
            ));
        }
        Self::assemble(input, |feature, _| train.cuts[feature].clone())
    }

    fn assemble(
        mut input: MatrixInput,
        cut: impl Fn(usize, &[f32]) -> Vec<f32>,
    ) -> Result<Self, TrainError> {
        let rows = check(&mut input)?;
        let mut matrix = Self {
            names: Vec::new(),
            raw: Vec::new(),
            cuts: Vec::new(),
            columns: Vec::new(),
            records: Records::default(),
            label: input.label.map(Slab::from),
            weight: input.weight.map(Slab::from),
            rows,
            digest: [0; 32],
            file: None,
        };
        for (feature, (name, values)) in input.columns.into_iter().enumerate() {
            let cuts = cut(feature, &values);
            let binner = Binner::new(&cuts);
            let bins: Vec<u8> = values
                .iter()
                .map(|x| if x.is_nan() { MISSING } else { binner.bin(*x) })
                .collect();
            matrix.names.push(name);
            matrix.raw.push(values.into());
            matrix.cuts.push(cuts);
            matrix.columns.push(bins.into());
        }
        matrix.records = Records::of(&matrix.columns, rows);
        matrix.digest = matrix.compute_digest();
        Ok(matrix)
    }

    fn compute_digest(&self) -> [u8; 32] {
        let mut sha = Sha256::new();
        sha.update((self.rows as u64).to_le_bytes());
        for ((name, cuts), bins) in self.names.iter().zip(&self.cuts).zip(&self.columns) {
            sha.update((name.len() as u64).to_le_bytes());
            sha.update(name);
            sha.update((cuts.len() as u64).to_le_bytes());
            for cut in cuts {
                sha.update(cut.to_le_bytes());
            }
            sha.update(&**bins);
        }
        for part in [&self.label, &self.weight] {
            sha.update([u8::from(part.is_some())]);
            let bytes: Vec<u8> = part
                .iter()
                .flat_map(|values| values.iter())
                .flat_map(|x| x.to_le_bytes())
                .collect();
            sha.update(bytes);
        }
        sha.finalize().into()
    }

    /// Moves it into memory that other processes can map, one column at a time, so that never more than one lies there twice.
    ///
    /// # Errors
    /// [`TrainError::OutOfMemory`] where there is no room, [`TrainError::WorkerLost`] where the system shares no memory.
    pub fn into_shared(self) -> Result<Self, TrainError> {
        let header = Header {
            cuts: self.cuts.iter().map(Vec::len).collect(),
            rows: self.rows,
            label: self.label.is_some(),
            weight: self.weight.is_some(),
            digest: self.digest,
            names: self.names,
        };
        let header = serde_json::to_vec(&header)
            .map_err(|error| damaged(&format!("its header cannot be written: {error}")))?;
        let records = self.rows * record_words(self.raw.len());
        let cells = self.rows * (5 * self.raw.len() + 8) + 8 * records;
        let mut sink = Sink::new(&header, cells as u64)?;
        for cuts in self.cuts {
            sink.section(&cuts)?;
        }
        for values in self.raw {
            sink.section(&values)?;
        }
        for bins in self.columns {
            sink.section(&bins)?;
        }
        sink.section(self.records.words(records))?;
        drop(self.records);
        for values in [self.label, self.weight].into_iter().flatten() {
            sink.section(&values)?;
        }
        Self::from_shared(sink.finish()?)
    }

    /// Maps a matrix that [`Matrix::into_shared`] made, here or in another process.
    ///
    /// # Errors
    /// [`TrainError::Data`] for a file that is not sealed or is damaged, [`TrainError::OutOfMemory`] where it cannot be mapped.
    pub fn from_shared(file: OwnedFd) -> Result<Self, TrainError> {
        let (mut sections, header) = Sections::open(file)?;
        let header: Header = serde_json::from_slice(&header)
            .map_err(|error| damaged(&format!("its header cannot be read: {error}")))?;
        let (features, rows) = (header.names.len(), header.rows);
        if header.cuts.len() != features || features > MAX_FEATURES || rows > MAX_ROWS {
            return Err(damaged("its header contradicts itself"));
        }
        let cuts = header.cuts.iter().map(|len| sections.next(*len));
        let cuts = cuts
            .map(|cuts| Ok(cuts?.to_vec()))
            .collect::<Result<_, _>>()?;
        let raw = (0..features).map(|_| sections.next(rows));
        let raw = raw.collect::<Result<_, _>>()?;
        let columns = (0..features).map(|_| sections.next(rows));
        let columns = columns.collect::<Result<_, _>>()?;
        let records = Records::mapped(sections.next(rows * record_words(features))?);
        let mut optional = |there: bool| there.then(|| sections.next(rows)).transpose();
        let (label, weight) = (optional(header.label)?, optional(header.weight)?);
        Ok(Self {
            names: header.names,
            raw,
            cuts,
            columns,
            records,
            label,
            weight,
            rows,
            digest: header.digest,
            file: Some(sections.finish()?),
        })
    }

    /// The sealed file it lies in, if it was moved there.
    pub fn shared_file(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features.
    pub fn features(&self) -> usize {
        self.names.len()
    }

    /// In the order of the columns.
    pub fn feature_names(&self) -> &[String] {
        &self.names
    }

    /// One per row.
    pub fn label(&self) -> Option<&[f32]> {
        self.label.as_deref()
    }

    /// One per row.
    pub fn weight(&self) -> Option<&[f32]> {
        self.weight.as_deref()
    }

    /// SHA-256 of what training sees: names, cuts, bins, labels and weights. Equal digests train equal models.
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// What it holds in the host, and what the same on a device would.
    pub fn memory(&self) -> MemoryNeed {
        let (n, f) = (self.rows as u64, self.features() as u64);
        let optional = 4 * n * (u64::from(self.label.is_some()) + u64::from(self.weight.is_some()));
        MemoryNeed {
            host: n * (5 * f + (LANES * self.record_words()) as u64) + optional,
            device_shared: n * (32 * f.div_ceil(32) + f + 1),
            device_per_run: n * 20 + 32 * f * 4096,
        }
    }

    pub(crate) fn raw(&self, feature: usize) -> &[f32] {
        &self.raw[feature]
    }

    pub(crate) fn cuts(&self, feature: usize) -> &[f32] {
        &self.cuts[feature]
    }

    /// Whether a tree could be split by this feature: it has two different values, a missing one counted.
    pub(crate) fn varies(&self, feature: usize) -> bool {
        let column = &self.columns[feature];
        column.windows(2).any(|pair| pair[0] != pair[1])
    }

    /// The bin of each row: the number of cuts not greater than its value, or [`MISSING`].
    pub(crate) fn column(&self, feature: usize) -> &[u8] {
        &self.columns[feature]
    }

    /// Words from one record to the next.
    pub(crate) fn record_words(&self) -> usize {
        record_words(self.features())
    }

    /// The first feature of a word of a record, and the one after its last.
    pub(crate) fn lanes(&self, word: usize) -> (usize, usize) {
        let from = word * LANES;
        (from, (from + LANES).min(self.features()))
    }

    /// The bins of each row, [`Matrix::record_words`] words a row.
    pub(crate) fn records(&self) -> &[u64] {
        self.records.words(self.rows * self.record_words())
    }
}

/// Checks shape and values, and makes -0.0 one with 0.0. Yields the number of rows.
fn check(input: &mut MatrixInput) -> Result<usize, TrainError> {
    let rows = input.columns.first().map_or(0, |c| c.1.len());
    if rows == 0 || rows > MAX_ROWS {
        return Err(TrainError::Data(format!(
            "a matrix needs 1 to {MAX_ROWS} rows and at least one feature; this has {rows} rows"
        )));
    }
    if input.columns.len() > MAX_FEATURES {
        return Err(TrainError::Invalid(format!(
            "{} features are over the limit of {MAX_FEATURES}",
            input.columns.len()
        )));
    }
    let mut names: Vec<&str> = input.columns.iter().map(|c| c.0.as_str()).collect();
    names.sort_unstable();
    if let Some([name, _]) = names.array_windows().find(|[one, other]| one == other) {
        return Err(TrainError::Data(format!("feature {name} is there twice")));
    }
    for (name, values) in &mut input.columns {
        same_length(name, values.len(), rows)?;
        for (row, x) in values.iter_mut().enumerate() {
            // f32::MAX is the threshold that sends every value left, so it is no value.
            if x.abs() >= f32::MAX {
                return Err(TrainError::Data(format!(
                    "feature {name}, row {row}: {x} is infinite; write null or a number"
                )));
            }
            *x += 0.0;
        }
    }
    if let Some(label) = &input.label {
        same_length("the label", label.len(), rows)?;
        if let Some(row) = label.iter().position(|y| !y.is_finite()) {
            return Err(TrainError::Data(format!(
                "the label of row {row} is missing or infinite; drop the row"
            )));
        }
    }
    if let Some(weight) = &input.weight {
        same_length("the weight", weight.len(), rows)?;
        if let Some(row) = weight.iter().position(|w| !(w.is_finite() && *w >= 0.0)) {
            return Err(TrainError::Data(format!(
                "the weight of row {row} is missing, infinite or negative"
            )));
        }
    }
    Ok(rows)
}

fn same_length(what: &str, len: usize, rows: usize) -> Result<(), TrainError> {
    if len == rows {
        return Ok(());
    }
    Err(TrainError::Data(format!(
        "{what} has {len} rows where the first feature has {rows}"
    )))
}
