//! Servers that may begin connections of their own: masqueraded ones of services of UDP with an
//! engine (`ip_vs_find_real_service`, `conn_out`). The engine is `sip`, there being no other.

use crate::config::{Method, ServiceKey, Transport};
use crate::service::{ServerIndex, Service, ServiceIndex};
use core::net::IpAddr;
use hashbrown::HashMap;
use pvs_proto::Protocol;

/// What a packet comes from: its protocol, source address and port.
pub type From = (Protocol, IpAddr, u16);

/// All of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callers(HashMap<From, (ServiceIndex, ServerIndex)>);

impl Callers {
    /// Those of these services.
    pub(crate) fn of<'a>(services: impl Iterator<Item = &'a Service>) -> Self {
        let mut callers = HashMap::new();
        for service in services.filter(|service| service.config.engine.is_some()) {
            let protocol = match service.config.key {
                ServiceKey::Address {
                    protocol: Transport::Udp,
                    ..
                } => Protocol::UDP,
                _ => continue,
            };
            for server in service.servers() {
                if server.config.method == Method::Masquerade {
                    let key = server.config.key;
                    let from = (protocol, key.address, key.port);
                    callers.insert(from, (service.index, server.index));
                }
            }
        }
        Self(callers)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn get(&self, from: &From) -> Option<(ServiceIndex, ServerIndex)> {
        self.0.get(from).copied()
    }
}
