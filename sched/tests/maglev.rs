//! mh with tables of several sizes: how many clients keep their server when another one goes, how
//! evenly they are spread, and who may be asked while few servers are left.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_proto::{Addr4, Endpoint, Ticks};
use pvs_sched::{
    Flow, Load, Loads, Method, MhSlots, SchedulerName, ServerConfig, ServerIndex, ServerKey,
    Service, ServiceConfig, ServiceFlags, ServiceIndex, ServiceKey, Transport, Tunables,
};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

/// Clients that are asked for their server.
const CLIENTS: u32 = 100_000;

/// The servers up to this cell are full; mh asks for no load.
struct FullTo(u32);

impl Loads for FullTo {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }
    fn overloaded(&self, server: ServerIndex) -> bool {
        server.0 <= self.0
    }
}

fn server(n: u32, weight: u32) -> ServerConfig {
    ServerConfig::plain(
        ServerKey {
            address: IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0000 + n)),
            port: 80,
        },
        Method::Route,
        weight,
    )
}

fn service(slots: u32, servers: u32, flags: ServiceFlags) -> Service {
    let config = ServiceConfig {
        flags,
        ..ServiceConfig::plain(
            ServiceKey::Address {
                protocol: Transport::Tcp,
                address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
                port: 80,
            },
            SchedulerName::Mh,
        )
    };
    let service = Service::new(ServiceIndex(0), config, true);
    let mut service = service.with_slots(MhSlots::new(slots).unwrap());
    for n in 1..=servers {
        service = service.with_server(ServerIndex(n), server(n, 1));
    }
    service.settle(1);
    service
}

fn without(service: &Service, n: u32) -> Service {
    let mut service = service.without_server(server(n, 1).key);
    service.settle(1);
    service
}

fn pick(service: &Service, client: u32, loads: &FullTo) -> Option<u32> {
    let client = Endpoint {
        // Neighbours among clients are far apart.
        addr: Addr4(client.wrapping_mul(0x9e37_79b9)),
        port: 0,
    };
    let flow = Flow {
        client,
        virtual_: client,
        now: Ticks::default(),
    };
    let picked = service.pick(&flow, &Tunables::default(), loads);
    picked.map(|s| s.index.0)
}

fn all(service: &Service) -> Vec<u32> {
    let picks = (0..CLIENTS).map(|client| pick(service, client, &FullTo(0)));
    picks.map(Option::unwrap).collect()
}

/// Of those whose server stays, the share that get another one when one of 100 goes, on
/// average over ten servers.
fn moved(slots: u32) -> f64 {
    let service = service(slots, 100, ServiceFlags::default());
    let before = all(&service);
    let shares = [1, 12, 23, 34, 45, 56, 67, 78, 89, 100].map(|gone| {
        let after = all(&without(&service, gone));
        let kept = || before.iter().zip(&after).filter(|(b, _)| **b != gone);
        let moved = kept().filter(|(b, a)| b != a).count();
        moved as f64 / kept().count() as f64
    });
    shares.iter().sum::<f64>() / shares.len() as f64
}

#[test]
fn fewer_clients_of_others_move_with_a_larger_table() {
    let [small, large, greatest] = [4093, 65_537, 131_071].map(moved);
    println!(
        "one of 100 servers goes: of the others' clients move {:.2} % with 4093 slots, {:.2} % with 65537, {:.2} % with 131071",
        small * 100.0,
        large * 100.0,
        greatest * 100.0
    );
    assert!(large <= 0.01, "{large}");
    assert!(large < small / 2.0, "{large} of {small}");
    assert!(greatest <= large * 1.2, "{greatest} of {large}");
}

#[test]
fn clients_are_spread_more_evenly_with_a_larger_table() {
    let [small, large] = [4093, 65_537].map(|slots| {
        let picked = all(&service(slots, 100, ServiceFlags::default()));
        let shares = (1..=100).map(|n| picked.iter().filter(|p| **p == n).count());
        let (least, most) = (shares.clone().min().unwrap(), shares.max().unwrap());
        most as f64 / least as f64
    });
    println!(
        "most clients of a server by least: {small:.3} with 4093 slots, {large:.3} with 65537"
    );
    assert!(large < 1.25 && large <= small, "{large} of {small}");
}

#[test]
fn with_one_server_of_a_thousand_left_each_client_finds_it() {
    let fallback = ServiceFlags::SCHED1;
    let service = service(65_537, 1000, fallback);
    for client in 0..2000 {
        assert_eq!(pick(&service, client, &FullTo(999)), Some(1000));
    }
    assert_eq!(pick(&service, 0, &FullTo(1000)), None);
}

#[test]
fn a_number_of_slots_survives_edits_and_changes_the_table_at_once() {
    let before = service(65_537, 20, ServiceFlags::default());
    let edited = before.edited(before.config.clone());
    assert_eq!(edited.slots(), before.slots());
    assert_eq!(all(&edited), all(&before));
    let mut small = before.with_slots(MhSlots::default());
    small.settle(1);
    assert_eq!(
        all(&small),
        all(&service(4093, 20, ServiceFlags::default()))
    );
    assert_ne!(all(&small), all(&before));
}

#[test]
fn a_table_of_a_thousand_servers_is_filled_in_some_milliseconds() {
    for slots in [4093, 65_537, 131_071] {
        let service = service(slots, 1000, ServiceFlags::default());
        let times = (1..=9).map(|n| {
            let mut without = service.without_server(server(100 * n, 1).key);
            let start = Instant::now();
            without.settle(1);
            start.elapsed()
        });
        // The least: others may be working on this machine.
        let least = times.min().unwrap();
        println!("{slots} slots, 999 servers: {} us", least.as_micros());
        let unoptimised = if cfg!(debug_assertions) { 20 } else { 1 };
        assert!(least.as_millis() < 20 * unoptimised, "{slots}: {least:?}");
    }
}
