//! Gates a pipeline on its data: too few rows, too many nulls or too few positive labels halt it before anything is spent on
//! training. It refuses to repair data, and tells its findings before it decides.

use airlock_sdk::dataset::{ColumnKind, Table};
use airlock_sdk::prelude::*;
use airlock_sdk::{CapabilityError, xcom};

/// What the table must be like.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct DataQuality {
    /// The table.
    uri: String,
    /// Rows at least.
    #[serde(default = "min_rows_default")]
    min_rows: u64,
    /// Fraction of nulls at most, in the column that has most.
    #[serde(default = "max_null_rate_default")]
    max_null_rate: f64,
    /// The column of 0 and 1 whose mean is the positive rate; absent: not checked.
    label: Option<String>,
    /// Fraction of positive labels at least.
    #[serde(default = "min_positive_rate_default")]
    min_positive_rate: f64,
    /// What a failed check does.
    #[serde(default)]
    mode: Mode,
    /// Whether a failed check skips all transitive downstream, whatever its trigger rules.
    #[serde(default = "yes")]
    ignore_downstream_trigger_rules: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Mode {
    /// Downstream is skipped and the run succeeds.
    #[default]
    ShortCircuit,
    /// The task fails, for good.
    Fail,
}

fn min_rows_default() -> u64 {
    10_000
}

fn max_null_rate_default() -> f64 {
    0.05
}

fn min_positive_rate_default() -> f64 {
    0.03
}

fn yes() -> bool {
    true
}

/// Gates a pipeline on row count, null rate and positive label rate.
#[operator]
fn data_quality(config: DataQuality) -> Result<Outcome, TaskError> {
    xcom::push("path", &config.uri)?;
    let checks = match Table::open(&config.uri) {
        Ok(table) => inspect(&table, &config)?,
        // A missing or broken table is what a gate is for; a host that cannot answer now is not.
        Err(error @ (CapabilityError::NotFound(_) | CapabilityError::Invalid(_))) => {
            return fail(
                &config,
                &format!("cannot read the table: {}", TaskError::from(error)),
            );
        }
        Err(error) => return Err(error.into()),
    };
    let failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
    if let [first, ..] = failed.as_slice() {
        return fail(&config, &first.to_string());
    }
    Ok(Outcome::Success(json!(true)))
}

struct Check {
    name: &'static str,
    actual: f64,
    bound: &'static str,
    threshold: f64,
    passed: bool,
}

impl std::fmt::Display for Check {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            out,
            "[{}]: {} ({} {})",
            self.name, self.actual, self.bound, self.threshold
        )
    }
}

/// Measures everything and pushes it; decides nothing.
#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^53")]
fn inspect(table: &Table, config: &DataQuality) -> Result<Vec<Check>, TaskError> {
    let rows = table.rows();
    let mut max_null_rate: f64 = 0.0;
    for column in table.schema() {
        let nulls = table.stats(&column.name)?.nulls;
        max_null_rate = max_null_rate.max(nulls as f64 / rows.max(1) as f64);
    }
    let mut checks = vec![
        at_least("row_count", rows as f64, config.min_rows as f64),
        Check {
            name: "max_null_rate",
            actual: max_null_rate,
            bound: "at most",
            threshold: config.max_null_rate,
            passed: max_null_rate <= config.max_null_rate,
        },
    ];
    if let Some(label) = &config.label {
        let rate = positive_rate(table, label, rows)?;
        checks.push(at_least(
            "positive_label_rate",
            rate,
            config.min_positive_rate,
        ));
    }
    for check in &checks {
        let verdict = if check.passed { "PASS" } else { "FAIL" };
        info!("QUALITY {verdict} {check}");
    }
    xcom::push("row_count", &rows)?;
    let metrics: serde_json::Map<String, Value> = checks
        .iter()
        .map(|check| (check.name.to_owned(), json!(check.actual)))
        .collect();
    xcom::push("quality", &metrics)?;
    Ok(checks)
}

fn at_least(name: &'static str, actual: f64, threshold: f64) -> Check {
    Check {
        name,
        actual,
        bound: "at least",
        threshold,
        passed: actual >= threshold,
    }
}

fn positive_rate(table: &Table, label: &str, rows: u64) -> Result<f64, TaskError> {
    let column = table.schema().into_iter().find(|there| there.name == label);
    match column.map(|column| column.kind) {
        Some(ColumnKind::Int64 | ColumnKind::Float64 | ColumnKind::Boolean) => {}
        Some(_) => return Err(TaskError::invalid("label", "must be a column of 0 and 1")),
        None => {
            return Err(TaskError::invalid(
                "label",
                format!("the table has no column `{label}`"),
            ));
        }
    }
    let mean = table.stats(label)?.mean;
    // No rows, or nothing but nulls: no positives either.
    Ok(if rows == 0 || mean.is_nan() {
        0.0
    } else {
        mean
    })
}

fn fail(config: &DataQuality, reason: &str) -> Result<Outcome, TaskError> {
    warn!("QUALITY FAIL {reason}");
    xcom::push("reason", reason)?;
    match config.mode {
        Mode::ShortCircuit => Ok(Outcome::ShortCircuit {
            ignore_downstream_trigger_rules: config.ignore_downstream_trigger_rules,
        }),
        Mode::Fail => Err(TaskError::permanent(format!("quality gate: {reason}"))),
    }
}

airlock_sdk::plugin!(operators: [data_quality]);

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_sdk::dataset::{ColumnData, column};
    use airlock_sdk::testing::Host;

    const URI: &str = "file://./data/features.parquet";

    fn host(rows: usize, nulls: usize, positives: usize) -> Host {
        let host = Host::new();
        let value = (0..rows).map(|row| (row >= nulls).then_some(1.0)).collect();
        let label = (0..rows)
            .map(|row| Some(i64::from(row < positives)))
            .collect();
        host.put_table(
            URI,
            vec![
                (
                    column("value", ColumnKind::Float64),
                    ColumnData::Float64s(value),
                ),
                (
                    column("churned", ColumnKind::Int64),
                    ColumnData::Int64s(label),
                ),
            ],
        );
        host
    }

    fn run(host: &Host, mode: &str) -> Result<Outcome, TaskError> {
        host.run::<data_quality>(
            json!({"uri": URI, "min_rows": 100, "label": "churned", "mode": mode}),
        )
    }

    const HALT: Outcome = Outcome::ShortCircuit {
        ignore_downstream_trigger_rules: true,
    };

    #[test]
    fn good_data_passes_at_the_thresholds() {
        let host = host(100, 5, 3);
        assert_eq!(
            run(&host, "short_circuit"),
            Ok(Outcome::Success(json!(true)))
        );
        assert_eq!(host.pushed("row_count"), Some(json!(100)));
        assert_eq!(host.pushed("path"), Some(json!(URI)));
        assert_eq!(
            host.pushed("quality").unwrap()["max_null_rate"],
            json!(0.05)
        );
        assert_eq!(host.lines().len(), 3);
    }

    #[test]
    fn each_check_halts_after_its_metrics_are_pushed() {
        for (host, named) in [
            (host(99, 0, 50), "row_count"),
            (host(100, 6, 50), "max_null_rate"),
            (host(100, 0, 2), "positive_label_rate"),
        ] {
            assert_eq!(run(&host, "short_circuit"), Ok(HALT), "{named}");
            assert!(
                host.pushed("reason")
                    .unwrap()
                    .as_str()
                    .unwrap()
                    .contains(named)
            );
            assert!(host.pushed("quality").is_some());
            assert!(host.pushed("row_count").is_some());
        }
    }

    #[test]
    fn a_missing_or_empty_table_halts() {
        let missing = Host::new();
        assert_eq!(run(&missing, "short_circuit"), Ok(HALT));
        assert!(missing.pushed("reason").is_some());
        assert_eq!(run(&host(0, 0, 0), "short_circuit"), Ok(HALT));
    }

    #[test]
    fn mode_fail_is_permanent() {
        let ended = run(&host(1, 0, 0), "fail");
        assert!(matches!(ended, Err(TaskError::Permanent(_))), "{ended:?}");
    }

    #[test]
    fn a_denied_table_is_no_quality_problem() {
        let host = host(100, 0, 50);
        host.deny("storage");
        assert!(matches!(
            run(&host, "short_circuit"),
            Err(TaskError::Permanent(_))
        ));
    }

    #[test]
    fn an_unknown_label_names_the_field() {
        let ended = host(100, 0, 50)
            .run::<data_quality>(json!({"uri": URI, "min_rows": 1, "label": "churn"}));
        assert!(matches!(ended, Err(TaskError::InvalidInput { field, .. }) if field == "label"));
    }
}
