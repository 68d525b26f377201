//! Churn features from raw events, batch by batch. It refuses tables whose columns are not those of raw events, and drops
//! rows that lack a feature.

use airlock_sdk::dataset::{
    ColumnData, ColumnKind, Table, TableWriter, as_f64, column, read_batch,
};
use airlock_sdk::prelude::*;
use airlock_sdk::time::Timestamp;
use airlock_sdk::{progress, xcom};
use std::collections::BTreeMap;

/// Rows of one batch: lists of sessions keep it well below what a host call may move.
const BATCH_ROWS: u32 = 16_384;
/// How many sessions the average is taken over, and needs.
const SESSIONS: usize = 7;
const MICROS_PER_DAY: i64 = 86_400_000_000;

const RAW_COLUMNS: [&str; 8] = [
    "user_id",
    "last_login_date",
    "session_lengths",
    "payment_failures_30d",
    "payment_attempts_30d",
    "plan_tier",
    "support_tickets_90d",
    "churned",
];

const FEATURE_COLUMNS: [(&str, ColumnKind); 7] = [
    ("days_since_last_login", ColumnKind::Float64),
    ("avg_session_length_7d", ColumnKind::Float64),
    ("payment_failure_rate", ColumnKind::Float64),
    ("plan_tier", ColumnKind::Float64),
    ("support_tickets_90d", ColumnKind::Float64),
    ("churned", ColumnKind::Int64),
    ("user_id", ColumnKind::Int64),
];

/// Where from, where to, and as of when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Features {
    /// The raw events.
    input: String,
    /// The feature table; it is replaced.
    output: String,
    /// Days since the last login count up to this date; absent: the logical date's.
    date: Option<Timestamp>,
}

/// Computes churn features from raw events.
#[operator]
fn features(config: Features, task: &Task) -> Result<Value, TaskError> {
    let date = match config.date.or(task.logical_date) {
        Some(date) => date.as_micros().div_euclid(MICROS_PER_DAY) * MICROS_PER_DAY,
        None => {
            return Err(TaskError::invalid(
                "date",
                "this run has no logical date: name one",
            ));
        }
    };
    let table = Table::open(&config.input)?;
    let columns: Vec<_> = FEATURE_COLUMNS
        .iter()
        .map(|(name, kind)| column(name, *kind))
        .collect();
    let writer = TableWriter::create(&config.output, &columns)?;
    let rows = table.rows();
    let (mut offset, mut kept) = (0, 0);
    while offset < rows {
        if progress::is_cancelled() {
            return Err(TaskError::transient("cancelled"));
        }
        let batch = Batch::of(read_batch(&table, &RAW_COLUMNS, offset, BATCH_ROWS)?, date)?;
        kept += batch.write(&writer)?;
        offset = rows.min(offset + u64::from(BATCH_ROWS));
        report(offset, rows);
    }
    let digest = writer.finish()?;
    xcom::push("feature_path", &config.output)?;
    xcom::push("feature_count", &kept)?;
    info!("{kept} of {rows} rows written to {}", config.output);
    Ok(json!({"feature_path": config.output, "feature_count": kept, "digest": digest}))
}

#[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
fn report(done: u64, rows: u64) {
    progress::report(done as f64 / rows as f64, &format!("{done} of {rows} rows"));
}

/// The features of some rows, nulls included.
struct Batch {
    numbers: [Vec<Option<f64>>; 5],
    churned: Vec<Option<i64>>,
    user_id: Vec<Option<i64>>,
}

impl Batch {
    fn of(mut raw: BTreeMap<String, ColumnData>, date: i64) -> Result<Self, TaskError> {
        let logins = int64s("last_login_date", raw.remove("last_login_date"))?;
        let days = |login: Option<i64>| Some(whole_days(date - login?));
        let Some(ColumnData::Float64Lists(sessions)) = raw.remove("session_lengths") else {
            return Err(wrong("session_lengths"));
        };
        let number = |name: &str| {
            let values = raw.get(name).and_then(as_f64);
            values.ok_or_else(|| wrong(name))
        };
        let failures = number("payment_failures_30d")?;
        let attempts = number("payment_attempts_30d")?;
        let rate =
            |(failed, tried): (&Option<f64>, &Option<f64>)| Some((*failed)? / (*tried)?.max(1.0));
        Ok(Self {
            numbers: [
                logins.into_iter().map(days).collect(),
                sessions
                    .iter()
                    .map(|lengths| average(lengths.as_deref()?))
                    .collect(),
                failures.iter().zip(&attempts).map(rate).collect(),
                number("plan_tier")?,
                number("support_tickets_90d")?,
            ],
            churned: int64s("churned", raw.remove("churned"))?,
            user_id: int64s("user_id", raw.remove("user_id"))?,
        })
    }

    /// Appends the rows whose features are all there and yields how many these are.
    fn write(self, writer: &TableWriter) -> Result<u64, TaskError> {
        let complete: Vec<bool> = (0..self.churned.len())
            .map(|row| {
                let features = self.numbers.iter();
                features
                    .map(|values| values.get(row))
                    .all(|value| matches!(value, Some(Some(_))))
            })
            .collect();
        let mut batch: Vec<ColumnData> = self
            .numbers
            .into_iter()
            .map(|values| ColumnData::Float64s(keep(values, &complete)))
            .collect();
        batch.push(ColumnData::Int64s(keep(self.churned, &complete)));
        batch.push(ColumnData::Int64s(keep(self.user_id, &complete)));
        writer.append(&batch)?;
        Ok(complete.iter().filter(|&&complete| complete).count() as u64)
    }
}

fn keep<T>(values: Vec<T>, complete: &[bool]) -> Vec<T> {
    let pairs = values.into_iter().zip(complete);
    pairs
        .filter(|(_, complete)| **complete)
        .map(|(value, _)| value)
        .collect()
}

/// Whole days, rounded down as pandas' `.dt.days` does.
#[expect(clippy::cast_precision_loss, reason = "days since a login are few")]
fn whole_days(micros: i64) -> f64 {
    micros.div_euclid(MICROS_PER_DAY) as f64
}

/// The mean of the last seven sessions, or none where there were fewer.
#[expect(clippy::cast_precision_loss, reason = "seven")]
fn average(lengths: &[f64]) -> Option<f64> {
    let last = lengths.get(lengths.len().checked_sub(SESSIONS)?..)?;
    let mean = last.iter().sum::<f64>() / SESSIONS as f64;
    mean.is_finite().then_some(mean)
}

fn int64s(name: &str, data: Option<ColumnData>) -> Result<Vec<Option<i64>>, TaskError> {
    match data {
        Some(ColumnData::Int64s(values) | ColumnData::Timestamps(values)) => Ok(values),
        _ => Err(wrong(name)),
    }
}

fn wrong(name: &str) -> TaskError {
    TaskError::invalid(
        "input",
        format!("column `{name}` is not what raw churn events have there"),
    )
}

airlock_sdk::plugin!(operators: [features]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::{Columns, Host};

    const RAW: &str = "file://d/raw.parquet";
    const OUT: &str = "file://d/features.parquet";

    fn raw() -> Columns {
        let login = |text: &str| text.parse::<Timestamp>().unwrap().as_micros();
        let ints = |values: [i64; 4]| ColumnData::Int64s(values.map(Some).to_vec());
        let sessions = |count: u32| Some((1..=count).map(f64::from).collect());
        vec![
            (column("user_id", ColumnKind::Int64), ints([1, 2, 3, 4])),
            (
                column("last_login_date", ColumnKind::Timestamp),
                ColumnData::Timestamps(vec![
                    Some(login("2026-01-04T12:00:00Z")),
                    Some(login("2026-01-05T00:00:00Z")),
                    Some(login("2026-01-01T00:00:00Z")),
                    None,
                ]),
            ),
            (
                column("session_lengths", ColumnKind::Float64List),
                ColumnData::Float64Lists(vec![sessions(8), sessions(6), sessions(7), sessions(9)]),
            ),
            (
                column("payment_failures_30d", ColumnKind::Int64),
                ints([1, 0, 2, 0]),
            ),
            (
                column("payment_attempts_30d", ColumnKind::Int64),
                ints([4, 1, 0, 1]),
            ),
            (column("plan_tier", ColumnKind::Int64), ints([0, 1, 2, 3])),
            (
                column("support_tickets_90d", ColumnKind::Int64),
                ints([5, 1, 0, 1]),
            ),
            (column("churned", ColumnKind::Int64), ints([1, 0, 0, 1])),
        ]
    }

    #[test]
    fn features_are_computed_and_incomplete_rows_dropped() {
        let host = Host::new();
        host.put_table(RAW, raw());
        host.run::<features>(json!({"input": RAW, "output": OUT}))
            .unwrap();
        let numbers = |values: [f64; 2]| Some(ColumnData::Float64s(values.map(Some).to_vec()));
        let of = |name: &str| host.column(OUT, name);
        // User 2 has six sessions, user 4 never logged in.
        assert_eq!(
            of("user_id"),
            Some(ColumnData::Int64s(vec![Some(1), Some(3)]))
        );
        assert_eq!(of("days_since_last_login"), numbers([0.0, 4.0]));
        assert_eq!(of("avg_session_length_7d"), numbers([5.0, 4.0]));
        assert_eq!(of("payment_failure_rate"), numbers([0.25, 2.0]));
        assert_eq!(
            of("churned"),
            Some(ColumnData::Int64s(vec![Some(1), Some(0)]))
        );
        assert_eq!(host.pushed("feature_count"), Some(json!(2)));
        assert_eq!(host.pushed("feature_path"), Some(json!(OUT)));
    }

    #[test]
    fn another_table_is_refused() {
        let host = Host::new();
        let mut columns = raw();
        columns[2] = (
            column("session_lengths", ColumnKind::Float64),
            ColumnData::Float64s(vec![None; 4]),
        );
        host.put_table(RAW, columns);
        let ended = host.run::<features>(json!({"input": RAW, "output": OUT}));
        assert!(
            matches!(&ended, Err(TaskError::InvalidInput { message, .. }) if message.contains("session_lengths"))
        );
        assert!(host.table(OUT).is_none());
    }

    #[test]
    fn cancelled_work_leaves_nothing() {
        let host = Host::new();
        host.put_table(RAW, raw());
        host.cancel();
        assert!(
            host.run::<features>(json!({"input": RAW, "output": OUT}))
                .is_err()
        );
        assert!(host.table(OUT).is_none());
    }
}
