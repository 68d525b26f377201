//! The table's columns against those of earlier dates: what is measured now, the reference, and the checks between them.

use crate::check::Check;
use crate::config::{Drift, ENTRIES_MAX, Kind};
use crate::history::{self, Categories, Entry, Numbers};
use crate::inspect::Measured;
use crate::stats::{Cdf, Counts, Moments};
use airlock_sdk::CapabilityError;
use airlock_sdk::dataset::{ColumnKind, ColumnProfile};
use airlock_sdk::prelude::*;
use airlock_sdk::time::Timestamp;
use std::collections::BTreeMap;

/// The most values of a category that are kept by name.
const VALUES_MAX: u32 = 100;

/// What drift was found.
pub(crate) struct Drifted {
    /// What this date leaves for later ones.
    pub(crate) entry: Entry,
    /// How many dates make the reference.
    pub(crate) dates: usize,
    /// Whether these are enough.
    pub(crate) judged: bool,
    pub(crate) checks: Vec<Check>,
    /// Both distributions of each column that was compared, for pictures.
    pub(crate) compared: Vec<(String, Cdf, Cdf)>,
}

/// The date that the table belongs to.
pub(crate) fn date_of(drift: &Drift, task: &Task) -> Result<Timestamp, TaskError> {
    drift
        .date
        .or(task.logical_date)
        .ok_or_else(|| TaskError::invalid("drift.date", "this run has no logical date: name one"))
}

/// Measures this date and compares it with the reference.
pub(crate) fn compare(
    measured: &Measured,
    drift: &Drift,
    date: Timestamp,
) -> Result<Drifted, TaskError> {
    let entry = entry(measured, drift, date)?;
    let earlier = history::before(drift, date)?;
    let mut drifted = Drifted {
        judged: earlier.len() >= drift.min_dates as usize,
        dates: earlier.len(),
        checks: Vec::new(),
        compared: Vec::new(),
        entry,
    };
    if !drifted.judged {
        info!(
            "drift is not judged: {} earlier dates passed, {} are needed",
            drifted.dates, drift.min_dates
        );
        return Ok(drifted);
    }
    for (name, now) in &drifted.entry.numbers {
        let Some(parts) = parts(name, &earlier, drift, |entry| entry.numbers.get(name)) else {
            continue;
        };
        let reference = Cdf::mixed(
            &parts
                .iter()
                .map(|part| (part.count(), part.cdf()))
                .collect::<Vec<_>>(),
        );
        numbers(name, now, &parts, &reference, drift, &mut drifted.checks);
        drifted.compared.push((name.clone(), now.cdf(), reference));
    }
    for (name, now) in &drifted.entry.categories {
        let Some(parts) = parts(name, &earlier, drift, |entry| entry.categories.get(name)) else {
            continue;
        };
        let mut reference = Counts::default();
        for part in parts {
            reference.add(&part.counts());
        }
        categories(name, &now.counts(), &reference, drift, &mut drifted.checks);
    }
    Ok(drifted)
}

/// What earlier dates kept of a column; none where too few have it.
fn parts<'e, T>(
    name: &str,
    earlier: &'e [Entry],
    drift: &Drift,
    part: impl Fn(&'e Entry) -> Option<&'e T>,
) -> Option<Vec<&'e T>> {
    let parts: Vec<&T> = earlier.iter().filter_map(part).collect();
    if parts.len() >= drift.min_dates as usize {
        return Some(parts);
    }
    info!(
        "drift of {name:?} is not judged: {} earlier dates have it",
        parts.len()
    );
    None
}

fn numbers(
    name: &str,
    now: &Numbers,
    parts: &[&Numbers],
    reference: &Cdf,
    drift: &Drift,
    checks: &mut Vec<Check>,
) {
    let moments: Option<Vec<Moments>> = parts.iter().map(|part| part.moments()).collect();
    // Where a value is infinite there is no mean to compare; PSI and KS see it.
    if let (Some(most), Some(moments), Some(own)) = (drift.max_mean_shift, moments, now.moments()) {
        let shift = own.shift_from(&Moments::pooled(&moments));
        checks.push(Check::at_most(Kind::MeanShift, "mean_shift", shift, most).of(name));
    }
    let cdf = now.cdf();
    if let Some(most) = drift.max_psi {
        checks.push(Check::at_most(Kind::Psi, "psi", cdf.psi(reference), most).of(name));
    }
    if let Some(most) = drift.max_ks {
        checks.push(Check::at_most(Kind::Ks, "ks", cdf.ks(reference), most).of(name));
    }
}

fn categories(
    name: &str,
    now: &Counts,
    reference: &Counts,
    drift: &Drift,
    checks: &mut Vec<Check>,
) {
    if let Some(most) = drift.max_psi {
        checks.push(Check::at_most(Kind::Psi, "psi", now.psi(reference), most).of(name));
    }
    if let Some(least) = drift.min_chi_square_p {
        let p = now.chi_square_p(reference);
        checks.push(Check::at_least(Kind::ChiSquare, "chi_square_p", p, least).of(name));
    }
}

/// What this date's table is like.
fn entry(measured: &Measured, drift: &Drift, date: Timestamp) -> Result<Entry, TaskError> {
    let mut entry = Entry::new(date, measured.rows);
    for column in chosen(measured, drift)? {
        let stats = &column.stats;
        // A column without values has no distribution; that it is empty is for the null rate to say.
        if !column.quantiles.is_empty() {
            let numbers = Numbers::new(
                stats.rows - stats.nulls,
                stats.mean,
                stats.stddev,
                &column.quantiles,
            );
            entry.numbers.insert(column.column.name.clone(), numbers);
        }
    }
    for name in &drift.categories {
        measured.column("drift.categories", name)?;
        let counts = match measured.table.value_counts(name, VALUES_MAX) {
            Ok(counts) => counts,
            Err(CapabilityError::TooLarge(_)) => {
                let message = format!("column `{name}` has too many values for categories");
                return Err(TaskError::invalid("drift.categories", message));
            }
            Err(error) => return Err(error.into()),
        };
        let top = counts.top.into_iter();
        let rows: BTreeMap<String, u64> = top.map(|count| (count.value, count.rows)).collect();
        let categories = Categories::new(rows, counts.others);
        entry.categories.insert(name.clone(), categories);
    }
    Ok(entry)
}

/// The columns that are compared as numbers.
fn chosen<'a>(measured: &'a Measured, drift: &Drift) -> Result<Vec<&'a ColumnProfile>, TaskError> {
    let chosen: Vec<&ColumnProfile> = if let Some(names) = &drift.columns {
        let columns = names.iter();
        columns
            .map(|name| measured.number("drift.columns", name))
            .collect::<Result<_, _>>()?
    } else {
        let feature = |column: &&ColumnProfile| {
            let there = &column.column;
            let number = matches!(
                there.kind,
                ColumnKind::Boolean | ColumnKind::Int64 | ColumnKind::Float64
            );
            let named = drift.ignore_columns.iter().chain(&drift.categories);
            number && !named.into_iter().any(|name| *name == there.name)
        };
        measured.columns.iter().filter(feature).collect()
    };
    if chosen.len() > ENTRIES_MAX {
        let message = format!(
            "the table has {} columns of numbers; name at most {ENTRIES_MAX}",
            chosen.len()
        );
        return Err(TaskError::invalid("drift.columns", message));
    }
    Ok(chosen)
}
