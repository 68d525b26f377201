//! Host names and host patterns as text. A host is accepted in its one canonical form only, so that what was checked
//! is what is connected to. It refuses every other notation of an address.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

/// The longest host name, in bytes (RFC 1035).
const HOST_BYTES_MAX: usize = 253;
/// The longest label of a host name, in bytes (RFC 1035).
const LABEL_BYTES_MAX: usize = 63;
/// Ports of a pattern that names none.
const DEFAULT_PORTS: [u16; 2] = [80, 443];

/// A host, or pattern of hosts, that is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("host {text:?} is not accepted: {reason}")]
pub struct HostError {
    /// As written, cut to 100 characters.
    pub text: String,
    /// What is wrong, and what to write.
    pub reason: &'static str,
}

/// `text` in its canonical form: lower case, without a final dot; IPv6 in brackets.
pub fn canonical_host(text: &str) -> Result<String, HostError> {
    let invalid = |reason| HostError {
        text: text.chars().take(100).collect(),
        reason,
    };
    if let Some(inside) = text.strip_prefix('[') {
        let inside = inside
            .strip_suffix(']')
            .ok_or(invalid("the bracket is not closed"))?;
        let ip: Ipv6Addr = inside
            .parse()
            .map_err(|_| invalid("it is not an IPv6 address (zone ids are refused)"))?;
        if ip.to_string() != inside.to_ascii_lowercase() {
            return Err(invalid("write the address in its shortest form"));
        }
        return Ok(format!("[{ip}]"));
    }
    let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
    if name.is_empty() || name.len() > HOST_BYTES_MAX {
        return Err(invalid("a host has 1 to 253 bytes"));
    }
    for label in name.split('.') {
        let known = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if label.is_empty() || label.len() > LABEL_BYTES_MAX {
            return Err(invalid("each part between dots has 1 to 63 bytes"));
        }
        if !label.bytes().all(known) || label.starts_with('-') || label.ends_with('-') {
            return Err(invalid(
                "only letters, digits, '-' and '_' are allowed; write other alphabets as xn--",
            ));
        }
    }
    // What a URL parser takes for an IPv4 address in any notation must be written in the one dotted form.
    let last = name.rsplit('.').next().unwrap_or_default();
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
    if numeric && name.parse::<Ipv4Addr>().is_err() {
        return Err(invalid(
            "write an IPv4 address as four decimal numbers, like 10.0.0.1",
        ));
    }
    Ok(name)
}

/// A parsed host pattern: `host`, `*.domain` or `*`, each with or without `:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    name: Name,
    /// `None`: the default ports of HTTP, 80 and 443.
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Name {
    /// Every name, but no literal address and no name of a cloud's metadata.
    Any,
    /// Every name below this domain, not the domain itself.
    Below(String),
    Exactly(String),
}

impl HostPattern {
    /// Parses a pattern; the error says what to write instead.
    pub fn parse(text: &str) -> Result<Self, HostError> {
        let invalid = |reason| HostError {
            text: text.chars().take(100).collect(),
            reason,
        };
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let digits =
                    port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
                let port = port.parse().ok().filter(|_| digits);
                (
                    host,
                    Some(port.ok_or(invalid("the port is a number from 1 to 65535"))?),
                )
            }
            _ => (text, None),
        };
        let name = if host == "*" {
            Name::Any
        } else if let Some(domain) = host.strip_prefix("*.") {
            let domain = canonical_host(domain)?;
            if is_literal(&domain) {
                return Err(invalid("an address has no names below it"));
            }
            Name::Below(domain)
        } else {
            Name::Exactly(canonical_host(host)?)
        };
        Ok(Self { name, port })
    }

    /// Whether it allows `port` of `host`; `host` must be canonical.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        self.port
            .map_or(DEFAULT_PORTS.contains(&port), |own| own == port)
            && self.name.matches(host)
    }

    /// Whether it names exactly this host, without a `*`.
    pub fn is_exactly(&self, host: &str) -> bool {
        matches!(&self.name, Name::Exactly(own) if own == host)
    }

    /// What both allow, if anything.
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let port = match (self.port, other.port) {
            (None, None) => None,
            (None, Some(port)) | (Some(port), None) if DEFAULT_PORTS.contains(&port) => Some(port),
            (Some(one), Some(two)) if one == two => Some(one),
            _ => return None,
        };
        let name = self.name.intersect(&other.name)?;
        Some(Self { name, port })
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Name::Any => out.write_str("*")?,
            Name::Below(domain) => write!(out, "*.{domain}")?,
            Name::Exactly(host) => out.write_str(host)?,
        }
        self.port.map_or(Ok(()), |port| write!(out, ":{port}"))
    }
}

impl Name {
    fn matches(&self, host: &str) -> bool {
        match self {
            Self::Any => !is_literal(host) && !is_metadata_name(host),
            Self::Below(domain) => !is_metadata_name(host) && is_below(host, domain),
            Self::Exactly(own) => own == host,
        }
    }

    fn intersect(&self, other: &Self) -> Option<Self> {
        match (self, other) {
            (Self::Any, Self::Below(_) | Self::Any) => Some(other.clone()),
            (Self::Below(_), Self::Any) => Some(self.clone()),
            (Self::Below(one), Self::Below(two)) if one == two || is_below(one, two) => {
                Some(self.clone())
            }
            (Self::Below(one), Self::Below(two)) => is_below(two, one).then(|| other.clone()),
            (Self::Exactly(host), pattern) => pattern.matches(host).then(|| self.clone()),
            (pattern, Self::Exactly(host)) => pattern.matches(host).then(|| other.clone()),
        }
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .and_then(|rest| rest.strip_suffix('.'))
        .is_some_and(|rest| !rest.is_empty())
}

fn is_literal(host: &str) -> bool {
    host.starts_with('[') || host.parse::<Ipv4Addr>().is_ok()
}

/// Names under which clouds hand out credentials: only an exact pattern reaches them.
fn is_metadata_name(host: &str) -> bool {
    matches!(
        host,
        "metadata"
            | "metadata.google.internal"
            | "metadata.goog"
            | "instance-data"
            | "instance-data.ec2.internal"
            | "metadata.azure.internal"
    )
}
