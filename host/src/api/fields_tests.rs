//! What a request's fields are read as.

use super::*;
use proptest::prelude::*;
use serde_json::json;

fn fields(value: &Value) -> Fields {
    Fields::from_json(value.to_string().as_bytes()).unwrap()
}

#[test]
fn integers_come_as_numbers_texts_and_whole_floats() {
    let given = fields(
        &json!({"a": 7, "b": "9223372036854775807", "c": 5.0, "d": 5.5, "e": "x", "f": null}),
    );
    assert_eq!(given.integer("a").unwrap(), Some(7));
    assert_eq!(given.integer("b").unwrap(), Some(i64::MAX));
    assert_eq!(given.integer("c").unwrap(), Some(5));
    assert_eq!(given.integer("f").unwrap(), None);
    assert_eq!(given.integer("g").unwrap(), None);
    let wrong = given.integer("d").unwrap_err();
    let words =
        "Invalid value 5.5 for parameter 'd' supplied: it must be a whole number of 64 bits.";
    assert_eq!(wrong, ApiError::invalid(words));
    assert!(given.integer("e").is_err());
}

#[test]
fn a_missing_field_is_named_in_mlflows_words() {
    let words = "Missing value for required parameter 'name'. See the API docs for more information about request parameters.";
    for given in [json!({}), json!({"name": null}), json!({"name": ""})] {
        assert_eq!(
            fields(&given).need_text("name").unwrap_err(),
            ApiError::invalid(words)
        );
    }
    assert_eq!(
        fields(&json!({"value": ""}))
            .need_any_text("value")
            .unwrap(),
        ""
    );
}

#[test]
fn a_query_with_one_of_a_list_is_a_list_too() {
    let given =
        Fields::from_query("order_by=a+DESC&x=1&order_by=b%20ASC&one=%C3%A4&archive=True").unwrap();
    assert_eq!(given.texts("order_by").unwrap(), ["a DESC", "b ASC"]);
    assert_eq!(given.texts("one").unwrap(), ["ä"]);
    assert_eq!(given.integer("x").unwrap(), Some(1));
    assert_eq!(given.truth("archive").unwrap(), Some(true));
    assert!(given.texts("absent").unwrap().is_empty());
}

#[test]
fn a_query_has_a_limit() {
    let many = "a=1&".repeat(QUERY_PAIRS_MAX + 1);
    assert!(Fields::from_query(&many).is_err());
}

#[test]
fn what_is_no_object_is_a_bad_request() {
    for body in ["[]", "{", "7", "\"{}\"", "\u{0}"] {
        assert!(Fields::from_json(body.as_bytes()).is_err(), "{body}");
    }
    let deep = format!("{}{}", r#"{"a":"#.repeat(1_000), "}".repeat(1_000));
    assert!(Fields::from_json(deep.as_bytes()).is_err());
}

#[test]
fn the_old_name_of_a_run_id_is_understood() {
    assert_eq!(fields(&json!({"run_uuid": "old"})).run_id().unwrap(), "old");
    assert_eq!(
        fields(&json!({"run_uuid": "old", "run_id": "new"}))
            .run_id()
            .unwrap(),
        "new"
    );
    assert!(fields(&json!({})).run_id().is_err());
}

proptest! {
    #[test]
    fn every_float_that_is_written_is_read_back(bits in any::<u64>()) {
        let number = f64::from_bits(bits);
        let back = fields(&json!({"value": float_value(number)})).need_float("value").unwrap();
        prop_assert!(back.to_bits() == number.to_bits() || back.is_nan() && number.is_nan());
    }

    #[test]
    fn no_body_makes_the_reader_panic(body in any::<Vec<u8>>()) {
        if let Ok(fields) = Fields::from_json(&body) {
            let _ = (fields.pairs("tags"), fields.run_id(), fields.objects("metrics"));
        }
    }
}
