//! The join against brute force, and its edges by hand.

use super::*;
use airlock_sdk::dataset::{ColumnData, column};
use airlock_sdk::testing::{Columns, Host};
use proptest::prelude::*;

const ENTITIES: &str = "file://d/entities.parquet";
const FEATURES: &str = "file://d/features.parquet";
const OUT: &str = "file://d/out.parquet";
const SECOND: i64 = 1_000_000;

type Row<T> = (Option<i64>, Option<i64>, T);

fn timestamps(seconds: impl Iterator<Item = Option<i64>>) -> ColumnData {
    ColumnData::Timestamps(
        seconds
            .map(|second| second.map(|second| second * SECOND))
            .collect(),
    )
}

/// Events of (key, second). Keys are integers, or a text and an integer.
fn entities(rows: &[Row<()>], composite: bool) -> Columns {
    let mut columns = keys(rows.iter().map(|(key, ..)| *key), composite);
    columns.push((
        column("event_timestamp", ColumnKind::Timestamp),
        timestamps(rows.iter().map(|(_, second, ())| *second)),
    ));
    columns
}

/// Features of (key, second, (created, value)).
fn features(rows: &[Row<(Option<i64>, i64)>], composite: bool) -> Columns {
    let mut columns = keys(rows.iter().map(|(key, ..)| *key), composite);
    columns.extend([
        (
            column("event_timestamp", ColumnKind::Timestamp),
            timestamps(rows.iter().map(|(_, second, _)| *second)),
        ),
        (
            column("created", ColumnKind::Timestamp),
            timestamps(rows.iter().map(|(_, _, (created, _))| *created)),
        ),
        (
            column("value", ColumnKind::Int64),
            ColumnData::Int64s(rows.iter().map(|(_, _, (_, value))| Some(*value)).collect()),
        ),
    ]);
    columns
}

fn keys(keys: impl Iterator<Item = Option<i64>> + Clone, composite: bool) -> Columns {
    let numbers = ColumnData::Int64s(keys.clone().collect());
    let mut columns = vec![(column("user", ColumnKind::Int64), numbers)];
    if composite {
        let texts = keys
            .map(|key| Some(format!("{:?}", key.map(|key| key / 2))))
            .collect();
        columns.push((column("group", ColumnKind::Text), ColumnData::Texts(texts)));
    }
    columns
}

fn names(composite: bool) -> Value {
    if composite {
        json!(["user", "group"])
    } else {
        json!(["user"])
    }
}

fn join(host: &Host, composite: bool, more: Value) -> Result<Outcome, TaskError> {
    let mut table = json!({"uri": FEATURES, "created_timestamp_column": "created"});
    if let (Some(table), Value::Object(more)) = (table.as_object_mut(), more) {
        table.extend(more);
    }
    host.run::<point_in_time_join>(json!({
        "entities": ENTITIES, "entity_keys": names(composite), "features": [table], "output": OUT,
    }))
}

fn values(host: &Host, name: &str) -> Vec<Option<i64>> {
    match host.column(OUT, name) {
        Some(ColumnData::Int64s(values)) => values,
        other => panic!("no integers {name}: {other:?}"),
    }
}

/// What the join is, said plainly: of all rows of the key that are not later and still live, the latest, last written, last told.
fn brute(
    events: &[Row<()>],
    rows: &[Row<(Option<i64>, i64)>],
    ttl: Option<i64>,
) -> Vec<Option<i64>> {
    let held = |(key, second, ()): &Row<()>| {
        let (key, second) = ((*key)?, (*second)?);
        let candidates =
            rows.iter()
                .enumerate()
                .filter_map(|(place, (of, from, (created, value)))| {
                    let from = (*from)?;
                    let lives = from <= second && ttl.is_none_or(|ttl| second - from <= ttl);
                    (*of == Some(key) && lives).then_some(((from, *created, place), *value))
                });
        candidates.max().map(|(_, value)| value)
    };
    events.iter().map(held).collect()
}

fn maybe(range: std::ops::Range<i64>) -> impl Strategy<Value = Option<i64>> {
    prop_oneof![9 => range.prop_map(Some), 1 => Just(None)]
}

fn events() -> impl Strategy<Value = Vec<Row<()>>> {
    prop::collection::vec((maybe(0..5), maybe(-20..20), Just(())), 0..40)
}

fn feature_rows() -> impl Strategy<Value = Vec<Row<(Option<i64>, i64)>>> {
    let row = (maybe(0..6), maybe(-25..25), (maybe(0..3), any::<i64>()));
    prop::collection::vec(row, 0..60)
}

proptest! {
    #[test]
    fn m17_the_join_is_what_brute_force_says(
        events in events(),
        rows in feature_rows(),
        ttl in prop::option::of(0_i64..12),
        composite in any::<bool>(),
    ) {
        let host = Host::new();
        host.put_table(ENTITIES, entities(&events, composite));
        host.put_table(FEATURES, features(&rows, composite));
        let more = ttl.map_or_else(|| json!({}), |ttl| json!({"ttl": ttl}));
        join(&host, composite, more).unwrap();
        prop_assert_eq!(values(&host, "value"), brute(&events, &rows, ttl));
        prop_assert_eq!(values(&host, "user"), events.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
        let found = brute(&events, &rows, ttl).into_iter().flatten().count();
        prop_assert_eq!(host.pushed("row_count"), Some(json!(events.len())));
let told = format!("{found} of {} ", events.len());
        prop_assert!(host.lines().iter().any(|line| line.starts_with(&told)));
    }

    #[test]
    fn m17_no_feature_of_the_future_is_ever_seen(events in events(), rows in feature_rows(), later in 1_i64..30) {
        // Rows that come to be known after all events change nothing.
        let end = events.iter().filter_map(|(_, second, ())| *second).max().unwrap_or(0);
        let joined = |rows: &[Row<(Option<i64>, i64)>]| {
            let host = Host::new();
            host.put_table(ENTITIES, entities(&events, false));
            host.put_table(FEATURES, features(rows, false));
            join(&host, false, json!({})).unwrap();
            values(&host, "value")
        };
        let mut more = rows.clone();
        more.extend(rows.iter().map(|(key, _, held)| (*key, Some(end + later), *held)));
        prop_assert_eq!(joined(&rows), joined(&more));
    }

    #[test]
    fn m17_the_online_table_is_a_join_with_one_event_a_key(rows in feature_rows(), as_of in -30_i64..30, ttl in prop::option::of(0_i64..40)) {
        let host = Host::new();
        host.put_table(FEATURES, features(&rows, false));
        let at = airlock_sdk::time::Timestamp::from_micros(as_of * SECOND).unwrap();
        let mut source = json!({"uri": FEATURES, "created_timestamp_column": "created"});
        if let Some(ttl) = ttl {
            source["ttl"] = json!(ttl);
        }
        host.run::<materialize>(json!({
            "source": source, "entity_keys": ["user"], "as_of": at, "output": OUT,
        })).unwrap();
        let known: Vec<Option<i64>> = values(&host, "user");
        let events: Vec<Row<()>> = known.iter().map(|key| (*key, Some(as_of), ())).collect();
        prop_assert_eq!(values(&host, "value"), brute(&events, &rows, ttl));
        // Nobody is left out, and nobody is there twice.
        let mut all: Vec<Row<()>> = (0..6).map(|key| (Some(key), Some(as_of), ())).collect();
        all.retain(|event| brute(&[*event], &rows, ttl) != [None]);
        let mut sorted = known;
        sorted.sort_unstable();
        prop_assert_eq!(sorted, all.iter().map(|(key, ..)| *key).collect::<Vec<_>>());
    }
}

#[test]
fn m17_ties_and_ttl_edges_are_as_documented() {
    let host = Host::new();
    let events: Vec<Row<()>> = [0, 10, 11]
        .map(|second| (Some(1), Some(second), ()))
        .to_vec();
    host.put_table(ENTITIES, entities(&events, false));
    let rows: Vec<Row<(Option<i64>, i64)>> = vec![
        (Some(1), Some(0), (Some(5), 1)),
        (Some(1), Some(0), (Some(7), 2)),
        (Some(1), Some(0), (Some(7), 3)),
        (Some(1), Some(0), (None, 4)),
    ];
    host.put_table(FEATURES, features(&rows, false));
    join(&host, false, json!({"ttl": "10s"})).unwrap();
    // Written last, then last in the table; at its very last moment a row still holds.
    assert_eq!(values(&host, "value"), [Some(3), Some(3), None]);
    let order_alone =
        json!({"created_timestamp_column": null, "columns": ["value"], "prefix": "f_"});
    join(&host, false, order_alone).unwrap();
    assert_eq!(values(&host, "f_value"), [Some(4), Some(4), Some(4)]);
}

#[test]
fn m17_times_at_both_ends_of_the_range_are_told_apart() {
    let host = Host::new();
    let ends = |values: [i64; 2]| ColumnData::Timestamps(values.map(Some).to_vec());
    let users = || {
        (
            column("user", ColumnKind::Int64),
            ColumnData::Int64s(vec![Some(1), Some(1)]),
        )
    };
    let time = || column("event_timestamp", ColumnKind::Timestamp);
    host.put_table(
        ENTITIES,
        vec![users(), (time(), ends([i64::MIN, i64::MAX]))],
    );
    let value = (
        column("value", ColumnKind::Int64),
        ColumnData::Int64s(vec![Some(7), Some(8)]),
    );
    host.put_table(
        FEATURES,
        vec![users(), (time(), ends([i64::MIN, i64::MIN + 1])), value],
    );
    let more = |ttl: Option<&str>| json!({"created_timestamp_column": null, "ttl": ttl});
    join(&host, false, more(None)).unwrap();
    assert_eq!(values(&host, "value"), [Some(7), Some(8)]);
    join(&host, false, more(Some("1s"))).unwrap();
    assert_eq!(values(&host, "value"), [Some(7), None]);
}

#[test]
fn m17_several_tables_are_joined_and_names_that_clash_are_refused() {
    let host = Host::new();
    host.put_table(ENTITIES, entities(&[(Some(1), Some(5), ())], false));
    host.put_table(FEATURES, features(&[(Some(1), Some(4), (None, 9))], false));
    let table = |prefix: &str| json!({"uri": FEATURES, "columns": ["value"], "prefix": prefix});
    let run = |one: &str, other: &str| {
        host.run::<point_in_time_join>(json!({
            "entities": ENTITIES, "entity_keys": ["user"], "features": [table(one), table(other)], "output": OUT,
        }))
    };
    let ended = run("", "");
    assert!(
        matches!(&ended, Err(TaskError::InvalidInput { field, .. }) if field == "features"),
        "{ended:?}"
    );
    run("a_", "b_").unwrap();
    assert_eq!(
        (values(&host, "a_value"), values(&host, "b_value")),
        (vec![Some(9)], vec![Some(9)])
    );
}

#[test]
fn m17_a_table_longer_than_a_batch_is_joined_whole() {
    let host = Host::new();
    let rows = 70_000;
    let events: Vec<Row<()>> = (0..rows)
        .map(|row| (Some(row % 1_000), Some(row), ()))
        .collect();
    let facts: Vec<Row<(Option<i64>, i64)>> = events
        .iter()
        .rev()
        .map(|(key, second, ())| (*key, *second, (None, second.unwrap())))
        .collect();
    host.put_table(ENTITIES, entities(&events, false));
    host.put_table(FEATURES, features(&facts, false));
    join(&host, false, json!({})).unwrap();
    assert_eq!(
        values(&host, "value"),
        (0..rows).map(Some).collect::<Vec<_>>()
    );
}

#[test]
fn m17_a_config_that_does_not_fit_the_tables_names_the_member() {
    let host = Host::new();
    host.put_table(ENTITIES, entities(&[(Some(1), Some(5), ())], true));
    host.put_table(FEATURES, features(&[(Some(1), Some(4), (None, 9))], true));
    for (field, more) in [
        ("features[0].columns", json!({"columns": ["x"]})),
        (
            "features[0].timestamp_field",
            json!({"timestamp_field": "value"}),
        ),
        (
            "features[0].created_timestamp_column",
            json!({"created_timestamp_column": "value"}),
        ),
        ("features[0].entity_keys", json!({"entity_keys": ["user"]})),
        (
            "features[0].entity_keys",
            json!({"entity_keys": ["group", "user"]}),
        ),
    ] {
        let ended = join(&host, true, more);
        assert!(
            matches!(&ended, Err(TaskError::InvalidInput { field: named, .. }) if named == field),
            "{field}: {ended:?}"
        );
    }
    assert!(host.table(OUT).is_none());
    host.cancel();
    assert!(matches!(
        join(&host, true, json!({})),
        Err(TaskError::Transient(_))
    ));
    assert!(host.table(OUT).is_none());
}
