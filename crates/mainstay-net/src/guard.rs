//! Which addresses a connection may go to. Checked on the address that is connected to, after name resolution, so
//! that a name which resolves to a private address does not get through.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which addresses a client may connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Addresses {
    /// Any.
    #[default]
    Any,
    /// Public ones alone: no loopback, private, link-local, shared, multicast, reserved or documentation range.
    PublicOnly,
}

/// The connection was not made because its address is not allowed.
#[derive(Debug, thiserror::Error)]
#[error("`{host}` resolves to `{address}`, which is not a public address")]
pub struct Refused {
    /// The host asked for.
    pub host: String,
    /// The address that is not allowed.
    pub address: IpAddr,
}

impl Addresses {
    /// Whether a connection to `address` may be made.
    #[must_use]
    pub fn allow(self, address: IpAddr) -> bool {
        self == Self::Any || is_public(address)
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => is_public_v4(v4),
        IpAddr::V6(v6) => match embedded_v4(v6) {
            Some(v4) => is_public_v4(v4),
            None => is_public_v6(v6),
        },
    }
}

/// IANA IPv4 Special-Purpose Address Registry, the ranges that are not globally reachable.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19));
    !special
}

/// IANA IPv6 Special-Purpose Address Registry; only 2000::/3 is global unicast.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, ..] = address.segments();
    let documentation = (a == 0x2001 && b == 0x0db8) || (a == 0x3fff && b < 0x1000);
    let protocol_assignments = a == 0x2001 && b < 0x0200;
    (a & 0xe000) == 0x2000 && !documentation && !protocol_assignments
}

/// IPv4 addresses that travel inside IPv6: mapped, NAT64 and 6to4.
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match s {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, public: bool) {
        assert_eq!(Addresses::PublicOnly.allow(text.parse().unwrap()), public, "{text}");
    }

    #[test]
    fn special_ranges_are_refused() {
        let special = [
            "127.0.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "2001:db8::1",
            "ff02::1",
        ];
        special.iter().for_each(|text| check(text, false));
    }

    #[test]
    fn public_addresses_pass() {
        ["1.1.1.1", "8.8.8.8", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1"]
            .iter()
            .for_each(|t| check(t, true));
    }

    #[test]
    fn without_a_guard_every_address_passes() {
        assert!(Addresses::Any.allow("127.0.0.1".parse().unwrap()));
    }
}
