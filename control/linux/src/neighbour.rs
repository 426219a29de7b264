//! Next hops that the kernel is asked to keep resolved.
//!
//! The dataplane speaks no ARP and no neighbour discovery, and since it takes its packets past Linux,
//! Linux has no traffic of its own to learn from. So each next hop is entered as a managed neighbour
//! (NTF_EXT_MANAGED, Linux 5.16), which the kernel probes by itself. The same request carries
//! NTF_USE and is repeated every [`REFRESH`], which is all that older kernels understand of it.
//!
//! The servers' next hops are kept while the servers are configured. Those that workers ask for
//! (clients and gateways on the link) are kept for [`KEEP`] after the last request, and only for
//! [`KEEP_UNRESOLVED`] if nobody answers; there are [`ON_DEMAND_MAX`] of them at most. A neighbour that
//! the operator or a routing daemon entered is left alone: managing it would unset its permanence.

use crate::mirror::NextHop;
use crate::netlink::Requests;
use crate::{Error, Mirror, Namespace};
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use pvs_dataplane::fib::InterfaceIndex;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// How often a wanted neighbour is asked for again.
pub const REFRESH: Duration = Duration::from_secs(25);

/// How long a neighbour that a worker asked for is kept.
pub const KEEP: Duration = Duration::from_secs(300);

/// How long one that does not answer is kept.
pub const KEEP_UNRESOLVED: Duration = Duration::from_secs(10);

/// Neighbours kept for workers at most: half of the kernel's default limit for all (gc_thresh3).
pub const ON_DEMAND_MAX: usize = 512;

/// How often a worker's repeated request is passed on while the neighbour is unresolved.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What to tell the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// Resolve it, and keep it so.
    Manage(NextHop),
    /// It is an ordinary neighbour again.
    Release(NextHop),
}

#[derive(Clone, Copy, Debug)]
struct OnDemand {
    requested: Instant,
    asked: Instant,
}

/// Who is wanted and what follows from it: no socket, the time is an argument.
#[derive(Debug, Default)]
struct Plan {
    servers: BTreeSet<IpAddr>,
    server_hops: BTreeSet<NextHop>,
    on_demand: BTreeMap<NextHop, OnDemand>,
    refreshed: Option<Instant>,
    refused: u64,
}

impl Plan {
    /// A worker's request; `None` if there is no room or it was just passed on.
    fn request(&mut self, hop: NextHop, now: Instant) -> Option<Action> {
        if let Some(known) = self.on_demand.get_mut(&hop) {
            known.requested = now;
            if now.duration_since(known.asked) < ASK_AGAIN {
                return None;
            }
            known.asked = now;
        } else if self.server_hops.contains(&hop) {
            return None;
        } else if self.on_demand.len() >= ON_DEMAND_MAX {
            self.refused += 1;
            return None;
        } else {
            self.on_demand.insert(
                hop,
                OnDemand {
                    requested: now,
                    asked: now,
                },
            );
        }
        Some(Action::Manage(hop))
    }

    /// What is due at this time.
    fn tick(&mut self, mirror: &Mirror, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        let hops: BTreeSet<_> = self
            .servers
            .iter()
            .filter_map(|server| mirror.next_hop(*server))
            .collect();
        let old = std::mem::replace(&mut self.server_hops, hops);
        let released = old
            .difference(&self.server_hops)
            .filter(|hop| !self.on_demand.contains_key(hop));
        actions.extend(released.map(|hop| Action::Release(*hop)));

        let server_hops = &self.server_hops;
        self.on_demand.retain(|hop, known| {
            let limit = if mirror.is_resolved(*hop) {
                KEEP
            } else {
                KEEP_UNRESOLVED
            };
            let kept = now.duration_since(known.requested) < limit;
            if !kept && !server_hops.contains(hop) {
                actions.push(Action::Release(*hop));
            }
            kept
        });

        if self
            .refreshed
            .is_none_or(|at| now.duration_since(at) >= REFRESH)
        {
            self.refreshed = Some(now);
            let all = self.server_hops.iter().chain(
                self.on_demand
                    .keys()
                    .filter(|hop| !server_hops.contains(hop)),
            );
            actions.extend(all.map(|hop| Action::Manage(*hop)));
        } else {
            // New ones, and those that somebody flushed.
            let lacking = self
                .server_hops
                .iter()
                .filter(|hop| !old.contains(hop) || !mirror.has_neighbour(**hop));
            actions.extend(lacking.map(|hop| Action::Manage(*hop)));
        }
        actions.retain(|action| match action {
            Action::Manage(hop) | Action::Release(hop) => !mirror.is_fixed(*hop),
        });
        actions
    }
}

/// Asks the kernel to keep next hops resolved.
#[derive(Debug)]
pub struct NeighbourKeeper {
    requests: Requests,
    plan: Plan,
}

impl NeighbourKeeper {
    /// For the neighbours of one namespace.
    ///
    /// # Errors
    /// The kernel refuses the socket.
    pub fn new(namespace: &Namespace) -> Result<Self, Error> {
        Ok(Self {
            requests: Requests::open(namespace)?,
            plan: Plan::default(),
        })
    }

    /// The real servers' addresses; their next hops are asked for at the next [`tick`](Self::tick).
    pub fn set_servers(&mut self, servers: impl IntoIterator<Item = IpAddr>) {
        self.plan.servers = servers.into_iter().collect();
    }

    /// A worker needs this neighbour of an interface of the last Fib.
    pub fn want(
        &mut self,
        mirror: &Mirror,
        interface: InterfaceIndex,
        address: IpAddr,
        now: Instant,
    ) {
        let Some(ifindex) = mirror.ifindex(interface) else {
            return;
        };
        let hop = NextHop { ifindex, address };
        if mirror.is_fixed(hop) {
            return;
        }
        if let Some(action) = self.plan.request(hop, now) {
            self.carry_out(action);
        }
    }

    /// Does what is due; to be called after each update and at least once a second.
    pub fn tick(&mut self, mirror: &Mirror, now: Instant) {
        for action in self.plan.tick(mirror, now) {
            self.carry_out(action);
        }
    }

    /// Neighbours kept for servers, those kept for workers, and workers' requests that found no room.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, u64) {
        (
            self.plan.server_hops.len(),
            self.plan.on_demand.len(),
            self.plan.refused,
        )
    }

    /// Lets go of all: they are ordinary neighbours again.
    pub fn release_all(&mut self) {
        let plan = std::mem::take(&mut self.plan);
        for hop in plan
            .server_hops
            .into_iter()
            .chain(plan.on_demand.into_keys())
        {
            self.carry_out(Action::Release(hop));
        }
    }

    /// What the kernel refuses (an interface just went, the table is full) comes again at the next refresh.
    fn carry_out(&mut self, action: Action) {
        let done = match action {
            Action::Manage(hop) => self.send(hop, true),
            Action::Release(hop) => self.send(hop, false),
        };
        match done {
            Ok(()) => tracing::debug!(?action, "neighbour"),
            Err(error) => tracing::debug!(?action, %error, "the kernel refused a neighbour"),
        }
    }

    fn send(&mut self, hop: NextHop, managed: bool) -> io::Result<()> {
        let mut message = NeighbourMessage::default();
        message.header.ifindex = hop.ifindex;
        message.header.family = if hop.address.is_ipv4() {
            AddressFamily::Inet
        } else {
            AddressFamily::Inet6
        };
        // Without NTF_EXT_MANAGED the same request takes the mark away and leaves the state.
        message.header.flags = NeighbourFlags::Use;
        message
            .attributes
            .push(NeighbourAttribute::Destination(hop.address.into()));
        if managed {
            message
                .attributes
                .push(NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed));
        }
        let flags = if managed { NLM_F_CREATE } else { 0 };
        self.requests
            .change(RouteNetlinkMessage::NewNeighbour(message), flags)
    }
}
