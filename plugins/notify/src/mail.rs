//! Mail to people. Who sends it, and through which server, is the host's.

use airlock_sdk::email::{Message, send};
use airlock_sdk::prelude::*;

/// What to mail to whom.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Email {
    /// Addresses: a list, or one text with `,` or `;` between them. Each needs the grant `email`.
    to: Addresses,
    /// One line; what is beyond 200 characters is cut.
    subject: String,
    /// Plain text, at most 256 KiB.
    #[serde(default)]
    body: String,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Addresses {
    One(String),
    Many(Vec<String>),
}

impl Addresses {
    fn list(self) -> Vec<String> {
        let texts = match self {
            Self::One(text) => text.split([',', ';']).map(str::to_owned).collect(),
            Self::Many(texts) => texts,
        };
        let trimmed = texts.iter().map(|text| text.trim().to_owned());
        trimmed.filter(|text| !text.is_empty()).collect()
    }
}

/// Mails a text through the host's mail server.
#[operator]
pub(crate) fn email(config: Email) -> Result<Value, TaskError> {
    let to = config.to.list();
    if to.is_empty() {
        let message = "it names nobody; write an address like ml@example.com";
        return Err(TaskError::invalid("to", message));
    }
    let told = json!({"to": to});
    send(&Message {
        to,
        subject: config.subject,
        body: config.body,
    })?;
    Ok(told)
}
