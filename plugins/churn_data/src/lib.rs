//! Raw churn events of users who do not exist: seeded, the same on every machine, and with a signal that can be learned.
//! It refuses to look like real data in anything but shape.

mod users;

use airlock_sdk::dataset::{ColumnData, ColumnKind, TableWriter, column};
use airlock_sdk::prelude::*;
use airlock_sdk::progress;
use airlock_sdk::time::Timestamp;
use users::{Random, User};

/// Rows of one batch: lists of sessions keep it well below what a host call may move.
const BATCH_ROWS: u64 = 16_384;
/// The most rows of one table.
const ROWS_MAX: u64 = 100_000_000;

/// What to generate, and what to spoil.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ChurnData {
    /// Where the table goes; it is replaced.
    uri: String,
    /// Users.
    #[serde(default = "rows_default")]
    rows: u64,
    /// The same seed gives the same users.
    #[serde(default)]
    seed: u64,
    /// Users last logged in before this date; absent: the logical date's.
    date: Option<Timestamp>,
    /// How strongly the features decide about churn: 0 is chance, 1 an AUC of about 0.85.
    #[serde(default = "signal_default")]
    signal: f64,
    /// Fraction of labels that are turned round.
    #[serde(default)]
    label_noise: f64,
    /// What is wrong with the data.
    #[serde(default)]
    corrupt: Corruption,
    /// How much of it: rows that are lost, or values that are null.
    #[serde(default = "fraction_default")]
    corrupt_fraction: f64,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Corruption {
    /// Nothing.
    #[default]
    None,
    /// Rows are lost.
    DropRows,
    /// Values are null.
    Nulls,
    /// Nobody churned.
    NoPositives,
}

fn rows_default() -> u64 {
    20_000
}

fn signal_default() -> f64 {
    1.0
}

fn fraction_default() -> f64 {
    0.9
}

/// Generates raw churn events, seeded.
#[operator]
fn churn_data(config: ChurnData, task: &Task) -> Result<Value, TaskError> {
    check(&config)?;
    let date = config
        .date
        .or(task.logical_date)
        .ok_or_else(|| TaskError::invalid("date", "this run has no logical date: name one"))?;
    let columns = [
        column("user_id", ColumnKind::Int64),
        column("last_login_date", ColumnKind::Timestamp),
        column("session_lengths", ColumnKind::Float64List),
        column("payment_failures_30d", ColumnKind::Int64),
        column("payment_attempts_30d", ColumnKind::Int64),
        column("plan_tier", ColumnKind::Int64),
        column("support_tickets_90d", ColumnKind::Int64),
        column("churned", ColumnKind::Int64),
    ];
    let writer = TableWriter::create(&config.uri, &columns)?;
    let (mut start, mut written, mut positives) = (0, 0, 0);
    while start < config.rows {
        if progress::is_cancelled() {
            return Err(TaskError::transient("cancelled"));
        }
        let end = config.rows.min(start + BATCH_ROWS);
        let mut batch = Batch::default();
        for row in start..end {
            positives += batch.add(&config, row, date.as_micros());
        }
        written += batch.user_id.len() as u64;
        writer.append(&batch.columns())?;
        start = end;
        report(start, config.rows);
    }
    let digest = writer.finish()?;
    info!(
        "{written} users, {positives} churned, written to {}",
        config.uri
    );
    Ok(json!({"path": config.uri, "row_count": written, "positives": positives, "digest": digest}))
}

fn check(config: &ChurnData) -> Result<(), TaskError> {
    let fraction = |field: &str, value: f64| {
        if (0.0..=1.0).contains(&value) {
            Ok(())
        } else {
            Err(TaskError::invalid(field, "must be 0.0 to 1.0"))
        }
    };
    fraction("label_noise", config.label_noise)?;
    fraction("corrupt_fraction", config.corrupt_fraction)?;
    if !(0.0..=10.0).contains(&config.signal) {
        return Err(TaskError::invalid("signal", "must be 0.0 to 10.0"));
    }
    if config.rows > ROWS_MAX {
        return Err(TaskError::invalid(
            "rows",
            format!("must be at most {ROWS_MAX}"),
        ));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a fraction for people")]
fn report(done: u64, rows: u64) {
    progress::report(
        done as f64 / rows as f64,
        &format!("{done} of {rows} users"),
    );
}

#[derive(Default)]
struct Batch {
    user_id: Vec<Option<i64>>,
    last_login_date: Vec<Option<i64>>,
    session_lengths: Vec<Option<Vec<f64>>>,
    payment_failures: Vec<Option<i64>>,
    payment_attempts: Vec<Option<i64>>,
    plan_tier: Vec<Option<i64>>,
    support_tickets: Vec<Option<i64>>,
    churned: Vec<Option<i64>>,
}

impl Batch {
    /// Adds the user of a row, unless the row is lost, and yields 1 for one who churned.
    fn add(&mut self, config: &ChurnData, row: u64, date: i64) -> u64 {
        let user = User::of(config.seed, row, config.signal, config.label_noise);
        // A stream of its own: what is spoiled does not change who the users are.
        let mut spoiler = Random::new(config.seed ^ 0x5b01_1ed0, row);
        let mut hit = |kind: Corruption| {
            spoiler.uniform() < config.corrupt_fraction && config.corrupt == kind
        };
        if hit(Corruption::DropRows) {
            return 0;
        }
        let mut integer = |value: i64| (!hit(Corruption::Nulls)).then_some(value);
        self.last_login_date.push(integer(date - user.since_login));
        self.payment_failures.push(integer(user.payment_failures));
        self.payment_attempts.push(integer(user.payment_attempts));
        self.plan_tier.push(integer(user.plan_tier));
        self.support_tickets.push(integer(user.support_tickets));
        self.user_id.push(i64::try_from(row + 1).ok());
        self.session_lengths.push(Some(user.session_lengths));
        let churned = user.churned && config.corrupt != Corruption::NoPositives;
        self.churned.push(Some(i64::from(churned)));
        u64::from(churned)
    }

    /// In the order of the table.
    fn columns(self) -> [ColumnData; 8] {
        [
            ColumnData::Int64s(self.user_id),
            ColumnData::Timestamps(self.last_login_date),
            ColumnData::Float64Lists(self.session_lengths),
            ColumnData::Int64s(self.payment_failures),
            ColumnData::Int64s(self.payment_attempts),
            ColumnData::Int64s(self.plan_tier),
            ColumnData::Int64s(self.support_tickets),
            ColumnData::Int64s(self.churned),
        ]
    }
}

airlock_sdk::plugin!(operators: [churn_data]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::testing::{Columns, Host};

    const URI: &str = "file://d/raw.parquet";

    fn generate(more: Value) -> Columns {
        let host = Host::new();
        let mut config = json!({"uri": URI, "rows": 20_000, "seed": 7});
        if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
            config.extend(more);
        }
        host.run::<churn_data>(config).unwrap();
        host.table(URI).unwrap()
    }

    fn int64s(columns: &Columns, name: &str) -> Vec<Option<i64>> {
        let found = columns.iter().find(|(column, _)| column.name == name);
        match found {
            Some((_, ColumnData::Int64s(values))) => values.clone(),
            other => panic!("no integers `{name}`: {other:?}"),
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_table() {
        assert_eq!(generate(json!({})), generate(json!({})));
        assert_ne!(generate(json!({})), generate(json!({"seed": 8})));
    }

    #[test]
    fn corruption_spoils_what_it_says() {
        let whole = int64s(&generate(json!({})), "churned");
        assert_eq!(whole.len(), 20_000);
        let rate = whole.iter().flatten().sum::<i64>();
        assert!((3_000..9_000).contains(&rate), "{rate} positives");

        let lost = generate(json!({"corrupt": "drop_rows", "corrupt_fraction": 0.75}));
        let left = int64s(&lost, "churned").len();
        assert!((4_500..5_500).contains(&left), "{left} rows left");

        let holes = generate(json!({"corrupt": "nulls", "corrupt_fraction": 0.2}));
        let nulls = int64s(&holes, "plan_tier")
            .iter()
            .filter(|value| value.is_none())
            .count();
        assert!((3_500..4_500).contains(&nulls), "{nulls} nulls");

        let calm = generate(json!({"corrupt": "no_positives"}));
        assert_eq!(int64s(&calm, "churned").iter().flatten().sum::<i64>(), 0);
    }

    #[test]
    fn senseless_fractions_are_refused() {
        let host = Host::new();
        for field in ["label_noise", "corrupt_fraction", "signal"] {
            let ended = host.run::<churn_data>(json!({"uri": URI, (field): -1}));
            assert!(
                matches!(&ended, Err(TaskError::InvalidInput { field: named, .. }) if named == field),
                "{ended:?}"
            );
        }
    }
}
