//! `airlock:operator/xcom`: small JSON values between the tasks of one run. It checks key, size, depth and syntax; the run itself
//! is behind `RunPort`, so a guest can reach no other.

use super::Answer;
use super::vault::Vault;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use crate::sandbox::ports::XcomPort;
use airlock_core::ids::TaskId;
use async_trait::async_trait;
use std::sync::Arc;

/// The largest value, bytes of JSON. What is larger belongs into `storage`, with its URI as the XCom.
pub const XCOM_BYTES_MAX: usize = 48 << 10;
/// The deepest nesting of a value.
pub const XCOM_DEPTH_MAX: usize = 32;
/// The longest key, bytes (Airflow's).
pub const XCOM_KEY_BYTES_MAX: usize = 512;

/// The attempt's own run, as far as its guest may touch it.
#[async_trait]
pub trait RunPort: Send + Sync {
    /// Upserts the XCom of this task instance; durable and visible when it returns. The error says why not.
    async fn push_xcom(&self, key: &str, value: String) -> Result<(), String>;
    /// The value of a task; without `map_index` of a mapped task the JSON list of all its values.
    fn xcom(&self, task_id: &str, key: &str, map_index: Option<i32>) -> Option<String>;
}

/// The attempt's window to its run.
pub(super) struct Xcom {
    pub(super) run: Arc<dyn RunPort>,
    pub(super) vault: Vault,
}

#[async_trait]
impl XcomPort for Xcom {
    async fn push(&self, key: String, value: String) -> Answer<()> {
        check_key(&key)?;
        let value = self.vault.redact_json(&value);
        check_value(&value)?;
        let pushed = self.run.push_xcom(&key, value).await;
        pushed.map_err(CapabilityError::Unavailable)
    }

    async fn pull(
        &self,
        task_id: String,
        key: String,
        map_index: Option<i32>,
    ) -> Answer<Option<String>> {
        check_key(&key)?;
        let task_id =
            TaskId::parse(&task_id).map_err(|error| CapabilityError::Invalid(error.to_string()))?;
        Ok(self.run.xcom(task_id.as_str(), &key, map_index))
    }
}

fn check_key(key: &str) -> Answer<()> {
    if key.len() > XCOM_KEY_BYTES_MAX {
        return Err(CapabilityError::TooLarge(XCOM_KEY_BYTES_MAX as u64));
    }
    if key.is_empty() || key.chars().any(char::is_control) {
        return Err(CapabilityError::Invalid(
            "an XCom key is not empty and holds no control characters".to_owned(),
        ));
    }
    Ok(())
}

/// Checks that a value is one JSON text within the limits: the same check for every way in which an XCom can be written.
pub fn check_value(value: &str) -> Answer<()> {
    if value.len() > XCOM_BYTES_MAX {
        return Err(CapabilityError::TooLarge(XCOM_BYTES_MAX as u64));
    }
    if depth(value) > XCOM_DEPTH_MAX {
        return Err(CapabilityError::Invalid(format!(
            "the value is nested deeper than {XCOM_DEPTH_MAX}"
        )));
    }
    serde_json::from_str::<serde::de::IgnoredAny>(value)
        .map(|_| ())
        .map_err(|error| CapabilityError::Invalid(format!("the value is no JSON: {error}")))
}

/// The deepest nesting of brackets outside of strings.
fn depth(json: &str) -> usize {
    let (mut now, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_json_text_within_the_limits_passes() {
        let nested = |depth| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        let longest = format!("\"{}\"", "x".repeat(XCOM_BYTES_MAX - 2));
        for good in ["null", "1.5e300", r#"{"a":[1,"]"]}"#, &nested(32), &longest] {
            assert_eq!(check_value(good), Ok(()));
        }
        for bad in [
            "",
            "nul",
            "1 2",
            "{'a':1}",
            "NaN",
            "[1,]",
            "\"\u{1}\"",
            &nested(33),
        ] {
            let refused = check_value(bad);
            assert!(
                matches!(refused, Err(CapabilityError::Invalid(_))),
                "{bad:?}"
            );
        }
        let refused = check_value(&format!("{longest} "));
        assert_eq!(refused, Err(CapabilityError::TooLarge(48 << 10)));
    }

    #[test]
    fn brackets_in_strings_do_not_nest() {
        let text = format!(r#"["{}\"{}"]"#, "[".repeat(100), "{".repeat(100));
        assert_eq!(check_value(&text), Ok(()));
    }
}
