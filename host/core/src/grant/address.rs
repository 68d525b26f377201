//! Which addresses are on the public internet. Everything else is reached only if a grant names it literally.
//! It refuses to resolve names.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// IPv4 blocks that are not the public internet (IANA special-purpose registry, and Azure's wire server).
const V4_BLOCKED: [(Ipv4Addr, u32); 17] = [
    (Ipv4Addr::UNSPECIFIED, 8),
    (Ipv4Addr::new(10, 0, 0, 0), 8),
    (Ipv4Addr::new(100, 64, 0, 0), 10),
    (Ipv4Addr::new(127, 0, 0, 0), 8),
    (Ipv4Addr::new(168, 63, 129, 16), 32),
    (Ipv4Addr::new(169, 254, 0, 0), 16),
    (Ipv4Addr::new(172, 16, 0, 0), 12),
    (Ipv4Addr::new(192, 0, 0, 0), 24),
    (Ipv4Addr::new(192, 0, 2, 0), 24),
    (Ipv4Addr::new(192, 31, 196, 0), 24),
    (Ipv4Addr::new(192, 88, 99, 0), 24),
    (Ipv4Addr::new(192, 168, 0, 0), 16),
    (Ipv4Addr::new(198, 18, 0, 0), 15),
    (Ipv4Addr::new(198, 51, 100, 0), 24),
    (Ipv4Addr::new(203, 0, 113, 0), 24),
    (Ipv4Addr::new(224, 0, 0, 0), 4),
    (Ipv4Addr::new(240, 0, 0, 0), 4),
];

/// IPv6 blocks that are not the public internet and embed no IPv4 address that could be.
const V6_BLOCKED: [(Ipv6Addr, u32); 10] = [
    (Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0), 48),
    (Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x100, 0, 0, 1, 0, 0, 0, 0), 64),
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23),
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20),
    (Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0), 16),
    (Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0), 7),
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 9),
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8),
];

/// Addresses where clouds answer with credentials.
const METADATA: [IpAddr; 6] = [
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// Whether `ip` is on the public internet. An IPv6 address that carries an IPv4 address (mapped, compatible, NAT64,
/// 6to4, Teredo) is only as public as what it carries.
pub fn is_global(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(v4) => v4_is_global(v4),
        IpAddr::V6(v6) => match carried(v6) {
            Some(parts) => parts.into_iter().flatten().all(v4_is_global),
            None => v6_is_global(v6),
        },
    }
}

/// Whether a cloud answers with credentials at `ip`, in whatever notation it is carried.
pub fn is_metadata(ip: IpAddr) -> bool {
    METADATA.contains(&ip)
        || matches!(ip, IpAddr::V6(v6) if carried(v6).is_some_and(|parts| {
            parts.into_iter().flatten().any(|v4| METADATA.contains(&IpAddr::V4(v4)))
        }))
}

fn v4_is_global(ip: Ipv4Addr) -> bool {
    let bits = u32::from(ip);
    !V4_BLOCKED
        .iter()
        .any(|(block, length)| (bits ^ u32::from(*block)) >> (32 - length) == 0)
}

fn v6_is_global(ip: Ipv6Addr) -> bool {
    let bits = u128::from(ip);
    // Nothing but 2000::/3 is handed out.
    bits >> 125 == 1
        && !V6_BLOCKED
            .iter()
            .any(|(block, length)| (bits ^ u128::from(*block)) >> (128 - length) == 0)
}

/// The IPv4 addresses inside; two for Teredo (its server, and the client with every bit turned over).
fn carried(ip: Ipv6Addr) -> Option<[Option<Ipv4Addr>; 2]> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match ip.segments() {
        // `::` and `::1` land here as 0.0.0.0 and 0.0.0.1: both blocked.
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..] => Some([Some(join(high, low)), None]),
        [0x2001, 0, server_high, server_low, _, _, high, low] => {
            Some([Some(join(server_high, server_low)), Some(join(!high, !low))])
        }
        _ => None,
    }
}
