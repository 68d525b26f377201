//! Secrets as placeholders: the value never enters the guest.

use crate::TaskError;

/// A text that stands for the secret in this attempt. The host puts the value into an outgoing request's headers, path or
/// body, and only for the hosts that the grant names.
pub use crate::sys::secrets::placeholder;

/// Replaces each `{secret:NAME}` in the config member `field` by the placeholder that the host knows.
pub fn with_placeholders(field: &str, text: &str) -> Result<String, TaskError> {
    let mut result = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{secret:") {
        let (name, after) = after.split_once('}').ok_or_else(|| {
            TaskError::invalid(field, "`{secret:` is not closed: write {secret:NAME}")
        })?;
        result.push_str(before);
        result.push_str(&placeholder(name)?);
        rest = after;
    }
    result.push_str(rest);
    Ok(result)
}
