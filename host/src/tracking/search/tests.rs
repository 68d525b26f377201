use super::*;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::collections::BTreeMap;

/// A row of everything, as simply as it can be kept.
#[derive(Debug, Clone, Default)]
struct Row {
    id: String,
    time: i64,
    numbers: BTreeMap<String, f64>,
    texts: BTreeMap<String, String>,
}

struct List;

impl Rows for List {
    type Row = Row;
    type Slot = Field;

    fn slot(&self, field: &Field) -> Field {
        field.clone()
    }

    fn any(&self, row: &Row, slot: &Field, test: &dyn Fn(Value<'_>) -> bool) -> bool {
        test(self.value(row, slot))
    }

    fn value<'r>(&'r self, row: &'r Row, slot: &Field) -> Value<'r> {
        match slot.entity {
            Entity::Metric => row
                .numbers
                .get(&slot.key)
                .map_or(Value::Absent, |number| Value::Number(*number)),
            _ => row
                .texts
                .get(&slot.key)
                .map_or(Value::Absent, |text| Value::Text(text)),
        }
    }

    fn tie<'r>(&self, row: &'r Row) -> (i64, &'r str) {
        (row.time, &row.id)
    }
}

fn read(text: &str) -> Filter {
    Filter::parse(RUNS, text).unwrap()
}

#[test]
fn every_way_to_write_a_field_means_the_same() {
    for (one, other) in [
        ("metrics.x > 1", "metric.`x`>1.0"),
        ("params.\"a b\" = 'y'", "parameters.`a b` = \"y\""),
        (
            "tags.mlflow.runName LIKE 'a%'",
            "tag.`mlflow.runName` like 'a%'",
        ),
        ("attributes.status != 'FAILED'", "status <> 'FAILED'"),
        ("run_name = 'a'", "attr.`Run name` = 'a'"),
        ("created >= 5", "attribute.start_time >= 5"),
        (
            "run_id NOT IN ('a','b')",
            "attributes.run_id not in ('a', 'b')",
        ),
        ("params.a = 'it''s'", "params.a = \"it's\""),
        ("datasets.name ILIKE 'a_'", "dataset.name ilike 'a_'"),
    ] {
        assert_eq!(read(one), read(other), "{one} and {other}");
    }
    assert_eq!(read("").conditions.len(), 0);
    assert_eq!(
        read("metrics.a = 1 and params.b = 'c' AND tags.d = 'e'")
            .conditions
            .len(),
        3
    );
}

#[test]
fn errors_say_where_and_what_is_allowed() {
    for (text, at, says) in [
        ("metrics.x > ", 13, "compared with a number"),
        ("metrics.x > 'a'", 13, "without quotes"),
        ("metrics.x LIKE 'a'", 11, "is a number"),
        ("params.x > 'a'", 10, "is a text"),
        ("params.x = a", 12, "a text in quotes"),
        ("nothing.x = 'a'", 1, "params.KEY"),
        ("colour = 'a'", 1, "run_name"),
        ("metrics.x > 1 OR metrics.y > 1", 15, "joined by AND"),
        ("(metrics.x > 1)", 1, "params.KEY"),
        ("params.x = 'a", 12, "written twice"),
        ("params.x IN ('a',)", 18, "a list is"),
        ("params.x IN 'a'", 13, "a list is"),
        ("params.é = 'a' AND ß ! 1", 22, "a filter has names"),
        ("metrics.x > 1 AND", 18, "params.KEY"),
    ] {
        let error = Filter::parse(RUNS, text).unwrap_err();
        assert_eq!(error.at, at, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    }
    let error = Filter::parse(EXPERIMENTS, "metrics.x > 1").unwrap_err();
    assert!(!error.allowed.contains("metrics"), "{error}");
    for text in ["metrics.x UP", "metrics.x ASC DESC", ""] {
        assert!(OrderBy::parse(RUNS, text).is_err(), "{text:?}");
    }
    assert!(OrderBy::parse(RUNS, "metrics.x desc").unwrap().descending);
}

#[test]
fn too_much_is_refused() {
    let many = vec!["metrics.a > 1"; CONDITIONS_MAX + 1].join(" AND ");
    assert!(Filter::parse(RUNS, &many).is_err());
    let long = format!("params.a = '{}'", "x".repeat(SEARCH_TEXT_BYTES_MAX));
    assert!(Filter::parse(RUNS, &long).is_err());
    let keys = vec!["metrics.a".to_owned(); ORDER_KEYS_MAX + 1];
    assert!(OrderBy::parse_all(RUNS, &keys).is_err());
}

#[test]
fn like_matches_as_sql_does() {
    let is_like = |text: &str, pattern: &str| {
        let filter = read(&format!("params.a LIKE '{pattern}'"));
        holds(&filter.conditions[0], Value::Text(text))
    };
    for (text, pattern, expected) in [
        ("churn", "churn", true),
        ("churn", "ch%", true),
        ("churn", "%rn", true),
        ("churn", "%hu%", true),
        ("churn", "c_u_n", true),
        ("churn", "c_n", false),
        ("churn", "Ch%", false),
        ("", "%", true),
        ("", "_", false),
        ("aaab", "%a_b", true),
        ("a%b", "a%b", true),
        ("naïve", "na_ve", true),
    ] {
        assert_eq!(is_like(text, pattern), expected, "{text:?} {pattern:?}");
    }
    // What would take for ever by trying every way.
    assert!(!is_like(
        &"a".repeat(5_000),
        &format!("{}b", "%a".repeat(100))
    ));
}

#[test]
fn what_is_absent_fulfils_nothing_but_that_it_is_no_prompt() {
    let absent = |text: &str| holds(&read(text).conditions[0], Value::Absent);
    assert!(!absent("metrics.a != 1"));
    assert!(!absent("params.a != 'x'"));
    assert!(!absent("params.a NOT IN ('x')"));
    assert!(absent("tags.`mlflow.prompt.is_prompt` != 'true'"));
    assert!(!absent("tags.`mlflow.prompt.is_prompt` = 'true'"));
}

#[test]
fn a_token_of_another_search_is_refused() {
    fn size(token: Option<&str>) -> Size<'_> {
        Size {
            max: 1,
            limit: 10,
            token,
        }
    }
    let rows = [row(1, &[("a", 1.0)]), row(2, &[("a", 2.0)])];
    let request = Request::parse(RUNS, "", &["metrics.a".to_owned()], "0", size(None)).unwrap();
    let token = search(&List, rows.iter(), &request)
        .next_page_token
        .unwrap();
    let again = |order: &str, scope, token: &str| {
        Request::parse(RUNS, "", &[order.to_owned()], scope, size(Some(token)))
    };
    assert!(again("metrics.a", "0", &token).is_ok());
    assert!(again("metrics.a", "1", &token).is_err());
    assert!(again("metrics.a DESC", "0", &token).is_err());
    assert!(again("metrics.a", "0", "zz").is_err());
    let too_many = Size {
        max: 11,
        ..size(None)
    };
    assert!(Request::parse(RUNS, "", &[], "0", too_many).is_err());
}

fn row(id: u32, numbers: &[(&str, f64)]) -> Row {
    Row {
        id: format!("{id:04}"),
        time: i64::from(id % 3),
        numbers: numbers
            .iter()
            .map(|(key, number)| ((*key).to_owned(), *number))
            .collect(),
        texts: BTreeMap::new(),
    }
}

#[test]
fn what_has_no_number_comes_last_either_way_and_nan_before_it() {
    let rows = [
        row(1, &[]),
        row(2, &[("a", f64::NAN)]),
        row(3, &[("a", f64::INFINITY)]),
        row(4, &[("a", -1.0)]),
    ];
    for (order, expected) in [
        ("metrics.a", ["0004", "0003", "0002", "0001"]),
        ("metrics.a DESC", ["0003", "0004", "0002", "0001"]),
    ] {
        let size = Size {
            max: 10,
            limit: 10,
            token: None,
        };
        let request = Request::parse(RUNS, "", &[order.to_owned()], "", size).unwrap();
        let page = search(&List, rows.iter(), &request);
        let ids: Vec<_> = page.items.iter().map(|row| row.id.as_str()).collect();
        assert_eq!(ids, expected, "{order}");
    }
}

fn key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-c] [a-z`\"'.]{1,3}", "[é.]{1,3}"]
}

fn field(number: bool) -> BoxedStrategy<Field> {
    let entities = if number {
        vec![Entity::Metric]
    } else {
        vec![Entity::Param, Entity::Tag]
    };
    let keyed =
        (proptest::sample::select(entities), key()).prop_map(|(entity, key)| Field { entity, key });
    let attributes = if number {
        vec!["start_time", "end_time"]
    } else {
        vec!["run_id", "run_name", "status", "user_id"]
    };
    let attribute = proptest::sample::select(attributes).prop_map(|key| Field {
        entity: Entity::Attribute,
        key: key.to_owned(),
    });
    prop_oneof![keyed, attribute].boxed()
}

fn condition() -> impl Strategy<Value = Condition> {
    use Comparison::{
        Equal, Greater, GreaterOrEqual, ILike, In, Less, LessOrEqual, Like, NotEqual, NotIn,
    };
    let numbers = [Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual];
    let number = (
        field(true),
        proptest::sample::select(numbers.to_vec()),
        prop_oneof![
            (-3..3_i32).prop_map(f64::from),
            proptest::num::f64::NORMAL | proptest::num::f64::ZERO
        ],
    )
        .prop_map(|(field, comparison, number)| Condition {
            field,
            comparison,
            literal: Literal::Number(number),
        });
    let text = (
        field(false),
        proptest::sample::select(vec![Equal, NotEqual, Like, ILike]),
        "[abAB'\"%_ ]{0,3}",
    )
        .prop_map(|(field, comparison, text)| Condition {
            field,
            comparison,
            literal: Literal::Text(text),
        });
    let list = (
        field(false),
        proptest::sample::select(vec![In, NotIn]),
        proptest::collection::vec("[abAB']{0,2}", 1..4),
    )
        .prop_map(|(field, comparison, texts)| Condition {
            field,
            comparison,
            literal: Literal::List(texts),
        });
    prop_oneof![number, text, list]
}

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let number = prop_oneof![
        (-3..3_i32).prop_map(f64::from),
        Just(f64::NAN),
        Just(f64::INFINITY)
    ];
    let one = (
        -2..3_i64,
        proptest::collection::btree_map("[a-c]", number, 0..3),
        proptest::collection::btree_map("[a-c]", "[abAB]{0,2}", 0..3),
    );
    proptest::collection::vec(one, 0..30).prop_map(|rows| {
        let named = rows.into_iter().enumerate();
        named
            .map(|(index, (time, numbers, texts))| Row {
                id: format!("{index:04}"),
                time,
                numbers,
                texts,
            })
            .collect()
    })
}

/// The order by its definition: absent after NaN after everything else, then the latest, then the id.
fn ordered(order: &[OrderBy], left: &Row, right: &Row) -> Ordering {
    for by in order {
        let rank = |row: &Row| match List.value(row, &by.field) {
            Value::Absent => 2,
            Value::Number(number) if number.is_nan() => 1,
            _ => 0,
        };
        let plain = match (List.value(left, &by.field), List.value(right, &by.field)) {
            (Value::Number(left), Value::Number(right)) => {
                left.partial_cmp(&right).unwrap_or(Ordering::Equal)
            }
            (Value::Text(left), Value::Text(right)) => left.cmp(right),
            _ => Ordering::Equal,
        };
        let plain = if by.descending {
            plain.reverse()
        } else {
            plain
        };
        let ordering = rank(left).cmp(&rank(right)).then(plain);
        if ordering.is_ne() {
            return ordering;
        }
    }
    right
        .time
        .cmp(&left.time)
        .then_with(|| left.id.cmp(&right.id))
}

proptest! {
    #[test]
    fn what_is_written_reads_back(conditions in proptest::collection::vec(condition(), 0..5)) {
        let filter = Filter { conditions };
        prop_assert_eq!(Filter::parse(RUNS, &filter.to_string()).unwrap(), filter);
    }

    #[test]
    fn an_order_that_is_written_reads_back(field in field(true), descending: bool) {
        let order = OrderBy { field, descending };
        prop_assert_eq!(OrderBy::parse(RUNS, &order.to_string()).unwrap(), order);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in ".{0,60}") {
        let _ = Filter::parse(RUNS, &text);
        let _ = OrderBy::parse(RUNS, &text);
    }

    #[test]
    fn pages_put_together_are_the_rows_filtered_and_ordered_one_by_one(
        rows in rows(),
        conditions in proptest::collection::vec(condition(), 0..2),
        order in proptest::collection::vec(
            (field(true), any::<bool>()).prop_map(|(field, descending)| OrderBy { field, descending }),
            0..3,
        ),
        max in 1..7_usize,
    ) {
        let filter = Filter { conditions };
        let mut expected: Vec<&Row> = rows
            .iter()
            .filter(|row| {
                let fits = |one: &Condition| holds(one, List.value(row, &one.field));
                filter.conditions.iter().all(fits)
            })
            .collect();
        expected.sort_by(|left, right| ordered(&order, left, right));
        let expected: Vec<&str> = expected.iter().map(|row| row.id.as_str()).collect();
        let order: Vec<String> = order.iter().map(ToString::to_string).collect();
        let (mut found, mut token) = (Vec::new(), None::<String>);
        loop {
            let size = Size { max, limit: 10, token: token.as_deref() };
            let request = Request::parse(RUNS, &filter.to_string(), &order, "", size).unwrap();
            let page = search(&List, rows.iter(), &request);
            found.extend(page.items.iter().map(|row| row.id.as_str()));
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }
}
