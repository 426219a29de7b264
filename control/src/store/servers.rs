//! Edits of real servers: `-a`, `-e`, `-d`. Mirrors `ip_vs_add_dest` and `ip_vs_edit_dest`, the
//! order of their refusals included.

use super::Store;
use crate::plane::Plane;
use crate::reply::Refusal;
use pvs_sched::ServerIndex;
use pvs_sched::config::{AddressFamily, Method, ServerConfig, ServerKey, ServiceKey, TunnelKind};
use pvs_sched::limits::WEIGHT_MAX;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// No, plain and remote checksum: 0, 1, 2.
const TUNNEL_FLAGS_MAX: u16 = 2;

impl Store {
    pub(super) fn add_server(
        &mut self,
        key: &ServiceKey,
        config: &ServerConfig,
        plane: &dyn Plane,
    ) -> Result<(), Refusal> {
        let service = self.service(key).ok_or(Refusal::ServiceUndefined)?;
        judge_server(key, config)?;
        if service.server(config.key).is_some() {
            return Err(Refusal::ServerExists);
        }
        let address = config.key.address;
        let unicast = is_unicast(address) && !self.locality.is_broadcast(address);
        if !unicast && !self.locality.is_local(address) {
            return Err(Refusal::Invalid);
        }
        self.judge_features(config)?;
        let id = self.books.get(key).map_or(0, |b| b.id);
        let index = self.cells.take(*key, id, config.key, plane)?;
        self.judge_threshold(index, config, plane);
        let next = self.service(key).map(|s| s.with_server(index, *config));
        self.put(next.ok_or(Refusal::ServiceUndefined)?);
        Ok(())
    }

    pub(super) fn edit_server(
        &mut self,
        key: &ServiceKey,
        config: &ServerConfig,
        plane: &dyn Plane,
    ) -> Result<(), Refusal> {
        let service = self.service(key).ok_or(Refusal::ServiceUndefined)?;
        judge_server(key, config)?;
        let server = service.server(config.key).ok_or(Refusal::ServerUnknown)?;
        self.judge_features(config)?;
        let (index, next) = (server.index, service.with_edited_server(*config));
        self.judge_threshold(index, config, plane);
        self.put(next);
        Ok(())
    }

    pub(super) fn delete_server(
        &mut self,
        key: &ServiceKey,
        server: ServerKey,
        plane: &dyn Plane,
    ) -> Result<(), Refusal> {
        let service = self.service(key).ok_or(Refusal::ServiceUndefined)?;
        let index = service.server(server).ok_or(Refusal::ServerUnknown)?.index;
        let next = service.without_server(server);
        self.next.removals += 1;
        let counted = self.cells.leave(index, self.version(), plane);
        if let Some(book) = self.books.get_mut(key) {
            book.left = book.left.plus(counted);
        }
        self.put(next);
        Ok(())
    }

    /// The plane asks itself whether the server is over its threshold: now, and without one once
    /// more when no worker judges by another any longer.
    fn judge_threshold(&mut self, index: ServerIndex, config: &ServerConfig, plane: &dyn Plane) {
        if self.trial {
            return;
        }
        plane.judge_threshold(index, config.upper_threshold, config.lower_threshold);
        if config.upper_threshold == 0 {
            self.unlimited.insert(index, self.version());
        }
    }

    /// Every worker has seen this version: servers without a threshold are at none.
    pub(super) fn judge_unlimited(&mut self, version: u64, plane: &dyn Plane) {
        let next = &self.next;
        self.unlimited.retain(|index, since| {
            let is_seen = *since <= version;
            if let Some(config) = next.server(*index).filter(|_| is_seen) {
                plane.judge_threshold(*index, config.upper_threshold, config.lower_threshold);
            }
            !is_seen
        });
    }

    fn judge_features(&self, config: &ServerConfig) -> Result<(), Refusal> {
        match self.capabilities.missing_for_server(config) {
            Some(feature) => Err(Refusal::Unsupported(feature)),
            None => Ok(()),
        }
    }
}

/// What the kernel has against a server before it looks for it in the service.
fn judge_server(service: &ServiceKey, config: &ServerConfig) -> Result<(), Refusal> {
    let other_family = family(config.key.address) != service.family();
    if config.method == Method::Local || (other_family && config.method != Method::Tunnel) {
        return Err(Refusal::Invalid);
    }
    if config.weight > WEIGHT_MAX || config.lower_threshold > config.upper_threshold {
        return Err(Refusal::OutOfRange);
    }
    let tunnel = config.tunnel;
    if tunnel.flags > TUNNEL_FLAGS_MAX || (tunnel.kind == TunnelKind::Gue && tunnel.port == 0) {
        return Err(Refusal::Invalid);
    }
    Ok(())
}

const fn family(address: IpAddr) -> AddressFamily {
    match address {
        IpAddr::V4(_) => AddressFamily::Ipv4,
        IpAddr::V6(_) => AddressFamily::Ipv6,
    }
}

/// What the kernel takes for a unicast address (`__inet_dev_addr_type`, `__ipv6_addr_type`, which
/// calls neither mapped nor link-local addresses so).
fn is_unicast(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let this_network = a.octets().first() == Some(&0);
            !this_network && !a.is_multicast() && a != Ipv4Addr::BROADCAST
        }
        IpAddr::V6(a) => {
            let mapped = a.to_ipv4_mapped().is_some();
            let wrong = a == Ipv6Addr::UNSPECIFIED || a.is_multicast() || mapped;
            !wrong && !a.is_unicast_link_local()
        }
    }
}
