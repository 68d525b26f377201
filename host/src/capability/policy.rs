//! The grant checks that the ports make: pure questions over one attempt's `Grants`. It refuses to resolve names or open files.

use airlock_core::grant::Grants;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a grant names this host (lower case, as the URL parser yields it) and port. An entry without a port covers 80 and
/// 443; `*.domain` covers what lies under the domain and not the domain itself.
pub(super) fn allows_http(grants: &Grants, host: &str, port: u16) -> bool {
    allows_host(&grants.http, host, port)
}

/// Whether one of these host patterns covers a host and port.
pub(super) fn allows_host(patterns: &[String], host: &str, port: u16) -> bool {
    patterns.iter().any(|pattern| {
        let (name, ports) = split_port(pattern);
        let port_fits = ports.map_or(port == 80 || port == 443, |only| only == port);
        let name = name.to_ascii_lowercase();
        let name_fits = name.strip_prefix("*.").map_or(name == host, |domain| {
            host.strip_suffix(domain)
                .and_then(|rest| rest.strip_suffix('.'))
                .is_some_and(|label| !label.is_empty())
        });
        port_fits && name_fits
    })
}

/// Whether a grant names this very address and port, which is what opens a private one.
pub(super) fn names_address(grants: &Grants, address: IpAddr, port: u16) -> bool {
    let literal = match address {
        IpAddr::V4(v4) => v4.to_string(),
        IpAddr::V6(v6) => format!("[{v6}]"),
    };
    allows_host(&grants.http, &literal, port)
}

fn split_port(pattern: &str) -> (&str, Option<u16>) {
    match pattern.rsplit_once(':') {
        Some((name, port)) if !name.contains(':') || name.ends_with(']') => {
            // A port that is no number covers nothing: 0 is never asked for.
            (name, Some(port.parse().unwrap_or(0)))
        }
        _ => (pattern, None),
    }
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

/// Whether a list of names covers a name; `*` is any.
pub(super) fn allows_name(list: &[String], name: &str) -> bool {
    list.iter().any(|entry| entry == "*" || entry == name)
}

/// Whether an address belongs to the public internet. Addresses that carry an IPv4 address are judged by it.
pub(super) fn is_global(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_global_v4(v4),
        IpAddr::V6(v6) => is_global_v6(v6),
    }
}

fn is_global_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(matches!(a, 0 | 10 | 127 | 224..=255)
        || (a == 100 && (64..128).contains(&b))
        || (a == 169 && b == 254)
        || (a == 172 && (16..32).contains(&b))
        || (a == 192 && b == 168)
        || (a == 192 && b == 0 && (c == 0 || c == 2))
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
        || (a == 198 && b == 51 && c == 100)
        || (a == 203 && b == 0 && c == 113))
}

fn is_global_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let [first, second, third, .., high, low] = segments;
    let zeros = |range: std::ops::Range<usize>| {
        segments
            .get(range)
            .is_some_and(|part| part.iter().all(|segment| *segment == 0))
    };
    let embedded = |high: u16, low: u16| {
        is_global_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
    };
    match (first, second) {
        // ::/96 and ::ffff:0:0/96 carry an IPv4 address in the last 32 bits; :: and ::1 fall to 0.0.0.0/8.
        (0, 0) if zeros(0..6) || (zeros(0..5) && segments.get(5) == Some(&0xffff)) => {
            embedded(high, low)
        }
        // NAT64.
        (0x64, 0xff9b) if zeros(2..6) => embedded(high, low),
        // 6to4.
        (0x2002, _) => embedded(second, third),
        // Teredo hides its address; documentation.
        (0x2001, 0..0x200 | 0xdb8) | (0x3fff, 0..0x1000) => false,
        // Only 2000::/3 is handed out: no ULA, link-local, multicast or site-local.
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
