//! The routes that MLflow's clients call, a file for each noun. They read fields, ask a service of the tracking room, and write
//! its records as MLflow's protobuf JSON. They refuse to decide anything about a record.

mod artifacts;
mod experiments;
mod items;
mod logged_models;
mod model_versions;
mod registered_models;
mod runs;

use super::error::ApiError;
use super::fields::{Fields, float_value};
use super::route::{Action, Call, Route};
use crate::tracking::ViewType;
use serde_json::{Map, Value, json};

/// Every route that needs a token, by noun.
pub(super) const ROUTES: [&[Route]; 7] = [
    experiments::ROUTES,
    runs::ROUTES,
    items::ROUTES,
    artifacts::ROUTES,
    logged_models::ROUTES,
    registered_models::ROUTES,
    model_versions::ROUTES,
];

/// Pairs as protobuf's repeated messages have them.
fn pairs<'a>(
    pairs: impl IntoIterator<Item = (&'a String, &'a String)>,
    key_name: &str,
) -> Vec<Value> {
    let pair = |(key, value): (&String, &String)| json!({key_name: key, "value": value});
    pairs.into_iter().map(pair).collect()
}

/// An object without the members that are absent.
fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let present = members.into_iter().filter(|(_, value)| !value.is_null());
    let members = present.map(|(name, value)| (name.to_owned(), value));
    Value::Object(members.collect::<Map<_, _>>())
}

/// The value of an enum that protobuf numbers from 1.
fn numbered<T: Copy>(values: &[T], number: i64) -> Option<T> {
    let place = usize::try_from(number).ok()?.checked_sub(1)?;
    values.get(place).copied()
}

/// What has no answer but that it was done.
fn done(_: ()) -> Value {
    json!({})
}

/// Whether deleted ones are wanted: protobuf's name or its number.
fn view_type(fields: &Fields, name: &str) -> Result<ViewType, ApiError> {
    let wrong = |given: &str| {
        ApiError::invalid(format!(
            "Invalid value {given} for parameter '{name}' supplied: it must be ACTIVE_ONLY, DELETED_ONLY or ALL."
        ))
    };
    if let Ok(Some(number)) = fields.integer(name) {
        return match number {
            1 => Ok(ViewType::ActiveOnly),
            2 => Ok(ViewType::DeletedOnly),
            3 => Ok(ViewType::All),
            other => Err(wrong(&other.to_string())),
        };
    }
    match fields.text(name)? {
        None | Some("ACTIVE_ONLY") => Ok(ViewType::ActiveOnly),
        Some("DELETED_ONLY") => Ok(ViewType::DeletedOnly),
        Some("ALL") => Ok(ViewType::All),
        Some(other) => Err(wrong(other)),
    }
}

/// A page as MLflow answers it: the rows, and the token of the next page where there is one.
fn page(name: &str, rows: Vec<Value>, next_page_token: Option<&str>) -> Value {
    object([
        (name, Value::Array(rows)),
        ("next_page_token", json!(next_page_token)),
    ])
}
