//! Tables, matrices and training of the fake host: tables are columns in memory, training is a closure of the test.
#![expect(
    missing_docs,
    clippy::module_inception,
    reason = "mirrors the bindings, which wit/ documents"
)]

use super::{Columns, answer, with};
use crate::CapabilityError;
use crate::training::{Config, Event, RunOutcome};

type Answer<T> = Result<T, CapabilityError>;

/// What a test's trainer is asked.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainRequest {
    /// Rows to learn from.
    pub train_rows: u64,
    /// Rows to validate on.
    pub valid_rows: Option<u64>,
    /// Names of the features.
    pub features: Vec<String>,
    /// The label.
    pub label: Option<String>,
    /// The guest's config.
    pub config: Config,
}

/// What a test's trainer answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Trained {
    /// Sent before the end, in order.
    pub events: Vec<Event>,
    /// The end.
    pub outcome: RunOutcome,
    /// Digest of the model.
    pub digest: String,
}

pub mod dataset {
    use super::{Answer, CapabilityError, Columns, answer};
    pub use crate::bindings::airlock::operator::dataset::{
        Column, ColumnData, ColumnKind, MatrixSpec, MemoryNeed, Stats,
    };
    use crate::dataset::as_f64;
    use std::cell::RefCell;

    pub struct Table(Columns);

    impl Table {
        pub fn open(uri: &str) -> Answer<Self> {
            answer("storage", |state| match state.tables.get(uri) {
                Some(columns) => Ok(Self(columns.clone())),
                None => Err(CapabilityError::NotFound(uri.to_owned())),
            })
        }

        pub fn rows(&self) -> u64 {
            self.0.first().map_or(0, |(_, data)| length(data)) as u64
        }

        pub fn schema(&self) -> Vec<Column> {
            self.0.iter().map(|(column, _)| column.clone()).collect()
        }

        pub fn digest(&self) -> String {
            format!("sha256-of-{}-rows", self.rows())
        }

        fn find(&self, column: &str) -> Answer<&ColumnData> {
            let found = self.0.iter().find(|(there, _)| there.name == column);
            found
                .map(|(_, data)| data)
                .ok_or_else(|| CapabilityError::NotFound(format!("column {column}")))
        }

        #[expect(clippy::cast_precision_loss, reason = "tests have few rows")]
        pub fn stats(&self, column: &str) -> Answer<Stats> {
            let data = self.find(column)?;
            let values: Vec<f64> = as_f64(data)
                .unwrap_or_default()
                .into_iter()
                .flatten()
                .collect();
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let variance = values
                .iter()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>()
                / count;
            Ok(Stats {
                rows: length(data) as u64,
                nulls: nulls(data) as u64,
                mean,
                stddev: variance.sqrt(),
                min: values.iter().copied().fold(f64::NAN, f64::min),
                max: values.iter().copied().fold(f64::NAN, f64::max),
            })
        }

        pub fn read(&self, column: &str, offset: u64, limit: u32) -> Answer<ColumnData> {
            let start = usize::try_from(offset).unwrap_or(usize::MAX);
            let places: Vec<usize> = (start..length(self.find(column)?))
                .take(limit as usize)
                .collect();
            Ok(pick(self.find(column)?, &places))
        }

        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "tests have few rows"
        )]
        pub fn split(&self, label: &str, valid_fraction: f64, _seed: u64) -> Answer<(Self, Self)> {
            self.find(label)?;
            let rows = self.rows() as usize;
            let valid = (rows as f64 * valid_fraction) as usize;
            let part = |places: Vec<usize>| {
                let columns = self.0.iter();
                Self(
                    columns
                        .map(|(column, data)| (column.clone(), pick(data, &places)))
                        .collect(),
                )
            };
            Ok((part((valid..rows).collect()), part((0..valid).collect())))
        }

        pub fn matrix(&self, spec: &MatrixSpec) -> Answer<Matrix> {
            for name in &spec.features {
                self.find(name)?;
            }
            Ok(Matrix {
                rows: self.rows(),
                spec: spec.clone(),
            })
        }
    }

    pub struct TableWriter {
        uri: String,
        columns: RefCell<Columns>,
    }

    impl TableWriter {
        pub fn create(uri: &str, columns: &[Column]) -> Answer<Self> {
            let empty = |column: &Column| (column.clone(), empty(column.kind));
            answer("storage", |_| {
                Ok(Self {
                    uri: uri.to_owned(),
                    columns: RefCell::new(columns.iter().map(empty).collect()),
                })
            })
        }

        pub fn append(&self, batch: &[ColumnData]) -> Answer<()> {
            let mut columns = self.columns.borrow_mut();
            let lengths: Vec<usize> = batch.iter().map(length).collect();
            if batch.len() != columns.len()
                || lengths.windows(2).any(|pair| pair.first() != pair.last())
            {
                return Err(CapabilityError::Invalid("a batch of another shape".into()));
            }
            for ((column, data), more) in columns.iter_mut().zip(batch) {
                if !extend(data, more) {
                    return Err(CapabilityError::Invalid(format!("kind of {}", column.name)));
                }
            }
            Ok(())
        }

        pub fn finish(&self) -> Answer<String> {
            answer("storage", |state| {
                state.tables.insert(self.uri.clone(), self.columns.take());
                Ok(format!("sha256-of-{}", self.uri))
            })
        }
    }

    pub struct Matrix {
        rows: u64,
        pub(super) spec: MatrixSpec,
    }

    impl Matrix {
        pub fn rows(&self) -> u64 {
            self.rows
        }

        pub fn features(&self) -> u32 {
            u32::try_from(self.spec.features.len()).unwrap_or(u32::MAX)
        }

        pub fn digest(&self) -> String {
            format!("sha256-of-matrix-{}", self.rows)
        }

        pub fn memory(&self) -> MemoryNeed {
            MemoryNeed {
                host: self.rows,
                device_shared: self.rows,
                device_per_run: self.rows,
            }
        }
    }

    /// Calls `$body` with the values of a column, whatever their kind.
    macro_rules! each_kind {
        ($data:expr, $values:ident => $body:expr) => {
            match $data {
                ColumnData::Booleans($values) => $body,
                ColumnData::Int64s($values) | ColumnData::Timestamps($values) => $body,
                ColumnData::Float64s($values) => $body,
                ColumnData::Texts($values) => $body,
                ColumnData::Float64Lists($values) => $body,
            }
        };
    }

    fn length(data: &ColumnData) -> usize {
        each_kind!(data, values => values.len())
    }

    fn nulls(data: &ColumnData) -> usize {
        each_kind!(data, values => values.iter().filter(|value| value.is_none()).count())
    }

    fn at<T: Clone>(values: &[Option<T>], places: &[usize]) -> Vec<Option<T>> {
        places
            .iter()
            .filter_map(|&place| values.get(place).cloned())
            .collect()
    }

    fn pick(data: &ColumnData, places: &[usize]) -> ColumnData {
        match data {
            ColumnData::Booleans(values) => ColumnData::Booleans(at(values, places)),
            ColumnData::Int64s(values) => ColumnData::Int64s(at(values, places)),
            ColumnData::Float64s(values) => ColumnData::Float64s(at(values, places)),
            ColumnData::Texts(values) => ColumnData::Texts(at(values, places)),
            ColumnData::Timestamps(values) => ColumnData::Timestamps(at(values, places)),
            ColumnData::Float64Lists(values) => ColumnData::Float64Lists(at(values, places)),
        }
    }

    fn empty(kind: ColumnKind) -> ColumnData {
        match kind {
            ColumnKind::Boolean => ColumnData::Booleans(Vec::new()),
            ColumnKind::Int64 => ColumnData::Int64s(Vec::new()),
            ColumnKind::Float64 => ColumnData::Float64s(Vec::new()),
            ColumnKind::Text => ColumnData::Texts(Vec::new()),
            ColumnKind::Timestamp => ColumnData::Timestamps(Vec::new()),
            ColumnKind::Float64List => ColumnData::Float64Lists(Vec::new()),
        }
    }

    /// False where the kinds differ.
    fn extend(data: &mut ColumnData, more: &ColumnData) -> bool {
        match (data, more) {
            (ColumnData::Booleans(data), ColumnData::Booleans(more)) => {
                data.extend_from_slice(more);
            }
            (ColumnData::Float64s(data), ColumnData::Float64s(more)) => {
                data.extend_from_slice(more);
            }
            (ColumnData::Texts(data), ColumnData::Texts(more)) => data.extend_from_slice(more),
            (ColumnData::Int64s(data), ColumnData::Int64s(more))
            | (ColumnData::Timestamps(data), ColumnData::Timestamps(more)) => {
                data.extend_from_slice(more);
            }
            (ColumnData::Float64Lists(data), ColumnData::Float64Lists(more)) => {
                data.extend_from_slice(more);
            }
            _ => return false,
        }
        true
    }
}

pub mod training {
    use super::dataset::Matrix;
    use super::{TrainRequest, Trained, with};
    pub use crate::bindings::airlock::operator::training::{
        Config, Event, Format, Metric, RunOutcome, StopReason, TrainError,
    };
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    pub struct Run {
        events: RefCell<VecDeque<Event>>,
        cancelled: Cell<bool>,
        trained: Trained,
    }

    impl Run {
        pub fn next(&self, _timeout_ms: u32) -> Option<Event> {
            self.events.borrow_mut().pop_front()
        }

        pub fn cancel(&self) {
            self.cancelled.set(true);
            // What a host still has to say: its last checkpoint.
            let last = |event: &Event| matches!(event, Event::Checkpointed(_));
            self.events.borrow_mut().retain(last);
        }

        pub fn wait(&self) -> Result<RunOutcome, TrainError> {
            let mut outcome = self.trained.outcome.clone();
            if self.cancelled.get() {
                outcome.reason = StopReason::Cancelled;
            }
            Ok(outcome)
        }

        pub fn model(&self) -> Result<Model, TrainError> {
            Ok(Model(self.trained.digest.clone()))
        }
    }

    pub fn start_search(
        train: &Matrix,
        valid: Option<&Matrix>,
        configs: &[Config],
        _parallel: u32,
    ) -> Result<Vec<Run>, TrainError> {
        let started = configs.iter().map(|config| start(train, valid, config));
        started.collect()
    }

    pub fn start(
        train: &Matrix,
        valid: Option<&Matrix>,
        config: &Config,
    ) -> Result<Run, TrainError> {
        with(|state| {
            if state.denied.contains("training") {
                return Err(TrainError::Denied("grant `training`".into()));
            }
            let request = TrainRequest {
                train_rows: train.rows(),
                valid_rows: valid.map(Matrix::rows),
                features: train.spec.features.clone(),
                label: train.spec.label.clone(),
                config: config.clone(),
            };
            let trained = match &mut state.trainer {
                Some(trainer) => trainer(&request)?,
                None => return Err(TrainError::Invalid("call Host::on_train".into())),
            };
            Ok(Run {
                events: RefCell::new(trained.events.clone().into()),
                cancelled: Cell::new(false),
                trained,
            })
        })
    }

    pub struct Model(String);

    impl Model {
        pub fn load(artifact: &str, _format: Format) -> Result<Self, TrainError> {
            Ok(Self(artifact.to_owned()))
        }

        pub fn save(&self, _format: Format) -> Result<String, TrainError> {
            Ok(self.0.clone())
        }

        pub fn score(&self, _data: &Matrix) -> Result<Scores, TrainError> {
            Err(TrainError::Invalid("the fake host scores nothing".into()))
        }

        pub fn importance(&self) -> Vec<(String, f64)> {
            Vec::new()
        }

        pub fn digest(&self) -> String {
            self.0.clone()
        }

        pub fn outputs(&self) -> u32 {
            1
        }
    }

    pub struct Scores(());

    impl Scores {
        pub fn evaluate(&self, _metrics: &[Metric]) -> Result<Vec<(Metric, f64)>, TrainError> {
            Ok(Vec::new())
        }

        pub fn read(&self, _offset: u64, _limit: u32) -> Vec<f32> {
            Vec::new()
        }
    }
}
