//! The addresses that are Linux's own: a service takes packets only while
//! its address is among them.
//!
//! Taken from the kernel's table `local`, which holds every address of every interface, lo
//! included, the prefixes of `ip route add local`, and leaves out an IPv6 address until duplicate
//! address detection has passed. That is what decides whether IPVS's hook sees a packet.

use pvs_proto::{Addr4, Addr6, Address};
use std::net::IpAddr;

/// A set of addresses and prefixes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalAddresses {
    v4: Ranges,
    v6: Ranges,
    broadcasts: Ranges,
}

/// First and last numbers, ascending, disjoint.
type Ranges = Box<[(u128, u128)]>;

impl LocalAddresses {
    /// The set of these prefixes; lengths beyond the family's are taken as the whole address.
    pub fn new(prefixes: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (address, len) in prefixes {
            match address {
                IpAddr::V4(a) => v4.push(range(Addr4::from(a), len)),
                IpAddr::V6(a) => v6.push(range(Addr6::from(a), len)),
            }
        }
        Self {
            v4: merged(v4),
            v6: merged(v6),
            broadcasts: Ranges::default(),
        }
    }

    /// The same with the broadcast addresses of subnets; those of IPv4 count.
    #[must_use]
    pub fn with_broadcasts(self, prefixes: impl IntoIterator<Item = (IpAddr, u8)>) -> Self {
        Self {
            broadcasts: Self::new(prefixes).v4,
            ..self
        }
    }

    /// True if Linux would broadcast a packet to this address on a subnet of its own.
    #[must_use]
    pub fn is_broadcast(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => contains(&self.broadcasts, Addr4::from(a).bits()),
            IpAddr::V6(_) => false,
        }
    }

    /// True if Linux would deliver a packet to this address to itself.
    #[must_use]
    pub fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => contains(&self.v4, Addr4::from(a).bits()),
            IpAddr::V6(a) => contains(&self.v6, Addr6::from(a).bits()),
        }
    }
}

fn range<A: Address>(address: A, len: u8) -> (u128, u128) {
    let host_bits = u32::from(A::BITS.saturating_sub(len));
    let span = 1u128
        .checked_shl(host_bits)
        .map_or(u128::MAX, |size| size - 1);
    let first = address.masked(len).bits();
    (first, first | span)
}

fn merged(mut ranges: Vec<(u128, u128)>) -> Ranges {
    ranges.sort_unstable();
    ranges.dedup_by(|later, earlier| {
        let joins = later.0 <= earlier.1.saturating_add(1);
        if joins {
            earlier.1 = earlier.1.max(later.1);
        }
        joins
    });
    ranges.into_boxed_slice()
}

fn contains(ranges: &Ranges, address: u128) -> bool {
    let behind = ranges.partition_point(|(first, _)| *first <= address);
    behind
        .checked_sub(1)
        .and_then(|at| ranges.get(at))
        .is_some_and(|(_, last)| address <= *last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(prefixes: &[(&str, u8)]) -> LocalAddresses {
        LocalAddresses::new(prefixes.iter().map(|(a, len)| (a.parse().unwrap(), *len)))
    }

    #[test]
    fn single_addresses_and_prefixes() {
        let local = set(&[
            ("192.0.2.1", 32),
            ("127.0.0.0", 8),
            ("fd00::1", 128),
            ("2001:db8::", 32),
        ]);
        for inside in [
            "192.0.2.1",
            "127.0.0.1",
            "127.255.255.255",
            "fd00::1",
            "2001:db8:ffff::9",
        ] {
            assert!(local.is_local(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "192.0.2.0",
            "192.0.2.2",
            "128.0.0.0",
            "126.255.255.255",
            "fd00::",
            "2001:db9::",
            "::1",
        ] {
            assert!(!local.is_local(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn overlaps_and_neighbours_are_one_range() {
        let joined = set(&[("10.0.0.0", 25), ("10.0.0.128", 25), ("10.0.0.7", 32)]);
        assert_eq!(joined, set(&[("10.0.0.0", 24)]));
    }

    #[test]
    fn everything_and_nothing() {
        let all = set(&[("0.0.0.0", 0), ("::", 0), ("1.2.3.4", 32)]);
        for text in [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ] {
            assert!(all.is_local(text.parse().unwrap()), "{text}");
            assert!(
                !LocalAddresses::default().is_local(text.parse().unwrap()),
                "{text}"
            );
        }
    }

    #[test]
    fn broadcasts_are_apart() {
        let broadcasts = [("10.0.0.255".parse().unwrap(), 32)];
        let set = set(&[("10.0.0.1", 32)]).with_broadcasts(broadcasts);
        let address = |text: &str| text.parse().unwrap();
        assert!(set.is_broadcast(address("10.0.0.255")));
        assert!(!set.is_local(address("10.0.0.255")));
        assert!(!set.is_broadcast(address("10.0.0.1")));
        assert!(!set.is_broadcast(address("fd00::ff")));
    }
}
