//! Features as they were known at the time of each event: the last row at or before it, within its time to live, and never one of
//! the future. It refuses keys that are nearly equal (floats) and times without a unit.

mod asof;
mod config;
mod keys;
mod output;
mod scan;
#[cfg(test)]
mod tests;

use airlock_sdk::dataset::{Column, ColumnKind, NO_ROW, Table};
use airlock_sdk::prelude::*;
use airlock_sdk::{time, xcom};
use asof::{Best, Events};
use config::{Materialize, PointInTimeJoin, Source};
use keys::Index;
use output::{Side, write};

/// Joins features to events, each as of its time.
#[operator]
fn point_in_time_join(config: PointInTimeJoin) -> Result<Value, TaskError> {
    config.check()?;
    let entities = Table::open(&config.entities)
        .map_err(|error| TaskError::from(error).context(&format!("open {}", config.entities)))?;
    let schema = entities.schema();
    let keys = config::key_columns(&schema, "entity_keys", &config.entity_keys)?;
    config::timestamps(&schema, "event_timestamp", &config.event_timestamp)?;
    let mut sources = Vec::new();
    for (place, table) in config.features.iter().enumerate() {
        let field = format!("features[{place}]");
        let source = table.open(&field, &config.entity_keys)?;
        config::same_kinds(&format!("{field}.entity_keys"), &source.keys, &keys)?;
        sources.push(source);
    }
    let events = Events::read(&entities, &keys, &config.event_timestamp)?;
    let (mut held, mut matched) = (Vec::new(), Vec::new());
    for (source, table) in sources.iter().zip(&config.features) {
        let rows = events.held(source)?;
        let found = rows.iter().filter(|row| **row != NO_ROW).count();
        info!(
            "{found} of {} events have features of {}",
            rows.len(),
            table.uri
        );
        matched.push(json!({"uri": table.uri, "rows": found}));
        held.push(rows);
    }
    drop(events);
    let mut names = schema.clone();
    names.extend(sources.iter().flat_map(Source::named));
    let mut sides = vec![Side {
        table: &entities,
        columns: &schema,
        rows: None,
    }];
    sides.extend(sources.iter().zip(&held).map(|(source, rows)| Side {
        table: &source.table,
        columns: &source.features,
        rows: Some(rows),
    }));
    let rows = held.first().map_or(0, Vec::len);
    let digest = write(&config.output, &names, &sides, rows)?;
    xcom::push("path", &config.output)?;
    xcom::push("row_count", &rows)?;
    Ok(json!({"path": config.output, "row_count": rows, "matched": matched, "digest": digest}))
}

/// Writes the newest features of every entity, for serving.
#[operator]
fn materialize(config: Materialize, task: &Task) -> Result<Value, TaskError> {
    let as_of = match config
        .as_of
        .or(task.data_interval_end)
        .or(task.logical_date)
    {
        Some(as_of) => as_of,
        None => time::now()?,
    };
    let source = config.source.open("source", &config.entity_keys)?;
    if source.keys.is_empty() {
        return Err(TaskError::invalid(
            "entity_keys",
            "names at least one column",
        ));
    }
    let rows = newest(&source, as_of.as_micros())?;
    let timestamp = Column {
        name: source.timestamp.clone(),
        kind: ColumnKind::Timestamp,
    };
    let identity: Vec<Column> = source.keys.iter().cloned().chain([timestamp]).collect();
    let mut names = identity.clone();
    names.extend(source.named());
    let side = |columns| Side {
        table: &source.table,
        columns,
        rows: Some(rows.as_slice()),
    };
    let sides = [side(identity.as_slice()), side(source.features.as_slice())];
    let digest = write(&config.output, &names, &sides, rows.len())?;
    info!(
        "{} entities written to {} as of {as_of}",
        rows.len(),
        config.output
    );
    xcom::push("path", &config.output)?;
    xcom::push("row_count", &rows.len())?;
    Ok(json!({"path": config.output, "row_count": rows.len(), "as_of": as_of, "digest": digest}))
}

/// For each entity, in the order in which the table tells of them, the row that holds at `as_of`.
fn newest(source: &Source, as_of: i64) -> Result<Vec<u32>, TaskError> {
    let (mut index, mut best) = (Index::for_keys(&source.keys), Best::new(0));
    let mut buffer = Vec::new();
    scan::source(source, |batch| {
        for (row, number) in (0..batch.rows).zip(batch.first..) {
            let Some(time) = batch.time(row).filter(|time| *time <= as_of) else {
                continue;
            };
            // What has outlived its time is nothing to serve.
            let lives = |ttl| as_of.checked_sub(time).is_some_and(|age| age <= ttl);
            if !source.ttl.is_none_or(lives) {
                continue;
            }
            if let Some(id) = index.add(&batch.keys, row, &mut buffer)? {
                best.grow(index.len());
                best.offer(id as usize, (time, batch.created(row)), number);
            }
        }
        Ok(())
    })?;
    let found = (0..index.len()).filter_map(|place| best.at(place));
    Ok(found.map(|(_, row)| row).collect())
}

airlock_sdk::plugin!(operators: [point_in_time_join, materialize]);
