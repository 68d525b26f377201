//! A feature matrix: raw values for scoring, bins in two layouts for training. Immutable and shared by every run
//! over it. Refuses infinities, columns of unequal length and sizes over the named limits.
//!
//! Raw values are kept (4 bytes a value) because a model compares raw values with raw cuts: a matrix binned by any
//! cuts, its own or another's, scores right with any model.

use sha2::{Digest, Sha256};

use super::cuts::{self, Binner};
use crate::error::TrainError;

/// Most rows of one matrix.
pub const MAX_ROWS: usize = 1 << 30;
/// Most features of one matrix.
pub const MAX_FEATURES: usize = 16_384;
/// Most bins of one feature, without the one for missing values.
pub const MAX_BINS: u16 = 255;
/// Features whose bins make one word of a record: their histograms (16 KiB) stay in the first cache.
pub(crate) const LANES: usize = 8;
/// On a device: features whose bins lie together, and histograms of a tree of the default depth (4 KiB a feature each).
const DEVICE_GROUP: u64 = 16;
const DEVICE_HISTOGRAMS: u64 = 32;
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
    /// On a device, for each run of one output and the default depth.
    pub device_per_run: u64,
}

/// A binned feature matrix.
#[derive(Debug)]
pub struct Matrix {
    names: Vec<String>,
    raw: Vec<Vec<f32>>,
    cuts: Vec<Vec<f32>>,
    /// By column, for partitioning.
    columns: Vec<Vec<u8>>,
    /// By row: the bins of [`LANES`] features a word, the first feature lowest, for histograms.
    records: Records,
    label: Option<Vec<f32>>,
    weight: Option<Vec<f32>>,
    rows: usize,
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
            label: input.label,
            weight: input.weight,
            rows,
            digest: [0; 32],
        };
        for (feature, (name, values)) in input.columns.into_iter().enumerate() {
            let cuts = cut(feature, &values);
            let binner = Binner::new(&cuts);
            let bins: Vec<u8> = values
                .iter()
                .map(|x| if x.is_nan() { MISSING } else { binner.bin(*x) })
                .collect();
            matrix.names.push(name);
            matrix.raw.push(values);
            matrix.cuts.push(cuts);
            matrix.columns.push(bins);
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
            sha.update(bins);
        }
        for part in [&self.label, &self.weight] {
            sha.update([u8::from(part.is_some())]);
            let bytes: Vec<u8> = part
                .iter()
                .flatten()
                .flat_map(|x| x.to_le_bytes())
                .collect();
            sha.update(bytes);
        }
        sha.finalize().into()
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
            host: n * (5 * f + 8 * self.record_words() as u64) + optional,
            device_shared: n * (f + DEVICE_GROUP * f.div_ceil(DEVICE_GROUP)) + optional,
            device_per_run: 24 * n
                + DEVICE_HISTOGRAMS * DEVICE_GROUP * f.div_ceil(DEVICE_GROUP) * 4096,
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
        self.records
            .words
            .get(self.records.from..)
            .unwrap_or_default()
    }
}

/// The bins of each row: [`LANES`] features a word, the first feature lowest. No record lies across more lines of the cache than it
/// must.
#[derive(Debug, Default)]
struct Records {
    words: Vec<u64>,
    /// The first word of the first record begins a line.
    from: usize,
}

/// Words of a line of the cache.
const LINE: usize = 8;

/// Words of a record, filled up so that a line holds whole records, or a record whole lines.
fn record_words(features: usize) -> usize {
    let words = features.div_ceil(LANES).max(1);
    if words < LINE {
        words.next_power_of_two()
    } else {
        words.next_multiple_of(LINE)
    }
}

impl Records {
    fn of(columns: &[Vec<u8>], rows: usize) -> Self {
        let stride = record_words(columns.len());
        let mut words = vec![0_u64; rows * stride + LINE];
        let from = words
            .as_ptr()
            .align_offset(LINE * size_of::<u64>())
            .min(LINE);
        for (word, columns) in columns.chunks(LANES).enumerate() {
            for (place, column) in columns.iter().enumerate() {
                let own = words.iter_mut().skip(from + word).step_by(stride);
                for (record, bin) in own.zip(column) {
                    *record |= u64::from(*bin) << (8 * place);
                }
            }
        }
        Self { words, from }
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
