//! The mirror tap against the kernel: it outlives its file descriptor, and has one owner.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, config, mac};
use pvs_linux::{Error, MirrorTap, TapConfig};
use std::time::Duration;

#[test]
fn addresses_routes_and_index_outlive_the_daemon() {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    assert!(tap.was_created());
    let index = tap.ifindex();
    lab.ip("addr add 192.0.2.1/24 dev pvs0");
    lab.ip("addr add 2001:db8::1/64 dev pvs0 nodad");
    lab.ip("route add 198.51.100.0/24 via 192.0.2.254");
    lab.ip("-6 route add 2001:db8:1::/48 via 2001:db8::fe");
    let show = || {
        (
            lab.ip("-br addr show dev pvs0"),
            lab.ip("route"),
            lab.ip("-6 route"),
        )
    };
    drop(tap);
    // A command that another test is starting holds the descriptor for a moment.
    let detached = |_| {
        std::thread::sleep(Duration::from_millis(10));
        lab.ip("link show pvs0").contains("NO-CARRIER")
    };
    assert!((0..100).any(detached), "nobody is attached");

    let tap = lab.tap("pvs0");
    assert!(!tap.was_created());
    assert_eq!(tap.ifindex(), index);
    let (addresses, v4, v6) = show();
    assert!(
        addresses.contains("192.0.2.1/24") && addresses.contains("2001:db8::1/64"),
        "{addresses}"
    );
    assert!(v4.contains("198.51.100.0/24 via 192.0.2.254"), "{v4}");
    assert!(v6.contains("2001:db8:1::/48 via 2001:db8::fe"), "{v6}");
    assert!(!lab.ip("link show pvs0").contains("NO-CARRIER"));
}

#[test]
fn a_new_tap_is_as_its_port_and_an_old_one_as_the_operator_left_it() {
    let lab = Lab::new();
    drop(lab.tap("pvs0"));
    let link = lab.ip("link show pvs0");
    assert!(
        link.contains("02:00:00:00:00:01") && link.contains("mtu 1500") && link.contains(",UP"),
        "{link}"
    );

    lab.ip("addr add 2001:db8::1/64 dev pvs0 nodad");
    lab.ip("link set pvs0 mtu 1400");
    drop(
        MirrorTap::open(
            &lab.open(),
            &TapConfig {
                mac: mac(9),
                ..config("pvs0", 1)
            },
        )
        .unwrap(),
    );
    let link = lab.ip("link show pvs0");
    assert!(
        link.contains("02:00:00:00:00:09") && link.contains("mtu 1400"),
        "{link}"
    );
    let addresses = lab.ip("-6 addr show dev pvs0");
    assert!(
        addresses.contains("2001:db8::1/64"),
        "the interface was down for the new address: {addresses}"
    );

    drop(
        MirrorTap::open(
            &lab.open(),
            &TapConfig {
                mtu: 1280,
                ..config("pvs0", 9)
            },
        )
        .unwrap(),
    );
    assert!(
        lab.ip("link show pvs0").contains("mtu 1280"),
        "beyond what the port can send"
    );

    lab.ip("link set pvs0 down");
    drop(lab.tap("pvs0"));
    assert!(!lab.ip("link show pvs0").contains(",UP"));
}

#[test]
fn a_second_process_is_refused_in_a_sentence() {
    let lab = Lab::new();
    let first = lab.tap("pvs0");
    let second = MirrorTap::open(&lab.open(), &config("pvs0", 1)).unwrap_err();
    assert_eq!(
        second.to_string(),
        "tap pvs0 is in use by another process (is pvsd running?)"
    );
    assert!(matches!(
        MirrorTap::remove(&lab.open(), "pvs0"),
        Err(Error::TapInUse { .. })
    ));
    drop(first);
    lab.tap("pvs0");
}

#[test]
fn an_interface_of_another_kind_is_left_alone() {
    let lab = Lab::new();
    lab.ip("link add br0 type bridge");
    let error = MirrorTap::open(&lab.open(), &config("br0", 1)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "interface br0 exists and is not a plain tap: remove it, or give the mirror tap another name"
    );
    assert!(matches!(
        MirrorTap::remove(&lab.open(), "br0"),
        Err(Error::NotATap { .. })
    ));
    lab.ip("link show br0");
}

#[test]
fn a_tap_is_removed_once() {
    let lab = Lab::new();
    drop(lab.tap("pvs0"));
    assert!(MirrorTap::remove(&lab.open(), "pvs0").unwrap());
    assert!(!lab.ip("link").contains("pvs0"));
    assert!(!MirrorTap::remove(&lab.open(), "pvs0").unwrap());
}

#[test]
fn the_carrier_follows_the_port() {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    tap.set_carrier(false).unwrap();
    assert!(lab.ip("link show pvs0").contains("NO-CARRIER"));
    tap.set_carrier(true).unwrap();
    assert!(!lab.ip("link show pvs0").contains("NO-CARRIER"));
}

#[test]
fn a_tap_that_is_down_takes_nothing_and_one_that_is_gone_says_so() {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    let frame = [0xff; 60];
    assert!(tap.write(&frame).unwrap());
    lab.ip("link set pvs0 down");
    assert!(!tap.write(&frame).unwrap());
    lab.ip("link del pvs0");
    assert_eq!(
        tap.write(&frame).unwrap_err().to_string(),
        "tap pvs0 was deleted while pvsd used it"
    );
    assert!(matches!(
        tap.read(&mut [0; 2048]),
        Err(Error::TapGone { .. })
    ));
}

#[test]
fn the_caller_stays_in_its_own_namespace() {
    let lab = Lab::new();
    let before = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let inside = lab
        .open()
        .run(|| std::fs::read_link("/proc/thread-self/ns/net").unwrap())
        .unwrap();
    assert_ne!(inside, before);
    assert_eq!(
        std::fs::read_link("/proc/thread-self/ns/net").unwrap(),
        before
    );
}
