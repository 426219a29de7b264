//! Which addresses and ports are real servers', as the kernel's `rs_table` knows them.
//!
//! Asked where a packet comes from a server and belongs to no connection: a masqueraded server by
//! its port and protocol, the other end of a tunnel by what is between the headers. Servers under
//! direct routing are not in it.

use crate::config::{Method, ServerConfig, ServiceKey, TunnelKind};
use core::net::IpAddr;
use hashbrown::HashMap;
use pvs_proto::Protocol;

/// What a real server is known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Real {
    /// What masqueraded replies come from; a firewall mark's servers serve any
    /// protocol, which is `None`.
    Masquerade(Option<Protocol>, IpAddr, u16),
    /// The other end of a tunnel, with the UDP port of GUE, else 0.
    Tunnel(TunnelKind, IpAddr, u16),
}

/// All of them, with how many services have each.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reals(HashMap<Real, u32>);

impl Reals {
    pub(crate) fn add(&mut self, service: &ServiceKey, server: &ServerConfig) {
        if let Some(real) = real(service, server) {
            *self.0.entry(real).or_default() += 1;
        }
    }

    pub(crate) fn remove(&mut self, service: &ServiceKey, server: &ServerConfig) {
        let Some(real) = real(service, server) else {
            return;
        };
        if let Some(count) = self.0.get_mut(&real) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.0.remove(&real);
            }
        }
    }

    pub(crate) fn has(&self, real: Real) -> bool {
        self.0.contains_key(&real)
    }
}

fn real(service: &ServiceKey, server: &ServerConfig) -> Option<Real> {
    let (address, tunnel) = (server.key.address, server.tunnel);
    match server.method {
        Method::Masquerade => {
            let protocol = match service {
                ServiceKey::Address { protocol, .. } => Some(protocol.protocol()),
                ServiceKey::Mark { .. } => None,
            };
            Some(Real::Masquerade(protocol, address, server.key.port))
        }
        Method::Tunnel => {
            let port = match tunnel.kind {
                TunnelKind::Gue => tunnel.port,
                TunnelKind::Ipip | TunnelKind::Gre => 0,
            };
            Some(Real::Tunnel(tunnel.kind, address, port))
        }
        Method::Route | Method::Local => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ServerKey, Transport, Tunnel};

    fn server(method: Method, tunnel: Tunnel) -> ServerConfig {
        ServerConfig {
            key: ServerKey {
                address: [192, 168, 1, 1].into(),
                port: 80,
            },
            method,
            weight: 0,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel,
        }
    }

    #[test]
    fn a_server_is_known_while_any_service_has_it() {
        let address: IpAddr = [192, 168, 1, 1].into();
        let service = |port| ServiceKey::Address {
            protocol: Transport::Tcp,
            address: [10, 0, 0, 100].into(),
            port,
        };
        let nat = server(Method::Masquerade, Tunnel::default());
        let real = Real::Masquerade(Some(Protocol::TCP), address, 80);
        let mut reals = Reals::default();
        reals.add(&service(80), &nat);
        reals.add(&service(81), &nat);
        reals.add(&service(82), &server(Method::Route, Tunnel::default()));
        assert_eq!(reals.0.len(), 1);
        reals.remove(&service(80), &nat);
        assert!(reals.has(real));
        assert!(!reals.has(Real::Masquerade(Some(Protocol::UDP), address, 80)));
        reals.remove(&service(81), &nat);
        assert!(!reals.has(real));
    }

    #[test]
    fn the_other_end_of_a_tunnel_is_known_by_its_kind_and_port() {
        let address: IpAddr = [192, 168, 1, 1].into();
        let mark = ServiceKey::Mark {
            mark: 1,
            family: crate::config::AddressFamily::Ipv4,
        };
        let gue = Tunnel {
            kind: TunnelKind::Gue,
            port: 6080,
            flags: 0,
        };
        let mut reals = Reals::default();
        reals.add(&mark, &server(Method::Tunnel, gue));
        reals.add(&mark, &server(Method::Masquerade, gue));
        reals.add(&mark, &server(Method::Tunnel, Tunnel::default()));
        assert!(reals.has(Real::Tunnel(TunnelKind::Gue, address, 6080)));
        assert!(reals.has(Real::Tunnel(TunnelKind::Ipip, address, 0)));
        assert!(!reals.has(Real::Tunnel(TunnelKind::Gue, address, 0)));
        assert!(!reals.has(Real::Tunnel(TunnelKind::Gre, address, 0)));
        assert!(reals.has(Real::Masquerade(None, address, 80)));
    }
}
