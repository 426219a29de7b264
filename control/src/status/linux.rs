//! What Linux knows of the ports' interfaces, and what goes between Linux and the workers.

use super::workers::VersionView;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The mirrors' namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LinuxView {
    /// The namespace's name.
    pub namespace: String,
    /// The name was deleted, or leads to another namespace: pvsd goes on in one that has none.
    pub nameless: bool,
    /// Why a mirror tap or the namespace that was deleted is not made good yet.
    pub recovery_error: Option<String>,
    /// How old all this is, in milliseconds.
    pub age_ms: u64,
    /// Taps, and VLANs and macvlans on them.
    pub interfaces: Vec<InterfaceView>,
    /// Their addresses.
    pub addresses: Vec<AddressView>,
    /// Prefixes that IPv4 routes lead to.
    pub routes_v4: u64,
    /// Prefixes that IPv6 routes lead to.
    pub routes_v6: u64,
    /// Neighbours mirrored.
    pub neighbours: u64,
    /// Next hops kept resolved for servers.
    pub hops_for_servers: u64,
    /// Next hops kept resolved for clients and gateways, as workers asked.
    pub hops_for_clients: u64,
    /// Requests of workers for next hops that found no room.
    pub hops_refused: u64,
    /// Some were refused during the last ten seconds.
    pub refusing_hops: bool,
    /// How often more events came from Linux than were read; each time everything was listed anew.
    pub overruns: u64,
    /// Messages of Linux that could not be decoded.
    pub unread: u64,
    /// Next hops that are kept, and whose hardware address is not known.
    pub unresolved: Vec<HopView>,
    /// Servers that packets do not reach by a port of pvs.
    pub astray: Vec<AstrayView>,
    /// What Linux is told to do and pvs does not follow, in sentences.
    pub unsupported: Vec<String>,
    /// The published forwarding information.
    pub forwarding: VersionView,
}

/// What an interface is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InterfaceKind {
    /// The mirror tap of a port.
    #[default]
    Tap,
    /// An 802.1Q interface on a tap.
    Vlan,
    /// A macvlan on one of the others.
    Macvlan,
}

/// An interface.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InterfaceView {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: InterfaceKind,
    /// The port that it leads to.
    pub port: u16,
    /// Its VLAN, if it is one.
    pub vlan: Option<u16>,
    /// Linux's index of it.
    pub ifindex: u32,
    /// Its hardware address.
    pub mac: String,
    /// Largest IP packet, in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// It has a carrier.
    pub carrier: bool,
    /// It was deleted.
    pub gone: bool,
}

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AddressView {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// The length of its prefix.
    pub prefix_len: u8,
}

/// What is known of an unresolved next hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HopState {
    /// Linux is asking for it.
    Asked,
    /// Nobody answers there.
    Failed,
    /// Linux has not begun to ask.
    Absent,
}

/// A next hop without a hardware address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HopView {
    /// Its address.
    pub address: IpAddr,
    /// The interface that it should be on.
    pub interface: String,
    /// What is known.
    pub state: HopState,
    /// A server is reached by it.
    pub for_server: bool,
    /// For how long it has been so, in seconds.
    pub secs: u64,
}

/// A server that packets do not reach by a port of pvs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AstrayView {
    /// The server's address.
    pub server: IpAddr,
    /// The interface that its route leads out by; absent if there is no route.
    pub interface: Option<String>,
    /// There is a route.
    pub has_route: bool,
}

/// A class of frames for Linux.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PuntView {
    /// Its name.
    pub class: String,
    /// Frames that were taken into its ring.
    pub passed: u64,
    /// Frames that found it full.
    pub dropped: u64,
    /// Frames that wait in it.
    pub waiting: u64,
    /// Frames that may wait.
    pub limit: u64,
}

/// Frames between rings and taps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExchangeView {
    /// Linux took them.
    pub to_linux: u64,
    /// Linux did not take them.
    pub refused_by_linux: u64,
    /// Their port had no tap.
    pub no_tap: u64,
    /// They went to a worker.
    pub from_linux: u64,
    /// The worker's ring was full.
    pub inject_full: u64,
    /// There was no free buffer for them.
    pub pool_empty: u64,
    /// They do not fit into a buffer.
    pub too_long: u64,
}
