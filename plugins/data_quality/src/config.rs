//! What a gate asks of a table. Members that an older config does not know have defaults under which it means what it meant.

use airlock_sdk::prelude::*;
use airlock_sdk::time::{Span, Timestamp};
use std::collections::BTreeMap;

/// The most entries of a map or list in a config.
pub(crate) const ENTRIES_MAX: usize = 1_000;

/// What the table must be like.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DataQuality {
    /// The table.
    pub(crate) uri: String,
    /// Rows at least.
    #[serde(default = "default::min_rows")]
    pub(crate) min_rows: u64,
    /// Rows at most.
    pub(crate) max_rows: Option<u64>,
    /// Fraction of nulls at most, in the column that has most; NaN counts as null.
    #[serde(default = "default::max_null_rate")]
    pub(crate) max_null_rate: f64,
    /// Fraction of nulls at most for single columns, in place of `max_null_rate`.
    #[serde(default)]
    pub(crate) null_rates: BTreeMap<String, f64>,
    /// The column of 0 and 1 whose mean is the positive rate; absent: not checked.
    pub(crate) label: Option<String>,
    /// Fraction of positive labels at least.
    #[serde(default = "default::min_positive_rate")]
    pub(crate) min_positive_rate: f64,
    /// Fraction of positive labels at most.
    pub(crate) max_positive_rate: Option<f64>,
    /// Least and greatest allowed value of columns of numbers.
    #[serde(default)]
    pub(crate) ranges: BTreeMap<String, Range>,
    /// Keys of which no two rows may have the same: a column each, or a list of columns. Null equals null.
    #[serde(default)]
    pub(crate) unique: Vec<Key>,
    /// The only values that columns may have besides null.
    #[serde(default)]
    pub(crate) allowed_values: BTreeMap<String, Vec<Value>>,
    /// How old the newest row may be.
    pub(crate) freshness: Option<Freshness>,
    /// How far the columns may be from those of earlier dates.
    pub(crate) drift: Option<Drift>,
    /// Where an HTML report goes.
    pub(crate) report: Option<String>,
    /// Where the metrics are logged besides.
    pub(crate) tracking: Option<Tracking>,
    /// What a failed check does.
    #[serde(default)]
    pub(crate) mode: Mode,
    /// What a failed check of one kind does, in place of `mode`. Where several fail, `fail` wins over `short_circuit`.
    #[serde(default)]
    pub(crate) modes: BTreeMap<Kind, Mode>,
    /// Whether a failed check skips all transitive downstream, whatever its trigger rules.
    #[serde(default = "default::yes")]
    pub(crate) ignore_downstream_trigger_rules: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Mode {
    /// It is said, and downstream runs.
    Warn,
    /// Downstream is skipped and the run succeeds.
    #[default]
    ShortCircuit,
    /// The task fails, for good.
    Fail,
}

/// A kind of check.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    RowCount,
    NullRate,
    PositiveLabelRate,
    Range,
    Unique,
    AllowedValues,
    Freshness,
    MeanShift,
    Psi,
    Ks,
    ChiSquare,
}

/// Bounds, each of them allowed.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Range {
    pub(crate) min: Option<f64>,
    pub(crate) max: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(crate) enum Key {
    Column(String),
    Columns(Vec<String>),
}

impl Key {
    pub(crate) fn columns(&self) -> Vec<String> {
        match self {
            Self::Column(name) => vec![name.clone()],
            Self::Columns(names) => names.clone(),
        }
    }
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Freshness {
    /// A column of timestamps.
    pub(crate) column: String,
    /// From the newest of them to the end of the run's data interval at most; in a run without one, to now.
    pub(crate) max_age: Span,
}

/// Columns against the same columns of earlier dates. Where fewer than `min_dates` are known, nothing is judged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drift {
    /// A folder of objects, one for each logical date, that this operator writes: a rerun replaces its own. Nothing is ever removed.
    pub(crate) history: String,
    /// The date that the table belongs to; absent: the logical date.
    pub(crate) date: Option<Timestamp>,
    /// Columns of numbers; absent: all but `ignore_columns`, `categories` and timestamps.
    pub(crate) columns: Option<Vec<String>>,
    /// Columns that are no features, such as ids.
    #[serde(default)]
    pub(crate) ignore_columns: Vec<String>,
    /// Columns whose values are compared one by one; at most 100 of each are, the rest count as one.
    #[serde(default)]
    pub(crate) categories: Vec<String>,
    /// How many of the newest earlier dates make the reference. Only dates whose gate passed count.
    #[serde(default = "default::reference_dates")]
    pub(crate) reference_dates: u32,
    /// With how few of them there is a reference.
    #[serde(default = "default::min_dates")]
    pub(crate) min_dates: u32,
    /// Standard deviations of the reference's values that a mean may have moved; null: not checked.
    #[serde(default = "default::max_mean_shift")]
    pub(crate) max_mean_shift: Option<f64>,
    /// Population stability index at most; null: not checked.
    #[serde(default = "default::max_psi")]
    pub(crate) max_psi: Option<f64>,
    /// Kolmogorov-Smirnov distance at most, 0 to 1; absent: not checked.
    pub(crate) max_ks: Option<f64>,
    /// The chi-square test's p-value at least, for `categories`; absent: not checked. With many rows it finds the smallest
    /// difference.
    pub(crate) min_chi_square_p: Option<f64>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tracking {
    /// The experiment.
    pub(crate) experiment: String,
    /// The tracking run; absent: a name made of DAG, task and logical date.
    pub(crate) run_name: Option<String>,
}

impl DataQuality {
    pub(crate) fn mode_of(&self, kind: Kind) -> Mode {
        self.modes.get(&kind).copied().unwrap_or(self.mode)
    }

    /// Refuses what cannot be meant.
    pub(crate) fn check(&self) -> Result<(), TaskError> {
        let lists = [
            ("null_rates", self.null_rates.len()),
            ("ranges", self.ranges.len()),
            ("unique", self.unique.len()),
            ("allowed_values", self.allowed_values.len()),
        ];
        let values = self.allowed_values.values();
        let lists = lists
            .into_iter()
            .chain(values.map(|values| ("allowed_values", values.len())));
        for (field, entries) in lists {
            if entries > ENTRIES_MAX {
                let message = format!("has {entries} entries, at most {ENTRIES_MAX} are read");
                return Err(TaskError::invalid(field, message));
            }
        }
        if self.unique.iter().any(|key| key.columns().is_empty()) {
            return Err(TaskError::invalid(
                "unique",
                "a key has at least one column",
            ));
        }
        match &self.drift {
            Some(drift) => drift.check(),
            None => Ok(()),
        }
    }
}

impl Drift {
    fn check(&self) -> Result<(), TaskError> {
        let dates = 1..=self.reference_dates;
        if !(1..=366).contains(&self.reference_dates) || !dates.contains(&self.min_dates) {
            let message = "needs 1 <= min_dates <= reference_dates <= 366";
            return Err(TaskError::invalid("drift.min_dates", message));
        }
        if self.categories.len() > ENTRIES_MAX {
            let message = format!("at most {ENTRIES_MAX} columns are compared");
            return Err(TaskError::invalid("drift.categories", message));
        }
        Ok(())
    }
}

mod default {
    pub(super) fn min_rows() -> u64 {
        10_000
    }

    pub(super) fn max_null_rate() -> f64 {
        0.05
    }

    pub(super) fn min_positive_rate() -> f64 {
        0.03
    }

    pub(super) fn yes() -> bool {
        true
    }

    pub(super) fn reference_dates() -> u32 {
        14
    }

    pub(super) fn min_dates() -> u32 {
        3
    }

    #[expect(clippy::unnecessary_wraps, reason = "null switches the check off")]
    pub(super) fn max_mean_shift() -> Option<f64> {
        Some(3.0)
    }

    #[expect(clippy::unnecessary_wraps, reason = "null switches the check off")]
    pub(super) fn max_psi() -> Option<f64> {
        Some(0.25)
    }
}
