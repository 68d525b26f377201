//! What a task's templates came to, as people read it afterwards: cut to limits, and with fields hidden whose name says secret.

use super::is_template;
use serde_json::{Map, Value};

/// How much of one rendered value is kept, in characters (Airflow's `max_templated_field_length`).
pub const FIELD_CHARS_MAX: usize = 4_096;
/// How much of all rendered values of one attempt is kept, in bytes.
pub const FIELDS_BYTES_MAX: usize = 64 << 10;
const HIDDEN: &str = "***";
const LEFT_OUT: &str = "… (left out: the rendered fields are over the limit together)";

/// What each template in `config` came to in `rendered`, by its path, like `params[2].uri`. A field whose name `is_sensitive` says
/// yes to, or that lies in one, is hidden.
pub fn rendered_fields(
    config: &Value,
    rendered: &Value,
    is_sensitive: &dyn Fn(&str) -> bool,
) -> Map<String, Value> {
    let mut fields = Fields {
        found: Map::new(),
        left: FIELDS_BYTES_MAX,
        is_sensitive,
    };
    fields.walk(config, rendered, &mut String::new(), false);
    fields.found
}

struct Fields<'a> {
    found: Map<String, Value>,
    left: usize,
    is_sensitive: &'a dyn Fn(&str) -> bool,
}

impl Fields<'_> {
    /// Rendering keeps the shape of lists and objects, so both are walked together.
    fn walk(&mut self, config: &Value, rendered: &Value, path: &mut String, hidden: bool) {
        let mark = path.len();
        match (config, rendered) {
            (Value::String(template), value) if is_template(template) => {
                self.keep(path, value, hidden);
            }
            (Value::Array(items), Value::Array(values)) => {
                for (index, (item, value)) in items.iter().zip(values).enumerate() {
                    path.push_str(&format!("[{index}]"));
                    self.walk(item, value, path, hidden);
                    path.truncate(mark);
                }
            }
            (Value::Object(members), Value::Object(values)) => {
                for (key, member) in members {
                    if !path.is_empty() {
                        path.push('.');
                    }
                    path.push_str(key);
                    let hidden = hidden || (self.is_sensitive)(key);
                    self.walk(
                        member,
                        values.get(key).unwrap_or(&Value::Null),
                        path,
                        hidden,
                    );
                    path.truncate(mark);
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, path: &str, value: &Value, hidden: bool) {
        if self.left == 0 {
            return;
        }
        let shown = if hidden {
            Value::from(HIDDEN)
        } else {
            shortened(value)
        };
        let size = path.len() + shown.to_string().len();
        if let Some(left) = self.left.checked_sub(size) {
            self.left = left;
            self.found.insert(path.to_owned(), shown);
        } else {
            self.left = 0;
            self.found.insert("…".to_owned(), Value::from(LEFT_OUT));
        }
    }
}

/// The value itself where it is short, its text cut where it is long.
fn shortened(value: &Value) -> Value {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(FIELD_CHARS_MAX) {
        None => value.clone(),
        Some((end, _)) => {
            let start = text.get(..end).unwrap_or_default();
            Value::from(format!("{start}… ({} bytes in all)", text.len()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fields(config: &Value, rendered: &Value) -> Value {
        Value::Object(rendered_fields(config, rendered, &|name| name == "token"))
    }

    #[test]
    fn g1_rendered_values_are_kept_by_path_and_plain_ones_are_not() {
        let config = json!({"day": "{{ ds }}", "n": 3, "list": ["x", {"uri": "s3://{{ ds }}"}], "token": ["{{ var.value.t }}"]});
        let rendered = json!({"day": "2025-01-01", "n": 3, "list": ["x", {"uri": "s3://2025-01-01"}], "token": ["hunter2"]});
        let expected =
            json!({"day": "2025-01-01", "list[1].uri": "s3://2025-01-01", "token[0]": "***"});
        assert_eq!(fields(&config, &rendered), expected);
    }

    #[test]
    fn g1_a_long_value_is_cut_at_4096_characters() {
        let long = "ä".repeat(FIELD_CHARS_MAX + 1);
        let kept = fields(&json!({"a": "{{ x }}"}), &json!({ "a": long }));
        let text = kept["a"].as_str().unwrap();
        assert!(text.starts_with(&"ä".repeat(FIELD_CHARS_MAX)));
        assert!(text.ends_with("… (8194 bytes in all)"), "{text}");
        let exact = "a".repeat(FIELD_CHARS_MAX);
        let kept = fields(&json!({"a": "{{ x }}"}), &json!({ "a": exact }));
        assert_eq!(kept["a"], json!(exact));
    }

    #[test]
    fn many_values_stay_under_one_limit() {
        let config: Map<String, Value> = (0..100)
            .map(|index| (format!("f{index}"), json!("{{ x }}")))
            .collect();
        let rendered: Map<String, Value> = (0..100)
            .map(|index| (format!("f{index}"), json!("a".repeat(2_000))))
            .collect();
        let kept = fields(&Value::Object(config), &Value::Object(rendered));
        assert!(kept.to_string().len() < FIELDS_BYTES_MAX + 4_096);
        assert!(kept.get("…").is_some());
    }
}
