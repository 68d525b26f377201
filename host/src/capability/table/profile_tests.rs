//! Profiles, counts and single rows, against what is worked out by hand or by brute force.

use super::*;
use crate::sandbox::bindings::airlock::operator::dataset::{ColumnData, ColumnProfile, Stats};
use proptest::prelude::*;
use std::fmt::Write as _;

/// More rows than quantiles are found from.
const MANY: u32 = 300_000;

fn budget() -> Budget {
    Budget::new(1 << 30)
}

fn csv(text: &str) -> Part {
    Part::whole(Table::read(text.as_bytes().to_vec(), &budget()).unwrap())
}

fn column(values: &[Option<f64>]) -> Part {
    let mut builder = ColumnBuilder::new(
        crate::sandbox::bindings::airlock::operator::dataset::ColumnKind::Float64,
    );
    let data = ColumnData::Float64s(values.to_vec());
    builder.append_data(&data, 0, values.len()).unwrap();
    Part::whole(Table {
        rows: values.len(),
        columns: vec![("x".to_owned(), builder.finish())],
        unusable: Vec::new(),
        digest: [0; 32],
        _memory: budget().take(0).unwrap(),
    })
}

fn profile(part: &Part, probabilities: &[f64]) -> ColumnProfile {
    part.profile(&["x".to_owned()], probabilities)
        .unwrap()
        .remove(0)
}

fn names(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// Mean, deviation, least and greatest as they are defined, in one go.
fn slow(values: &[f64]) -> (f64, f64, f64, f64) {
    #[expect(clippy::cast_precision_loss, reason = "few values")]
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    let min = values.iter().copied().fold(f64::NAN, f64::min);
    let max = values.iter().copied().fold(f64::NAN, f64::max);
    (mean, (squares / (count - 1.0)).sqrt(), min, max)
}

fn near(one: f64, other: f64) -> bool {
    (one.is_nan() && other.is_nan()) || (one - other).abs() <= 1e-9 * other.abs().max(1.0)
}

fn optional() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        8 => (-1e6..1e6).prop_map(Some),
        2 => (-3_i32..3).prop_map(|value| Some(f64::from(value))),
        1 => Just(None),
        1 => Just(Some(f64::NAN)),
    ]
}

proptest! {
    #[test]
    fn m1_a_profile_is_what_its_definition_says(
        values in prop::collection::vec(optional(), 0..5_000),
        share in 0.0_f64..=1.0,
    ) {
        let part = column(&values);
        let got = profile(&part, &[0.0, share, 1.0]);
        let mut there: Vec<f64> = values.iter().flatten().copied().filter(|value| !value.is_nan()).collect();
        let (mean, stddev, min, max) = slow(&there);
        prop_assert_eq!(got.stats.rows, values.len() as u64);
        prop_assert_eq!(got.stats.nulls, (values.len() - there.len()) as u64);
        prop_assert!(near(got.stats.mean, mean), "{} {}", got.stats.mean, mean);
        prop_assert!(near(got.stats.stddev, stddev) || there.len() < 2);
        prop_assert!(near(got.stats.min, min) && near(got.stats.max, max));
        there.sort_by(f64::total_cmp);
        // The smallest value that at least the share `p` does not exceed.
        #[expect(clippy::cast_precision_loss, reason = "few values")]
        let up_to = |value: f64| there.iter().filter(|other| **other <= value).count() as f64;
        #[expect(clippy::cast_precision_loss, reason = "few values")]
        let wanted = there.iter().copied().find(|value| up_to(*value) >= share * there.len() as f64);
        let expected: Vec<f64> = wanted.map(|wanted| vec![min, wanted, max]).unwrap_or_default();
        prop_assert_eq!(got.quantiles, expected);
    }

    #[test]
    fn m1_counts_and_distinct_rows_are_those_of_a_set(
        rows in prop::collection::vec((0_i64..6, prop::option::of("[a-c]{0,2}")), 0..200),
        limit in 0_u32..8,
    ) {
        let mut text = "n,t\n".to_owned();
        for (number, word) in &rows {
            let word = word.as_ref().map(|word| format!("\"{word}\"")).unwrap_or_default();
            writeln!(text, "{number},{word}").unwrap();
        }
        let part = csv(&text);
        let set: std::collections::BTreeSet<_> = rows.iter().collect();
        prop_assert_eq!(part.distinct_rows(&names(&["n", "t"]), &budget()).unwrap(), set.len() as u64);
        let mut counts: std::collections::BTreeMap<&String, u64> = std::collections::BTreeMap::new();
        for word in rows.iter().filter_map(|(_, word)| word.as_ref()) {
            *counts.entry(word).or_default() += 1;
        }
        let mut expected: Vec<(u64, &String)> = counts.into_iter().map(|(word, rows)| (rows, word)).collect();
        expected.sort_by_key(|(rows, word)| (std::cmp::Reverse(*rows), (*word).clone()));
        // A column without any text is one of missing numbers.
        let got = part.value_counts("t", limit, &budget()).unwrap();
        let top: Vec<(u64, &String)> = got.top.iter().map(|count| (count.rows, &count.value)).collect();
        prop_assert_eq!(got.distinct, expected.len() as u64);
        let all: u64 = expected.iter().map(|(rows, _)| rows).sum();
        expected.truncate(limit as usize);
        let told: u64 = expected.iter().map(|(rows, _)| rows).sum();
        prop_assert_eq!(top, expected);
        prop_assert_eq!((got.others, got.nulls), (all - told, rows.len() as u64 - all));
    }
}

#[test]
fn m1_quantiles_of_many_rows_stay_within_their_bound() {
    let shares: Vec<f64> = (0..=100)
        .map(|percent| f64::from(percent) / 100.0)
        .collect();
    // Ascending, and in an order that has nothing to do with the values; a third is null.
    let scattered = |row: u32| row.wrapping_mul(2_654_435_761) % MANY;
    let orders: [&dyn Fn(u32) -> u32; 2] = [&|row| row, &scattered];
    for order in orders {
        let value = |row: u32| (!row.is_multiple_of(3)).then(|| f64::from(order(row)));
        let values: Vec<Option<f64>> = (0..MANY).map(value).collect();
        let mut sorted: Vec<f64> = values.iter().flatten().copied().collect();
        sorted.sort_by(f64::total_cmp);
        let part = column(&values);
        let got = profile(&part, &shares);
        assert_eq!(got.quantiles.len(), shares.len());
        for (share, quantile) in shares.iter().zip(&got.quantiles) {
            #[expect(clippy::cast_precision_loss, reason = "few values")]
            let up_to =
                sorted.partition_point(|value| value <= quantile) as f64 / sorted.len() as f64;
            assert!((up_to - share).abs() < 0.01, "{share}: {up_to}");
        }
        assert_eq!(got.quantiles.first(), sorted.first());
        assert_eq!(got.quantiles.last(), sorted.last());
        assert_eq!(profile(&part, &shares), got, "the same every time");
    }
}

#[test]
fn m1_infinities_are_values_and_nothing_is_none() {
    let infinite = profile(&column(&[Some(1.0), Some(f64::INFINITY)]), &[0.5, 1.0]);
    assert_eq!(infinite.quantiles, [1.0, f64::INFINITY]);
    assert!(infinite.stats.mean == f64::INFINITY && infinite.stats.stddev.is_nan());
    let both = profile(
        &column(&[Some(f64::NEG_INFINITY), Some(f64::INFINITY)]),
        &[],
    );
    assert!(both.stats.mean.is_nan() && both.stats.min == f64::NEG_INFINITY);
    for empty in [&[][..], &[None, Some(f64::NAN)]] {
        let got = profile(&column(empty), &[0.0, 0.5, 1.0]);
        assert!(got.quantiles.is_empty() && got.stats.min.is_nan() && got.stats.mean.is_nan());
        assert_eq!(got.stats.nulls, empty.len() as u64);
    }
}

#[test]
fn m1_all_columns_are_profiled_when_none_is_named_and_parts_are_tables_too() {
    let whole = csv("a,t,b\n1,x,true\n2,,false\n3,y,true\n4,z,\n");
    let all = whole.profile(&[], &[0.5]).unwrap();
    let found: Vec<&str> = all
        .iter()
        .map(|profile| profile.column.name.as_str())
        .collect();
    assert_eq!(found, ["a", "t", "b"]);
    assert_eq!(all[0].quantiles, [2.0]);
    assert!(all[1].quantiles.is_empty() && all[1].stats.nulls == 1 && all[1].stats.mean.is_nan());
    assert_eq!(all[2].quantiles, [1.0]);
    let (train, valid) = whole.split("a", 0.5, 3).unwrap();
    for part in [train, valid] {
        let Stats { rows, min, max, .. } = part.stats("a").unwrap();
        let ColumnData::Int64s(ids) = part.read("a", 0, 9).unwrap() else {
            panic!("integers")
        };
        #[expect(clippy::cast_precision_loss, reason = "few values")]
        let known: Vec<f64> = ids.into_iter().flatten().map(|id| id as f64).collect();
        assert_eq!((rows, min, max), (2, known[0], known[1]));
        assert_eq!(part.distinct_rows(&names(&["a"]), &budget()).unwrap(), 2);
    }
}

#[test]
fn m1_values_are_counted_as_their_texts() {
    let part = csv("w,f,b\n2026-01-05,0.5,true\n2026-01-05,-0.0,false\n,0,true\n");
    let top = |name: &str| {
        let counts = part.value_counts(name, 9, &budget()).unwrap();
        let texts = counts
            .top
            .into_iter()
            .map(|count| (count.value, count.rows));
        texts.collect::<Vec<_>>()
    };
    assert_eq!(top("w"), [("2026-01-05T00:00:00Z".to_owned(), 2)]);
    assert_eq!(top("f"), [("0".to_owned(), 2), ("0.5".to_owned(), 1)]);
    assert_eq!(top("b"), [("true".to_owned(), 2), ("false".to_owned(), 1)]);
}

#[test]
fn m1_what_cannot_be_answered_is_refused() {
    let part = csv("x\n1\n2\n");
    for wrong in [-0.1, 1.1, f64::NAN] {
        assert!(part.profile(&[], &[wrong]).is_err());
    }
    let too_many = part.profile(&[], &[0.5; 1_025]);
    assert_eq!(too_many.err(), Some(CapabilityError::TooLarge(1_024)));
    assert!(matches!(
        part.profile(&names(&["y"]), &[]),
        Err(CapabilityError::NotFound(_))
    ));
    assert!(matches!(
        part.value_counts("y", 1, &budget()),
        Err(CapabilityError::NotFound(_))
    ));
    let small = Budget::new(10);
    assert!(part.value_counts("x", 1, &small).is_err());
    assert!(part.distinct_rows(&names(&["x"]), &small).is_err());
}

#[test]
fn m17_single_rows_come_in_the_order_asked_for() {
    let part = csv("x,t\n1,a\n2,\n3,c\n");
    let taken = part.take("x", &[2, u32::MAX, 0, 2]).unwrap();
    assert_eq!(
        taken,
        ColumnData::Int64s(vec![Some(3), None, Some(1), Some(3)])
    );
    let taken = part.take("t", &[1, 2]).unwrap();
    assert_eq!(taken, ColumnData::Texts(vec![None, Some("c".to_owned())]));
    assert!(matches!(
        part.take("x", &[3]),
        Err(CapabilityError::Invalid(_))
    ));
    let too_many = part.take("x", &vec![0; 65_537]);
    assert_eq!(too_many, Err(CapabilityError::TooLarge(65_536)));
}
