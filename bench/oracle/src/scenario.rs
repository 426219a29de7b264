//! Directors for tests: a few services and servers without the way through control.

use crate::{Director, Side, frames};
use anyhow::Result;
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Neighbour, Target};
use pvs_dataplane::memory::FRAME_MAX;
use pvs_proto::{Addr4, V4, VlanId};
use pvs_sched::{
    Method, SchedulerName, ServerConfig, ServerIndex, ServerKey, Service, ServiceConfig,
    ServiceIndex, ServiceKey, Snapshot, Transport,
};
use std::net::SocketAddr;

/// An endpoint out of a text.
///
/// # Panics
/// If it is none.
#[must_use]
#[allow(clippy::expect_used)] // a mistake of the test that calls it
pub fn at(text: &str) -> SocketAddr {
    text.parse().expect("an address and a port")
}

/// A service without servers, scheduled by rr.
#[must_use]
pub fn service(index: u32, protocol: Transport, vip: SocketAddr, local: bool) -> Service {
    let key = ServiceKey::Address {
        protocol,
        address: vip.ip(),
        port: vip.port(),
    };
    let config = ServiceConfig::plain(key, SchedulerName::Rr);
    Service::new(ServiceIndex(index), config, local)
}

/// A server of weight 1.
#[must_use]
pub fn server(addr: SocketAddr, method: Method) -> ServerConfig {
    ServerConfig::plain(
        ServerKey {
            address: addr.ip(),
            port: addr.port(),
        },
        method,
        1,
    )
}

/// A director with TCP port 80 and UDP port 53 of 10.0.0.100 over the same servers.
///
/// # Errors
/// If the engine's memory can't be had.
pub fn director(servers: &[(&str, Method)]) -> Result<Director> {
    let mut d = Director::with(EngineConfig::default(), &[], FRAME_MAX)?;
    let mut snapshot = Snapshot::default();
    let mut cell = 0;
    for (index, protocol, vip) in [
        (0, Transport::Tcp, "10.0.0.100:80"),
        (1, Transport::Udp, "10.0.0.100:53"),
    ] {
        let mut service = service(index, protocol, at(vip), true);
        for (addr, method) in servers {
            cell += 1;
            service = service.with_server(ServerIndex(cell), server(at(addr), *method));
        }
        snapshot.put(service);
    }
    d.configure(snapshot);
    Ok(d)
}

/// The laboratory's IPv4 with no router on the clients' side and no neighbour but, perhaps, server
/// 1; the virtual address 10.0.0.100 is local or not.
#[must_use]
pub fn fib_with(server1: Option<Neighbour>, version: u32, vip_is_local: bool) -> Fib {
    let mut b = FibBuilder::new();
    let mut side = |side: Side, mac| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu: 1500,
        })
    };
    let c1 = side(Side::Client, frames::DIRECTOR_CLIENT_MAC);
    let r1 = side(Side::Server, frames::DIRECTOR_SERVER_MAC);
    b.route::<V4>(Addr4(0), 0, Target::OnLink(c1));
    b.route::<V4>(Addr4::from_wire([192, 168, 1, 0]), 24, Target::OnLink(r1));
    if vip_is_local {
        b.route::<V4>(Addr4::from_wire([10, 0, 0, 100]), 32, Target::Local);
    }
    if let Some(state) = server1 {
        b.neighbour::<V4>(r1, Addr4::from_wire([192, 168, 1, 1]), state);
    }
    b.build(version)
}
