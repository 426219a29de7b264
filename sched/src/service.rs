//! A service as a snapshot holds it: its configuration, its servers in the kernel's list order, and
//! its scheduler.
//!
//! Immutable once published. An edit makes a new [`Service`] out of the old one; the scheduler's
//! mutable state is shared by both. Order matters to most schedulers: a new server goes to the head
//! of the list (`ip_vs_new_dest` adds at the head), an edited one stays where it is.

use crate::cells::Loads;
use crate::config::{ServerConfig, ServerKey, ServiceConfig};
use crate::scheduler::{Ask, Edit, Flow, List, Scheduling};
use crate::slots::MhSlots;
use crate::tunables::Tunables;
use pvs_proto::Address;

/// A service's slot in the snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServiceIndex(pub u32);

/// A server's cell. Reused only when no connection refers to it any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ServerIndex(pub u32);

/// A real server of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its cell.
    pub index: ServerIndex,
    /// When it was added, counted within the service from 1: the list is in descending order of
    /// it, so it names a place in the list even after its server is gone.
    pub ordinal: u32,
    /// The last weight that was not 0; 0 if it has had no other (`last_weight` of `ip_vs_dest`).
    pub last_weight: u32,
    /// What the operator gave.
    pub config: ServerConfig,
}

/// A virtual service with its servers.
#[derive(Clone, Debug)]
pub struct Service {
    /// Its slot.
    pub index: ServiceIndex,
    /// What the operator gave.
    pub config: ServiceConfig,
    /// Its address is local in the mirror's namespace, as far as control has heard: what listings
    /// say. Workers ask the forwarding information, which a change reaches first. True for a mark,
    /// whose packets are judged by their own address.
    pub local: bool,
    slots: MhSlots,
    servers: Vec<Server>,
    added: u32,
    scheduling: Scheduling,
}

impl Service {
    /// A service without servers.
    #[must_use]
    pub fn new(index: ServiceIndex, config: ServiceConfig, local: bool) -> Self {
        let scheduling = Scheduling::new(&config, &[]);
        Self {
            index,
            config,
            local,
            slots: MhSlots::default(),
            servers: Vec::new(),
            added: 0,
            scheduling,
        }
    }

    /// How many slots its table has if its scheduler is mh; else nobody asks.
    #[must_use]
    pub const fn slots(&self) -> MhSlots {
        self.slots
    }

    /// `pvsadm mh`: another number of slots, which an edit keeps.
    #[must_use]
    pub fn with_slots(&self, slots: MhSlots) -> Self {
        Self {
            slots,
            ..self.clone()
        }
    }

    /// The servers, in the kernel's list order.
    #[must_use]
    pub fn servers(&self) -> &[Server] {
        &self.servers
    }

    /// The server of this name.
    #[must_use]
    pub fn server(&self, key: ServerKey) -> Option<&Server> {
        self.servers.iter().find(|s| s.config.key == key)
    }

    /// `-E`: another configuration; a changed scheduler starts afresh, an unchanged one goes on.
    #[must_use]
    pub fn edited(&self, config: ServiceConfig) -> Self {
        let mut next = self.clone();
        if config.scheduler != self.config.scheduler {
            next.scheduling = Scheduling::new(&config, &next.servers);
        }
        next.config = config;
        next
    }

    /// `-a`: another server at the head of the list.
    #[must_use]
    pub fn with_server(&self, index: ServerIndex, config: ServerConfig) -> Self {
        let mut next = self.clone();
        next.added = next.added.wrapping_add(1);
        next.servers.insert(
            0,
            Server {
                index,
                ordinal: next.added,
                last_weight: config.weight,
                config,
            },
        );
        next.reschedule(Edit::Added);
        next
    }

    /// `-e`: another configuration for the server of this name; it keeps its place.
    #[must_use]
    pub fn with_edited_server(&self, config: ServerConfig) -> Self {
        let mut next = self.clone();
        for server in &mut next.servers {
            if server.config.key == config.key {
                server.config = config;
                if config.weight > 0 {
                    server.last_weight = config.weight;
                }
            }
        }
        next.reschedule(Edit::Edited);
        next
    }

    /// `-d`: without the server of this name.
    #[must_use]
    pub fn without_server(&self, key: ServerKey) -> Self {
        let mut next = self.clone();
        let Some(at) = next.servers.iter().position(|s| s.config.key == key) else {
            return next;
        };
        let removed = next.servers.remove(at);
        let before = at
            .checked_sub(1)
            .and_then(|i| next.servers.get(i))
            .map(|s| s.ordinal);
        let ordinal = removed.ordinal;
        next.reschedule(Edit::Removed { ordinal, before });
        next
    }

    fn reschedule(&mut self, edit: Edit) {
        let list = list(&self.config, self.slots, 0, &self.servers);
        self.scheduling.edit(&list, edit);
    }

    /// Brings the scheduler's tables and its shared state up to this service's list. Called once,
    /// by control, when the snapshot that holds the service is published: a refused edit has
    /// changed nothing. What workers keep of it between two picks has room from then on for
    /// `workers` of them; others pick no differently, but more slowly.
    pub fn settle(&mut self, workers: usize) {
        let list = list(&self.config, self.slots, workers, &self.servers);
        self.scheduling.settle(&list);
    }

    /// The server for a new connection; `None` if no server may take it.
    #[inline]
    pub fn pick<A: Address, L: Loads>(
        &self,
        flow: &Flow<A>,
        tunables: &Tunables,
        loads: &L,
    ) -> Option<&Server> {
        let place = self.scheduling.pick(&self.ask(flow, tunables), loads)?;
        self.servers.get(place)
    }

    /// The server that a new connection would get now. Nothing changes: the next one gets what it
    /// would have got. Not for workers, since it allocates.
    #[must_use]
    pub fn peek<A: Address, L: Loads>(
        &self,
        flow: &Flow<A>,
        tunables: &Tunables,
        loads: &L,
    ) -> Option<&Server> {
        let place = self.scheduling.peek(&self.ask(flow, tunables), loads)?;
        self.servers.get(place)
    }

    #[inline]
    fn ask<'a, A>(&'a self, flow: &'a Flow<A>, tunables: &'a Tunables) -> Ask<'a, A> {
        Ask {
            servers: &self.servers,
            flags: self.config.flags,
            flow,
            tunables,
        }
    }
}

/// What a scheduler is built of.
fn list<'a>(
    config: &ServiceConfig,
    slots: MhSlots,
    workers: usize,
    servers: &'a [Server],
) -> List<'a> {
    List {
        family: config.key.family(),
        slots,
        workers,
        servers,
    }
}
