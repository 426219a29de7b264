//! Many ports of one queue each, for several workers: all that is given away comes back to be sent.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{VIP, service, snapshot};
use pvs_dataplane::engine::{Engine, EngineConfig};
use pvs_dataplane::fib::{
    Fib, FibBuilder, Interface, InterfaceIndex, Neighbour, PortIndex, Target,
};
use pvs_dataplane::memory::{Cable, MemoryPool, MemoryPort};
use pvs_dataplane::port::{BURST, Caps};
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{self, DIRECTOR_CLIENT_MAC, from_client};
use pvs_oracle::scenario::at;
use pvs_proto::wire::tcp::SYN;
use pvs_proto::{Addr4, V4, VlanId};
use pvs_sched::{Method, Transport};

const WORKERS: u16 = 4;
const ROUNDS: u64 = 300;

/// Clients on every port; the server on the last.
fn fib(ports: u16) -> Fib {
    let mut b = FibBuilder::new();
    for port in 0..ports {
        b.interface(Interface {
            port: PortIndex(port),
            vlan: VlanId::NONE,
            mac: DIRECTOR_CLIENT_MAC,
            other_macs: vec![],
            mtu: 1500,
        });
    }
    let last = InterfaceIndex(ports - 1);
    let server = Addr4::from_wire([192, 168, 1, 1]);
    b.route::<V4>(Addr4::from_wire([192, 168, 1, 0]), 24, Target::OnLink(last));
    b.route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local);
    b.neighbour::<V4>(last, server, Neighbour::Resolved(frames::server_mac(1)));
    b.build(1)
}

/// What was sent in by all ports, what came out, and what was lost.
fn full_bursts(ports: u16) -> (u64, u64, u64) {
    let pool = MemoryPool::new(16_384, 256);
    let caps = || Caps {
        mac: DIRECTOR_CLIENT_MAC,
        mtu: 1500,
        queues: 1,
        rx_ip_checksum: false,
        tx_ip_checksum: false,
        tx_l4_checksum: false,
    };
    let port = |_| MemoryPort::new(caps(), pool.clone(), 4096);
    let (queues, cables): (Vec<_>, Vec<Cable>) = (0..ports).map(port).unzip();
    let queues = queues.into_iter().map(|queue| vec![queue]).collect();
    let config = EngineConfig::default();
    let mut engine = Engine::new(&config, Steering::ring(WORKERS), queues).unwrap();
    engine.fibs.publish(fib(ports));
    let servers = [("192.168.1.1:80", Method::Route)];
    let mut snapshot = snapshot(1, Some(service(Transport::Tcp, VIP, &servers)));
    snapshot.settle();
    engine.snapshots.publish(snapshot);
    let (mut sent, mut came) = (0, 0);
    for round in 0..ROUNDS + 100 {
        for cable in cables.iter().filter(|_| round < ROUNDS) {
            for _ in 0..BURST {
                sent += 1;
                let client = at(&format!("10.9.{}.1:{}", sent % 7, 4000 + sent % 4000));
                assert!(cable.send(&from_client(&frames::tcp(client, at(VIP), SYN, b""))));
            }
        }
        for worker in &mut engine.workers {
            worker.poll(1_000_000_000 + round * 10_000);
        }
        for cable in &cables {
            came += core::iter::from_fn(|| cable.receive()).count() as u64;
        }
    }
    let losses = engine.handles.iter().flat_map(|h| h.stats.losses());
    (sent, came, losses.map(|(_, lost)| lost).sum())
}

#[test]
fn what_comes_back_to_a_queue_finds_room_whatever_the_number_of_ports() {
    for ports in 1..=5 {
        let (sent, came, lost) = full_bursts(ports);
        assert_eq!((came, lost), (sent, 0), "{ports} ports");
    }
}
