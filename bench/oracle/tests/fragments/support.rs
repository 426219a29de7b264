//! Directors for long datagrams, and what comes out of them.

use crate::common::dns::{CLIENT6, VIP, VIP6};
use crate::common::pieces::{Random, by};
use crate::common::{CLIENT, snapshot};
use pvs_dataplane::engine::EngineConfig;
use pvs_oracle::frames::from_client;
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side, scenario};
use pvs_proto::checksum::pseudo_header;
use pvs_proto::{Addr4, Addr6, Protocol, checksum};
use pvs_sched::{Counters, Method, ServerConfig, ServerIndex, Transport};
use std::net::{IpAddr, SocketAddr};

pub const SERVER: &str = "192.168.1.1:5353";
pub const SERVER6: &str = "[fd01::1]:5353";

/// Client, service and server of each family.
pub const FAMILIES: [(&str, &str, &str); 2] = [(CLIENT, VIP, SERVER), (CLIENT6, VIP6, SERVER6)];

pub fn director_of(protocol: Transport, vip: &str, config: ServerConfig) -> Director {
    let mut d = Director::with(EngineConfig::default(), &[], 9216).unwrap();
    let service = scenario::service(0, protocol, at(vip), true);
    d.configure(snapshot(
        1,
        Some(service.with_server(ServerIndex(1), config)),
    ));
    d
}

pub fn director(vip: &str, server: &str, method: Method) -> Director {
    director_of(Transport::Udp, vip, scenario::server(at(server), method))
}

/// Sends client's pieces, the frames that come out.
pub fn sent(d: &mut Director, pieces: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let out = pieces
        .iter()
        .flat_map(|piece| d.send(Side::Client, &from_client(piece)).unwrap());
    by(Side::Server, out.collect())
}

pub fn counted(d: &Director) -> Counters {
    d.counters(ServerIndex(1))
}

pub fn payload(len: usize, seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    (0..len).map(|_| random.below(256) as u8).collect()
}

/// The UDP checksum of a datagram between these is right.
pub fn is_right(src: SocketAddr, dst: SocketAddr, segment: &[u8]) -> bool {
    let len = segment.len() as u32;
    let pseudo = match (src.ip(), dst.ip()) {
        (IpAddr::V4(s), IpAddr::V4(d)) => {
            pseudo_header(Addr4::from(s), Addr4::from(d), Protocol::UDP, len)
        }
        (IpAddr::V6(s), IpAddr::V6(d)) => {
            pseudo_header(Addr6::from(s), Addr6::from(d), Protocol::UDP, len)
        }
        _ => unreachable!(),
    };
    pseudo.and(checksum::Sum::of(segment)).finish() == 0
}
