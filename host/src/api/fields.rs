//! The fields of a request, wherever they stand: query, JSON body or path. It reads protobuf's JSON as MLflow's clients write it
//! (64-bit integers as numbers or texts, NaN and infinities as texts, null for absent) and ignores what it does not know.

use super::error::ApiError;
use serde_json::{Map, Value};
use url::form_urlencoded;

/// The most pairs of a query.
const QUERY_PAIRS_MAX: usize = 1_000;

/// See the module's documentation.
#[derive(Debug, Clone, Default)]
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    /// The fields of a query; a name that is there twice is a list.
    pub(super) fn from_query(query: &str) -> Result<Self, ApiError> {
        let mut fields: Map<String, Value> = Map::new();
        for (number, (name, value)) in form_urlencoded::parse(query.as_bytes()).enumerate() {
            if number >= QUERY_PAIRS_MAX {
                return Err(ApiError::invalid(format!(
                    "the query has more than {QUERY_PAIRS_MAX} fields"
                )));
            }
            let value = Value::from(value.into_owned());
            match fields.get_mut(name.as_ref()) {
                None => {
                    fields.insert(name.into_owned(), value);
                }
                Some(Value::Array(values)) => values.push(value),
                Some(first) => *first = Value::Array(vec![first.take(), value]),
            }
        }
        Ok(Self(fields))
    }

    /// The fields of a JSON body; no body at all has none.
    pub(super) fn from_json(body: &[u8]) -> Result<Self, ApiError> {
        if body.is_empty() {
            return Ok(Self::default());
        }
        serde_json::from_slice(body).map(Self).map_err(|error| {
            ApiError::bad_request(format!("the body must be a JSON object: {error}"))
        })
    }

    /// Adds what the path says; it wins.
    pub(super) fn insert(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), Value::from(value));
    }

    /// The names of all of them.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// A text; none where it is absent.
    pub(super) fn text(&self, name: &str) -> Result<Option<&str>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        value
            .as_str()
            .map(Some)
            .ok_or_else(|| wrong(name, value, "a text"))
    }

    /// A text that must be there and hold something.
    pub(super) fn need_text(&self, name: &str) -> Result<&str, ApiError> {
        let text = self.text(name)?.filter(|text| !text.is_empty());
        text.ok_or_else(|| absent(name))
    }

    /// A text that must be there and may be empty.
    pub(super) fn need_any_text(&self, name: &str) -> Result<&str, ApiError> {
        self.text(name)?.ok_or_else(|| absent(name))
    }

    /// An integer; none where it is absent.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let parsed = match value {
            Value::String(text) => text.parse().ok(),
            number => number.as_i64().or_else(|| whole(number.as_f64()?)),
        };
        let integer = parsed.ok_or_else(|| wrong(name, value, "a whole number of 64 bits"));
        integer.map(Some)
    }

    /// An integer that must be there.
    pub(super) fn need_integer(&self, name: &str) -> Result<i64, ApiError> {
        self.integer(name)?.ok_or_else(|| absent(name))
    }

    /// How many results are wanted, from 1 to `max`.
    pub(super) fn max_results(&self, default: usize, max: usize) -> Result<usize, ApiError> {
        let Some(wanted) = self.integer("max_results")? else {
            return Ok(default);
        };
        let count = usize::try_from(wanted).ok();
        count
            .filter(|count| (1..=max).contains(count))
            .ok_or_else(|| {
                ApiError::invalid(format!(
                    "Invalid value {wanted} for parameter 'max_results': it must be from 1 to {max}."
                ))
            })
    }

    /// A floating-point number that must be there; NaN and infinities are texts.
    pub(super) fn need_float(&self, name: &str) -> Result<f64, ApiError> {
        let value = self.get(name).ok_or_else(|| absent(name))?;
        let parsed = match value {
            Value::String(text) => float(text),
            number => number.as_f64(),
        };
        parsed.ok_or_else(|| wrong(name, value, "a number"))
    }

    /// A truth value; none where it is absent.
    pub(super) fn truth(&self, name: &str) -> Result<Option<bool>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        match value {
            Value::Bool(truth) => Ok(Some(*truth)),
            // Python writes them so into a query.
            Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            other => Err(wrong(name, other, "true or false")),
        }
    }

    /// A truth value that must be there.
    pub(super) fn need_truth(&self, name: &str) -> Result<bool, ApiError> {
        self.truth(name)?.ok_or_else(|| absent(name))
    }

    /// A list of texts; empty where it is absent. A query with one of them cannot say that it is a list.
    pub(super) fn texts(&self, name: &str) -> Result<Vec<String>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let one = std::slice::from_ref(value);
        let values = value.as_array().map_or(one, Vec::as_slice);
        let texts = values.iter().map(|item| item.as_str().map(str::to_owned));
        texts
            .collect::<Option<_>>()
            .ok_or_else(|| wrong(name, value, "a list of texts"))
    }

    /// A list of objects; empty where it is absent.
    pub(super) fn objects(&self, name: &str) -> Result<Vec<Self>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(Vec::new());
        };
        let objects = value.as_array().and_then(|values| {
            let fields = values
                .iter()
                .map(|item| item.as_object().cloned().map(Self));
            fields.collect()
        });
        objects.ok_or_else(|| wrong(name, value, "a list of objects"))
    }

    /// An object that must be there.
    pub(super) fn need_object(&self, name: &str) -> Result<Self, ApiError> {
        let value = self.get(name).ok_or_else(|| absent(name))?;
        let object = value.as_object().cloned().map(Self);
        object.ok_or_else(|| wrong(name, value, "an object"))
    }

    /// A list of `{key, value}`; empty where it is absent.
    pub(super) fn pairs(&self, name: &str) -> Result<Vec<(String, String)>, ApiError> {
        let pair = |item: &Self| {
            let value = item.text("value")?.unwrap_or_default();
            Ok((item.need_text("key")?.to_owned(), value.to_owned()))
        };
        self.objects(name)?.iter().map(pair).collect()
    }

    /// The run that is meant: `run_id`, or `run_uuid` as the first clients called it.
    pub(super) fn run_id(&self) -> Result<&str, ApiError> {
        let old = self.text("run_uuid")?.filter(|text| !text.is_empty());
        match self.text("run_id")?.filter(|text| !text.is_empty()).or(old) {
            Some(run_id) => Ok(run_id),
            None => Err(absent("run_id")),
        }
    }
}

/// MLflow's words.
fn absent(name: &str) -> ApiError {
    ApiError::invalid(format!(
        "Missing value for required parameter '{name}'. See the API docs for more information about request parameters."
    ))
}

fn wrong(name: &str, value: &Value, wanted: &str) -> ApiError {
    /// How much of a wrong value is shown, characters.
    const SHOWN_CHARS_MAX: usize = 80;
    let shown: String = value.to_string().chars().take(SHOWN_CHARS_MAX).collect();
    ApiError::invalid(format!(
        "Invalid value {shown} for parameter '{name}' supplied: it must be {wanted}."
    ))
}

/// `5.0` is an integer in protobuf's JSON, `5.5` is none.
fn whole(number: f64) -> Option<i64> {
    /// Up to here every whole number is exact.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and in range")]
    (number.fract() == 0.0 && number.abs() <= EXACT_MAX).then_some(number as i64)
}

fn float(text: &str) -> Option<f64> {
    match text {
        "NaN" => Some(f64::NAN),
        "Infinity" => Some(f64::INFINITY),
        "-Infinity" => Some(f64::NEG_INFINITY),
        // Rust reads words that protobuf does not.
        other if other.bytes().any(|byte| byte.is_ascii_digit()) => other.parse().ok(),
        _ => None,
    }
}

/// A floating-point number as protobuf's JSON has it.
pub(super) fn float_value(number: f64) -> Value {
    if number.is_nan() {
        return Value::from("NaN");
    }
    if number.is_infinite() {
        let text = if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        return Value::from(text);
    }
    Value::from(number)
}

#[cfg(test)]
#[path = "fields_tests.rs"]
mod tests;
