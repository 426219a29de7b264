//! Managed neighbours against the kernel: a tap joined to a cable, a host at the other end.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, binding, config, mac, until, within};
use pvs_dataplane::fib::{InterfaceIndex, Route};
use pvs_linux::{MirrorTap, NeighbourKeeper, Update, Watcher};
use pvs_proto::{MacAddr, V4, V6};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A director's tap and a host's tap, and a thread that carries frames
/// between them as a cable does.
struct Cable {
    director: Lab,
    host: Lab,
    tap: Arc<MirrorTap>,
    stop: Arc<AtomicBool>,
    carrier: Option<JoinHandle<()>>,
}

impl Cable {
    fn new() -> Self {
        let (director, host) = (Lab::new(), Lab::new());
        let near = Arc::new(director.tap("pvs0"));
        let far = MirrorTap::open(&host.open(), &config("eth0", 2)).unwrap();
        for (lab, ifname, last) in [(&director, "pvs0", 1), (&host, "eth0", 2)] {
            lab.ip(&format!("addr add 192.0.2.{last}/24 dev {ifname}"));
            lab.ip(&format!("addr add 2001:db8::{last}/64 dev {ifname} nodad"));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (tap, stopped) = (Arc::clone(&near), Arc::clone(&stop));
        let carry = move || {
            let mut frame = [0; 2048];
            while !stopped.load(Relaxed) {
                for (from, to) in [(&*near, &far), (&far, &*near)] {
                    while let Ok(Some(bytes)) = from.read(&mut frame) {
                        let _ = to.write(bytes);
                    }
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        };
        Self {
            director,
            host,
            tap,
            stop,
            carrier: Some(std::thread::spawn(carry)),
        }
    }

    fn watcher(&self) -> Watcher {
        let mut watcher = Watcher::new(&self.director.open(), vec![binding(&self.tap, 0)]).unwrap();
        let here: IpAddr = "2001:db8::1".parse().unwrap();
        until(&mut watcher, "the first listing", |u| {
            u.local.is_local(here)
        });
        watcher
    }

    fn keeper(&self) -> NeighbourKeeper {
        NeighbourKeeper::new(&self.director.open()).unwrap()
    }

    /// The kernel's line about a neighbour.
    fn line(&self, address: &str) -> String {
        self.director.ip(&format!("neigh show {address}"))
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(carrier) = self.carrier.take() {
            let _ = carrier.join();
        }
    }
}

fn mac_of(update: &Update, address: &str) -> Option<MacAddr> {
    let at = match address.parse().unwrap() {
        IpAddr::V4(a) => match update.fib.route::<V4>(a.into()) {
            Route::Hop(at) => at,
            _ => return None,
        },
        IpAddr::V6(a) => match update.fib.route::<V6>(a.into()) {
            Route::Hop(at) => at,
            _ => return None,
        },
    };
    Some(update.fib.hop(at)?.mac)
}

#[test]
fn servers_are_resolved_and_kept_so() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    let servers = ["192.0.2.2", "2001:db8::2"];
    keeper.set_servers(servers.map(|a| a.parse().unwrap()));
    keeper.tick(watcher.mirror(), Instant::now());
    let all = |u: &Update| servers.iter().all(|a| mac_of(u, a) == Some(mac(2)));
    // IPv6 asks only once its own link-local address has passed duplicate address detection.
    within(&mut watcher, Duration::from_secs(5), "both servers", &mut {
        all
    });
    assert_eq!(keeper.counts(), (2, 0, 0));
    // Kept resolved, and not cleared away when the table is full.
    for server in servers {
        let line = cable.line(server);
        let marks = ["managed", "extern_learn"].map(|mark| line.contains(mark));
        assert_eq!(marks, [true, true], "{line}");
    }
    // A server behind a gateway, and one that is no longer configured.
    cable.director.ip("route add 198.51.100.0/24 via 192.0.2.2");
    until(&mut watcher, "the route", |u| {
        mac_of(u, "198.51.100.5") == Some(mac(2))
    });
    keeper.set_servers(["198.51.100.5".parse().unwrap()]);
    keeper.tick(watcher.mirror(), Instant::now());
    assert!(
        cable.line("192.0.2.2").contains("managed"),
        "it is the gateway"
    );
    let line = cable.line("2001:db8::2");
    let marks = ["managed", "extern_learn"].map(|mark| line.contains(mark));
    assert_eq!(marks, [false, false], "{line}");
    assert!(line.contains("02:00:00:00:00:02"), "still known");
}

#[test]
fn a_server_that_changes_its_address_is_followed() {
    let cable = Cable::new();
    cable.director.ip(
        "ntable change name arp_cache dev pvs0 base_reachable 1000 delay_probe 500 retrans 200",
    );
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    keeper.set_servers(["192.0.2.2".parse().unwrap()]);
    keeper.tick(watcher.mirror(), Instant::now());
    until(&mut watcher, "the server", |u| {
        mac_of(u, "192.0.2.2") == Some(mac(2))
    });
    // As after a fail-over, without a gratuitous ARP; the kernel's probes find it.
    cable.host.ip("link set eth0 address 02:00:00:00:00:22");
    let end = Instant::now() + Duration::from_secs(15);
    let mut states = Vec::new();
    while states.last() != Some(&Some(mac(0x22))) {
        assert!(Instant::now() < end, "{states:?}");
        if let Some(update) = watcher.poll(Duration::from_secs(1)).unwrap() {
            states.push(mac_of(&update, "192.0.2.2"));
        }
        keeper.tick(watcher.mirror(), Instant::now());
    }
}

#[test]
fn a_flushed_server_comes_back() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    keeper.set_servers(["192.0.2.2".parse().unwrap()]);
    keeper.tick(watcher.mirror(), Instant::now());
    until(&mut watcher, "the server", |u| {
        mac_of(u, "192.0.2.2") == Some(mac(2))
    });
    cable.director.ip("neigh del 192.0.2.2 dev pvs0");
    until(&mut watcher, "its absence", |u| {
        mac_of(u, "192.0.2.2").is_none()
    });
    keeper.tick(watcher.mirror(), Instant::now() + Duration::from_secs(1));
    until(&mut watcher, "its return", |u| {
        mac_of(u, "192.0.2.2") == Some(mac(2))
    });
}

#[test]
fn what_workers_ask_for_is_resolved_and_let_go_in_time() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    let start = Instant::now();
    for address in ["192.0.2.2", "192.0.2.99"] {
        keeper.want(
            watcher.mirror(),
            InterfaceIndex(0),
            address.parse().unwrap(),
            start,
        );
    }
    until(&mut watcher, "the client", |u| {
        mac_of(u, "192.0.2.2") == Some(mac(2))
    });
    assert_eq!(keeper.counts(), (0, 2, 0));
    keeper.tick(watcher.mirror(), start + Duration::from_secs(11));
    assert_eq!(keeper.counts(), (0, 1, 0), "nobody answers at 192.0.2.99");
    keeper.tick(watcher.mirror(), start + Duration::from_secs(301));
    assert_eq!(keeper.counts(), (0, 0, 0));
    assert!(
        !cable.line("192.0.2.2").contains("managed"),
        "{}",
        cable.line("192.0.2.2")
    );
    assert!(cable.line("192.0.2.2").contains("02:00:00:00:00:02"));
}

#[test]
fn a_neighbour_that_the_operator_entered_is_left_alone() {
    let cable = Cable::new();
    cable
        .director
        .ip("neigh add 192.0.2.50 lladdr 02:00:00:00:00:50 dev pvs0 nud permanent");
    let (watcher, mut keeper) = (cable.watcher(), cable.keeper());
    let address: IpAddr = "192.0.2.50".parse().unwrap();
    keeper.set_servers([address]);
    keeper.tick(watcher.mirror(), Instant::now());
    keeper.want(watcher.mirror(), InterfaceIndex(0), address, Instant::now());
    let line = cable.line("192.0.2.50");
    assert!(
        line.contains("PERMANENT") && !line.contains("managed"),
        "{line}"
    );
}

#[test]
fn the_kernel_s_word_that_nobody_answers_is_heard() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    cable
        .director
        .ip("ntable change name arp_cache dev pvs0 retrans 100");
    keeper.set_servers(["192.0.2.99".parse().unwrap()]);
    keeper.tick(watcher.mirror(), Instant::now());
    let to = |u: &Update| {
        u.fib
            .route::<V4>(std::net::Ipv4Addr::new(192, 0, 2, 99).into())
    };
    let mut failed = |u: &Update| matches!(to(u), Route::Failed(..));
    within(&mut watcher, Duration::from_secs(5), "failure", &mut failed);
}

#[test]
fn letting_go_of_all_leaves_ordinary_neighbours() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    keeper.set_servers(["192.0.2.2".parse().unwrap()]);
    keeper.tick(watcher.mirror(), Instant::now());
    until(&mut watcher, "the server", |u| {
        mac_of(u, "192.0.2.2") == Some(mac(2))
    });
    keeper.release_all(watcher.mirror());
    assert!(
        !cable.line("192.0.2.2").contains("managed"),
        "{}",
        cable.line("192.0.2.2")
    );
    assert_eq!(keeper.counts(), (0, 0, 0));
}

#[test]
fn letting_go_of_all_leaves_what_the_operator_entered() {
    let cable = Cable::new();
    let (mut watcher, mut keeper) = (cable.watcher(), cable.keeper());
    let managed = |cable: &Cable| cable.line("192.0.2.2").contains("managed");
    for before in [true, false] {
        keeper.set_servers(["192.0.2.2".parse().unwrap()]);
        if !before {
            keeper.tick(watcher.mirror(), Instant::now());
            assert!(managed(&cable));
        }
        let enter = "neigh replace 192.0.2.2 lladdr 02:00:00:00:00:77 dev pvs0 nud permanent";
        cable.director.ip(enter);
        until(&mut watcher, "the entry", |u| {
            mac_of(u, "192.0.2.2") == Some(MacAddr([2, 0, 0, 0, 0, 0x77]))
        });
        keeper.tick(watcher.mirror(), Instant::now());
        keeper.release_all(watcher.mirror());
        let line = cable.line("192.0.2.2");
        assert!(
            line.contains("02:00:00:00:00:77") && line.contains("PERMANENT"),
            "{line}"
        );
        cable.director.ip("neigh del 192.0.2.2 dev pvs0");
        until(&mut watcher, "no entry", |u| {
            mac_of(u, "192.0.2.2").is_none()
        });
    }
}
