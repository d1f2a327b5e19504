//! What an IP address leads to: the internet, a network of the operator's, or a place that no keys come from.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Who may name a host with this address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Anybody: it is reached from everywhere.
    Global,
    /// The operator, who knows what is there.
    Inside,
    /// Nobody.
    Never,
}

impl Reach {
    pub(super) fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(ip) => Self::of_v4(ip),
            IpAddr::V6(ip) => Self::of_v6(ip).max(embedded(ip).map_or(Self::Global, Self::of_v4)),
        }
    }

    fn of_v4(ip: Ipv4Addr) -> Self {
        let ip = ip.to_bits();
        let rows = V4.iter().filter(|(network, length, _)| is_in(ip ^ network.to_bits(), 32, *length));
        rows.map(|(_, _, reach)| *reach).max().unwrap_or(Self::Global)
    }

    fn of_v6(ip: Ipv6Addr) -> Self {
        let ip = ip.to_bits();
        let rows = V6.iter().filter(|(network, length, _)| is_in(ip ^ network.to_bits(), 128, *length));
        // What is in no row, and not in the space that is given out, leads nowhere that everybody could go.
        rows.map(|(_, _, reach)| *reach).max().unwrap_or(Self::Inside)
    }
}

/// Whether an address differs from a network's in none of its first `length` bits.
fn is_in(difference: impl Into<u128>, width: u32, length: u32) -> bool {
    difference.into().checked_shr(width.saturating_sub(length)).unwrap_or_default() == 0
}

/// The IPv4 address that packets to this one may end up at.
fn embedded(ip: Ipv6Addr) -> Option<Ipv4Addr> {
    let bits = ip.to_bits();
    let v4_behind = |bits_behind: u32| {
        let v4 = bits.checked_shr(bits_behind).unwrap_or_default() & u128::from(u32::MAX);
        u32::try_from(v4).ok().map(Ipv4Addr::from_bits)
    };
    match ip.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => None,
        // IPv4-compatible and IPv4-mapped (RFC 4291 §2.5.5).
        [0, 0, 0, 0, 0, 0 | 0xffff, ..] => v4_behind(0),
        // NAT64 (RFC 6052 §2.1, RFC 8215), with a prefix of 96 bits.
        [0x64, 0xff9b, 0, 0, 0, 0, ..] | [0x64, 0xff9b, 1, ..] => v4_behind(0),
        // 6to4 (RFC 3056 §2).
        [0x2002, ..] => v4_behind(80),
        _ => None,
    }
}

/// From IANA's registry of special-purpose addresses (RFC 6890); the highest row counts. What the registry calls
/// globally reachable for a protocol of its own, such as 192.0.0.9, is no web server either.
const V4: &[(Ipv4Addr, u32, Reach)] = &[
    // This network (RFC 791 §3.2), 0.0.0.0 among it.
    (Ipv4Addr::new(0, 0, 0, 0), 8, Reach::Never),
    // Private use (RFC 1918).
    (Ipv4Addr::new(10, 0, 0, 0), 8, Reach::Inside),
    (Ipv4Addr::new(172, 16, 0, 0), 12, Reach::Inside),
    (Ipv4Addr::new(192, 168, 0, 0), 16, Reach::Inside),
    // Shared by providers and their customers (RFC 6598): pods and overlay networks.
    (Ipv4Addr::new(100, 64, 0, 0), 10, Reach::Inside),
    // Instance credentials of Alibaba Cloud, within the former.
    (Ipv4Addr::new(100, 100, 100, 200), 32, Reach::Never),
    // Loopback (RFC 1122 §3.2.1.3).
    (Ipv4Addr::new(127, 0, 0, 0), 8, Reach::Inside),
    // Azure's wire server: a public number that is answered by the platform, with certificates and settings.
    (Ipv4Addr::new(168, 63, 129, 16), 32, Reach::Never),
    // Link-local (RFC 3927): instance credentials of most clouds.
    (Ipv4Addr::new(169, 254, 0, 0), 16, Reach::Never),
    // Protocol assignments (RFC 6890 §2.1).
    (Ipv4Addr::new(192, 0, 0, 0), 24, Reach::Inside),
    // Documentation (RFC 5737).
    (Ipv4Addr::new(192, 0, 2, 0), 24, Reach::Inside),
    (Ipv4Addr::new(198, 51, 100, 0), 24, Reach::Inside),
    (Ipv4Addr::new(203, 0, 113, 0), 24, Reach::Inside),
    // 6to4 relays, given up (RFC 7526).
    (Ipv4Addr::new(192, 88, 99, 0), 24, Reach::Inside),
    // Benchmarks (RFC 2544).
    (Ipv4Addr::new(198, 18, 0, 0), 15, Reach::Inside),
    // Multicast (RFC 5771).
    (Ipv4Addr::new(224, 0, 0, 0), 4, Reach::Never),
    // Reserved (RFC 1112 §4): some clouds give it to pods.
    (Ipv4Addr::new(240, 0, 0, 0), 4, Reach::Inside),
    // Broadcast (RFC 919 §7).
    (Ipv4Addr::new(255, 255, 255, 255), 32, Reach::Never),
];

/// The same for IPv6. An address in none of these is nobody's, or somebody's inside: `fc00::/7` (RFC 4193), `::1`.
const V6: &[(Ipv6Addr, u32, Reach)] = &[
    // The space that is given out (RFC 4291 §2.4, IANA).
    (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3, Reach::Global),
    // IPv4 in another form: the IPv4 address decides. DNS64 (RFC 6147) answers with the second one.
    (Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96, Reach::Global),
    (Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, 0, 0), 96, Reach::Global),
    // Unspecified (RFC 4291 §2.5.2).
    (Ipv6Addr::UNSPECIFIED, 128, Reach::Never),
    // Protocol assignments (RFC 2928), Teredo among them.
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23, Reach::Inside),
    // Documentation (RFC 3849, RFC 9637).
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32, Reach::Inside),
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20, Reach::Inside),
    // 6to4 (RFC 3056): without its relays (RFC 7526) it leads no further than a tunnel of one's own.
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16, Reach::Inside),
    // Credentials of instances and pods: AWS (254 and 23), Oracle, Google Cloud, Scaleway.
    (Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0), 32, Reach::Never),
    (Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe), 128, Reach::Never),
    (Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128, Reach::Never),
    (Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42), 128, Reach::Never),
    // Link-local (RFC 4291 §2.5.6).
    (Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 10, Reach::Never),
    // Multicast (RFC 4291 §2.7).
    (Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0), 8, Reach::Never),
];

#[cfg(test)]
mod tests {
    use super::Reach::{Global, Inside, Never};
    use super::*;

    fn check(address: &str, expected: Reach) {
        assert_eq!(Reach::of(address.parse().unwrap()), expected, "{address}");
    }

    /// One before, first, last, one after.
    #[test]
    fn rfc6890_every_block_of_ipv4_at_its_edges() {
        for (block, before, within, after) in [
            (["", "0.0.0.0", "0.255.255.255", "1.0.0.0"], Never, Never, Global),
            (["9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"], Global, Inside, Global),
            (["100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"], Global, Inside, Global),
            (
                ["100.100.100.199", "100.100.100.200", "100.100.100.200", "100.100.100.201"],
                Inside,
                Never,
                Inside,
            ),
            (["126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"], Global, Inside, Global),
            (["168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"], Global, Never, Global),
            (["169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"], Global, Never, Global),
            (["172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"], Global, Inside, Global),
            (["191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"], Global, Inside, Global),
            (["192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"], Global, Inside, Global),
            (["192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"], Global, Inside, Global),
            (["192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"], Global, Inside, Global),
            (["198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"], Global, Inside, Global),
            (["198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"], Global, Inside, Global),
            (["203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"], Global, Inside, Global),
            (["223.255.255.255", "224.0.0.0", "239.255.255.255", "240.0.0.0"], Global, Never, Inside),
            (["239.255.255.255", "240.0.0.0", "255.255.255.254", "255.255.255.255"], Never, Inside, Never),
        ] {
            let [one_before, first, last, one_after] = block;
            for (address, expected) in
                [(one_before, before), (first, within), (last, within), (one_after, after)]
            {
                if !address.is_empty() {
                    check(address, expected);
                    // The other forms that lead to the same place are no better, and these two are no worse.
                    check(&format!("::ffff:{address}"), expected);
                    check(&format!("64:ff9b::{address}"), expected);
                    check(&format!("64:ff9b:1::{address}"), expected.max(Inside));
                    let [a, b, c, d] = address.parse::<Ipv4Addr>().unwrap().octets();
                    check(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), expected.max(Inside));
                    check(&format!("::{address}"), expected.max(Inside));
                }
            }
        }
    }

    #[test]
    fn rfc6890_every_block_of_ipv6_at_its_edges() {
        let ones = ":ffff".repeat(5);
        let ones = ones.as_str();
        for (block, before, within, after) in [
            (["", "::", "::", "::1"], Never, Never, Inside),
            (["::", "::1", "::1", "::2"], Never, Inside, Never),
            (
                [&format!("1fff:ffff:ffff{ones}"), "2000::", &format!("2000:ffff:ffff{ones}"), "2001::"],
                Inside,
                Global,
                Inside,
            ),
            (
                [&format!("2000:ffff:ffff{ones}"), "2001::", &format!("2001:1ff:ffff{ones}"), "2001:200::"],
                Global,
                Inside,
                Global,
            ),
            (
                [
                    &format!("2001:db7:ffff{ones}"),
                    "2001:db8::",
                    &format!("2001:db8:ffff{ones}"),
                    "2001:db9::",
                ],
                Global,
                Inside,
                Global,
            ),
            (
                [
                    &format!("2001:ffff:ffff{ones}"),
                    "2002:808:808::",
                    &format!("2002:dfff:ffff{ones}"),
                    "2003::",
                ],
                Global,
                Inside,
                Global,
            ),
            (
                [&format!("3ffe:ffff:ffff{ones}"), "3fff::", &format!("3fff:fff:ffff{ones}"), "3fff:1000::"],
                Global,
                Inside,
                Global,
            ),
            (
                [&format!("3fff:fff:ffff{ones}"), "3fff:1000::", &format!("3fff:ffff:ffff{ones}"), "4000::"],
                Inside,
                Global,
                Inside,
            ),
            (
                [&format!("fcff:ffff:ffff{ones}"), "fd00::", &format!("fd00:ec1:ffff{ones}"), "fd00:ec2::"],
                Inside,
                Inside,
                Never,
            ),
            (
                [
                    &format!("fd00:ec1:ffff{ones}"),
                    "fd00:ec2::",
                    &format!("fd00:ec2:ffff{ones}"),
                    "fd00:ec3::",
                ],
                Inside,
                Never,
                Inside,
            ),
            (["fd20:ce::253", "fd20:ce::254", "fd20:ce::254", "fd20:ce::255"], Inside, Never, Inside),
            (["fd00:42::41", "fd00:42::42", "fd00:42::42", "fd00:42::43"], Inside, Never, Inside),
            (
                [&format!("fe7f:ffff:ffff{ones}"), "fe80::", &format!("febf:ffff:ffff{ones}"), "fec0::"],
                Inside,
                Never,
                Inside,
            ),
            (
                [&format!("feff:ffff:ffff{ones}"), "ff00::", &format!("ffff:ffff:ffff{ones}"), ""],
                Inside,
                Never,
                Never,
            ),
        ] {
            let [one_before, first, last, one_after] = block;
            for (address, expected) in
                [(one_before, before), (first, within), (last, within), (one_after, after)]
            {
                if !address.is_empty() {
                    check(address, expected);
                }
            }
        }
        // Just outside of the forms that hold an IPv4 address.
        for address in
            ["::fffe:8.8.8.8", "::1:0:8.8.8.8", "64:ff9b::1:0:0", "64:ff9b:2::8.8.8.8", "64:ff9a::8.8.8.8"]
        {
            check(address, Inside);
        }
    }
}
