//! Between JSON and the engine's values, both ways, with a bound on size and depth.

use super::{DEPTH_MAX, OUTPUT_BYTES_MAX};
use minijinja::Value;
use minijinja::value::ValueKind;
use serde_json::{Map, Number, Value as Json};
use std::collections::BTreeMap;

/// What is wrong with a value that takes more bytes than an output may.
pub(super) const TOO_LARGE: &str = "is too large; pass a storage URI instead";

/// JSON as the engine's value.
pub(super) fn to_value(json: &Json) -> Value {
    match json {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => number
            .as_i64()
            .map(Value::from)
            .or_else(|| number.as_u64().map(Value::from))
            .unwrap_or_else(|| Value::from(number.as_f64().unwrap_or(f64::NAN))),
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => Value::from(items.iter().map(to_value).collect::<Vec<_>>()),
        Json::Object(members) => Value::from(
            members
                .iter()
                .map(|(key, member)| (key.clone(), to_value(member)))
                .collect::<BTreeMap<String, Value>>(),
        ),
    }
}

/// The engine's value as JSON. A date becomes its text; a number that JSON cannot hold is an error.
pub(super) fn from_value(value: &Value) -> Result<Json, &'static str> {
    let mut left = OUTPUT_BYTES_MAX;
    convert(value, 0, &mut left)
}

fn convert(value: &Value, depth: usize, left: &mut usize) -> Result<Json, &'static str> {
    if depth > DEPTH_MAX {
        return Err("is nested too deep");
    }
    spend(left, 8)?;
    match value.kind() {
        ValueKind::None => Ok(Json::Null),
        ValueKind::Undefined => Err("holds something that is not defined"),
        ValueKind::Bool => Ok(Json::Bool(value.is_true())),
        ValueKind::Number => number(value)
            .map(Json::Number)
            .ok_or("is not a JSON number"),
        ValueKind::Map => {
            let mut members = Map::new();
            for key in value.try_iter().map_err(|_| "cannot be listed")? {
                let member = value.get_item(&key).map_err(|_| "cannot be listed")?;
                let key = key.to_string();
                spend(left, key.len())?;
                members.insert(key, convert(&member, depth + 1, left)?);
            }
            Ok(Json::Object(members))
        }
        ValueKind::Seq | ValueKind::Iterable => {
            let items = value.try_iter().map_err(|_| "cannot be listed")?;
            items
                .map(|item| convert(&item, depth + 1, left))
                .collect::<Result<Vec<_>, _>>()
                .map(Json::Array)
        }
        ValueKind::String | ValueKind::Plain => {
            let text = value.to_string();
            spend(left, text.len())?;
            Ok(Json::String(text))
        }
        _ => Err("is not JSON"),
    }
}

fn number(value: &Value) -> Option<Number> {
    if value.is_integer() {
        let whole = value.as_i64().map(Number::from);
        return whole.or_else(|| u64::try_from(value.clone()).ok().map(Number::from));
    }
    Number::from_f64(f64::try_from(value.clone()).ok()?)
}

fn spend(left: &mut usize, bytes: usize) -> Result<(), &'static str> {
    *left = left.checked_sub(bytes).ok_or(TOO_LARGE)?;
    Ok(())
}
