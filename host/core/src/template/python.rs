//! What people paste from Airflow: Python's way to print a value and its common methods of texts and dicts.
//! It refuses everything that could grow a text without bound.

use super::{OUTPUT_BYTES_MAX, growth};
use minijinja::value::{ValueKind, from_args};
use minijinja::{Error, ErrorKind, Output, State, Value};

/// Prints a value as Python's `str` does: `None`, `True`, `['a', 1]`; texts and dates as they are.
pub(super) fn format(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    if value.is_undefined() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let mut text = String::new();
    print(value, &mut text, true, 0)?;
    // It may go into a text that the template keeps.
    growth::charge(state, text.len())?;
    out.write_str(&text).map_err(Error::from)
}

fn print(value: &Value, text: &mut String, top: bool, depth: usize) -> Result<(), Error> {
    if text.len() > OUTPUT_BYTES_MAX || depth > super::DEPTH_MAX {
        return Err(Error::from(ErrorKind::WriteFailure));
    }
    match value.kind() {
        ValueKind::None => text.push_str("None"),
        ValueKind::Bool => text.push_str(if value.is_true() { "True" } else { "False" }),
        ValueKind::String if !top => {
            let inner = value.as_str().unwrap_or_default();
            let quote = if inner.contains('\'') && !inner.contains('"') {
                '"'
            } else {
                '\''
            };
            text.push(quote);
            for c in inner.chars() {
                match c {
                    '\n' => text.push_str("\\n"),
                    '\r' => text.push_str("\\r"),
                    '\t' => text.push_str("\\t"),
                    '\\' => text.push_str("\\\\"),
                    c if c == quote => text.extend(['\\', c]),
                    c => text.push(c),
                }
            }
            text.push(quote);
        }
        ValueKind::Seq | ValueKind::Iterable => {
            text.push('[');
            for (index, item) in value.try_iter()?.enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                print(&item, text, false, depth + 1)?;
            }
            text.push(']');
        }
        ValueKind::Map if !value.is_kwargs() && value.try_iter().is_ok() => {
            text.push('{');
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    text.push_str(", ");
                }
                print(&key, text, false, depth + 1)?;
                text.push_str(": ");
                print(&value.get_item(&key)?, text, false, depth + 1)?;
            }
            text.push('}');
        }
        _ => {
            text.push_str(&growth::text_of(&[value])?);
        }
    }
    Ok(())
}

/// Methods that the engine does not have.
pub(super) fn method(
    state: &mut State,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        return growth::kept(state, text_method(text, method, args)?);
    }
    if value.kind() != ValueKind::Map {
        return Err(Error::from(ErrorKind::UnknownMethod));
    }
    match method {
        "get" => {
            let (key, default): (&Value, Option<&Value>) = from_args(args)?;
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() {
                default.cloned().unwrap_or_else(|| Value::from(()))
            } else {
                found
            })
        }
        "items" => state.apply_filter("items", std::slice::from_ref(value)),
        "keys" => {
            let keys = Value::from(value.try_iter()?.collect::<Vec<_>>());
            growth::kept(state, keys)
        }
        "values" => {
            let members = value.try_iter()?.map(|key| value.get_item(&key));
            let members = members.collect::<Result<Vec<_>, _>>()?;
            growth::kept(state, Value::from(members))
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn text_method(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    match method {
        "upper" => Ok(Value::from(text.to_uppercase())),
        "lower" => Ok(Value::from(text.to_lowercase())),
        "strip" | "lstrip" | "rstrip" => {
            let (set,): (Option<&str>,) = from_args(args)?;
            let cut = |c: char| set.map_or(c.is_whitespace(), |set| set.contains(c));
            Ok(Value::from(match method {
                "strip" => text.trim_matches(cut),
                "lstrip" => text.trim_start_matches(cut),
                _ => text.trim_end_matches(cut),
            }))
        }
        "startswith" => {
            from_args(args).map(|(start,): (&str,)| Value::from(text.starts_with(start)))
        }
        "endswith" => from_args(args).map(|(end,): (&str,)| Value::from(text.ends_with(end))),
        "split" => {
            let (separator,): (Option<&str>,) = from_args(args)?;
            let parts: Vec<Value> = match separator {
                None => text.split_whitespace().map(Value::from).collect(),
                Some("") => return Err(Error::new(ErrorKind::InvalidOperation, "empty separator")),
                Some(separator) => text.split(separator).map(Value::from).collect(),
            };
            Ok(Value::from(parts))
        }
        "replace" => {
            let (from, to): (&str, &str) = from_args(args)?;
            replace(text, from, to)
        }
        "zfill" => {
            let (width,): (usize,) = from_args(args)?;
            let width = width.min(OUTPUT_BYTES_MAX);
            Ok(Value::from(format!("{text:0>width$}")))
        }
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            join(items, text)
        }
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

/// Every `from` replaced by `to`, within the output limit.
pub(super) fn replace(text: &str, from: &str, to: &str) -> Result<Value, Error> {
    let grown = text.matches(from).count().saturating_mul(to.len());
    if grown.saturating_add(text.len()) > OUTPUT_BYTES_MAX {
        return Err(too_large());
    }
    Ok(Value::from(text.replace(from, to)))
}

/// The items as texts with `separator` between them, within the output limit.
pub(super) fn join(items: &Value, separator: &str) -> Result<Value, Error> {
    let mut joined = String::new();
    for (index, item) in items.try_iter()?.enumerate() {
        if index > 0 {
            joined.push_str(separator);
        }
        joined.push_str(&growth::text_of(&[&item])?);
        if joined.len() > OUTPUT_BYTES_MAX {
            return Err(too_large());
        }
    }
    Ok(Value::from(joined))
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "the text grows too large")
}
