//! One check and its verdict, and all of a gate's.

use crate::config::{DataQuality, Kind, Mode};
use std::fmt;

/// A measured value beside its bound.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) kind: Kind,
    /// As it is called in metrics: `row_count`, `psi`.
    pub(crate) name: &'static str,
    /// The column, or the key's columns, that it is about.
    pub(crate) column: Option<String>,
    /// Always finite, because JSON knows nothing else.
    pub(crate) actual: f64,
    pub(crate) bound: &'static str,
    pub(crate) threshold: f64,
    pub(crate) passed: bool,
}

impl Check {
    pub(crate) fn at_least(kind: Kind, name: &'static str, actual: f64, threshold: f64) -> Self {
        Self {
            kind,
            name,
            column: None,
            actual: finite(actual),
            bound: "at least",
            threshold,
            passed: actual >= threshold,
        }
    }

    pub(crate) fn at_most(kind: Kind, name: &'static str, actual: f64, threshold: f64) -> Self {
        Self {
            bound: "at most",
            passed: actual <= threshold,
            ..Self::at_least(kind, name, actual, threshold)
        }
    }

    pub(crate) fn of(self, column: &str) -> Self {
        Self {
            column: Some(column.to_owned()),
            ..self
        }
    }

    /// Its name in metrics: with the column where it is about one.
    pub(crate) fn metric(&self) -> String {
        match &self.column {
            Some(column) => format!("{}.{column}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// A value that JSON can hold: what is beyond every bound stays there.
pub(crate) fn finite(value: f64) -> f64 {
    if value.is_nan() {
        f64::MAX
    } else {
        value.clamp(f64::MIN, f64::MAX)
    }
}

impl fmt::Display for Check {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}", self.name)?;
        if let Some(column) = &self.column {
            write!(out, " of {column:?}")?;
        }
        write!(
            out,
            "]: {} ({} {})",
            self.actual, self.bound, self.threshold
        )
    }
}

/// What a gate decides.
pub(crate) struct Verdict<'a> {
    /// The strictest mode of the failed checks; none where all passed.
    pub(crate) mode: Option<Mode>,
    /// The failed checks, those of the strictest mode first.
    pub(crate) failed: Vec<&'a Check>,
}

impl<'a> Verdict<'a> {
    pub(crate) fn of(checks: &'a [Check], config: &DataQuality) -> Self {
        let mut failed: Vec<&Check> = checks.iter().filter(|check| !check.passed).collect();
        failed.sort_by_key(|check| std::cmp::Reverse(config.mode_of(check.kind)));
        Self {
            mode: failed.first().map(|check| config.mode_of(check.kind)),
            failed,
        }
    }

    /// Whether downstream runs.
    pub(crate) fn passes(&self) -> bool {
        self.mode.is_none_or(|mode| mode == Mode::Warn)
    }
}
