use super::*;
use crate::capability::files::Files;
use crate::capability::objects::{Spool, Writer};
use crate::sandbox::bindings::airlock::operator::dataset::{Column, ColumnData, ColumnKind};
use ColumnKind::{Boolean, Float64, Float64List, Int64, Text, Timestamp};
use airlock_core::grant::Grants;
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, BinaryArray, DictionaryArray, Int32Array, RecordBatch, TimestampSecondArray,
};
use arrow_ipc::writer::FileWriter;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

fn csv(text: &str) -> Answer<Part> {
    let table = Table::read(text.as_bytes().to_vec(), &Budget::new(1 << 20))?;
    Ok(Part::whole(table))
}

fn kinds(part: &Part) -> Vec<ColumnKind> {
    part.schema().iter().map(|column| column.kind).collect()
}

#[test]
fn csv_types_are_inferred_and_quotes_are_read() {
    let text = "\u{feff}flag,n,x,when,name,none\r\n\
        true,1,1.5,2026-01-05T00:00:00Z,\"a,\"\"b\"\"\nc\",\r\n\
        FALSE,,2,2026-01-06,\"\",\n\n\
        ,-3,nan,2026-01-06 12:00:00,d,";
    let part = csv(text).unwrap();
    assert_eq!(
        kinds(&part),
        [Boolean, Int64, Float64, Timestamp, Text, Float64]
    );
    assert_eq!(part.rows(), 3);
    let flags = part.read("flag", 0, 9).unwrap();
    assert_eq!(
        flags,
        ColumnData::Booleans(vec![Some(true), Some(false), None])
    );
    let numbers = part.read("n", 0, 9).unwrap();
    assert_eq!(numbers, ColumnData::Int64s(vec![Some(1), None, Some(-3)]));
    let names = part.read("name", 0, 2).unwrap();
    let expected = vec![Some("a,\"b\"\nc".to_owned()), Some(String::new())];
    assert_eq!(names, ColumnData::Texts(expected));
    let times = part.read("when", 1, 9).unwrap();
    let day = 1_767_657_600_000_000;
    assert_eq!(
        times,
        ColumnData::Timestamps(vec![Some(day), Some(day + 43_200_000_000)])
    );
}

#[test]
fn broken_csv_is_refused_with_its_place() {
    for (text, part) in [
        ("", "is empty"),
        ("a,b\n1\n", "record 2"),
        ("a\n\"open", "line 2"),
        ("a\n\"x\"y\n", "line 2"),
        ("a,a\n1,2\n", "twice"),
    ] {
        let Err(CapabilityError::Invalid(message)) = csv(text) else {
            panic!("{text:?} is no table");
        };
        assert!(message.contains(part), "{text:?}: {message}");
    }
    assert!(Table::read(vec![0xff, 0xfe], &Budget::new(100)).is_err());
    assert!(Table::read(b"PAR1 and nothing".to_vec(), &Budget::new(100)).is_err());
}

#[test]
fn stats_are_those_of_pandas() {
    let part = csv("x,t,b\n2,a,true\n4,,false\n,c,true\n9,d,\n").unwrap();
    let stats = part.stats("x").unwrap();
    assert_eq!((stats.rows, stats.nulls), (4, 1));
    // pandas.Series([2, 4, 9]).agg(["mean", "std"])
    assert!(
        (stats.mean - 5.0).abs() < 1e-12 && (stats.stddev - 3.605_551_275_463_989).abs() < 1e-12
    );
    assert_eq!((stats.min, stats.max), (2.0, 9.0));
    let text = part.stats("t").unwrap();
    assert!(text.nulls == 1 && text.mean.is_nan() && text.max.is_nan());
    assert!((part.stats("b").unwrap().mean - 2.0 / 3.0).abs() < 1e-12);
    let missing = part.stats("nope");
    assert!(matches!(missing, Err(CapabilityError::NotFound(_))));
}

/// 1,000 rows, one in ten positive, ids ascending.
fn churn() -> Part {
    let mut text = "id,label\n".to_owned();
    for id in 0..1_000 {
        writeln!(text, "{id},{}", u8::from(id % 10 == 3)).unwrap();
    }
    csv(&text).unwrap()
}

fn ids(part: &Part) -> Vec<f32> {
    part.numbers_of("id").unwrap()
}

#[test]
fn a_split_is_stratified_disjoint_and_the_same_every_time() {
    let whole = churn();
    let (train, valid) = whole.split("label", 0.2, 7).unwrap();
    assert_eq!((train.rows(), valid.rows()), (800, 200));
    let positives = |part: &Part| part.numbers_of("label").unwrap().iter().sum::<f32>();
    assert_eq!((positives(&train), positives(&valid)), (80.0, 20.0));
    let mut all = [ids(&train), ids(&valid)].concat();
    all.sort_by(f32::total_cmp);
    assert_eq!(all, ids(&whole));
    let (_, again) = churn().split("label", 0.2, 7).unwrap();
    assert_eq!(ids(&again), ids(&valid));
    assert_eq!(again.digest(), valid.digest());
    let (_, other) = whole.split("label", 0.2, 8).unwrap();
    assert_ne!(ids(&other), ids(&valid));
    assert_ne!(valid.digest(), whole.digest());
    // Rows are not simply the first ones.
    assert!(ids(&valid).iter().any(|id| *id > 900.0));
}

#[test]
fn splits_of_odd_shapes_lose_no_row() {
    for text in [
        "label\n",
        "label\n1\n",
        "label\na\nb\nc\nd\ne\n",
        "label\n1.5\n2.5\n,\n",
    ] {
        let Ok(whole) = csv(text) else { continue };
        let (train, valid) = whole.split("label", 0.4, 1).unwrap();
        assert_eq!(train.rows() + valid.rows(), whole.rows(), "{text:?}");
    }
    let five = csv("label\na\nb\nc\nd\ne\n").unwrap();
    assert_eq!(five.split("label", 0.4, 1).unwrap().1.rows(), 2);
    for fraction in [0.0, 1.0, -1.0, f64::NAN] {
        assert!(five.split("label", fraction, 1).is_err());
    }
}

fn columns() -> Vec<Column> {
    [
        ("b", Boolean),
        ("i", Int64),
        ("f", Float64),
        ("s", Text),
        ("t", Timestamp),
        ("l", Float64List),
    ]
    .map(|(name, kind)| Column {
        name: name.to_owned(),
        kind,
    })
    .to_vec()
}

fn batch(rows: std::ops::Range<i64>) -> Vec<ColumnData> {
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let float = |row: i64| row as f64 / 3.0;
    let null = |row: &i64| row % 7 != 0;
    vec![
        ColumnData::Booleans(
            rows.clone()
                .map(|row| null(&row).then_some(row % 2 == 0))
                .collect(),
        ),
        ColumnData::Int64s(
            rows.clone()
                .map(|row| null(&row).then_some(row * row))
                .collect(),
        ),
        ColumnData::Float64s(
            rows.clone()
                .map(|row| null(&row).then_some(float(row)))
                .collect(),
        ),
        ColumnData::Texts(
            rows.clone()
                .map(|row| null(&row).then_some(format!("row {row}")))
                .collect(),
        ),
        ColumnData::Timestamps(
            rows.clone()
                .map(|row| null(&row).then_some(row * 1_000_001))
                .collect(),
        ),
        ColumnData::Float64Lists(
            rows.map(|row| null(&row).then_some(vec![float(row); 2]))
                .collect(),
        ),
    ]
}

/// Writes rows 0..70,000 in batches of this size; yields the object's bytes and the digest that was told.
fn written(step: i64) -> (Vec<u8>, String) {
    let folder = tempfile::tempdir().unwrap();
    let grants = Grants {
        storage: vec!["file://./".into()],
        ..Grants::default()
    };
    let files = Files::new(Arc::new(grants.into()), folder.path());
    let object = files.create("file://./t.parquet").unwrap();
    let object = Writer::Local(Box::new(object));
    let mut writer = TableWriter::new(object, &columns(), &Budget::new(1 << 30)).unwrap();
    let mut from = 0;
    while from < 70_000 {
        let to = (from + step).min(70_000);
        writer.append(&batch(from..to)).unwrap();
        from = to;
    }
    let digest = writer.finish().unwrap();
    let mut bytes = Vec::new();
    let (mut file, _) = files.open("file://./t.parquet").unwrap();
    file.read_to_end(&mut bytes).unwrap();
    (bytes, digest)
}

#[test]
fn parquet_comes_back_as_it_was_and_its_bytes_do_not_depend_on_batches() {
    let (bytes, digest) = written(1_000);
    let (other, _) = written(65_536);
    assert!(bytes == other, "the same rows are the same bytes");
    let part = Part::whole(Table::read(bytes, &Budget::new(1 << 30)).unwrap());
    assert_eq!(part.digest(), digest);
    assert_eq!((part.rows(), part.schema()), (70_000, columns()));
    for (column, expected) in columns().iter().zip(batch(69_000..69_100)) {
        assert_eq!(part.read(&column.name, 69_000, 100).unwrap(), expected);
    }
}

#[test]
fn batches_that_do_not_fit_are_refused_whole() {
    let folder = tempfile::tempdir().unwrap();
    let grants = Grants {
        storage: vec!["file://./".into()],
        ..Grants::default()
    };
    let files = Files::new(Arc::new(grants.into()), folder.path());
    let object = files.create("file://./t.parquet").unwrap();
    let object = Writer::Local(Box::new(object));
    let mut writer = TableWriter::new(object, &columns(), &Budget::new(1 << 20)).unwrap();
    let mut ragged = batch(0..3);
    ragged[5] = ColumnData::Float64Lists(vec![None]);
    let mut swapped = batch(0..3);
    swapped.swap(0, 1);
    for bad in [ragged, swapped, batch(0..3)[..5].to_vec()] {
        assert!(matches!(
            writer.append(&bad),
            Err(CapabilityError::Invalid(_))
        ));
    }
    let huge = writer.append(&batch(0..65_537));
    assert_eq!(huge, Err(CapabilityError::TooLarge(65_536)));
    writer.append(&batch(1..3)).unwrap();
    writer.finish().unwrap();
    let (_, size) = files.open("file://./t.parquet").unwrap();
    assert!(size > 0);
}

#[test]
fn a_table_over_the_budget_is_refused_and_gives_back_what_it_took() {
    let (bytes, _) = written(65_536);
    let budget = Budget::new(bytes.len() as u64 + 1_000_000);
    let refused = Table::read(bytes.clone(), &budget).err();
    assert_eq!(
        refused,
        Some(CapabilityError::TooLarge(bytes.len() as u64 + 1_000_000))
    );
    budget.take(bytes.len() as u64 + 1_000_000).unwrap();
}

#[test]
fn damaged_parquet_is_an_answer_and_never_a_wrong_table() {
    let (bytes, _) = written(65_536);
    for cut in [5, 100, bytes.len() / 2, bytes.len() - 1] {
        let refused = Table::read(bytes[..cut].to_vec(), &Budget::new(1 << 30));
        assert!(refused.is_err(), "{cut}");
    }
}

/// Rows 0..rows in Arrow's file format, in batches of 999; `word` is a dictionary and `gone` of a type that tables do not hold.
fn arrow(rows: i64) -> Vec<u8> {
    let field = |name: &str, kind| Field::new(name, kind, true);
    let words = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let days = DataType::Timestamp(TimeUnit::Second, None);
    let schema = Arc::new(Schema::new(vec![
        field("id", DataType::Int32),
        field("gone", DataType::Binary),
        field("word", words),
        field("day", days),
    ]));
    let mut writer = FileWriter::try_new(Vec::new(), &schema).unwrap();
    for from in (0..rows).step_by(999) {
        let part = || from..rows.min(from + 999);
        let word = |row: i64| (row % 3 > 0).then(|| ["b", "ä"][usize::from(row % 3 == 1)]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(
                part()
                    .map(|row| i32::try_from(row).ok())
                    .collect::<Int32Array>(),
            ),
            Arc::new(part().map(|_| Some(b"x")).collect::<BinaryArray>()),
            Arc::new(part().map(word).collect::<DictionaryArray<Int32Type>>()),
            Arc::new(part().map(Some).collect::<TimestampSecondArray>()),
        ];
        let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
        writer.write(&batch).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

#[test]
fn arrow_files_are_tables() {
    let bytes = arrow(2_500);
    let digest = crate::store::hex(&Sha256::digest(&bytes));
    let part = Part::whole(Table::read(bytes, &Budget::new(1 << 20)).unwrap());
    assert_eq!((part.rows(), part.digest()), (2_500, digest));
    assert_eq!(kinds(&part), [Int64, Text, Timestamp]);
    let ids = part.read("id", 2_499, 9).unwrap();
    assert_eq!(ids, ColumnData::Int64s(vec![Some(2_499)]));
    let words = [None, Some("ä"), Some("b")].map(|word| word.map(str::to_owned));
    let read = part.read("word", 1_200, 3).unwrap();
    assert_eq!(read, ColumnData::Texts(words.to_vec()));
    let days = part.read("day", 2_000, 1).unwrap();
    assert_eq!(days, ColumnData::Timestamps(vec![Some(2_000_000_000)]));
    let Err(CapabilityError::Invalid(text)) = part.read("gone", 0, 1) else {
        panic!("bytes are no column");
    };
    assert!(text.contains("Binary"), "{text}");
}

#[test]
fn a_table_from_the_disk_is_the_one_from_memory() {
    let folder = tempfile::tempdir().unwrap();
    let spool = Spool::new(folder.path().join("spool"));
    let text = "id,word\n1,a\n2,\n";
    for bytes in [written(65_536).0, arrow(2_500), text.as_bytes().to_vec()] {
        let size = bytes.len() as u64;
        let mut ranges = bytes.chunks(100_000);
        let next = || Ok(Bytes::copy_from_slice(ranges.next().unwrap_or_default()));
        let spooled = Source::Disk(spool.keep(size, next).unwrap());
        let from_disk = Part::whole(Table::read(spooled, &Budget::new(1 << 30)).unwrap());
        let in_memory = Part::whole(Table::read(bytes, &Budget::new(1 << 30)).unwrap());
        assert_eq!(from_disk.digest(), in_memory.digest());
        assert_eq!(from_disk.schema(), in_memory.schema());
        for column in in_memory.schema() {
            let read = |part: &Part| part.read(&column.name, 0, 65_536).unwrap();
            assert_eq!(read(&from_disk), read(&in_memory), "{}", column.name);
        }
    }
}

#[test]
fn arrow_files_that_are_cut_or_damaged_say_what_was_found() {
    let bytes = arrow(2_500);
    let read = |bytes: Vec<u8>| Table::read(bytes, &Budget::new(1 << 20)).map(|table| table.rows);
    for cut in [6, 9, 20, 100, bytes.len() / 2, bytes.len() - 1] {
        let Err(CapabilityError::Invalid(text)) = read(bytes[..cut].to_vec()) else {
            panic!("cut at {cut} it is no table");
        };
        assert!(text.contains("cut short"), "{cut}: {text}");
    }
    let mut long_footer = bytes.clone();
    let at = long_footer.len() - 10;
    long_footer[at..at + 4].copy_from_slice(&i32::MAX.to_le_bytes());
    assert!(read(long_footer).is_err());
    let first = Table::read(b"FEA1 and more".to_vec(), &Budget::new(100)).err();
    assert!(matches!(first, Some(CapabilityError::Invalid(text)) if text.contains("version 2")));
    let small = Table::read(bytes.clone(), &Budget::new(bytes.len() as u64 + 1_000)).err();
    assert!(matches!(small, Some(CapabilityError::TooLarge(_))));
}

#[test]
fn slices_stop_at_their_limits() {
    let mut text = "t\n".to_owned();
    for _ in 0..10 {
        text.push_str(&"x".repeat(1 << 20));
        text.push('\n');
    }
    let table = Table::read(text.into_bytes(), &Budget::new(64 << 20)).unwrap();
    let part = Part::whole(table);
    let ColumnData::Texts(texts) = part.read("t", 0, 10).unwrap() else {
        panic!("it is a text column");
    };
    assert_eq!(texts.len(), 8);
    let beyond = part.read("t", u64::MAX, 10).unwrap();
    assert_eq!(beyond, ColumnData::Texts(Vec::new()));
}
