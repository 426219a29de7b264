//! The configuration that workers see: one immutable value, published as a whole.
//!
//! An edit clones the snapshot, which costs a few words for each service (a pointer, and its place
//! in the indices) and for each server (its name), and replaces the one service that it changes.

use crate::callers::{Callers, From};
use crate::config::{AddressFamily, ServerConfig, ServiceKey};
use crate::marks::MarkRules;
use crate::real::{Real, Reals};
use crate::service::{ServerIndex, Service, ServiceIndex};
use crate::tunables::Tunables;
use core::net::IpAddr;
use hashbrown::HashMap;
use pvs_proto::state::Timeouts;
use pvs_proto::{Addr4, Addr6, Address, Family, Protocol, V4, V6};
use std::sync::Arc;

/// FTP's control connection: such a service takes its data connections too.
pub const FTP: u16 = 21;
/// Where active FTP's data comes from.
pub const FTP_DATA: u16 = 20;
/// The first port that any process may use (`ip_unprivileged_port_start`): passive
/// FTP's data may be on it.
const UNPRIVILEGED: u16 = 1024;

/// The services of one family by what a packet carries.
#[derive(Clone, Debug)]
pub struct Index<A> {
    by_port: HashMap<(Protocol, A, u16), ServiceIndex>,
    /// How many services have the address, whatever their ports.
    by_addr: HashMap<(Protocol, A), u32>,
    /// How many services take more ports than their own: those of FTP, and those on port 0.
    wide: u32,
}

/// A service on this port takes others' packets too.
const fn is_wide(protocol: Protocol, port: u16) -> bool {
    port == 0 || (port == FTP && protocol.0 == Protocol::TCP.0)
}

impl<A> Default for Index<A> {
    fn default() -> Self {
        Self {
            by_port: HashMap::new(),
            by_addr: HashMap::new(),
            wide: 0,
        }
    }
}

impl<A: Address> Index<A> {
    fn put(&mut self, protocol: Protocol, addr: A, port: u16, index: ServiceIndex) {
        if self.by_port.insert((protocol, addr, port), index).is_none() {
            *self.by_addr.entry((protocol, addr)).or_default() += 1;
            self.wide += u32::from(is_wide(protocol, port));
        }
    }

    fn remove(&mut self, protocol: Protocol, addr: A, port: u16) {
        if self.by_port.remove(&(protocol, addr, port)).is_none() {
            return;
        }
        self.wide = self.wide.saturating_sub(is_wide(protocol, port).into());
        if let Some(count) = self.by_addr.get_mut(&(protocol, addr)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.by_addr.remove(&(protocol, addr));
            }
        }
    }
}

/// The whole configuration.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts up with every published snapshot.
    pub version: u64,
    /// The timeouts that a connection gets at its next change of state.
    pub timeouts: Timeouts,
    /// How many servers have been removed from their services: workers look whether it grows.
    pub removals: u64,
    /// How many workers pick out of it.
    pub workers: usize,
    /// What `pvsadm sysctl` sets.
    pub tunables: Tunables,
    /// What `pvsadm mark` sets.
    pub marks: Arc<MarkRules>,
    by_mark: HashMap<(u32, AddressFamily), ServiceIndex>,
    services: Vec<Option<Arc<Service>>>,
    available: Vec<bool>,
    /// The server of each cell. It stays when the server is removed: connections still ask, and the
    /// cell is given to no other server before the last of them has ended.
    servers: Vec<Option<ServerConfig>>,
    /// What servers' packets are known by.
    reals: Reals,
    /// Servers that may begin connections, as of the last [`settle`](Self::settle).
    callers: Callers,
    v4: Index<Addr4>,
    v6: Index<Addr6>,
}

/// A family that services can be looked up in.
pub trait SnapshotFamily: Family {
    #[doc(hidden)]
    fn index(snapshot: &Snapshot) -> &Index<Self::Addr>;
}

impl SnapshotFamily for V4 {
    fn index(snapshot: &Snapshot) -> &Index<Addr4> {
        &snapshot.v4
    }
}

impl SnapshotFamily for V6 {
    fn index(snapshot: &Snapshot) -> &Index<Addr6> {
        &snapshot.v6
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
        let index = *F::index(self).by_port.get(&(protocol, addr, port))?;
        self.service(index)
    }

    /// The service of a mark.
    #[must_use]
    pub fn marked(&self, mark: u32, family: AddressFamily) -> Option<&Service> {
        self.service(*self.by_mark.get(&(mark, family))?)
    }

    /// There is a service of a mark: packets are asked for theirs.
    #[inline]
    #[must_use]
    pub fn has_marked(&self) -> bool {
        !self.by_mark.is_empty()
    }

    /// The service of its address and port that takes a packet, in the kernel's order
    /// (`ip_vs_service_find`): its port's own; for a port that may be of FTP's data, the service of
    /// FTP; the service on port 0, which takes every port.
    #[inline]
    pub fn serving<F: SnapshotFamily>(
        &self,
        protocol: Protocol,
        addr: F::Addr,
        port: u16,
    ) -> Option<&Service> {
        let exact = self.lookup::<F>(protocol, addr, port);
        if exact.is_some() || F::index(self).wide == 0 {
            return exact;
        }
        self.wide::<F>(protocol, addr, port)
    }

    #[cold]
    fn wide<F: SnapshotFamily>(
        &self,
        protocol: Protocol,
        addr: F::Addr,
        port: u16,
    ) -> Option<&Service> {
        let may_be_ftp = protocol == Protocol::TCP && (port == FTP_DATA || port >= UNPRIVILEGED);
        let ftp = may_be_ftp.then(|| self.lookup::<F>(protocol, addr, FTP));
        ftp.flatten()
            .or_else(|| self.lookup::<F>(protocol, addr, 0))
    }

    /// True if a service has this address, whatever its port.
    pub fn serves<F: SnapshotFamily>(&self, protocol: Protocol, addr: F::Addr) -> bool {
        F::index(self).by_addr.contains_key(&(protocol, addr))
    }

    /// The service in a slot.
    #[must_use]
    pub fn service(&self, index: ServiceIndex) -> Option<&Service> {
        self.services.get(index.0 as usize)?.as_deref()
    }

    /// The service of this name.
    #[must_use]
    pub fn find(&self, key: &ServiceKey) -> Option<&Service> {
        match *key {
            ServiceKey::Address {
                protocol,
                address,
                port,
            } => match address {
                IpAddr::V4(a) => self.lookup::<V4>(protocol.protocol(), a.into(), port),
                IpAddr::V6(a) => self.lookup::<V6>(protocol.protocol(), a.into(), port),
            },
            ServiceKey::Mark { mark, family } => self.marked(mark, family),
        }
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

    /// The server that has this cell, or had it last: packets of its connections may still want its
    /// address, and a listing its name.
    #[must_use]
    pub fn server(&self, index: ServerIndex) -> Option<&ServerConfig> {
        self.servers.get(index.0 as usize)?.as_ref()
    }

    /// A service has a server of this kind, address and port.
    #[must_use]
    pub fn has_real(&self, real: Real) -> bool {
        self.reals.has(real)
    }

    /// A server may begin connections of its own.
    #[inline]
    #[must_use]
    pub fn has_callers(&self) -> bool {
        !self.callers.is_empty()
    }

    /// The service in whose name a server begins a connection from this address
    /// and port, and the server.
    #[must_use]
    pub fn caller(&self, from: From) -> Option<(&Service, ServerIndex)> {
        let (service, server) = self.callers.get(&from)?;
        Some((self.service(service)?, server))
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
        self.set_index(service.config.key, Some(index));
        for server in service.servers() {
            self.set_available(server.index, true);
            self.set_server(server.index, server.config);
            self.reals.add(&service.config.key, &server.config);
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
            self.reals.remove(&old.config.key, &server.config);
        }
        self.set_index(old.config.key, None);
        Some(old)
    }

    /// Brings the schedulers' shared states up to this snapshot; see [`Service::settle`]. Which
    /// servers may begin connections is found anew.
    pub fn settle(&mut self) {
        self.callers = Callers::of(self.services());
        for slot in self.services.iter_mut().flatten() {
            if let Some(service) = Arc::get_mut(slot) {
                service.settle(self.workers);
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

    fn set_index(&mut self, key: ServiceKey, index: Option<ServiceIndex>) {
        let (protocol, address, port) = match key {
            ServiceKey::Address {
                protocol,
                address,
                port,
            } => (protocol, address, port),
            ServiceKey::Mark { mark, family } => {
                match index {
                    Some(index) => self.by_mark.insert((mark, family), index),
                    None => self.by_mark.remove(&(mark, family)),
                };
                return;
            }
        };
        let protocol = protocol.protocol();
        match (address, index) {
            (IpAddr::V4(a), Some(index)) => self.v4.put(protocol, a.into(), port, index),
            (IpAddr::V6(a), Some(index)) => self.v6.put(protocol, a.into(), port, index),
            (IpAddr::V4(a), None) => self.v4.remove(protocol, a.into(), port),
            (IpAddr::V6(a), None) => self.v6.remove(protocol, a.into(), port),
        }
    }

    fn set_server(&mut self, server: ServerIndex, config: ServerConfig) {
        let at = server.0 as usize;
        if self.servers.len() <= at {
            self.servers.resize(at + 1, None);
        }
        if let Some(slot) = self.servers.get_mut(at) {
            *slot = Some(config);
        }
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
