//! Whom a persistent service takes for one client: the keys of its templates.
//!
//! Mirrors `ip_vs_sched_persist`. A template remembers a server for a group of client addresses. It
//! is of one port of the virtual address, unless the service is FTP's, which takes data connections
//! too, or on port 0, which takes every port; those of a firewall mark are of the mark, whatever
//! protocol a packet is of.

use crate::config::{Persistence, ServiceKey};
use crate::scheduler::Flow;
use crate::service::Service;
use crate::snapshot::FTP;
use pvs_proto::{Address, Protocol};

/// What a template is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TemplateKey<A> {
    /// The protocol; IP for a mark.
    pub protocol: Protocol,
    /// The clients' network.
    pub client: A,
    /// The virtual address, or the mark in the place of one.
    pub virtual_: A,
    /// The virtual port; 0 where it takes several.
    pub port: u16,
}

/// "Any protocol", as a mark's templates have it.
const IP: Protocol = Protocol(0);

impl<A: Address> TemplateKey<A> {
    /// The key for a connection that the service takes.
    #[must_use]
    pub fn of(
        service: &Service,
        persistence: Persistence,
        protocol: Protocol,
        flow: &Flow<A>,
    ) -> Self {
        let key = Self {
            protocol,
            client: group(flow.client.addr, persistence.netmask),
            virtual_: flow.virtual_.addr,
            port: 0,
        };
        match service.config.key {
            ServiceKey::Address { port, .. } if takes_one_port(port, flow.virtual_.port) => {
                Self { port, ..key }
            }
            ServiceKey::Address { .. } => key,
            ServiceKey::Mark { mark, .. } => Self {
                protocol: IP,
                virtual_: in_place_of_an_address(mark),
                ..key
            },
        }
    }
}

/// A template of this service is of its own port alone, and leads to its servers' own ports.
#[must_use]
pub const fn takes_one_port(service_port: u16, wanted: u16) -> bool {
    service_port == wanted && service_port != FTP
}

/// The network of a client: an IPv4 netmask's bits, or the length of an IPv6 prefix.
fn group<A: Address>(client: A, netmask: u32) -> A {
    match size_of::<A>() {
        4 => A::from_bits(client.bits() & u128::from(netmask)),
        _ => client.masked(u8::try_from(netmask).unwrap_or(u8::MAX).min(128)),
    }
}

/// A mark as the kernel shows it where an address is expected.
fn in_place_of_an_address<A: Address>(mark: u32) -> A {
    match size_of::<A>() {
        4 => A::from_bits(mark.into()),
        _ => A::from_bits(u128::from(mark) << 96),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{AddressFamily, SchedulerName, ServiceConfig, ServiceFlags, Transport};
    use crate::service::ServiceIndex;
    use core::net::IpAddr;
    use pvs_proto::{Addr4, Addr6, Endpoint};

    fn key(service: ServiceKey, netmask: u32, port: u16) -> (u8, String, String, u16) {
        let persistence = Persistence {
            timeout_secs: 300,
            netmask,
        };
        let config = ServiceConfig {
            key: service,
            scheduler: SchedulerName::Rr,
            flags: ServiceFlags::default(),
            persistence: Some(persistence),
            engine: None,
        };
        let service = Service::new(ServiceIndex(0), config, true);
        fn shown<A: Address>(key: TemplateKey<A>) -> (u8, String, String, u16) {
            let text = |addr: A| Into::<IpAddr>::into(addr).to_string();
            (
                key.protocol.0,
                text(key.client),
                text(key.virtual_),
                key.port,
            )
        }
        let tcp = Protocol::TCP;
        match service.config.key.family() {
            AddressFamily::Ipv4 => {
                let end = |octets, port| Endpoint {
                    addr: Addr4::from_wire(octets),
                    port,
                };
                let flow = Flow {
                    client: end([10, 9, 8, 7], 4000),
                    virtual_: end([10, 0, 0, 100], port),
                    now: pvs_proto::Ticks(0),
                };
                shown(TemplateKey::of(&service, persistence, tcp, &flow))
            }
            AddressFamily::Ipv6 => {
                let end = |text: &str, port| Endpoint {
                    addr: Addr6::from(text.parse::<core::net::Ipv6Addr>().unwrap()),
                    port,
                };
                let flow = Flow {
                    client: end("fd09:1:2:3:4:5:6:7", 4000),
                    virtual_: end("fd00::100", port),
                    now: pvs_proto::Ticks(0),
                };
                shown(TemplateKey::of(&service, persistence, tcp, &flow))
            }
        }
    }

    fn at(address: &str, port: u16) -> ServiceKey {
        ServiceKey::Address {
            protocol: Transport::Tcp,
            address: address.parse().unwrap(),
            port,
        }
    }

    #[test]
    fn a_template_is_of_a_port_of_an_address_or_of_a_mark() {
        let v4 = |service, netmask, port| {
            let (protocol, client, virtual_, port) = key(service, netmask, port);
            format!("{protocol} {client} {virtual_}:{port}")
        };
        let (vip, host) = ("10.0.0.100", u32::MAX);
        assert_eq!(v4(at(vip, 80), host, 80), "6 10.9.8.7 10.0.0.100:80");
        assert_eq!(v4(at(vip, 80), 0xffff_ff00, 80), "6 10.9.8.0 10.0.0.100:80");
        assert_eq!(v4(at(vip, 80), 0, 80), "6 0.0.0.0 10.0.0.100:80");
        assert_eq!(v4(at(vip, 21), host, 21), "6 10.9.8.7 10.0.0.100:0");
        assert_eq!(v4(at(vip, 21), host, 20), "6 10.9.8.7 10.0.0.100:0");
        assert_eq!(v4(at(vip, 0), host, 443), "6 10.9.8.7 10.0.0.100:0");
        let mark = |family| ServiceKey::Mark { mark: 258, family };
        assert_eq!(
            v4(mark(AddressFamily::Ipv4), host, 443),
            "0 10.9.8.7 0.0.1.2:0"
        );
        assert_eq!(
            v4(mark(AddressFamily::Ipv6), 64, 443),
            "0 fd09:1:2:3:: 0:102:::0"
        );
        assert_eq!(
            v4(at("fd00::100", 80), 128, 80),
            "6 fd09:1:2:3:4:5:6:7 fd00::100:80"
        );
    }
}
