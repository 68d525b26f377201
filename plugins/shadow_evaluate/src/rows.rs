//! Rows with their scores: which count, and what they say together. The models score in the host; a score and a label a row come here.

use crate::curve;
use airlock_sdk::dataset::{BATCH_ROWS_MAX, ColumnData, ColumnKind, MatrixSpec, Table, as_f64};
use airlock_sdk::models::ModelVersion;
use airlock_sdk::prelude::*;
use airlock_sdk::time::Timestamp;
use airlock_sdk::training::{Format, Model};
use std::time::Duration;

/// The most tables of one evaluation.
const TABLES_MAX: usize = 400;
/// The most rows that count, of all tables together: 8 bytes each in the guest.
const ROWS_MAX: usize = 4_000_000;
/// Scoring needs no bins; the fewest are made fastest.
const BINS: u16 = 2;
const DAY: Duration = Duration::from_hours(24);

/// What a model is scored on.
pub(crate) struct Columns {
    pub(crate) features: Vec<String>,
    pub(crate) label: String,
}

/// Rows from `begin` on and before `end`, microseconds since 1970.
pub(crate) struct Window {
    column: String,
    begin: i64,
    end: i64,
}

impl Window {
    /// The last days before an instant.
    pub(crate) fn before(column: String, end: Timestamp, days: u32) -> Self {
        let length = i64::try_from((DAY * days).as_micros()).unwrap_or(i64::MAX);
        Self {
            column,
            begin: end.as_micros().saturating_sub(length),
            end: end.as_micros(),
        }
    }
}

/// How good a model is on the rows that count.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Figures {
    pub(crate) rows: usize,
    pub(crate) auc: f64,
    pub(crate) average_precision: f64,
    /// SHA-256 of each table.
    pub(crate) digests: Vec<String>,
}

/// Scores a version over tables.
pub(crate) fn figures(
    uris: &[String],
    columns: &Columns,
    window: Option<&Window>,
    version: &ModelVersion,
) -> Result<Figures, TaskError> {
    if uris.is_empty() || uris.len() > TABLES_MAX {
        let message = format!("must be 1 to {TABLES_MAX} tables");
        return Err(TaskError::invalid("features", message));
    }
    let model = Model::load(&version.artifact, Format::Airlock)?;
    if model.outputs() != 1 {
        return Err(TaskError::permanent(format!(
            "{} v{} tells several classes apart; AUC and average precision are of yes and no",
            version.name, version.version
        )));
    }
    let (mut rows, mut digests) = (Vec::new(), Vec::new());
    for uri in uris {
        let table = Table::open(uri)?;
        digests.push(table.digest());
        score(&model, &table, columns, window, &mut rows)
            .map_err(|error| error.context(uri.as_str()))?;
    }
    let one_class = || {
        TaskError::permanent(format!(
            "{} rows count and all have the same label: there is nothing to tell apart",
            rows.len()
        ))
    };
    Ok(Figures {
        auc: curve::auc(&rows).ok_or_else(one_class)?,
        average_precision: curve::average_precision(&rows).ok_or_else(one_class)?,
        rows: rows.len(),
        digests,
    })
}

/// Adds the rows of one table that count.
fn score(
    model: &Model,
    table: &Table,
    columns: &Columns,
    window: Option<&Window>,
    rows: &mut Vec<(f32, bool)>,
) -> Result<(), TaskError> {
    require(table, columns, window)?;
    let scores = model.score(&table.matrix(&MatrixSpec {
        features: columns.features.clone(),
        label: None,
        weight: None,
        max_bins: BINS,
    })?)?;
    let total = table.rows();
    let mut offset = 0;
    while offset < total {
        let labels = table.read(&columns.label, offset, BATCH_ROWS_MAX)?;
        let labels = as_f64(&labels).unwrap_or_default();
        let times = window
            .map(|window| table.read(&window.column, offset, BATCH_ROWS_MAX))
            .transpose()?;
        let said = scores.read(offset, BATCH_ROWS_MAX);
        if labels.is_empty() || labels.len() != said.len() {
            return Err(TaskError::permanent("the host gave fewer scores than rows"));
        }
        for (row, (score, label)) in said.iter().zip(&labels).enumerate() {
            let counts = window.is_none_or(|window| window.holds(times.as_ref(), row));
            if score.is_nan() {
                return Err(TaskError::permanent(format!(
                    "the model has no score for row {}: a value that it needs may be missing",
                    offset + row as u64
                )));
            }
            // A row whose outcome is not known yet says nothing.
            if let (true, Some(label)) = (counts, label) {
                rows.push((*score, *label > 0.5));
            }
        }
        if rows.len() > ROWS_MAX {
            let message = format!("more than {ROWS_MAX} rows count: name fewer tables or days");
            return Err(TaskError::invalid("features", message));
        }
        offset += labels.len() as u64;
    }
    Ok(())
}

/// Says which column is missing before anything is read.
fn require(table: &Table, columns: &Columns, window: Option<&Window>) -> Result<(), TaskError> {
    let schema = table.schema();
    let kind = |name: &str| {
        let found = schema.iter().find(|column| column.name == name);
        found.map(|column| column.kind).ok_or_else(|| {
            TaskError::invalid("features", format!("the table has no column `{name}`"))
        })
    };
    for name in &columns.features {
        kind(name)?;
    }
    if matches!(
        kind(&columns.label)?,
        ColumnKind::Text | ColumnKind::Float64List
    ) {
        return Err(TaskError::invalid("label", "must be a column of 0 and 1"));
    }
    match window {
        Some(window) if kind(&window.column)? != ColumnKind::Timestamp => Err(TaskError::invalid(
            "timestamp_column",
            format!("`{}` holds no timestamps", window.column),
        )),
        _ => Ok(()),
    }
}

impl Window {
    /// Whether the row's time is inside; a row without one is not.
    fn holds(&self, times: Option<&ColumnData>, row: usize) -> bool {
        let Some(ColumnData::Timestamps(times)) = times else {
            return false;
        };
        matches!(times.get(row), Some(Some(at)) if (self.begin..self.end).contains(at))
    }
}
