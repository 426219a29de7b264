//! The configuration that workers see: one immutable value, published as a whole.
//!
//! An edit clones the snapshot, which costs a pointer for each service, and replaces the one service
//! that it changes.

use crate::config::{AddressFamily, ServiceKey};
use crate::service::{ServerIndex, Service, ServiceIndex};
use core::net::IpAddr;
use hashbrown::HashMap;
use pvs_proto::state::Timeouts;
use pvs_proto::{Addr4, Addr6, Family, Protocol, V4, V6};
use std::sync::Arc;

/// What a service is looked up by.
type Key<A> = (Protocol, A, u16);

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts up with every published snapshot.
    pub version: u64,
    /// The timeouts that a connection gets at its next change of state.
    pub timeouts: Timeouts,
    services: Vec<Option<Arc<Service>>>,
    available: Vec<bool>,
    by_addr4: HashMap<Key<Addr4>, ServiceIndex>,
    by_addr6: HashMap<Key<Addr6>, ServiceIndex>,
}

/// A family that services can be looked up in.
pub trait SnapshotFamily: Family {
    #[doc(hidden)]
    fn index(snapshot: &Snapshot) -> &HashMap<Key<Self::Addr>, ServiceIndex>;
}

impl SnapshotFamily for V4 {
    fn index(snapshot: &Snapshot) -> &HashMap<Key<Addr4>, ServiceIndex> {
        &snapshot.by_addr4
    }
}

impl SnapshotFamily for V6 {
    fn index(snapshot: &Snapshot) -> &HashMap<Key<Addr6>, ServiceIndex> {
        &snapshot.by_addr6
    }
}

impl Snapshot {
    /// The service of this address and port, whether its address is local or not.
    #[inline]
    pub fn lookup<F: SnapshotFamily>(
        &self,
        protocol: Protocol,
        addr: F::Addr,
        port: u16,
    ) -> Option<&Service> {
        let index = *F::index(self).get(&(protocol, addr, port))?;
        self.service(index)
    }

    /// The service in a slot.
    #[must_use]
    pub fn service(&self, index: ServiceIndex) -> Option<&Service> {
        self.services.get(index.0 as usize)?.as_deref()
    }

    /// The service of this name.
    #[must_use]
    pub fn find(&self, key: &ServiceKey) -> Option<&Service> {
        self.services().find(|s| s.config.key == *key)
    }

    /// All services, in the order of their slots.
    pub fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter_map(Option::as_deref)
    }

    /// The server is in the list of its service (IP_VS_DEST_F_AVAILABLE): packets of a connection
    /// whose server was removed are dropped.
    #[must_use]
    #[inline]
    pub fn is_available(&self, server: ServerIndex) -> bool {
        self.available
            .get(server.0 as usize)
            .copied()
            .unwrap_or(false)
    }

    /// The lowest slot without a service.
    #[must_use]
    pub fn free_slot(&self) -> ServiceIndex {
        let taken = self.services.iter().take_while(|s| s.is_some()).count();
        ServiceIndex(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    /// Puts a service into its slot, in place of the one that was there.
    pub fn put(&mut self, service: Service) {
        let index = service.index;
        self.remove(index);
        match service.config.key {
            ServiceKey::Address {
                protocol,
                address: IpAddr::V4(a),
                port,
            } => {
                self.by_addr4
                    .insert((protocol.protocol(), a.into(), port), index);
            }
            ServiceKey::Address {
                protocol,
                address: IpAddr::V6(a),
                port,
            } => {
                self.by_addr6
                    .insert((protocol.protocol(), a.into(), port), index);
            }
            ServiceKey::Mark { .. } => {}
        }
        for server in service.servers() {
            self.set_available(server.index, true);
        }
        let at = index.0 as usize;
        if self.services.len() <= at {
            self.services.resize(at + 1, None);
        }
        if let Some(slot) = self.services.get_mut(at) {
            *slot = Some(Arc::new(service));
        }
    }

    /// Empties a slot.
    pub fn remove(&mut self, index: ServiceIndex) -> Option<Arc<Service>> {
        let old = self.services.get_mut(index.0 as usize)?.take()?;
        for server in old.servers() {
            self.set_available(server.index, false);
        }
        match old.config.key {
            ServiceKey::Address {
                protocol,
                address: IpAddr::V4(a),
                port,
            } => {
                self.by_addr4.remove(&(protocol.protocol(), a.into(), port));
            }
            ServiceKey::Address {
                protocol,
                address: IpAddr::V6(a),
                port,
            } => {
                self.by_addr6.remove(&(protocol.protocol(), a.into(), port));
            }
            ServiceKey::Mark { .. } => {}
        }
        Some(old)
    }

    /// Brings the schedulers' shared states up to this snapshot; see [`Service::settle`].
    pub fn settle(&mut self) {
        for slot in self.services.iter_mut().flatten() {
            if let Some(service) = Arc::get_mut(slot) {
                service.settle();
            }
        }
    }

    /// Tells the services which addresses are local.
    pub fn set_locality(&mut self, is_local: impl Fn(IpAddr) -> bool) {
        for slot in self.services.iter_mut().flatten() {
            if let ServiceKey::Address { address, .. } = slot.config.key {
                let local = is_local(address);
                if slot.local != local {
                    Arc::make_mut(slot).local = local;
                }
            }
        }
    }

    /// True if services of the family exist.
    #[must_use]
    pub fn has_family(&self, family: AddressFamily) -> bool {
        self.services().any(|s| s.config.key.family() == family)
    }

    fn set_available(&mut self, server: ServerIndex, available: bool) {
        let at = server.0 as usize;
        if self.available.len() <= at {
            self.available.resize(at + 1, false);
        }
        if let Some(slot) = self.available.get_mut(at) {
            *slot = available;
        }
    }
}
