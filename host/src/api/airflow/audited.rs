//! Changes are written down before they are made: who asked for what. A change that was refused after that gets a second line.
//! It refuses to write a secret.

use super::{ApiError, Call};
use crate::app::{ChangeNote, HIDDEN};
use serde_json::{Map, Value};

/// Members of bodies whose values are never written down.
const SECRETS: [&str; 4] = ["password", "extra", "value", "uri"];
/// The longest text of a member that is written down, characters.
const TEXT_CHARS_MAX: usize = 1_000;

impl Call<'_> {
    /// Makes a change to what the path names, or to what the body names where the path names nothing. `event` is Airflow's word.
    pub(super) fn audited<T>(
        &self,
        event: &str,
        subject: &str,
        change: impl FnOnce() -> Result<T, ApiError>,
    ) -> Result<T, ApiError> {
        let text = |name: &str| {
            let text = self.fields.text(name).ok().flatten();
            text.filter(|text| *text != super::ALL).map(str::to_owned)
        };
        let note = ChangeNote {
            event: event.to_owned(),
            subject: subject.to_owned(),
            dag_id: text("dag_id"),
            run_id: text("dag_run_id"),
            task_id: text("task_id"),
            map_index: self.map_index().ok().filter(|_| text("task_id").is_some()),
            extra: written(self.body),
        };
        self.app.note_request(self.actor, &note)?;
        let made = change();
        if let Err(error) = &made {
            let refused = ChangeNote {
                event: format!("{event}.refused"),
                extra: Value::from(error.to_string()),
                ..note
            };
            // The refusal is what the client must hear.
            if let Err(error) = self.app.note_request(self.actor, &refused) {
                tracing::error!(%error, "a refused change could not be written down");
            }
        }
        made
    }
}

/// A body without what may be secret.
fn written(body: &[u8]) -> Value {
    let Ok(Value::Object(members)) = serde_json::from_slice(body) else {
        return Value::Null;
    };
    let member = |(name, value): (String, Value)| {
        let is_secret = SECRETS.contains(&name.as_str()) && !value.is_null();
        let shown = match value {
            _ if is_secret => Value::from(HIDDEN),
            Value::String(text) => text.chars().take(TEXT_CHARS_MAX).collect::<String>().into(),
            Value::Object(_) | Value::Array(_) if value.to_string().len() > TEXT_CHARS_MAX => {
                Value::from("(too long to be written down)")
            }
            other => other,
        };
        (name, shown)
    };
    Value::Object(members.into_iter().map(member).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_may_be_secret_is_never_written_down() {
        let body = json!({
            "connection_id": "slack", "password": "hunter2", "extra": "{\"token\":\"hunter2\"}", "value": "hunter2",
            "uri": "http://a:hunter2@b", "description": "x".repeat(2_000), "login": null,
        });
        let written = written(body.to_string().as_bytes());
        assert!(!written.to_string().contains("hunter2"));
        assert_eq!(written["connection_id"], "slack");
        assert_eq!(written["description"].as_str().map(str::len), Some(1_000));
        assert_eq!(super::written(b"no JSON"), Value::Null);
    }
}
