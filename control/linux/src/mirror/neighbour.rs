//! Neighbours: what the mirror keeps of an RTM_NEWNEIGH.

use super::link::mac;
use netlink_packet_route::neighbour::NeighbourState;
use netlink_packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourExtFlags, NeighbourFlags, NeighbourMessage,
};
use pvs_dataplane::fib::Neighbour;
use std::net::IpAddr;

/// A neighbour as the kernel knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// `None` while it is being resolved for the first time.
    pub(crate) state: Option<Neighbour>,
    /// The operator or a routing daemon entered it: it is not pvs's to touch.
    pub(crate) fixed: bool,
}

impl Known {
    /// As it follows on what was known: one that failed and is asked again has failed until it
    /// answers, or each attempt would take packets from next hops that work.
    pub(crate) fn after(self, before: Option<Self>) -> Self {
        let failed = before.filter(|known| known.state == Some(Neighbour::Failed));
        match self.state {
            None => failed.unwrap_or(self),
            Some(_) => self,
        }
    }
}

/// The neighbour's interface and address, and what is known of it. `None` for entries that are no
/// neighbours: proxies, those of bridges, and group addresses.
pub(crate) fn read(message: &NeighbourMessage) -> Option<((u32, IpAddr), Known)> {
    let header = &message.header;
    if header.flags.contains(NeighbourFlags::Proxy) {
        return None;
    }
    let (mut address, mut lladdr, mut managed) = (None, None, false);
    for attribute in &message.attributes {
        match attribute {
            NeighbourAttribute::Destination(NeighbourAddress::Inet(a)) => {
                address = Some(IpAddr::V4(*a))
            }
            NeighbourAttribute::Destination(NeighbourAddress::Inet6(a)) => {
                address = Some(IpAddr::V6(*a))
            }
            NeighbourAttribute::LinkLayerAddress(bytes) => lladdr = mac(bytes),
            NeighbourAttribute::ExtFlags(flags) => {
                managed = flags.contains(NeighbourExtFlags::Managed)
            }
            _ => (),
        }
    }
    let address = address.filter(|a| !a.is_multicast())?;
    use NeighbourState as S;
    // Who looks after what a routing daemon has learned is that daemon;
    // pvsd's own marks go together.
    let learned = header.flags.contains(NeighbourFlags::ExtLearned) && !managed;
    let fixed = learned || matches!(header.state, S::Permanent | S::Noarp);
    let state = match header.state {
        S::Reachable | S::Stale | S::Delay | S::Probe | S::Permanent | S::Noarp => {
            lladdr.map(if managed || fixed {
                Neighbour::Resolved
            } else {
                Neighbour::Unwatched
            })
        }
        S::Failed => Some(Neighbour::Failed),
        _ => None,
    };
    Some(((header.ifindex, address), Known { state, fixed }))
}
