//! Mail addresses and patterns of them, as a grant names them. It refuses display names, quoted local parts and everything else
//! that one program reads as one address and another as two.

use super::host::canonical_host;
use std::fmt;

/// The longest address, bytes (RFC 5321, 4.5.3.1.3).
const ADDRESS_BYTES_MAX: usize = 254;
/// The longest part before the `@`, bytes (RFC 5321, 4.5.3.1.1).
const LOCAL_BYTES_MAX: usize = 64;

/// An address, or pattern of addresses, that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mail address {text:?} is not accepted: {reason}")]
pub struct AddressError {
    /// As written, cut to 100 characters.
    pub text: String,
    /// What is wrong, and what to write.
    pub reason: &'static str,
}

/// A parsed pattern: `name@domain`, `*@domain` or `*`. A domain means itself, not those below it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum AddressPattern {
    /// Every address.
    Any,
    /// Every address of this domain.
    At(String),
    /// One address: the part before the `@` as written, the domain in lower case.
    Exactly(String, String),
}

impl AddressPattern {
    /// Parses a pattern; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        match text.strip_prefix("*@") {
            Some(domain) => Ok(Self::At(self::domain(text, domain)?)),
            None => address(text).map(|(local, domain)| Self::Exactly(local, domain)),
        }
    }

    /// Whether the address `text` is meant; what is no bare address never is.
    pub fn matches(&self, text: &str) -> bool {
        let Ok((local, domain)) = address(text) else {
            return false;
        };
        match self {
            Self::Any => true,
            Self::At(own) => *own == domain,
            Self::Exactly(name, own) => *name == local && *own == domain,
        }
    }

    /// What both mean; none where that is nothing.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, narrower) | (narrower, Self::Any) => Some(narrower.clone()),
            (Self::At(domain), narrower @ (Self::At(own) | Self::Exactly(_, own)))
            | (narrower @ Self::Exactly(_, own), Self::At(domain)) => {
                (domain == own).then(|| narrower.clone())
            }
            (Self::Exactly(..), Self::Exactly(..)) => (self == other).then(|| self.clone()),
        }
    }
}

impl fmt::Display for AddressPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => out.write_str("*"),
            Self::At(domain) => write!(out, "*@{domain}"),
            Self::Exactly(local, domain) => write!(out, "{local}@{domain}"),
        }
    }
}

/// The two parts of a bare address: a dot-atom (RFC 5322, 3.2.3) in ASCII and a domain.
fn address(text: &str) -> Result<(String, String), AddressError> {
    if text.len() > ADDRESS_BYTES_MAX {
        return Err(invalid(text, "it has more than 254 bytes"));
    }
    let (local, domain) = text
        .split_once('@')
        .ok_or_else(|| invalid(text, "write name@domain, without a display name"))?;
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'+-/=?^_`{|}~".contains(&byte);
    let is_atom = |atom: &str| !atom.is_empty() && atom.bytes().all(known);
    if local.len() > LOCAL_BYTES_MAX || !local.split('.').all(is_atom) {
        let reason = "before the @ stand 1 to 64 letters, digits and signs, without quotes";
        return Err(invalid(text, reason));
    }
    Ok((local.to_owned(), self::domain(text, domain)?))
}

fn domain(text: &str, domain: &str) -> Result<String, AddressError> {
    let reason = "after the @ stands a domain name, like example.com";
    let is_name = !domain.starts_with('[') && !domain.ends_with('.');
    match canonical_host(domain) {
        Ok(domain) if is_name => Ok(domain),
        _ => Err(invalid(text, reason)),
    }
}

fn invalid(text: &str, reason: &'static str) -> AddressError {
    AddressError {
        text: text.chars().take(100).collect(),
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pattern_means_an_address_a_domain_or_all() {
        for (pattern, address, is_meant) in [
            ("ml@example.com", "ml@EXAMPLE.com", true),
            ("ml@example.com", "ML@example.com", false),
            ("*@example.com", "anybody@example.com", true),
            ("*@example.com", "a@sub.example.com", false),
            ("*@example.com", "a@evil-example.com", false),
            ("*", "a.b+c@example.org", true),
            ("*", "a@b@c", false),
            ("*", "Ana <ana@example.com>", false),
            ("*", "a@example.com,b@example.com", false),
            ("*", "a@example.com\r\nBcc: b@example.com", false),
            ("*", "\"a b\"@example.com", false),
            ("*", "a@[127.0.0.1]", false),
            ("*", "a..b@example.com", false),
        ] {
            let pattern = AddressPattern::parse(pattern).unwrap();
            assert_eq!(pattern.matches(address), is_meant, "{pattern} {address}");
        }
    }

    #[test]
    fn what_is_no_pattern_says_what_to_write() {
        for text in [
            "",
            "ml",
            "@example.com",
            "*@",
            "ml@*.com",
            "a b@example.com",
        ] {
            let error = AddressPattern::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
        assert!(AddressPattern::parse(&format!("{}@b.c", "a".repeat(65))).is_err());
    }

    fn pattern() -> impl Strategy<Value = AddressPattern> {
        let texts = ["*", "*@a.b", "*@c.d", "x@a.b", "y@a.b", "x@c.d"];
        prop::sample::select(texts.to_vec()).prop_map(|text| AddressPattern::parse(text).unwrap())
    }

    proptest! {
        #[test]
        fn the_intersection_means_what_both_mean(one in pattern(), two in pattern()) {
            for address in ["x@a.b", "y@a.b", "z@a.b", "x@c.d", "z@c.d", "x@e.f"] {
                let both = one.matches(address) && two.matches(address);
                let met = one.intersect(&two).is_some_and(|pattern| pattern.matches(address));
                prop_assert_eq!(both, met, "{} {} {}", one, two, address);
            }
        }
    }
}
