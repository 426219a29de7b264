//! Which address Linux would send from: what a route without a preferred source leaves open.
//!
//! IPv4 as `inet_select_addr` has it: of the exit's primary addresses the one whose prefix holds
//! the gateway, else the first; an exit without any borrows the first of another interface. IPv6 as
//! `ipv6_dev_get_saddr` has it, which is RFC 6724 section 5: scope, deprecation, the exit's own,
//! label, longest prefix. Of each interface, and of all others together, [`CANDIDATES_MAX`] IPv6
//! addresses are looked at.

use super::InterfaceIndex;
use pvs_proto::Address;
use std::collections::BTreeMap;

/// IPv6 addresses of one interface that are compared for a destination, at most.
pub const CANDIDATES_MAX: usize = 64;

/// An address of Linux's own that packets may be sent from: an IPv4 primary one, or an IPv6 one
/// that duplicate address detection has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnAddress<A> {
    /// Its interface; `None` for one that is no exit of pvs, as lo.
    pub interface: Option<InterfaceIndex>,
    /// The address.
    pub address: A,
    /// An address of the prefix that it stands in: itself, or the far end of a point-to-point link.
    pub peer: A,
    /// The prefix's length.
    pub len: u8,
    /// Good for destinations on the link only.
    pub link_scope: bool,
    /// Its preferred lifetime is over.
    pub deprecated: bool,
}

impl<A: Address> OwnAddress<A> {
    /// An address of an exit as `ip address add` makes it.
    #[must_use]
    pub fn plain(exit: InterfaceIndex, address: A, len: u8) -> Self {
        Self {
            interface: Some(exit),
            address,
            peer: address,
            len,
            link_scope: false,
            deprecated: false,
        }
    }
}

type List<A> = Box<[OwnAddress<A>]>;

/// The addresses to send from, by exit.
#[derive(Debug)]
pub(super) struct Sources<A> {
    by_exit: Box<[(InterfaceIndex, List<A>)]>,
    /// Of any interface, for exits without an address.
    all: List<A>,
}

impl<A> Default for Sources<A> {
    fn default() -> Self {
        Self {
            by_exit: Box::default(),
            all: Box::default(),
        }
    }
}

impl<A: Address> Sources<A> {
    pub(super) fn new(own: Vec<OwnAddress<A>>) -> Self {
        let mut by_exit = BTreeMap::<_, Vec<_>>::new();
        for address in &own {
            if let Some(exit) = address.interface {
                by_exit.entry(exit).or_default().push(*address);
            }
        }
        let boxed = |(exit, list): (_, Vec<_>)| (exit, list.into_boxed_slice());
        Self {
            by_exit: by_exit.into_iter().map(boxed).collect(),
            all: own.into_iter().filter(|a| !a.link_scope).collect(),
        }
    }

    fn of(&self, exit: InterfaceIndex) -> &[OwnAddress<A>] {
        let found = self.by_exit.binary_search_by_key(&exit, |(exit, _)| *exit);
        let list = found.ok().and_then(|at| self.by_exit.get(at));
        list.map_or(&[], |(_, list)| list)
    }

    /// The source of an IPv4 route, which does not depend on the destination; `None` for IPv6.
    pub(super) fn fixed(&self, exit: InterfaceIndex, gateway: Option<A>) -> Option<A> {
        if A::BITS != 32 {
            return None;
        }
        let fit = |a: &&OwnAddress<A>| gateway.is_none() || !a.link_scope;
        let own = || self.of(exit).iter().filter(fit);
        let near = gateway
            .and_then(|gateway| own().find(|a| gateway.masked(a.len) == a.peer.masked(a.len)));
        near.or_else(|| own().next())
            .or_else(|| self.all.first())
            .map(|a| a.address)
    }

    /// The source towards an IPv6 destination.
    pub(super) fn towards(&self, exit: InterfaceIndex, dst: A) -> Option<A> {
        if A::BITS == 32 {
            return None;
        }
        let bound = is_link_local(dst.bits()) || dst.is_multicast();
        let others = self.all.iter().filter(|a| a.interface != Some(exit));
        let others = others.filter(|_| !bound).take(CANDIDATES_MAX);
        let mut best: Option<(Rank, A)> = None;
        for own in self.of(exit).iter().take(CANDIDATES_MAX).chain(others) {
            let rank = Rank::of(own, exit, dst);
            // Of equals the kernel keeps the first.
            if best.as_ref().is_none_or(|(least, _)| rank > *least) {
                best = Some((rank, own.address));
            }
        }
        best.map(|(_, address)| address)
    }
}

/// What the kernel compares, in its order; the greatest wins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    scope: bool,
    preferred: bool,
    on_exit: bool,
    label: bool,
    common_bits: u8,
}

impl Rank {
    fn of<A: Address>(own: &OwnAddress<A>, exit: InterfaceIndex, dst: A) -> Self {
        let (src, to) = (own.address.bits(), dst.bits());
        let common = (src ^ to).leading_zeros();
        Self {
            // Rule 2: the smallest scope that reaches. There are two, so it
            // is the destination's own.
            scope: own.link_scope == is_link_local(to),
            preferred: !own.deprecated,
            on_exit: own.interface == Some(exit),
            label: label(src) == label(to),
            common_bits: own.len.min(u8::try_from(common).unwrap_or(u8::MAX)),
        }
    }
}

/// fe80::/10.
fn is_link_local(address: u128) -> bool {
    address >> 118 == 0xfe80 >> 6
}

/// The kernel's table of labels (net/ipv6/addrlabel.c), for what can be a unicast destination.
fn label(address: u128) -> u8 {
    match address {
        1 => 0,
        a if a >> 121 == 0xfc00 >> 9 => 5,
        a if a >> 112 == 0x2002 => 2,
        a if a >> 96 == 0x2001_0000 => 6,
        a if a >> 100 == 0x200_1001 => 7,
        a if a >> 32 == 0xffff => 4,
        a if a >> 32 == 0 => 3,
        _ => 1,
    }
}
