//! Links: what the mirror keeps of an RTM_NEWLINK.

use netlink_packet_route::link::{
    InfoData, InfoKind, InfoVlan, LinkAttribute, LinkFlags, LinkInfo, LinkMessage, VlanProtocol,
};
use pvs_proto::{MacAddr, VlanId};

/// What a link is to pvs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An 802.1Q interface on the link with this index.
    Vlan(u32, VlanId),
    /// A macvlan on the link with this index, as VRRP with use_vmac makes it.
    Macvlan(u32),
    /// Anything else: a mirror tap, lo, a bridge.
    Plain,
}

/// A network interface of the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) mac: MacAddr,
    pub(crate) mtu: u32,
    pub(crate) up: bool,
    pub(crate) carrier: bool,
    pub(crate) promiscuous: bool,
    pub(crate) all_multicast: bool,
}

impl Link {
    /// What a message says; anything that it leaves out is as on an interface that is down.
    pub(crate) fn read(message: &LinkMessage) -> Self {
        let flags = message.header.flags;
        let mut link = Self {
            name: String::new(),
            kind: Kind::Plain,
            mac: MacAddr::default(),
            mtu: 0,
            up: flags.contains(LinkFlags::Up),
            carrier: flags.contains(LinkFlags::LowerUp),
            promiscuous: flags.contains(LinkFlags::Promisc),
            all_multicast: flags.contains(LinkFlags::Allmulti),
        };
        let (mut parent, mut elsewhere, mut info) = (None, false, None);
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => link.name.clone_from(name),
                LinkAttribute::Mtu(mtu) => link.mtu = *mtu,
                LinkAttribute::Address(bytes) => link.mac = mac(bytes).unwrap_or_default(),
                LinkAttribute::Link(index) => parent = Some(*index),
                // The parent is in another namespace, and its index means nothing here.
                LinkAttribute::LinkNetNsId(_) => elsewhere = true,
                LinkAttribute::LinkInfo(list) => info = Some(list),
                // `ip link set X promisc on` by a bridge or a packet socket shows only here.
                LinkAttribute::Promiscuity(count) => link.promiscuous |= *count > 0,
                _ => (),
            }
        }
        if let (Some(parent), Some(info), false) = (parent, info, elsewhere) {
            link.kind = kind(parent, info);
        }
        link
    }

    /// True if the kernel may have flushed or marked routes without a word: IPv4 routes of an
    /// interface that goes down are removed silently, and next hops get RTNH_F_LINKDOWN silently.
    pub(crate) fn routes_may_differ(&self, before: &Self) -> bool {
        (self.up, self.carrier) != (before.up, before.carrier)
    }
}

fn kind(parent: u32, info: &[LinkInfo]) -> Kind {
    for item in info {
        match item {
            LinkInfo::Kind(InfoKind::MacVlan) => return Kind::Macvlan(parent),
            LinkInfo::Data(InfoData::Vlan(data)) => return vlan(parent, data),
            _ => (),
        }
    }
    Kind::Plain
}

/// 802.1ad tags are not followed: such an interface is no interface of pvs.
fn vlan(parent: u32, data: &[InfoVlan]) -> Kind {
    let mut kind = Kind::Plain;
    for item in data {
        match item {
            InfoVlan::Id(id) => kind = Kind::Vlan(parent, VlanId(*id)),
            InfoVlan::Protocol(protocol) if *protocol != VlanProtocol::Ieee8021Q => {
                return Kind::Plain;
            }
            _ => (),
        }
    }
    kind
}

/// An Ethernet address; `None` for those of other kinds of links.
pub(crate) fn mac(bytes: &[u8]) -> Option<MacAddr> {
    Some(MacAddr(bytes.try_into().ok()?))
}
