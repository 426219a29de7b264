//! The order of sorted listings, as ipvsadm sorts.
//!
//! ipvsadm compares by the sign of a 32-bit difference, so an address that is more than 2^31 ahead
//! counts as smaller, and the relation is no order in general. A merge sort like the C library's
//! comes to the same result where Rust's own sort could refuse.

use crate::reply::{ServerView, ServiceView};
use pvs_sched::config::{AddressFamily, ServiceKey};
use std::net::IpAddr;

/// By mark, family, protocol, address and port; services without a mark count as mark 0.
pub(super) fn services(services: &mut Vec<ServiceView>) {
    merge_sort(services, &|a: &ServiceView, b: &ServiceView| {
        let (a, b) = (&a.config.key, &b.config.key);
        let by_name = difference(mark(a), mark(b))
            .or_else(|| difference(family(a), family(b)))
            .or_else(|| difference(protocol(a), protocol(b)));
        let by_place = || match (a, b) {
            (
                ServiceKey::Address {
                    address: x,
                    port: p,
                    ..
                },
                ServiceKey::Address {
                    address: y,
                    port: q,
                    ..
                },
            ) => addresses(*x, *y).or_else(|| difference((*p).into(), (*q).into())),
            _ => None,
        };
        by_name.or_else(by_place).unwrap_or(0)
    });
}

/// By address and port.
pub(super) fn servers(servers: &mut Vec<ServerView>) {
    merge_sort(servers, &|a: &ServerView, b: &ServerView| {
        let (a, b) = (a.config.key, b.config.key);
        let by_address = addresses(a.address, b.address);
        by_address
            .or_else(|| difference(a.port.into(), b.port.into()))
            .unwrap_or(0)
    });
}

const fn mark(key: &ServiceKey) -> u32 {
    match key {
        ServiceKey::Mark { mark, .. } => *mark,
        ServiceKey::Address { .. } => 0,
    }
}

const fn family(key: &ServiceKey) -> u32 {
    match key.family() {
        AddressFamily::Ipv4 => 0,
        AddressFamily::Ipv6 => 1,
    }
}

const fn protocol(key: &ServiceKey) -> u32 {
    match key {
        ServiceKey::Address { protocol, .. } => protocol.protocol().0 as u32,
        ServiceKey::Mark { .. } => 0,
    }
}

/// The difference as a signed number; `None` if there is none.
const fn difference(a: u32, b: u32) -> Option<i32> {
    match a.wrapping_sub(b) as i32 {
        0 => None,
        difference => Some(difference),
    }
}

/// The difference of the first 32-bit words that differ. The first one's family says how many are
/// compared; an address of the other has zeros behind its own: so a tunnel's end may come before
/// or behind an IPv6 server.
fn addresses(a: IpAddr, b: IpAddr) -> Option<i32> {
    let words = |address| match address {
        IpAddr::V4(address) => [address.to_bits(), 0, 0, 0],
        IpAddr::V6(address) => [96, 64, 32, 0].map(|shift| (address.to_bits() >> shift) as u32),
    };
    let compared = if a.is_ipv4() { 1 } else { 4 };
    let mut pairs = words(a).into_iter().zip(words(b)).take(compared);
    pairs.find_map(|(a, b)| difference(a, b))
}

/// Sorts by halves; of two that do not differ, the one of the first half stays first.
fn merge_sort<T>(items: &mut Vec<T>, compare: &impl Fn(&T, &T) -> i32) {
    if items.len() < 2 {
        return;
    }
    let mut second = items.split_off(items.len() / 2);
    merge_sort(items, compare);
    merge_sort(&mut second, compare);
    let mut merged = Vec::with_capacity(items.len() + second.len());
    let mut first = items.drain(..).peekable();
    let mut second = second.into_iter().peekable();
    while let (Some(a), Some(b)) = (first.peek(), second.peek()) {
        let next = if compare(a, b) <= 0 {
            first.next()
        } else {
            second.next()
        };
        merged.extend(next);
    }
    merged.extend(first);
    merged.extend(second);
    *items = merged;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(addresses_in: &[&str]) -> Vec<String> {
        let mut list: Vec<IpAddr> = addresses_in.iter().map(|a| a.parse().unwrap()).collect();
        merge_sort(&mut list, &|a: &IpAddr, b: &IpAddr| {
            addresses(*a, *b).unwrap_or(0)
        });
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn addresses_sort_by_number() {
        assert_eq!(
            sorted(&["10.0.0.10", "10.0.0.9", "10.0.0.1"]),
            ["10.0.0.1", "10.0.0.9", "10.0.0.10"]
        );
    }

    #[test]
    fn what_is_too_far_ahead_counts_as_smaller() {
        assert_eq!(
            sorted(&["10.0.0.1", "192.168.1.1"]),
            ["192.168.1.1", "10.0.0.1"]
        );
        assert_eq!(
            sorted(&["172.16.0.1", "192.168.1.1"]),
            ["172.16.0.1", "192.168.1.1"]
        );
    }

    #[test]
    fn of_two_families_the_first_words_are_compared() {
        // As listed by ipvsadm 1.31.
        assert_eq!(
            sorted(&["10.0.0.2", "10.0.0.1", "fd00::2", "fd00::1"]),
            ["fd00::1", "fd00::2", "10.0.0.1", "10.0.0.2"]
        );
        assert_eq!(
            sorted(&["2001:db8::1", "10.0.0.1"]),
            ["10.0.0.1", "2001:db8::1"]
        );
    }

    #[test]
    fn a_relation_that_is_no_order_is_survived() {
        let circle: Vec<String> = (0u32..100)
            .map(|n| format!("{}.0.0.1", (n * 37) % 256))
            .collect();
        let circle: Vec<&str> = circle.iter().map(String::as_str).collect();
        assert_eq!(sorted(&circle).len(), 100);
    }
}
