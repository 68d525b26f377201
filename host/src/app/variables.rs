//! Variables: read by the order of `secrets`, written to the store.

use super::import::import;
use super::{App, Exported, Imported, OnExisting};
use crate::error::{ErrorKind, UserError};
use crate::secrets::{Found, HIDDEN, Variable, is_sensitive};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;

/// A variable as lists show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VariableRow {
    /// Its key.
    pub key: String,
    /// Its text; hidden where the key looks secret.
    pub value: String,
    /// Free text.
    pub description: Option<String>,
}

impl App {
    /// Every variable of the store, by key, with those hidden that look secret.
    pub fn variables(&self) -> Result<Vec<VariableRow>, UserError> {
        let rows = self.secrets.variables()?.into_iter();
        Ok(rows
            .map(|(key, variable)| VariableRow {
                value: if is_sensitive(&key) {
                    HIDDEN.to_owned()
                } else {
                    variable.value
                },
                description: variable.description,
                key,
            })
            .collect())
    }

    /// One variable with its value, wherever it is.
    pub fn variable(&self, key: &str) -> Result<Found<Variable>, UserError> {
        let missing = || {
            UserError::new(ErrorKind::NotFound, format!("variable {key:?} is not set"))
                .hint(format!("`airlock variables set {key} VALUE` sets it"))
        };
        self.secrets.variable(key)?.ok_or_else(missing)
    }

    /// Sets a variable in the store, durably.
    pub fn set_variable(&self, key: &str, variable: &Variable) -> Result<(), UserError> {
        Ok(self.secrets.set_variable(key, variable)?)
    }

    /// Removes a variable from the store.
    pub fn delete_variable(&self, key: &str) -> Result<(), UserError> {
        if self.secrets.delete_variable(key)? {
            return Ok(());
        }
        let message = format!("the store has no variable {key:?}");
        Err(UserError::new(ErrorKind::NotFound, message)
            .hint("`airlock variables list` shows what it has"))
    }

    /// Sets the variables of an object as Airflow exports it: a text, any other JSON, or `{value, description}`.
    pub fn import_variables(
        &self,
        members: Map<String, Value>,
        on_existing: OnExisting,
    ) -> Result<Imported, UserError> {
        let listed = self.secrets.variables()?;
        let known: BTreeSet<String> = listed.into_iter().map(|(name, _)| name).collect();
        let exists = |name: &str| Ok(known.contains(name));
        let parse = |_: &str, value| Ok(parsed(value));
        let (variables, report) = import(members, on_existing, parse, exists)?;
        for (key, variable) in &variables {
            self.secrets.set_variable(key, variable)?;
        }
        Ok(report)
    }

    /// The store's variables as Airflow exports them; those that look secret only `with_secrets`.
    pub fn export_variables(&self, with_secrets: bool) -> Result<Exported, UserError> {
        let (mut members, mut left_out) = (Map::new(), Vec::new());
        for (key, variable) in self.secrets.variables()? {
            if !with_secrets && is_sensitive(&key) {
                left_out.push(key);
                continue;
            }
            let value = exported(variable.value);
            let member = match variable.description {
                Some(description) => json!({"value": value, "description": description}),
                None => value,
            };
            members.insert(key, member);
        }
        Ok(Exported {
            json: members,
            left_out,
        })
    }

    /// Seals all secrets of the store with a new key; yields how many.
    pub fn rotate_key(&self) -> Result<usize, UserError> {
        Ok(self.secrets.rotate_key()?)
    }
}

fn parsed(value: Value) -> Variable {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    match value {
        Value::Object(mut members) if is_described(&members) => Variable {
            value: text(members.remove("value").unwrap_or_default()),
            description: members
                .remove("description")
                .and_then(|description| description.as_str().map(str::to_owned)),
        },
        other => Variable {
            value: text(other),
            description: None,
        },
    }
}

/// An object that holds `value`, and at most `description` beside it, stands for a variable; any other one is the value.
fn is_described(members: &Map<String, Value>) -> bool {
    members.contains_key("value")
        && members
            .keys()
            .all(|key| matches!(key.as_str(), "value" | "description"))
}

/// JSON objects and lists as themselves, so that a person can edit them; everything else as its text, so that `007` stays `007`.
fn exported(text: String) -> Value {
    match serde_json::from_str::<Value>(&text) {
        // An object that looks like a description would be read as one.
        Ok(Value::Object(members)) if is_described(&members) => json!({ "value": text }),
        Ok(value @ (Value::Object(_) | Value::Array(_))) if is_text_of(&value, &text) => value,
        _ => Value::from(text),
    }
}

/// Whether a value is written as `text`. (A `Value` compared with a text asks whether it is a JSON string.)
fn is_text_of(value: &Value, text: &str) -> bool {
    serde_json::to_string(value).is_ok_and(|written| written == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn objects_and_lists_are_exported_as_themselves_and_the_rest_as_texts() {
        for (text, value) in [
            ("{\"a\":1}", json!({"a": 1})),
            ("[1,2]", json!([1, 2])),
            ("{ \"a\": 1 }", json!("{ \"a\": 1 }")),
            ("007", json!("007")),
        ] {
            assert_eq!(exported(text.to_owned()), value);
        }
    }

    proptest! {
        #[test]
        fn an_exported_variable_is_imported_as_it_was(text in prop_oneof![
            ".{0,40}",
            Just("007".to_owned()),
            Just("{\"a\":1}".to_owned()),
            Just("{ \"a\": 1 }".to_owned()),
            Just("{\"value\":1}".to_owned()),
            Just("null".to_owned()),
        ]) {
            prop_assert_eq!(parsed(exported(text.clone())).value, text);
        }
    }
}
