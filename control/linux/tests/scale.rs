//! Ten thousand routes and ten thousand neighbours: mirrored completely,
//! right, and in bounded time.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, binding, until, within};
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Neighbour, PortIndex, Route, Target};
use pvs_linux::{MirrorTap, Update, Watcher};
use pvs_proto::{Addr4, MacAddr, V4, VlanId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const COUNT: u32 = 10_000;

/// The destination of a route: 20.0.0.0/8 in prefixes of 20 to 29 bits, some within others.
fn prefix(n: u32) -> (Addr4, u8) {
    let len = 20 + (n % 10) as u8;
    let scattered = 0x1400_0000 | (n.wrapping_mul(2_654_435_761) >> 8);
    (masked(scattered, len), len)
}

fn masked(bits: u32, len: u8) -> Addr4 {
    Addr4(bits & (u32::MAX << (32 - u32::from(len))))
}

/// A neighbour on the tap's 10.0.0.0/16, and its hardware address.
fn host(n: u32) -> (Addr4, MacAddr) {
    let [_, _, c, d] = n.to_be_bytes();
    (Addr4(0x0a00_0100 + n), MacAddr([2, 0, 0, 1, c, d]))
}

/// Routes without the few that fall together, each by its own gateway.
fn routes() -> BTreeMap<(u8, Addr4), u32> {
    (0..COUNT)
        .map(|n| {
            let (to, len) = prefix(n);
            ((len, to), n)
        })
        .collect()
}

fn batch(lab: &Lab, lines: impl Iterator<Item = String>) {
    let file = std::env::temp_dir().join(format!("{}.batch", lab.name()));
    std::fs::write(&file, lines.collect::<Vec<_>>().join("\n")).unwrap();
    lab.ip(&format!("-batch {}", file.display()));
    std::fs::remove_file(&file).unwrap();
}

fn lab() -> (Lab, MirrorTap, Watcher) {
    let lab = Lab::new();
    let tap = lab.tap("pvs0");
    lab.ip("addr add 10.0.0.1/16 dev pvs0");
    // Permanent ones do not count towards the kernel's limit (gc_thresh3),
    // which is the whole machine's.
    let neighbours = (0..COUNT).map(host).map(|(address, lladdr)| {
        format!("neigh add {address} lladdr {lladdr} dev pvs0 nud permanent")
    });
    batch(&lab, neighbours);
    let watcher = Watcher::new(&lab.open(), vec![binding(&tap, 0)]).unwrap();
    (lab, tap, watcher)
}

fn mac_to(fib: &Fib, to: Addr4) -> Option<MacAddr> {
    match fib.route::<V4>(to) {
        Route::Hop(at) => Some(fib.hop(at)?.mac),
        _ => None,
    }
}

/// The longest prefix, tried one length after the other.
fn naive(routes: &BTreeMap<(u8, Addr4), u32>, to: Addr4) -> Option<MacAddr> {
    let longest = (20..30)
        .rev()
        .find_map(|len| routes.get(&(len, masked(to.0, len))));
    longest.map(|n| host(*n).1)
}

/// Memory of this process, in MiB.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    line.unwrap()
        .trim()
        .split(' ')
        .next()
        .unwrap()
        .parse::<usize>()
        .unwrap()
        / 1024
}

fn agrees(fib: &Fib, routes: &BTreeMap<(u8, Addr4), u32>) {
    for n in 0..COUNT {
        assert_eq!(mac_to(fib, host(n).0), Some(host(n).1), "neighbour {n}");
        let (Addr4(start), len) = prefix(n);
        let last = start | !(u32::MAX << (32 - u32::from(len)));
        for to in [start, last, start.wrapping_sub(1), last + 1].map(Addr4) {
            assert_eq!(mac_to(fib, to), naive(routes, to), "{to}");
        }
    }
}

/// How long the forwarding information takes to build, once all is collected.
fn building(routes: &BTreeMap<(u8, Addr4), u32>) -> Duration {
    let mut builder = FibBuilder::new();
    let eth0 = builder.interface(Interface {
        port: PortIndex(0),
        vlan: VlanId::NONE,
        mac: MacAddr::default(),
        other_macs: vec![],
        mtu: 1500,
    });
    builder.route::<V4>(Addr4(0x0a00_0000), 16, Target::OnLink(eth0));
    for ((len, to), n) in routes {
        builder.route::<V4>(*to, *len, Target::Via(eth0, host(*n).0));
    }
    for (address, lladdr) in (0..COUNT).map(host) {
        builder.neighbour::<V4>(eth0, address, Neighbour::Resolved(lladdr));
    }
    let began = Instant::now();
    let fib = builder.build(1);
    let took = began.elapsed();
    agrees(&fib, routes);
    took
}

#[test]
fn ten_thousand_routes_and_neighbours_are_mirrored() {
    let (lab, _tap, mut watcher) = lab();
    let before = resident();
    let routes = routes();
    let line = |((len, to), n): (&(u8, Addr4), &u32)| {
        format!("route add {to}/{len} via {} dev pvs0", host(*n).0)
    };
    batch(&lab, routes.iter().map(line));
    let ((len, to), _) = routes.last_key_value().unwrap();
    let last = |u: &Update| mac_to(&u.fib, *to).is_some();
    let began = Instant::now();
    let update = within(&mut watcher, Duration::from_secs(5), "all", &mut { last });
    let listed = began.elapsed();
    agrees(&update.fib, &routes);
    let grown = resident() - before;
    assert!(grown < 128, "{grown} MiB");

    // One among them changes.
    while watcher.poll(Duration::from_millis(300)).unwrap().is_some() {}
    let mut slowest = Duration::ZERO;
    for n in 0..5 {
        let began = Instant::now();
        lab.ip(&format!(
            "route replace {to}/{len} via {} dev pvs0",
            host(n).0
        ));
        until(&mut watcher, "one route", |u| {
            mac_to(&u.fib, *to) == Some(host(n).1)
        });
        slowest = slowest.max(began.elapsed());
    }
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
    let built = building(&routes);
    println!(
        "built in {built:?}, listed and built in {listed:?}, one change in {slowest:?} at most, {grown} MiB"
    );
}
