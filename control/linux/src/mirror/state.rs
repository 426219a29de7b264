//! The mirror's state, and how messages change it.

use super::address::Assigned;
use super::link::{Kind, Link};
use super::neighbour::{self, Known};
use super::numbers::Numbers;
use super::route::{self, Effect, Exit, ListedRoute, Routes, Way};
use super::rule::{ForeignRule, foreign_rule};
use super::{Doubts, NeighbourView, NextHop, TapBinding, Update, build};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::route::RouteMessage;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use pvs_dataplane::fib::{InterfaceIndex, Neighbour};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// The mirror.
#[derive(Debug, Default)]
pub struct Mirror {
    pub(super) taps: Vec<TapBinding>,
    pub(super) links: BTreeMap<u32, Link>,
    /// By interface, in the kernel's order.
    pub(super) addresses: BTreeMap<u32, Vec<Assigned>>,
    pub(super) v4: Routes,
    pub(super) v6: Routes,
    pub(super) neighbours: BTreeMap<(u32, IpAddr), Known>,
    /// Rules beyond the three that the kernel starts with.
    pub(super) rules: BTreeSet<ForeignRule>,
    /// Indices of the last Fib's interfaces.
    pub(super) numbers: Numbers,
    pub(super) version: u32,
    changed: bool,
    doubts: Doubts,
    /// A listing is being taken: it has the kernel's order.
    listing: bool,
    /// A whole listing was taken, so a tap that is not among the links does not exist.
    pub(super) listed: bool,
    /// Taps that are known to be gone, by index.
    told_gone: BTreeSet<u32>,
}

impl Mirror {
    /// Knows nothing yet.
    #[must_use]
    pub fn new(taps: Vec<TapBinding>) -> Self {
        Self {
            taps,
            changed: true,
            doubts: Doubts::ALL,
            ..Self::default()
        }
    }

    /// Other taps, as after one was made again; the count of versions goes on. Whether they are
    /// there, the next listing says.
    pub fn bind(&mut self, taps: Vec<TapBinding>) {
        self.taps = taps;
        self.told_gone.clear();
        self.listed = false;
        self.changed = true;
    }

    /// Another namespace: nothing of the old one holds there. The count of versions goes on.
    pub fn move_to(&mut self, taps: Vec<TapBinding>) {
        *self = Self {
            numbers: std::mem::take(&mut self.numbers),
            version: self.version,
            ..Self::new(taps)
        };
    }

    /// One event; `replace` if its header had NLM_F_REPLACE.
    pub fn apply(&mut self, message: &RouteNetlinkMessage, replace: bool) {
        use RouteNetlinkMessage as M;
        match message {
            // A bridge tells in the same words, with its own family, who joins and leaves it.
            M::NewLink(m) | M::DelLink(m) if m.header.interface_family != AddressFamily::Unspec => {
            }
            M::NewLink(m) => self.set_link(m.header.index, Link::read(m)),
            M::DelLink(m) => self.remove_link(m.header.index),
            M::NewAddress(m) => self.set_address(m, true),
            M::DelAddress(m) => self.set_address(m, false),
            M::NewRoute(m) => self.set_route(m, true, replace),
            M::DelRoute(m) => self.set_route(m, false, false),
            M::NewNeighbour(m) => {
                if let Some((key, known)) = neighbour::read(m) {
                    let before = self.neighbours.get(&key).copied();
                    let known = known.after(before);
                    self.neighbours.insert(key, known);
                    self.changed |= before != Some(known);
                }
            }
            M::DelNeighbour(m) => {
                if let Some((key, _)) = neighbour::read(m) {
                    self.changed |= self.neighbours.remove(&key).is_some();
                }
            }
            M::NewRule(m) => {
                if let Some(rule) = foreign_rule(m) {
                    self.changed |= self.rules.insert(rule);
                }
            }
            M::DelRule(m) => {
                if let Some(rule) = foreign_rule(m) {
                    self.changed |= self.rules.remove(&rule);
                }
            }
            _ => (),
        }
    }

    fn set_link(&mut self, index: u32, link: Link) {
        let before = self.links.insert(index, link.clone());
        self.changed |= before.as_ref() != Some(&link);
        if before.is_some_and(|before| link.routes_may_differ(&before)) {
            self.doubts = Doubts::ALL;
        }
    }

    fn remove_link(&mut self, index: u32) {
        self.changed |= self.links.remove(&index).is_some();
        self.addresses.remove(&index);
        self.neighbours.retain(|(on, _), _| *on != index);
        self.doubts = Doubts::ALL;
    }

    fn set_address(&mut self, message: &AddressMessage, present: bool) {
        let Some(address) = Assigned::read(message) else {
            return;
        };
        let list = self.addresses.entry(message.header.index).or_default();
        let known = list.iter().position(|known| known.is(&address));
        match (known.map(|at| (at, list.remove(at))), present) {
            // The kernel tells again of addresses whose lifetimes run: they stay where they are.
            (Some((at, known)), true) if known == address => {
                list.insert(at, known);
                return;
            }
            (None, false) => return,
            (Some(_), false) => {
                // Without a word, older kernels remove IPv4 routes with this preferred source, and
                // all of them take it out of IPv6 routes.
                let v4 = address.address.is_ipv4();
                self.doubts.v4 |= v4;
                self.doubts.v6 |= !v4;
            }
            // A primary address has gone, and this one takes its place.
            (Some((_, known)), true) if address.moves_from(&known) => address.enter(list),
            (Some((at, _)), true) => list.insert(at, address),
            (None, true) if self.listing => list.push(address),
            (None, true) => address.enter(list),
        }
        self.changed = true;
    }

    fn set_route(&mut self, message: &RouteMessage, present: bool, replace: bool) {
        let Some((prefix, entry)) = route::read(message) else {
            return;
        };
        let v4 = prefix.address.is_ipv4();
        let routes = if v4 { &mut self.v4 } else { &mut self.v6 };
        let effect = if present {
            routes.add(prefix, entry, replace)
        } else {
            routes.remove(prefix, &entry)
        };
        match effect {
            Effect::None => (),
            Effect::Changed => self.changed = true,
            Effect::Doubt if v4 => self.doubts.v4 = true,
            Effect::Doubt => self.doubts.v6 = true,
        }
    }

    /// Something happened that may have changed routes without a word.
    pub fn doubt(&mut self, doubts: Doubts) {
        self.doubts.v4 |= doubts.v4;
        self.doubts.v6 |= doubts.v6;
    }

    /// Which families must be listed anew; asking settles it.
    pub fn doubts(&mut self) -> Doubts {
        std::mem::take(&mut self.doubts)
    }

    /// The name of a tap that was deleted, told once.
    pub fn gone(&mut self) -> Option<String> {
        let missing = |tap: &&TapBinding| !self.links.contains_key(&tap.ifindex);
        let mut taps = self.taps.iter().filter(|_| self.listed).filter(missing);
        let tap = taps.find(|tap| !self.told_gone.contains(&tap.ifindex))?;
        self.told_gone.insert(tap.ifindex);
        Some(tap.ifname.clone())
    }

    /// Everything but routes anew, from a listing.
    pub fn list(&mut self, messages: &[RouteNetlinkMessage]) {
        let old_links = std::mem::take(&mut self.links);
        let old = (
            std::mem::take(&mut self.addresses),
            std::mem::take(&mut self.neighbours),
            std::mem::take(&mut self.rules),
        );
        let changed = self.changed;
        self.listing = true;
        messages
            .iter()
            .for_each(|message| self.apply(message, false));
        self.listing = false;
        for (key, known) in &mut self.neighbours {
            *known = known.after(old.1.get(key).copied());
        }
        self.changed = changed
            || self.links != old_links
            || (&self.addresses, &self.neighbours, &self.rules) != (&old.0, &old.1, &old.2);
        self.listed = true;
    }

    /// The routes of one family anew, from a listing.
    pub(crate) fn list_routes(&mut self, v4: bool, routes: Vec<ListedRoute>) {
        let listed = Routes::listed(
            routes
                .into_iter()
                .map(|ListedRoute(prefix, entry)| (prefix, entry)),
        );
        let routes = if v4 { &mut self.v4 } else { &mut self.v6 };
        self.changed |= *routes != listed;
        *routes = listed;
    }

    /// What has changed since the last call; `None` if nothing has.
    pub fn update(&mut self) -> Option<Update> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        // 0 is what an entry without a next hop holds.
        self.version = self.version.checked_add(1).unwrap_or(1);
        let interfaces = build::interfaces(self);
        let present: Vec<_> = interfaces.iter().map(|found| found.ifindex).collect();
        self.numbers.renew(&present);
        Some(build::update(self, interfaces, self.version))
    }

    /// The next hops by which Linux would reach an address through interfaces of pvs; none if it is
    /// local, unreachable, or reached in another way.
    #[must_use]
    pub fn next_hops(&self, to: IpAddr) -> Vec<NextHop> {
        let routes = if to.is_ipv4() { &self.v4 } else { &self.v6 };
        match routes.way(to) {
            Some(Way::Out(exits)) => self.hops(exits, Some(to)).collect(),
            _ => Vec::new(),
        }
    }

    /// The gateways of all routes out by interfaces of pvs, those of one route together.
    #[must_use]
    pub fn gateways(&self) -> BTreeSet<Vec<NextHop>> {
        let all = self.v4.exits().chain(self.v6.exits());
        let gateways = all.map(|exits| self.hops(exits, None).collect::<Vec<_>>());
        gateways.filter(|hops| !hops.is_empty()).collect()
    }

    fn hops(&self, exits: &[Exit], on_link: Option<IpAddr>) -> impl Iterator<Item = NextHop> {
        let ours = exits.iter().filter(|exit| self.is_ours(exit.ifindex));
        ours.filter_map(move |exit| {
            let address = exit.gateway.or(on_link)?;
            let ifindex = exit.ifindex;
            Some(NextHop { ifindex, address })
        })
    }

    /// What the kernel knows of a neighbour.
    #[must_use]
    pub fn neighbour(&self, hop: NextHop) -> NeighbourView {
        match self.neighbours.get(&(hop.ifindex, hop.address)) {
            None => NeighbourView::Absent,
            Some(known) if known.fixed => NeighbourView::Fixed,
            Some(known) => match known.state {
                None => NeighbourView::Asked,
                Some(Neighbour::Failed) => NeighbourView::Failed,
                Some(Neighbour::Resolved(_) | Neighbour::Unwatched(_)) => NeighbourView::Resolved,
            },
        }
    }

    /// Linux's index of an interface of the last Fib.
    #[must_use]
    pub fn ifindex(&self, interface: InterfaceIndex) -> Option<u32> {
        self.numbers.ifindex(interface)
    }

    fn is_ours(&self, ifindex: u32) -> bool {
        let is_tap = |index: u32| self.taps.iter().any(|tap| tap.ifindex == index);
        match self.links.get(&ifindex).map(|link| link.kind) {
            None => false,
            Some(Kind::Plain) => is_tap(ifindex),
            Some(Kind::Vlan(on, _)) => is_tap(on),
            Some(Kind::Macvlan(on)) => on != ifindex && self.is_ours(on),
        }
    }
}
