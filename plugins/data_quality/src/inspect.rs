//! Checks of one table by itself: rows, nulls, labels, ranges, keys, values, age. It measures and decides nothing.

use crate::check::Check;
use crate::config::{DataQuality, Freshness, Kind, Range};
use airlock_sdk::dataset::{ColumnKind, ColumnProfile, Table};
use airlock_sdk::prelude::*;
use airlock_sdk::{CapabilityError, time};

/// The most values of a column that are looked at one by one, which is the host's limit.
const VALUES_MAX: u32 = 10_000;
const MICROS_PER_SECOND: f64 = 1e6;

/// A table and its columns in numbers.
pub(crate) struct Measured {
    pub(crate) table: Table,
    pub(crate) rows: u64,
    pub(crate) columns: Vec<ColumnProfile>,
}

impl Measured {
    pub(crate) fn of(table: Table, probabilities: &[f64]) -> Result<Self, CapabilityError> {
        Ok(Self {
            rows: table.rows(),
            columns: table.profile(&[], probabilities)?,
            table,
        })
    }

    /// The column of this name; a config that names another one is wrong.
    pub(crate) fn column(&self, field: &str, name: &str) -> Result<&ColumnProfile, TaskError> {
        let found = self.columns.iter().find(|there| there.column.name == name);
        found.ok_or_else(|| TaskError::invalid(field, format!("the table has no column `{name}`")))
    }

    /// The column of this name, if it holds numbers.
    pub(crate) fn number(&self, field: &str, name: &str) -> Result<&ColumnProfile, TaskError> {
        let column = self.column(field, name)?;
        match column.column.kind {
            ColumnKind::Text | ColumnKind::Float64List => Err(TaskError::invalid(
                field,
                format!("column `{name}` holds no numbers"),
            )),
            _ => Ok(column),
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
    pub(crate) fn null_rate(&self, column: &ColumnProfile) -> f64 {
        column.stats.nulls as f64 / self.rows.max(1) as f64
    }
}

/// All checks that need no other table.
pub(crate) fn inspect(
    measured: &Measured,
    config: &DataQuality,
    task: &Task,
) -> Result<Vec<Check>, TaskError> {
    let mut checks = row_count(measured, config);
    null_rates(measured, config, &mut checks)?;
    if let Some(label) = &config.label {
        positive_rate(measured, config, label, &mut checks)?;
    }
    for (name, range) in &config.ranges {
        within(measured, name, *range, &mut checks)?;
    }
    for key in &config.unique {
        checks.push(unique(measured, &key.columns())?);
    }
    for (name, allowed) in &config.allowed_values {
        checks.push(only_allowed(measured, name, allowed)?);
    }
    if let Some(freshness) = &config.freshness {
        checks.push(age(measured, freshness, task)?);
    }
    Ok(checks)
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
fn row_count(measured: &Measured, config: &DataQuality) -> Vec<Check> {
    let (kind, name, rows) = (Kind::RowCount, "row_count", measured.rows as f64);
    let least = Check::at_least(kind, name, rows, config.min_rows as f64);
    let most = config.max_rows;
    let most = most.map(|most| Check::at_most(kind, name, rows, most as f64));
    std::iter::once(least).chain(most).collect()
}

fn null_rates(
    measured: &Measured,
    config: &DataQuality,
    checks: &mut Vec<Check>,
) -> Result<(), TaskError> {
    let kind = Kind::NullRate;
    let mut worst: (f64, Option<&str>) = (0.0, None);
    for column in &measured.columns {
        let rate = measured.null_rate(column);
        if !config.null_rates.contains_key(&column.column.name) && rate > worst.0 {
            worst = (rate, Some(&column.column.name));
        }
    }
    let check = Check::at_most(kind, "max_null_rate", worst.0, config.max_null_rate);
    if let (false, Some(name)) = (check.passed, worst.1) {
        warn!("column {name:?} has the most nulls");
    }
    checks.push(check);
    for (name, most) in &config.null_rates {
        let rate = measured.null_rate(measured.column("null_rates", name)?);
        checks.push(Check::at_most(kind, "null_rate", rate, *most).of(name));
    }
    Ok(())
}

fn positive_rate(
    measured: &Measured,
    config: &DataQuality,
    label: &str,
    checks: &mut Vec<Check>,
) -> Result<(), TaskError> {
    let column = measured.column("label", label)?;
    let zero_and_one = matches!(
        column.column.kind,
        ColumnKind::Int64 | ColumnKind::Float64 | ColumnKind::Boolean
    );
    if !zero_and_one {
        return Err(TaskError::invalid("label", "must be a column of 0 and 1"));
    }
    let mean = column.stats.mean;
    // No rows, or nothing but nulls: no positives either.
    let rate = if mean.is_nan() { 0.0 } else { mean };
    let (kind, name) = (Kind::PositiveLabelRate, "positive_label_rate");
    checks.push(Check::at_least(kind, name, rate, config.min_positive_rate));
    let most = config.max_positive_rate;
    checks.extend(most.map(|most| Check::at_most(kind, name, rate, most)));
    Ok(())
}

/// A column without values is in every range: that it is empty is for the null rate to say.
fn within(
    measured: &Measured,
    name: &str,
    range: Range,
    checks: &mut Vec<Check>,
) -> Result<(), TaskError> {
    let stats = &measured.number("ranges", name)?.stats;
    if stats.min.is_nan() {
        return Ok(());
    }
    let kind = Kind::Range;
    let least = range.min;
    checks.extend(least.map(|least| Check::at_least(kind, "min", stats.min, least).of(name)));
    let most = range.max;
    checks.extend(most.map(|most| Check::at_most(kind, "max", stats.max, most).of(name)));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
fn unique(measured: &Measured, key: &[String]) -> Result<Check, TaskError> {
    for name in key {
        measured.column("unique", name)?;
    }
    let repeated = measured.rows - measured.table.distinct_rows(key)?;
    let check = Check::at_most(Kind::Unique, "repeated_rows", repeated as f64, 0.0);
    Ok(check.of(&key.join(", ")))
}

/// Rows with other values. Where a column has over ten thousand different values, allowed ones may be among those counted; that
/// there are others is certain.
#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
fn only_allowed(measured: &Measured, name: &str, allowed: &[Value]) -> Result<Check, TaskError> {
    let column = measured.column("allowed_values", name)?;
    let allowed: Vec<String> = allowed.iter().map(value_text).collect();
    let others = match measured.table.value_counts(name, VALUES_MAX) {
        Ok(counts) => {
            let other = |value: &String| !allowed.contains(value);
            let told = counts.top.iter().filter(|count| other(&count.value));
            told.map(|count| count.rows).sum::<u64>() + counts.others
        }
        Err(CapabilityError::TooLarge(_)) => column.stats.rows - column.stats.nulls,
        Err(error) => return Err(error.into()),
    };
    let check = Check::at_most(Kind::AllowedValues, "other_values", others as f64, 0.0);
    Ok(check.of(name))
}

/// As the host writes a value.
fn value_text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (None, Some(float)) => (float + 0.0).to_string(),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

/// Seconds from the newest row to the end of the run's data interval.
#[expect(
    clippy::cast_precision_loss,
    reason = "microseconds since 1970 stay below 2^53 until 2255"
)]
fn age(measured: &Measured, freshness: &Freshness, task: &Task) -> Result<Check, TaskError> {
    let column = measured.column("freshness.column", &freshness.column)?;
    if column.column.kind != ColumnKind::Timestamp {
        let message = format!("column `{}` holds no timestamps", freshness.column);
        return Err(TaskError::invalid("freshness.column", message));
    }
    let end = match task.data_interval_end.or(task.logical_date) {
        Some(end) => end,
        None => time::now()?,
    };
    let age = (end.as_micros() as f64 - column.stats.max) / MICROS_PER_SECOND;
    let most = freshness.max_age.0.as_secs_f64();
    let check = Check::at_most(Kind::Freshness, "age_seconds", age, most);
    Ok(check.of(&freshness.column))
}
