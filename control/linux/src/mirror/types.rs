//! What goes into a mirror and what comes out of it.

use crate::local::LocalAddresses;
use pvs_dataplane::fib::{Fib, PortIndex};
use pvs_proto::{MacAddr, VlanId};
use std::net::IpAddr;

/// A mirror tap and the port that it stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TapBinding {
    /// The tap's name.
    pub ifname: String,
    /// The tap's index.
    pub ifindex: u32,
    /// Its port.
    pub port: PortIndex,
}

/// An interface of pvs as Linux sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// Linux's name of it.
    pub ifname: String,
    /// Linux's index.
    pub ifindex: u32,
    /// The port.
    pub port: PortIndex,
    /// The VLAN.
    pub vlan: VlanId,
    /// Its hardware address.
    pub mac: MacAddr,
    /// Addresses of macvlans on it.
    pub other_macs: Vec<MacAddr>,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// A macvlan on the interface of the same port and VLAN, as VRRP with use_vmac makes it.
    pub macvlan: bool,
    /// Administratively up.
    pub up: bool,
    /// It wants every frame.
    pub promiscuous: bool,
    /// It wants every multicast frame.
    pub all_multicast: bool,
    /// Its addresses with their prefix lengths, the primary one of each family first.
    pub addresses: Vec<(IpAddr, u8)>,
}

/// What changed for pvs.
#[derive(Debug)]
pub struct Update {
    /// The new forwarding information.
    pub fib: Fib,
    /// The addresses that are Linux's own.
    pub local: LocalAddresses,
    /// The interfaces: the taps in the order of the ports, the VLANs on
    /// them, the macvlans on these.
    pub interfaces: Vec<InterfaceState>,
    /// What Linux is told to do and pvs does not follow, one sentence each.
    pub unsupported: Vec<String>,
}

/// Families whose routes must be listed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Doubts {
    /// IPv4.
    pub v4: bool,
    /// IPv6.
    pub v6: bool,
}

impl Doubts {
    /// Both families.
    pub const ALL: Self = Self { v4: true, v6: true };

    /// True if there is one.
    #[must_use]
    pub fn any(self) -> bool {
        self.v4 || self.v6
    }
}

/// A next hop as Linux would resolve it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NextHop {
    /// The interface's index.
    pub ifindex: u32,
    /// The neighbour.
    pub address: IpAddr,
}

/// What the kernel knows of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeighbourView {
    /// Nothing.
    Absent,
    /// It is being resolved.
    Asked,
    /// Nobody answers.
    Failed,
    /// Its hardware address.
    Resolved,
    /// The operator or a routing daemon entered it.
    Fixed,
}
