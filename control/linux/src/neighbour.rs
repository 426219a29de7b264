//! Next hops that the kernel is asked to keep resolved.
//!
//! The dataplane speaks no ARP and no neighbour discovery, and since it takes its packets past
//! Linux, Linux has no traffic of its own to learn from. So each next hop is entered as a managed
//! neighbour (NTF_EXT_MANAGED, Linux 5.16), which the kernel probes by itself. The same request
//! carries NTF_USE and is repeated every [`REFRESH`], which is all that older kernels understand of
//! it. And it carries NTF_EXT_LEARNED: such a neighbour is not among those that the kernel counts
//! and clears away when its table is full, as it is while somebody floods the segment with ARP.
//!
//! The kernel looks after managed neighbours every five seconds, and a change that nobody announces
//! should show earlier. So those that are resolved are asked for every [`LOOK_AFTER`]; with the
//! timers of a mirror tap (`timers.rs`), which let a neighbour pass for reachable for half a second
//! or so, that makes Linux ask each of them about twice a second whether it is still there.
//!
//! The servers' next hops are kept while the servers are configured. Those that workers ask for
//! (clients and gateways on the link) are kept for [`KEEP`] after the last request, a gateway that
//! answers as long as a route leads to it, and one that does not answer for [`KEEP_UNRESOLVED`]
//! only; there are [`ON_DEMAND_MAX`] of them at most, and room for [`FOR_GATEWAYS`] more that are
//! gateways. Of a route with several next hops all are kept, whether they answer or not, so that
//! one that fails is known to, and one that comes back is noticed. A neighbour that the operator or
//! a routing daemon entered is left alone: managing it would unset its permanence. All this is
//! `plan.rs`; here it is carried out.

mod plan;

pub use plan::{FOR_GATEWAYS, KEEP, KEEP_UNRESOLVED, LOOK_AFTER, ON_DEMAND_MAX, REFRESH};

use crate::mirror::{NeighbourView, NextHop};
use crate::netlink::Requests;
use crate::{Error, Mirror, Namespace};
use netlink_packet_core::NLM_F_CREATE;
use netlink_packet_route::neighbour::{
    NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use plan::{Action, Plan};
use pvs_dataplane::fib::InterfaceIndex;
use std::io;
use std::net::IpAddr;
use std::time::Instant;

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

    /// Another namespace, as after the first one was deleted: nothing is asked for there yet.
    ///
    /// # Errors
    /// The kernel refuses the socket; nothing has changed then.
    pub fn move_to(&mut self, namespace: &Namespace) -> Result<(), Error> {
        self.requests = Requests::open(namespace)?;
        self.plan.wanted.clear();
        Ok(())
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
        if mirror.neighbour(hop) == NeighbourView::Fixed {
            return;
        }
        for action in self.plan.request(mirror, hop, now) {
            self.carry_out(action);
        }
    }

    /// Does what is due; to be called after each update and at least once a second.
    pub fn tick(&mut self, mirror: &Mirror, now: Instant) {
        for action in self.plan.tick(mirror, now) {
            self.carry_out(action);
        }
    }

    /// Reminds the kernel of those that are resolved; to be called every [`LOOK_AFTER`].
    pub fn look_after(&mut self, mirror: &Mirror, now: Instant) {
        for action in self.plan.look_after(mirror, now) {
            self.carry_out(action);
        }
    }

    /// Neighbours kept for servers, those kept for workers, and workers'
    /// requests that found no room.
    #[must_use]
    pub fn counts(&self) -> (usize, usize, u64) {
        let on_demand = self.plan.on_demand();
        let serving = self.plan.wanted.len() - on_demand;
        (serving, on_demand, self.plan.refused)
    }

    /// Every next hop that is kept, and whether a server is reached by it.
    pub fn kept(&self) -> impl Iterator<Item = (NextHop, bool)> {
        let wanted = self.plan.wanted.iter();
        wanted.map(|(hop, wanted)| (*hop, wanted.serves))
    }

    /// The real servers' addresses that it was told last.
    pub fn servers(&self) -> impl Iterator<Item = IpAddr> {
        self.plan.servers.iter().copied()
    }

    /// Lets go of all: they are ordinary neighbours again. Those that somebody has entered for good
    /// stay so.
    pub fn release_all(&mut self, mirror: &Mirror) {
        let plan = std::mem::take(&mut self.plan);
        let ours = |hop: &NextHop| mirror.neighbour(*hop) != NeighbourView::Fixed;
        for hop in plan.wanted.into_keys().filter(ours) {
            self.carry_out(Action::Release(hop));
        }
    }

    /// What the kernel refuses (an interface just went, the table is full) comes
    /// again at the next refresh.
    fn carry_out(&mut self, action: Action) {
        let done = match action {
            Action::Manage(hop) => self.enter(hop, true),
            Action::Release(hop) => self.enter(hop, false),
            Action::Forget(hop) => self.delete(hop),
        };
        match done {
            Ok(()) => tracing::debug!(?action, "neighbour"),
            Err(error) => tracing::debug!(?action, %error, "the kernel refused a neighbour"),
        }
    }

    fn enter(&mut self, hop: NextHop, managed: bool) -> io::Result<()> {
        let mut message = about(hop);
        // Without the marks the same request takes them away and leaves the state.
        message.header.flags = NeighbourFlags::Use;
        if managed {
            message.header.flags |= NeighbourFlags::ExtLearned;
            let managed = NeighbourAttribute::ExtFlags(NeighbourExtFlags::Managed);
            message.attributes.push(managed);
        }
        let flags = if managed { NLM_F_CREATE } else { 0 };
        self.requests
            .change(RouteNetlinkMessage::NewNeighbour(message), flags)
    }

    fn delete(&mut self, hop: NextHop) -> io::Result<()> {
        self.requests
            .change(RouteNetlinkMessage::DelNeighbour(about(hop)), 0)
    }
}

fn about(hop: NextHop) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.ifindex = hop.ifindex;
    message.header.family = if hop.address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let destination = NeighbourAttribute::Destination(hop.address.into());
    message.attributes.push(destination);
    message
}
