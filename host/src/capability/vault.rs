//! The secrets of one attempt: which placeholder stands for which value and where it may go. It swaps placeholders for values on
//! the way out and values for placeholders on the way back, and hides values in text that is kept. Values live here and nowhere else.

use super::handles::lock;
use airlock_core::grant::allows_host;
use std::sync::{Arc, Mutex};

/// Shorter values are not searched for in text: they would be found everywhere.
const REDACT_BYTES_MIN: usize = 4;

/// One secret that the guest asked for.
#[derive(Clone)]
pub(super) struct Secret {
    /// Its name, for messages.
    pub(super) name: String,
    /// What the guest holds.
    pub(super) placeholder: String,
    /// What it stands for.
    pub(super) value: String,
    /// Where it may be sent, as host patterns.
    pub(super) hosts: Vec<String>,
}

/// Where in a request a placeholder stands, which says how the value is written there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Site {
    /// As it is.
    Raw,
    /// In a path, a query or a form.
    Url,
    /// In a JSON text.
    Json,
}

/// A secret that may not go where the guest sends it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotForHost {
    /// Which secret.
    pub(super) name: String,
}

/// What every placeholder begins with. Nothing in it is changed by URL, header or JSON syntax.
pub(super) const PLACEHOLDER_PREFIX: &str = "airlock-secret-";

/// Shared by the ports of one attempt and by what prepares it.
#[derive(Clone, Default)]
pub struct Vault {
    secrets: Arc<Mutex<Vec<Secret>>>,
    /// Values that the guest has in the clear and nobody else may read.
    masked: Arc<Mutex<Vec<String>>>,
}

impl Vault {
    /// A placeholder for `value`, which may go to `hosts` alone. The same name has the same placeholder.
    pub fn stand_in(
        &self,
        name: &str,
        value: String,
        hosts: Vec<String>,
    ) -> std::io::Result<String> {
        let random = super::random_hex()?;
        Ok(self.add(Secret {
            name: name.to_owned(),
            placeholder: format!("{PLACEHOLDER_PREFIX}{random}"),
            value,
            hosts,
        }))
    }

    /// Hides `value` in everything that the attempt leaves behind.
    pub fn mask(&self, value: &str) {
        let mut masked = lock(&self.masked);
        if !masked.iter().any(|known| known == value) {
            masked.push(value.to_owned());
        }
    }

    /// The placeholder of a secret that was asked for before.
    pub(super) fn placeholder(&self, name: &str) -> Option<String> {
        let secrets = lock(&self.secrets);
        let known = secrets.iter().find(|secret| secret.name == name);
        known.map(|secret| secret.placeholder.clone())
    }

    /// Adds a secret and yields its placeholder; where two calls raced, the first one's.
    pub(super) fn add(&self, secret: Secret) -> String {
        let mut secrets = lock(&self.secrets);
        if let Some(known) = secrets.iter().find(|known| known.name == secret.name) {
            return known.placeholder.clone();
        }
        let placeholder = secret.placeholder.clone();
        secrets.push(secret);
        placeholder
    }

    /// Puts values in the place of placeholders in a message to `host`. One that may not go there stops the message.
    pub(super) fn fill(
        &self,
        bytes: &[u8],
        host: &str,
        port: u16,
        site: Site,
    ) -> Result<Vec<u8>, NotForHost> {
        let mut filled = bytes.to_vec();
        for secret in lock(&self.secrets).iter() {
            if !contains(bytes, secret.placeholder.as_bytes()) {
                continue;
            }
            if !allows_host(&secret.hosts, host, port) {
                return Err(NotForHost {
                    name: secret.name.clone(),
                });
            }
            let value = match site {
                Site::Raw => secret.value.clone(),
                Site::Url => percent_encoded(&secret.value),
                Site::Json => json_escaped(&secret.value),
            };
            filled = replaced(&filled, secret.placeholder.as_bytes(), value.as_bytes());
        }
        Ok(filled)
    }

    /// Names of the secrets whose placeholders are in there.
    pub(super) fn named_in(&self, bytes: &[u8]) -> Vec<String> {
        let secrets = lock(&self.secrets);
        let named = secrets
            .iter()
            .filter(|secret| contains(bytes, secret.placeholder.as_bytes()));
        named.map(|secret| secret.name.clone()).collect()
    }

    /// Puts placeholders in the place of values in what a host answered, so that an echo does not hand the value to the guest.
    pub(super) fn hide(&self, mut bytes: Vec<u8>) -> Vec<u8> {
        for secret in lock(&self.secrets).iter() {
            for form in forms(&secret.value) {
                if contains(&bytes, form.as_bytes()) {
                    bytes = replaced(&bytes, form.as_bytes(), secret.placeholder.as_bytes());
                }
            }
        }
        bytes
    }

    /// Hides values in text that is kept or shown.
    pub fn redact(&self, text: &str) -> String {
        let mut redacted = text.to_owned();
        let mut cover = |value: &str| {
            for form in forms(value) {
                if redacted.contains(&form) {
                    redacted = redacted.replace(&form, "***");
                }
            }
        };
        for secret in lock(&self.secrets).iter() {
            cover(&secret.value);
        }
        for value in lock(&self.masked).iter() {
            cover(value);
        }
        redacted
    }

    /// Hides values in the texts of a JSON value, which stays JSON; anything else as text.
    pub fn redact_json(&self, json: &str) -> String {
        let redacted = self.redact(json);
        if redacted == json {
            return redacted;
        }
        match serde_json::from_str::<serde_json::Value>(json) {
            Ok(value) => self.redact_value(value).to_string(),
            Err(_) => redacted,
        }
    }

    fn redact_value(&self, value: serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.redact_value(item))
                .collect(),
            Value::Object(members) => members
                .into_iter()
                .map(|(key, member)| (self.redact(&key), self.redact_value(member)))
                .collect::<serde_json::Map<_, _>>()
                .into(),
            Value::String(text) => Value::from(self.redact(&text)),
            plain => {
                let text = plain.to_string();
                let redacted = self.redact(&text);
                if redacted == text {
                    plain
                } else {
                    Value::from(redacted)
                }
            }
        }
    }
}

/// The ways in which a value may turn up in text, longest first, so that no part of a longer one is left over.
fn forms(value: &str) -> Vec<String> {
    if value.len() < REDACT_BYTES_MIN {
        return Vec::new();
    }
    let bytes = value.as_bytes();
    let standard = base64(bytes, b'+', b'/');
    let url_safe = base64(bytes, b'-', b'_');
    let mut forms = vec![
        value.to_owned(),
        json_escaped(value),
        percent_encoded(value),
        percent_encoded(value).to_ascii_lowercase(),
        crate::store::hex(bytes),
        crate::store::hex(bytes).to_ascii_uppercase(),
        standard,
        url_safe,
    ];
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// Base64 without padding: text with padding begins with it.
fn base64(bytes: &[u8], plus: u8, slash: u8) -> String {
    let letter = |six: u8| {
        char::from(match six {
            0..26 => b'A' + six,
            26..52 => b'a' + six - 26,
            52..62 => b'0' + six - 52,
            62 => plus,
            _ => slash,
        })
    };
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut block = [0_u8; 4];
        for (to, from) in block.iter_mut().skip(1).zip(chunk) {
            *to = *from;
        }
        let bits = u32::from_be_bytes(block);
        for place in 0..=chunk.len() {
            let shift = 18 - 6 * place;
            text.push(letter((bits >> shift & 0x3f) as u8));
        }
    }
    text
}

fn percent_encoded(value: &str) -> String {
    value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// The inside of a JSON string.
fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    let inside = quoted.get(1..quoted.len().saturating_sub(1));
    inside.unwrap_or_default().to_owned()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after_first)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(from) {
            out.extend_from_slice(to);
            rest = after;
        } else {
            out.push(*first);
            rest = after_first;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(value: &str) -> Vault {
        let vault = Vault::default();
        vault.add(Secret {
            name: "TOKEN".into(),
            placeholder: "airlock-secret-1".into(),
            value: value.into(),
            hosts: vec!["api.example.com".into()],
        });
        vault
    }

    #[test]
    fn a_value_goes_only_where_its_grant_says() {
        let vault = vault("s3 cr\"t");
        let fill = |host, site| vault.fill(b"x=airlock-secret-1;", host, 443, site);
        assert_eq!(fill("api.example.com", Site::Raw).unwrap(), b"x=s3 cr\"t;");
        assert_eq!(
            fill("api.example.com", Site::Url).unwrap(),
            b"x=s3%20cr%22t;"
        );
        assert_eq!(
            fill("api.example.com", Site::Json).unwrap(),
            b"x=s3 cr\\\"t;"
        );
        let refused = fill("evil.example.com", Site::Raw).unwrap_err();
        assert_eq!(refused.name, "TOKEN");
        let other = vault.fill(b"nothing here", "evil.example.com", 443, Site::Raw);
        assert_eq!(other.unwrap(), b"nothing here");
    }

    #[test]
    fn every_form_of_a_value_is_hidden() {
        let vault = vault("p@ss/word?");
        for leak in [
            "p@ss/word?",
            "p%40ss%2Fword%3F",
            "p%40ss%2fword%3f",
            "cEBzcy93b3JkPw==",
            "cEBzcy93b3JkPw",
            "704073732f776f72643f",
            "704073732F776F72643F",
        ] {
            let text = format!("before {leak} after");
            let redacted = vault.redact(&text);
            assert!(redacted.starts_with("before ***"), "{leak}: {redacted}");
            assert!(!redacted.contains(leak));
            let hidden = vault.hide(text.into_bytes());
            assert!(hidden.starts_with(b"before airlock-secret-1"), "{leak}");
        }
        assert_eq!(vault.redact("nothing here"), "nothing here");
    }

    #[test]
    fn what_is_masked_is_hidden_and_json_stays_json() {
        let vault = Vault::default();
        vault.mask("12345678");
        vault.mask("hunter2\"x");
        let json = r#"{"pin":12345678,"say":"it is hunter2\"x","n":1}"#;
        let shown = vault.redact_json(json);
        assert_eq!(shown, r#"{"pin":"***","say":"it is ***","n":1}"#);
        assert_eq!(vault.redact_json(r#"{"n":1}"#), r#"{"n":1}"#);
        let sent = vault.fill(b"12345678", "h", 443, Site::Raw).unwrap();
        assert_eq!(sent, b"12345678", "a masked value is no placeholder");
    }

    #[test]
    fn base64_is_the_known_one() {
        for (plain, coded) in [
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64(plain.as_bytes(), b'+', b'/'), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff], b'-', b'_'), "-_8");
    }
}
