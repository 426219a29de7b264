//! The mirror as people look at it: interfaces with their states, and how an address is reached.
//!
//! Forwarding takes nothing from here.

use super::link::{Kind, Link};
use super::route::{Exit, Way};
use super::{Mirror, build};
use pvs_dataplane::fib::PortIndex;
use pvs_proto::{MacAddr, VlanId};
use std::net::IpAddr;

/// What an interface is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InterfaceKind {
    /// The mirror tap of a port.
    Tap,
    /// An 802.1Q interface on a tap.
    Vlan(VlanId),
    /// A macvlan on one of the others.
    Macvlan,
}

/// An interface of pvs, as Linux shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sight {
    /// Linux's name of it.
    pub ifname: String,
    /// Linux's index.
    pub ifindex: u32,
    /// What it is.
    pub kind: InterfaceKind,
    /// The port that it leads to.
    pub port: PortIndex,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// It was deleted.
    pub gone: bool,
    /// Its addresses with their prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// How Linux reaches an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// It is Linux's own.
    Local,
    /// By an interface of pvs, or by several.
    Port,
    /// By an interface that is no port of pvs, of this name, or in a way that pvs does not follow.
    Elsewhere(Option<String>),
    /// There is no route.
    Unreachable,
}

/// How much there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// Prefixes that IPv4 routes lead to.
    pub routes_v4: usize,
    /// Prefixes that IPv6 routes lead to.
    pub routes_v6: usize,
    /// Neighbours, of any interface.
    pub neighbours: usize,
}

impl Mirror {
    /// The interfaces of pvs: the taps in the order of the ports, then the
    /// VLANs and macvlans on them.
    #[must_use]
    pub fn survey(&self) -> Vec<Sight> {
        let taps = self
            .taps
            .iter()
            .map(|tap| match self.links.get(&tap.ifindex) {
                Some(link) => self.sight(tap.ifindex, link, InterfaceKind::Tap, tap.port),
                None => Sight {
                    ifname: tap.ifname.clone(),
                    ifindex: tap.ifindex,
                    kind: InterfaceKind::Tap,
                    port: tap.port,
                    mac: MacAddr::default(),
                    mtu: 0,
                    up: false,
                    carrier: false,
                    gone: self.listed,
                    addresses: Vec::new(),
                },
            });
        let others = self.links.iter().filter_map(|(index, link)| {
            let kind = match link.kind {
                Kind::Plain => return None,
                Kind::Vlan(_, vlan) => InterfaceKind::Vlan(vlan),
                Kind::Macvlan(_) => InterfaceKind::Macvlan,
            };
            Some(self.sight(*index, link, kind, self.port_below(link)?))
        });
        taps.chain(others).collect()
    }

    fn sight(&self, ifindex: u32, link: &Link, kind: InterfaceKind, port: PortIndex) -> Sight {
        Sight {
            ifname: link.name.clone(),
            ifindex,
            kind,
            port,
            mac: link.mac,
            mtu: link.mtu,
            up: link.up,
            carrier: link.carrier,
            gone: false,
            addresses: build::addresses(self, ifindex),
        }
    }

    /// The port of the tap that a VLAN or a macvlan (also on a VLAN) is on.
    fn port_below(&self, link: &Link) -> Option<PortIndex> {
        let (Kind::Vlan(on, _) | Kind::Macvlan(on)) = link.kind else {
            return None;
        };
        let tap = |index| self.taps.iter().find(|tap| tap.ifindex == index);
        let below = || match (link.kind, self.links.get(&on)?.kind) {
            (Kind::Macvlan(_), Kind::Vlan(below, _)) => tap(below),
            _ => None,
        };
        tap(on).or_else(below).map(|tap| tap.port)
    }

    /// How Linux reaches an address.
    #[must_use]
    pub fn reach(&self, to: IpAddr) -> Reach {
        let routes = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        match routes.way(to) {
            None | Some(Way::Refused) => Reach::Unreachable,
            Some(Way::Local | Way::Broadcast) => Reach::Local,
            Some(Way::Unsupported(_)) => Reach::Elsewhere(None),
            Some(Way::Out(_)) if !self.next_hops(to).is_empty() => Reach::Port,
            Some(Way::Out(exits)) => {
                let name = |exit: &Exit| self.ifname(exit.ifindex);
                Reach::Elsewhere(exits.first().and_then(name))
            }
        }
    }

    /// Linux's name of the interface with this index.
    #[must_use]
    pub fn ifname(&self, ifindex: u32) -> Option<String> {
        self.links.get(&ifindex).map(|link| link.name.clone())
    }

    /// How much is mirrored.
    #[must_use]
    pub fn amounts(&self) -> Amounts {
        Amounts {
            routes_v4: self.v4.prefixes(),
            routes_v6: self.v6.prefixes(),
            neighbours: self.neighbours.len(),
        }
    }
}
