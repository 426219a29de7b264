//! The watcher against the kernel: what `ip` does is seen within a second.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, binding, error_of, interface, mac, until, within};
use pvs_dataplane::fib::{Fib, InterfaceIndex, Route};
use pvs_linux::{MirrorTap, Namespace, Update, Watcher};
use pvs_proto::{Addr4, Addr6, MacAddr, V4, V6};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// A namespace with a tap (192.0.2.1/24, 2001:db8::1/64) and its watcher,
/// which has listed everything.
fn lab() -> (Lab, MirrorTap, Watcher) {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    lab.ip("addr add 192.0.2.1/24 dev pvs0");
    lab.ip("addr add 2001:db8::1/64 dev pvs0 nodad");
    let mut watcher = Watcher::new(&lab.open(), vec![binding(&tap, 0)]).unwrap();
    until(&mut watcher, "the first listing", |u| {
        is_local(u, "2001:db8::1")
    });
    (lab, tap, watcher)
}

fn is_local(update: &Update, address: &str) -> bool {
    update.local.is_local(address.parse().unwrap())
}

fn to4(fib: &Fib, address: &str) -> Route<Addr4> {
    fib.route::<V4>(address.parse::<Ipv4Addr>().unwrap().into())
}

fn to6(fib: &Fib, address: &str) -> Route<Addr6> {
    fib.route::<V6>(address.parse::<Ipv6Addr>().unwrap().into())
}

fn mac_of4(update: &Update, address: &str) -> Option<MacAddr> {
    match to4(&update.fib, address) {
        Route::Hop(at) => Some(update.fib.hop(at)?.mac),
        _ => None,
    }
}

fn ask4(address: &str) -> Route<Addr4> {
    Route::Unresolved(
        InterfaceIndex(0),
        address.parse::<Ipv4Addr>().unwrap().into(),
    )
}

fn ask6(address: &str) -> Route<Addr6> {
    Route::Unresolved(
        InterfaceIndex(0),
        address.parse::<Ipv6Addr>().unwrap().into(),
    )
}

#[test]
fn the_first_update_has_everything_that_was_there_before() {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    lab.ip("addr add 192.0.2.1/24 dev pvs0");
    lab.ip("route add default via 192.0.2.254");
    lab.ip("neigh add 192.0.2.254 lladdr 02:00:00:00:00:fe dev pvs0 nud permanent");
    let mut watcher = Watcher::new(&lab.open(), vec![binding(&tap, 0)]).unwrap();
    let update = watcher.poll(Duration::from_secs(1)).unwrap().unwrap();
    assert_eq!(update.fib.version, 1);
    assert_eq!(mac_of4(&update, "203.0.113.9"), Some(mac(0xfe)));
    assert!(is_local(&update, "192.0.2.1") && is_local(&update, "127.0.0.1"));
    let state = interface(&update, "pvs0");
    assert_eq!((state.mac, state.mtu, state.up), (mac(1), 1500, true));
    assert_eq!(state.addresses[0], ("192.0.2.1".parse().unwrap(), 24));
    assert!(update.unsupported.is_empty(), "{:?}", update.unsupported);
}

#[test]
fn addresses_come_and_go() {
    let (lab, _tap, mut watcher) = lab();
    for (add, del, address) in [
        (
            "addr add 192.0.2.80/32 dev pvs0",
            "addr del 192.0.2.80/32 dev pvs0",
            "192.0.2.80",
        ),
        (
            "addr add 203.0.113.1/32 dev lo",
            "addr del 203.0.113.1/32 dev lo",
            "203.0.113.1",
        ),
        (
            "route add local 10.1.0.0/16 dev lo",
            "route del local 10.1.0.0/16 dev lo",
            "10.1.2.3",
        ),
        (
            "addr add 2001:db8::80/128 dev pvs0 nodad",
            "addr del 2001:db8::80/128 dev pvs0",
            "2001:db8::80",
        ),
        (
            "-6 route add local 2001:db8:9::/48 dev lo",
            "-6 route del local 2001:db8:9::/48 dev lo",
            "2001:db8:9::1",
        ),
    ] {
        lab.ip(add);
        let update = until(&mut watcher, add, |u| is_local(u, address));
        let local = match address.parse().unwrap() {
            std::net::IpAddr::V4(a) => update.fib.is_local::<V4>(a.into()),
            std::net::IpAddr::V6(a) => update.fib.is_local::<V6>(a.into()),
        };
        assert!(local, "{address}");
        lab.ip(del);
        until(&mut watcher, del, |u| !is_local(u, address));
    }
}

#[test]
fn an_ipv6_address_is_local_only_after_duplicate_address_detection() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("addr add 2001:db8::81/64 dev pvs0");
    let update = until(&mut watcher, "the address", |u| {
        interface(u, "pvs0")
            .addresses
            .contains(&("2001:db8::81".parse().unwrap(), 64))
    });
    assert!(!is_local(&update, "2001:db8::81"), "still tentative");
    let mut local = |u: &Update| is_local(u, "2001:db8::81");
    within(
        &mut watcher,
        Duration::from_secs(4),
        "detection",
        &mut local,
    );
}

#[test]
fn routes_come_and_go() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("route add 198.51.100.0/24 via 192.0.2.254");
    until(&mut watcher, "a route", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.254")
    });
    lab.ip("route replace 198.51.100.0/24 via 192.0.2.253");
    until(&mut watcher, "its replacement", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.253")
    });
    lab.ip("route append 198.51.100.0/24 via 192.0.2.252");
    lab.ip("route del 198.51.100.0/24 via 192.0.2.253");
    until(&mut watcher, "the one behind it", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.252")
    });
    lab.ip("route add blackhole 198.51.100.0/25 metric 5");
    until(&mut watcher, "a black hole", |u| {
        to4(&u.fib, "198.51.100.7") == Route::Unreachable
    });
    lab.ip("route del 198.51.100.0/25");
    until(&mut watcher, "its end", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.252")
    });

    lab.ip("-6 route add 2001:db8:1::/48 via 2001:db8::a");
    until(&mut watcher, "an IPv6 route", |u| {
        to6(&u.fib, "2001:db8:1::7") == ask6("2001:db8::a")
    });
    lab.ip("-6 route append 2001:db8:1::/48 via 2001:db8::b");
    lab.ip("-6 route del 2001:db8:1::/48 via 2001:db8::a");
    until(&mut watcher, "its other leg", |u| {
        to6(&u.fib, "2001:db8:1::7") == ask6("2001:db8::b")
    });
}

#[test]
fn next_hop_objects_and_multipath_routes_are_followed() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("nexthop add id 7 via 192.0.2.7 dev pvs0");
    lab.ip("route add 198.51.100.0/24 nhid 7");
    until(&mut watcher, "a next-hop object", |u| {
        to4(&u.fib, "198.51.100.1") == ask4("192.0.2.7")
    });
    lab.ip("nexthop replace id 7 via 192.0.2.8 dev pvs0");
    until(&mut watcher, "its replacement", |u| {
        to4(&u.fib, "198.51.100.1") == ask4("192.0.2.8")
    });
    lab.ip("nexthop del id 7");
    until(&mut watcher, "the route went with it", |u| {
        to4(&u.fib, "198.51.100.1") == Route::Unreachable
    });
    lab.ip("route add 198.51.100.0/24 nexthop via 192.0.2.7 nexthop via 192.0.2.8 weight 3");
    let update = until(&mut watcher, "a multipath route", |u| {
        gateways(u).len() == 2
    });
    let shares = gateways(&update);
    assert!(shares["192.0.2.8"] > shares["192.0.2.7"], "{shares:?}");
    lab.ip("neigh add 192.0.2.8 lladdr 02:00:00:00:00:08 dev pvs0 nud stale");
    lab.ip("neigh change 192.0.2.8 dev pvs0 nud failed");
    until(&mut watcher, "one that does not answer", |u| {
        gateways(u).keys().eq(["192.0.2.7"])
    });
}

/// The gateways of 198.51.100.0/24, each with how many addresses are sent to it.
fn gateways(update: &Update) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for last in 0..=255 {
        let to = to4(&update.fib, &format!("198.51.100.{last}"));
        if let Route::Unresolved(_, gateway) | Route::Failed(_, gateway) = to {
            *found.entry(gateway.to_string()).or_default() += 1;
        }
    }
    found
}

#[test]
fn groups_of_next_hop_objects_are_followed() {
    let (lab, _tap, mut watcher) = lab();
    for last in [7, 8, 9] {
        lab.ip(&format!(
            "nexthop add id {last} via 192.0.2.{last} dev pvs0"
        ));
    }
    lab.ip("nexthop add id 100 group 7/8,3");
    lab.ip("route add 198.51.100.0/24 nhid 100");
    let update = until(&mut watcher, "a group", |u| gateways(u).len() == 2);
    let shares = gateways(&update);
    assert!(shares["192.0.2.8"] > shares["192.0.2.7"], "{shares:?}");
    lab.ip("nexthop replace id 100 group 7/8/9");
    until(&mut watcher, "one more", |u| gateways(u).len() == 3);
    lab.ip("nexthop del id 8");
    until(&mut watcher, "one less", |u| {
        gateways(u).keys().eq(["192.0.2.7", "192.0.2.9"])
    });
    lab.ip("nexthop add id 101 blackhole");
    lab.ip("route replace 198.51.100.0/24 nhid 101");
    until(&mut watcher, "a black hole", |u| {
        to4(&u.fib, "198.51.100.1") == Route::Unreachable
    });

    for last in ["a", "b"] {
        let id = u32::from_str_radix(last, 16).unwrap();
        lab.ip(&format!(
            "nexthop add id {id} via 2001:db8::{last} dev pvs0"
        ));
    }
    lab.ip("nexthop add id 102 group 10/11");
    lab.ip("-6 route add 2001:db8:1::/48 nhid 102");
    let ways = |u: &Update| {
        let hosts = (0..64).map(|n| to6(&u.fib, &format!("2001:db8:1::{n}")));
        let legs = ["a", "b"].map(|last| ask6(&format!("2001:db8::{last}")));
        let found: Vec<_> = hosts.collect();
        legs.map(|leg| found.iter().filter(|way| **way == leg).count())
    };
    until(&mut watcher, "both legs", |u| {
        let [a, b] = ways(u);
        a > 0 && b > 0 && a + b == 64
    });
    lab.ip("-6 route replace 2001:db8:1::/48 via 2001:db8::a");
    lab.ip("-6 route append 2001:db8:1::/48 via 2001:db8::b");
    until(&mut watcher, "legs one by one", |u| {
        let [a, b] = ways(u);
        a > 0 && b > 0 && a + b == 64
    });
}

#[test]
fn what_the_kernel_removes_without_a_word_is_noticed() {
    let (lab, tap, mut watcher) = lab();
    lab.ip("route add 198.51.100.0/24 via 192.0.2.254");
    until(&mut watcher, "a route", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.254")
    });
    // No listing of the past may come to the rescue.
    while watcher.poll(Duration::from_millis(300)).unwrap().is_some() {}
    lab.ip("link set pvs0 down");
    let mut down = |u: &Update| to4(&u.fib, "198.51.100.7") == Route::Unreachable;
    within(&mut watcher, Duration::from_millis(200), "down", &mut down);
    lab.ip("link set pvs0 up");
    until(&mut watcher, "up", |u| {
        to4(&u.fib, "192.0.2.9") == ask4("192.0.2.9")
    });
    lab.ip("addr add 192.0.2.77/24 dev pvs0");
    lab.ip("route add 198.51.100.0/24 via 192.0.2.254 src 192.0.2.77");
    until(&mut watcher, "a route with a source", |u| {
        to4(&u.fib, "198.51.100.7") == ask4("192.0.2.254")
    });
    lab.ip("addr del 192.0.2.77/24 dev pvs0");
    until(&mut watcher, "it went with the source", |u| {
        to4(&u.fib, "198.51.100.7") == Route::Unreachable
    });
    drop(tap);
}

#[test]
fn neighbours_come_change_and_go() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("neigh add 192.0.2.9 lladdr 02:00:00:00:00:09 dev pvs0 nud stale");
    until(&mut watcher, "a neighbour", |u| {
        mac_of4(u, "192.0.2.9") == Some(mac(9))
    });
    lab.ip("neigh change 192.0.2.9 lladdr 02:00:00:00:00:0a dev pvs0 nud reachable");
    until(&mut watcher, "another address", |u| {
        mac_of4(u, "192.0.2.9") == Some(mac(10))
    });
    lab.ip("neigh change 192.0.2.9 dev pvs0 nud failed");
    until(&mut watcher, "failure", |u| {
        matches!(to4(&u.fib, "192.0.2.9"), Route::Failed(..))
    });
    lab.ip("neigh del 192.0.2.9 dev pvs0");
    until(&mut watcher, "its end", |u| {
        to4(&u.fib, "192.0.2.9") == ask4("192.0.2.9")
    });
    lab.ip("neigh add 2001:db8::9 lladdr 02:00:00:00:00:09 dev pvs0 nud permanent");
    until(&mut watcher, "an IPv6 neighbour", |u| {
        matches!(to6(&u.fib, "2001:db8::9"), Route::Hop(_))
    });
}

#[test]
fn the_tap_s_own_properties_are_followed() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("link set pvs0 mtu 1400");
    until(&mut watcher, "the MTU", |u| {
        u.fib.interfaces()[0].mtu == 1400
    });
    lab.ip("link set pvs0 address 02:00:00:00:00:77");
    until(&mut watcher, "the MAC", |u| {
        u.fib.interfaces()[0].mac == mac(0x77)
    });
    lab.ip("link add vrrp.51 link pvs0 address 00:00:5e:00:01:33 type macvlan mode private");
    lab.ip("link set vrrp.51 up");
    let vrrp: MacAddr = "00:00:5e:00:01:33".parse().unwrap();
    until(&mut watcher, "a macvlan", |u| {
        u.fib.interfaces()[0].other_macs == [vrrp]
    });
    lab.ip("link set pvs0 allmulticast on");
    until(&mut watcher, "all multicast", |u| {
        interface(u, "pvs0").all_multicast
    });
    lab.ip("link set pvs0 down");
    until(&mut watcher, "down", |u| !interface(u, "pvs0").up);
}

#[test]
fn a_burst_is_one_update_and_lost_events_are_made_good() {
    let (lab, _tap, mut watcher) = lab();
    let mut batch = String::new();
    for n in 0..60_000 {
        batch.push_str(&format!(
            "route add 10.{}.{}.0/24 via 192.0.2.254\n",
            n / 256,
            n % 256
        ));
    }
    let file = std::env::temp_dir().join(format!("{}.batch", lab.name()));
    std::fs::write(&file, &batch).unwrap();
    lab.ip(&format!("-batch {}", file.display()));
    std::fs::write(&file, batch.replace("route add", "route del")).unwrap();
    let limit = Duration::from_secs(5);
    let mut all = |u: &Update| to4(&u.fib, "10.234.95.1") == ask4("192.0.2.254");
    let update = within(&mut watcher, limit, "all routes", &mut all);
    assert!(update.fib.version <= 6, "{} updates", update.fib.version);
    let overruns = watcher.overruns();
    assert!(overruns > 0, "the kernel had room for all events");
    lab.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
    let mut none = |u: &Update| to4(&u.fib, "10.234.95.1") == Route::Unreachable;
    within(&mut watcher, limit, "none of them", &mut none);
    assert!(watcher.overruns() > overruns);
}

#[test]
fn rules_are_reported() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("rule add from 192.0.2.80 lookup 100 pref 1000");
    let update = until(&mut watcher, "a rule", |u| !u.unsupported.is_empty());
    let sentence =
        "the IPv4 rule of priority 1000 (table 100) is not followed: pvs knows `local` and `main`";
    assert_eq!(update.unsupported, [sentence]);
}

#[test]
fn of_rules_that_differ_in_their_selector_one_goes_alone() {
    let (lab, _tap, mut watcher) = lab();
    lab.ip("rule add from 192.0.2.80 lookup 100 pref 1000");
    lab.ip("rule add from 192.0.2.81 lookup 100 pref 1000");
    until(&mut watcher, "rules", |u| !u.unsupported.is_empty());
    while watcher.poll(Duration::from_millis(300)).unwrap().is_some() {}
    lab.ip("rule del from 192.0.2.80 lookup 100 pref 1000");
    let update = until(&mut watcher, "a change", |_| true);
    assert_eq!(update.unsupported.len(), 1, "the other one is there");
    lab.ip("rule del from 192.0.2.81 lookup 100 pref 1000");
    until(&mut watcher, "the end of both", |u| {
        u.unsupported.is_empty()
    });
}

#[test]
fn a_deleted_tap_is_told_and_a_new_one_can_be_bound() {
    let (lab, tap, mut watcher) = lab();
    lab.ip("link del pvs0");
    assert_eq!(
        error_of(&mut watcher).to_string(),
        "tap pvs0 was deleted while pvsd used it"
    );
    let update = until(&mut watcher, "without it", |u| u.interfaces.is_empty());
    drop(tap);
    let tap = lab.tap("pvs0");
    lab.ip("addr add 192.0.2.1/24 dev pvs0");
    watcher.bind(vec![binding(&tap, 0)]);
    let asks = |u: &Update| match to4(&u.fib, "192.0.2.9") {
        Route::Unresolved(on, _) => Some(on),
        _ => None,
    };
    let again = until(&mut watcher, "the new one", |u| asks(u).is_some());
    let index = asks(&again).unwrap();
    assert_ne!(
        index,
        InterfaceIndex(0),
        "the index of the first is nobody's"
    );
    assert_eq!(watcher.mirror().ifindex(index), Some(tap.ifindex()));
    assert!(again.fib.version > update.fib.version);
}

#[test]
fn a_deleted_namespace_is_told_once() {
    let (lab, _tap, mut watcher) = lab();
    let name = lab.name().to_owned();
    drop(lab);
    let expected = format!(
        "network namespace {name} was deleted while pvsd uses it: pvsd goes on inside, and moves to the next one \
         of that name (`ip netns add {name}`)"
    );
    assert_eq!(error_of(&mut watcher).to_string(), expected);
    watcher.poll(Duration::from_millis(1200)).unwrap();
    assert!(Namespace::open(&name).is_err());
}

#[test]
fn another_namespace_is_no_deletion() {
    let (_lab, _tap, mut watcher) = lab();
    let next = Lab::new();
    // The tap's index there is one that the first namespace does not have.
    for n in 0..5 {
        next.ip(&format!("link add a{n} type veth peer name b{n}"));
    }
    let tap = next.tap("pvs0");
    assert!(watcher.mirror().ifname(tap.ifindex()).is_none());
    next.ip("addr add 203.0.113.1/24 dev pvs0");
    watcher
        .move_to(&next.open(), vec![binding(&tap, 0)])
        .unwrap();
    assert_eq!(watcher.mirror().amounts().routes_v4, 0, "the old ones");
    assert!(!watcher.mirror().survey()[0].gone, "it is not known yet");
    until(&mut watcher, "what is there", |u| {
        is_local(u, "203.0.113.1") && !is_local(u, "192.0.2.1")
    });
    next.ip("link del pvs0");
    assert!(error_of(&mut watcher).to_string().contains("was deleted"));
}
