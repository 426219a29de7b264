//! The address to send from, compared with what the kernel says to `ip route get`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, binding, until};
use pvs_dataplane::fib::Fib;
use pvs_linux::{MirrorTap, Watcher};
use pvs_proto::{V4, V6};
use std::net::IpAddr;
use std::time::Duration;

fn lab() -> (Lab, Vec<MirrorTap>, Watcher) {
    let lab = Lab::new();
    let taps = vec![lab.tap("pvs0"), lab.tap("pvs1")];
    let bindings = vec![binding(&taps[0], 0), binding(&taps[1], 1)];
    let watcher = Watcher::new(&lab.open(), bindings).unwrap();
    (lab, taps, watcher)
}

fn source(fib: &Fib, to: &str) -> Option<IpAddr> {
    match to.parse().unwrap() {
        IpAddr::V4(a) => fib.source::<V4>(a.into()).map(IpAddr::from),
        IpAddr::V6(a) => fib.source::<V6>(a.into()).map(IpAddr::from),
    }
}

/// What the kernel says: the word behind `src`.
fn kernel(lab: &Lab, to: &str) -> Option<IpAddr> {
    let line = lab.ip(&format!("route get {to}"));
    let mut words = line.split_whitespace().skip_while(|word| *word != "src");
    Some(words.nth(1)?.parse().unwrap())
}

/// Everything that has changed is known and agrees with the kernel for each destination.
fn agrees(lab: &Lab, watcher: &mut Watcher, destinations: &[&str]) {
    let mut last = None;
    while let Some(update) = watcher.poll(Duration::from_millis(400)).unwrap() {
        last = Some(update);
    }
    let fib = last.expect("something has changed").fib;
    for to in destinations {
        assert_eq!(source(&fib, to), kernel(lab, to), "to {to}");
    }
}

#[test]
fn ipv4_sources_are_the_kernel_s() {
    let (lab, _taps, mut watcher) = lab();
    for words in [
        "addr add 203.0.113.1/32 dev lo",
        "addr add 192.0.2.1/24 dev pvs0",
        "addr add 192.0.2.80/32 dev pvs0",
        "addr add 192.0.2.2/24 dev pvs0",
        "addr add 198.51.100.1/24 dev pvs0",
        "addr add 10.7.0.1 peer 10.7.0.2/32 dev pvs0",
        "addr add 10.8.0.1/24 dev pvs0 scope link",
        "route add default via 198.51.100.254",
        "route add 10.1.0.0/16 via 192.0.2.254",
        "route add 10.2.0.0/16 dev pvs0",
        "route add 10.3.0.0/16 via 192.0.2.254 src 192.0.2.80",
        "route add 10.4.0.0/16 dev pvs1",
        "route add 10.5.0.0/16 via 10.7.0.2 dev pvs0 onlink",
        "route add 10.6.0.0/16 via 10.8.0.254 dev pvs0",
    ] {
        lab.ip(words);
    }
    let destinations = [
        "8.8.8.8",
        "192.0.2.9",
        "198.51.100.9",
        "10.1.0.1",
        "10.2.0.1",
        "10.3.0.1",
        "10.4.0.1",
        "10.5.0.1",
        "10.6.0.1",
        "10.7.0.2",
        "10.8.0.9",
        "192.0.2.80",
    ];
    agrees(&lab, &mut watcher, &destinations);
    // The first address goes and the second is promoted: behind the other primary ones.
    assert!(lab.exec("sysctl -qw net.ipv4.conf.pvs0.promote_secondaries=1"));
    lab.ip("addr del 192.0.2.1/24 dev pvs0");
    let left = ["192.0.2.9", "8.8.8.8", "10.2.0.1", "10.4.0.1"];
    agrees(&lab, &mut watcher, &left);
}

#[test]
fn ipv6_sources_are_the_kernel_s() {
    let (lab, _taps, mut watcher) = lab();
    for words in [
        "addr add 2001:db8:f::1/128 dev lo",
        "addr add 2001:db8:1::1/64 dev pvs0 nodad",
        "addr add 2001:db8:1::2/64 dev pvs0 nodad",
        "addr add 2001:db8:2::1/64 dev pvs0 nodad preferred_lft 0",
        "addr add 2001:db8:3::1/64 dev pvs0 nodad",
        "addr add fd00:1::1/64 dev pvs0 nodad",
        "-6 route add default via 2001:db8:1::254",
        "-6 route add 2001:db8:7::/48 dev pvs1",
        "-6 route add 2001:db8:8::/48 via 2001:db8:1::254 src 2001:db8:3::1",
    ] {
        lab.ip(words);
    }
    until(&mut watcher, "an address", |u| {
        u.local.is_local("2001:db8:3::1".parse().unwrap())
    });
    // Its link-local address passes duplicate address detection meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    let destinations = [
        "2001:db8:1::9",
        "2001:db8:2::9",
        "2001:db8:3::9",
        "2001:db8:9::9",
        "2001:db8:7::9",
        "2001:db8:8::9",
        "fd00:1::9",
        "fd00:9::9",
        "2a00:1450::1",
        "2001:db8:1::2",
    ];
    agrees(&lab, &mut watcher, &destinations);
    lab.ip("addr del 2001:db8:1::2/64 dev pvs0");
    lab.ip("addr add 2001:db8:1::3/64 dev pvs0 nodad");
    agrees(&lab, &mut watcher, &destinations[..9]);
}

#[test]
fn an_ipv6_route_loses_the_source_that_is_removed() {
    let (lab, _taps, mut watcher) = lab();
    lab.ip("addr add 2001:db8:1::1/64 dev pvs0 nodad");
    lab.ip("addr add 2001:db8:3::1/64 dev pvs0 nodad");
    lab.ip("-6 route add 2001:db8:8::/48 via 2001:db8:1::254 src 2001:db8:3::1");
    // Its link-local address passes duplicate address detection meanwhile.
    std::thread::sleep(Duration::from_secs(3));
    let to = ["2001:db8:8::9"];
    agrees(&lab, &mut watcher, &to);
    lab.ip("addr del 2001:db8:3::1/64 dev pvs0");
    agrees(&lab, &mut watcher, &to);
    assert_eq!(
        kernel(&lab, to[0]),
        Some("2001:db8:1::1".parse().unwrap()),
        "the kernel has forgotten it"
    );
}

#[test]
fn ipv6_addresses_that_come_are_in_the_kernel_s_order() {
    let (lab, _taps, mut watcher) = lab();
    while watcher.poll(Duration::from_millis(400)).unwrap().is_some() {}
    for address in ["2001:db8::1", "fe80::77", "2001:db8::2", "fe80::78"] {
        lab.ip(&format!("addr add {address}/64 dev pvs0 nodad"));
    }
    let update = until(&mut watcher, "the last address", |u| {
        u.local.is_local("fe80::78".parse().unwrap())
    });
    let listing = lab.ip("-6 -o addr show dev pvs0");
    let kernel: Vec<&str> = listing
        .lines()
        .map(|line| line.split_whitespace().nth(3).unwrap())
        .collect();
    let known = &common::interface(&update, "pvs0").addresses;
    let known: Vec<_> = known
        .iter()
        .filter(|(address, _)| address.is_ipv6())
        .map(|(address, len)| format!("{address}/{len}"))
        .collect();
    assert_eq!(known, kernel);
}
