//! Addresses: what the mirror keeps of an RTM_NEWADDR, in the kernel's order.
//!
//! The order decides which address is the first of an interface, from which Linux sends. A listing
//! has it; events are entered as the kernel does (`__inet_insert_ifa`, `ipv6_link_dev_addr`): IPv4
//! primary addresses by scope, then by age, and secondary ones behind them; IPv6 by scope, the
//! widest first, and the youngest first within one.

use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressHeaderFlags, AddressMessage, AddressScope,
};
use pvs_dataplane::fib::{InterfaceIndex, OwnAddress};
use pvs_proto::Family;
use std::net::IpAddr;

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Assigned {
    /// The address: the near end of a point-to-point link.
    pub(crate) address: IpAddr,
    /// An address of its prefix: itself, or the far end of a point-to-point link.
    peer: IpAddr,
    pub(crate) len: u8,
    /// As a number: the higher the narrower, 0 is global, 253 link, 254 host.
    scope: u8,
    /// IPv4: another address of its prefix comes first. IPv6: a temporary one.
    secondary: bool,
    /// Duplicate address detection has not passed.
    tentative: bool,
    deprecated: bool,
}

impl Assigned {
    /// `None` for a message without an address.
    pub(crate) fn read(message: &AddressMessage) -> Option<Self> {
        let (mut local, mut peer) = (None, None);
        let mut flags = header_flags(message.header.flags);
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Flags(all) => flags = *all,
                _ => (),
            }
        }
        let address = local.or(peer)?;
        let doubtful = AddressFlags::Tentative | AddressFlags::Dadfailed;
        Some(Self {
            address,
            peer: peer.unwrap_or(address),
            len: message.header.prefix_len,
            scope: scope(message.header.scope),
            secondary: flags.contains(AddressFlags::Secondary),
            // An optimistic address may be used while it is being detected (RFC 4429).
            tentative: flags.intersects(doubtful) && !flags.contains(AddressFlags::Optimistic),
            deprecated: flags.contains(AddressFlags::Deprecated),
        })
    }

    /// True if both are the same address of an interface, whatever else has changed.
    pub(crate) fn is(&self, other: &Self) -> bool {
        (self.address, self.peer, self.len) == (other.address, other.peer, other.len)
    }

    /// True if the kernel has put it elsewhere in the list: a secondary
    /// address was made a primary one.
    pub(crate) fn moves_from(&self, before: &Self) -> bool {
        self.address.is_ipv4() && before.secondary && !self.secondary
    }

    /// Enters it where the kernel does.
    pub(crate) fn enter(self, list: &mut Vec<Self>) {
        let at = if self.address.is_ipv6() {
            list.iter()
                .position(|known| known.address.is_ipv6() && known.scope >= self.scope)
        } else if self.secondary {
            None
        } else {
            let before = |known: &Self| {
                known.address.is_ipv4() && !known.secondary && self.scope <= known.scope
            };
            Some(list.iter().rposition(before).map_or(0, |at| at + 1))
        };
        list.insert(at.unwrap_or(list.len()), self);
    }

    /// What the forwarding information is told of it; `None` if nothing is sent from it.
    pub(crate) fn own<F: Family>(
        &self,
        interface: Option<InterfaceIndex>,
    ) -> Option<OwnAddress<F::Addr>> {
        const LINK: u8 = 253;
        let secondary = self.secondary && self.address.is_ipv4();
        if secondary || self.tentative || self.scope > LINK {
            return None;
        }
        Some(OwnAddress {
            interface,
            address: F::addr(self.address)?,
            peer: F::addr(self.peer)?,
            len: self.len,
            link_scope: self.scope == LINK,
            deprecated: self.deprecated,
        })
    }
}

fn header_flags(flags: AddressHeaderFlags) -> AddressFlags {
    AddressFlags::from_bits_retain(u32::from(flags.bits()))
}

fn scope(scope: AddressScope) -> u8 {
    u8::from(scope)
}
