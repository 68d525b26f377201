//! The grant checks that the ports make: pure questions over one attempt's `Grants`. It refuses to resolve names or open files.

use super::Answer;
use crate::sandbox::bindings::airlock::operator::types::CapabilityError;
use airlock_core::grant::{Grants, HostPattern};
use std::net::IpAddr;

/// Whether a grant names this host, in its canonical form, and port.
pub(super) fn allows_http(grants: &Grants, host: &str, port: u16) -> bool {
    allows_host(&grants.http, host, port)
}

/// Whether one of these host patterns covers a host and port. What is no pattern covers nothing.
pub(super) fn allows_host(patterns: &[String], host: &str, port: u16) -> bool {
    let patterns = patterns
        .iter()
        .filter_map(|text| HostPattern::parse(text).ok());
    patterns
        .into_iter()
        .any(|pattern| pattern.matches(host, port))
}

/// Whether a grant names this very address and port, which is what opens a private one.
pub(super) fn names_address(grants: &Grants, address: IpAddr, port: u16) -> bool {
    let literal = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    allows_host(&grants.http, &literal, port)
}

/// The outermost granted prefix that covers a URI. The outermost, so that everything below it is opened without leaving it.
pub(super) fn allows_storage<'a>(grants: &'a Grants, uri: &str, write: bool) -> Option<&'a str> {
    let readable = if write { &[][..] } else { &grants.storage_read };
    grants
        .storage
        .iter()
        .chain(readable)
        .map(String::as_str)
        .filter(|prefix| prefix.ends_with('/') && uri.starts_with(prefix))
        .min_by_key(|prefix| prefix.len())
}

/// The same, with the grant that would help as the error.
pub(super) fn storage_prefix<'a>(grants: &'a Grants, uri: &str, write: bool) -> Answer<&'a str> {
    allows_storage(grants, uri, write).ok_or_else(|| {
        let kind = if write {
            "`storage`"
        } else {
            "`storage` or `storage_read`"
        };
        CapabilityError::Denied(format!(
            "no grant covers {uri}; it needs {kind} with a prefix of it that ends in '/'"
        ))
    })
}

/// Whether a list of names covers a name; `*` is any.
pub(super) fn allows_name(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use airlock_core::grant::is_global;

    fn grants(http: &[&str]) -> Grants {
        Grants {
            http: http.iter().map(ToString::to_string).collect(),
            ..Grants::default()
        }
    }

    #[test]
    fn host_patterns_cover_exactly_what_they_say() {
        let some = grants(&[
            "api.example.com",
            "*.slack.com",
            "10.0.0.5:8080",
            "[::1]:90",
        ]);
        let allowed = |host, port| allows_http(&some, host, port);
        assert!(allowed("api.example.com", 443));
        assert!(allowed("api.example.com", 80));
        assert!(!allowed("api.example.com", 8443));
        assert!(!allowed("evil-api.example.com", 443));
        assert!(!allowed("api.example.com.evil.org", 443));
        assert!(allowed("hooks.slack.com", 443));
        assert!(!allowed("slack.com", 443));
        assert!(!allowed("evilslack.com", 443));
        assert!(allowed("10.0.0.5", 8080));
        assert!(!allowed("10.0.0.5", 80));
        assert!(allowed("[::1]", 90));
        assert!(!allowed("[::1]", 443));
        assert!(!allows_http(&grants(&["h:x"]), "h", 443));
    }

    #[test]
    fn storage_prefixes_are_folders_and_the_outermost_is_opened() {
        let some = Grants {
            storage: vec!["file://./data/deep/".into(), "file://./data/".into()],
            storage_read: vec!["file:///srv/in/".into(), "file://./no-slash".into()],
            ..Grants::default()
        };
        let found = allows_storage(&some, "file://./data/deep/x", true);
        assert_eq!(found, Some("file://./data/"));
        assert!(allows_storage(&some, "file:///srv/in/x", false).is_some());
        assert!(allows_storage(&some, "file:///srv/in/x", true).is_none());
        assert!(allows_storage(&some, "file://./no-slash-x", false).is_none());
        assert!(allows_storage(&some, "file://./database/x", false).is_none());
    }

    #[test]
    fn only_public_addresses_are_global() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.168.1.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "fc00::1",
            "fe80::1",
            "ff02::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a00:1",
            "2002:7f00:1::",
            "2001::1",
            "fd00:ec2::254",
            "2001:db8::1",
            "fec0::1",
        ] {
            assert!(!is_global(private.parse().unwrap()), "{private}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.128.0.1",
            "172.32.0.1",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
        ] {
            assert!(is_global(public.parse().unwrap()), "{public}");
        }
    }
}
