//! What an operator configures: services and real servers, in the terms of ipvsadm and `ip_vs.h`.
//!
//! Plain values, compared and copied freely, also the form in which they cross the control socket.
//! Whether a value is legal is decided by the store of pvs-control, not here.

use core::fmt;
use core::net::IpAddr;
use pvs_proto::Protocol;
use serde::{Deserialize, Serialize};

/// A balanced transport protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// `-t`.
    Tcp,
    /// `-u`.
    Udp,
    /// `--sctp-service`.
    Sctp,
}

impl Transport {
    /// Its number in an IP header.
    #[must_use]
    pub const fn protocol(self) -> Protocol {
        match self {
            Self::Tcp => Protocol::TCP,
            Self::Udp => Protocol::UDP,
            Self::Sctp => Protocol::SCTP,
        }
    }
}

/// The address family of a fwmark service, which has no address to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// The default.
    Ipv4,
    /// `-6`.
    Ipv6,
}

/// What names a service. The order is that of a sorted listing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", untagged, deny_unknown_fields)]
pub enum ServiceKey {
    /// Protocol, address and port; port 0 takes every port.
    Address {
        /// The transport.
        protocol: Transport,
        /// The virtual address.
        address: IpAddr,
        /// The virtual port.
        port: u16,
    },
    /// A firewall mark; 0 is no mark.
    Mark {
        /// The mark.
        mark: u32,
        /// The family of the packets it takes.
        family: AddressFamily,
    },
}

impl ServiceKey {
    /// The family of the service's packets.
    #[must_use]
    pub const fn family(&self) -> AddressFamily {
        match self {
            Self::Address {
                address: IpAddr::V4(_),
                ..
            } => AddressFamily::Ipv4,
            Self::Address {
                address: IpAddr::V6(_),
                ..
            } => AddressFamily::Ipv6,
            Self::Mark { family, .. } => *family,
        }
    }

    /// The service's port; 0 for a mark.
    #[must_use]
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { port, .. } => *port,
            Self::Mark { .. } => 0,
        }
    }
}

/// The schedulers of kernel IPVS, by their names there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SchedulerName {
    /// Round robin.
    Rr,
    /// Weighted round robin.
    Wrr,
    /// Least connection.
    Lc,
    /// Weighted least connection: ipvsadm's default.
    Wlc,
    /// Shortest expected delay.
    Sed,
    /// Never queue.
    Nq,
    /// Weighted failover.
    Fo,
    /// Weighted overflow.
    Ovf,
    /// Destination hashing.
    Dh,
    /// Source hashing.
    Sh,
    /// Maglev hashing.
    Mh,
    /// Locality-based least connection.
    Lblc,
    /// Locality-based least connection with replication.
    Lblcr,
    /// The power of two random choices.
    Twos,
    /// No scheduler: a service that takes no new connection.
    None,
}

impl SchedulerName {
    /// Every scheduler there is.
    pub const ALL: &'static [Self] = &[
        Self::Rr,
        Self::Wrr,
        Self::Lc,
        Self::Wlc,
        Self::Sed,
        Self::Nq,
        Self::Fo,
        Self::Ovf,
        Self::Dh,
        Self::Sh,
        Self::Mh,
        Self::Lblc,
        Self::Lblcr,
        Self::Twos,
        Self::None,
    ];

    /// The name that ipvsadm shows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rr => "rr",
            Self::Wrr => "wrr",
            Self::Lc => "lc",
            Self::Wlc => "wlc",
            Self::Sed => "sed",
            Self::Nq => "nq",
            Self::Fo => "fo",
            Self::Ovf => "ovf",
            Self::Dh => "dh",
            Self::Sh => "sh",
            Self::Mh => "mh",
            Self::Lblc => "lblc",
            Self::Lblcr => "lblcr",
            Self::Twos => "twos",
            Self::None => "none",
        }
    }

    /// The scheduler of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|s| s.as_str() == name)
    }
}

impl fmt::Display for SchedulerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A service's flags, as bits of `ip_vs.h` (IP_VS_SVC_F_*).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServiceFlags(pub u32);

impl ServiceFlags {
    /// One-packet scheduling, `-o`.
    pub const ONE_PACKET: Self = Self(4);
    /// The scheduler's first flag (sh-fallback, mh-fallback).
    pub const SCHED1: Self = Self(8);
    /// The scheduler's second flag (sh-port, mh-port).
    pub const SCHED2: Self = Self(16);
    /// The scheduler's third flag.
    pub const SCHED3: Self = Self(32);

    /// All bits of `other` are set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets of bits.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// `-p` and `-M`: how long, and for how wide a group of clients, a server is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Persistence {
    /// The template's timeout in seconds, 1 to 2,678,400.
    pub timeout_secs: u32,
    /// IPv4: the netmask's bits, host order. IPv6: the prefix length.
    pub netmask: u32,
}

/// A virtual service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceConfig {
    /// What names it.
    pub key: ServiceKey,
    /// Its scheduler.
    pub scheduler: SchedulerName,
    /// Its flags.
    #[serde(default)]
    pub flags: ServiceFlags,
    /// Its persistence, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// Its persistence engine, if any; at most 15 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

impl ServiceConfig {
    /// As `-A` with a scheduler and no other option.
    #[must_use]
    pub const fn plain(key: ServiceKey, scheduler: SchedulerName) -> Self {
        Self {
            key,
            scheduler,
            flags: ServiceFlags(0),
            persistence: None,
            engine: None,
        }
    }
}

/// How packets reach a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// `-m`: network address translation.
    Masquerade,
    /// The director itself: automatic where the server's address is local.
    Local,
    /// `-i`: in an IP tunnel.
    Tunnel,
    /// `-g`: direct routing, the default.
    Route,
}

impl Method {
    /// The word in a listing's Forward column.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Masquerade => "Masq",
            Self::Local => "Local",
            Self::Tunnel => "Tunnel",
            Self::Route => "Route",
        }
    }
}

/// The kind of tunnel (`--tun-type`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TunnelKind {
    /// IP in IP (RFC 2003, RFC 2473, RFC 4213).
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue,
    /// Generic routing encapsulation (RFC 2784).
    Gre,
}

/// A server's tunnel options.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tunnel {
    /// `--tun-type`.
    pub kind: TunnelKind,
    /// `--tun-port` of GUE.
    pub port: u16,
    /// 1 = checksum, 2 = remote checksum (IP_VS_TUNNEL_ENCAP_FLAG_*).
    pub flags: u16,
}

/// What names a server within its service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerKey {
    /// The real server's address.
    pub address: IpAddr,
    /// The real server's port.
    pub port: u16,
}

/// A real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// What names it.
    pub key: ServerKey,
    /// How packets reach it.
    pub method: Method,
    /// Its weight; 0 takes no new connection.
    pub weight: u32,
    /// `-x`: no new connections from this many on; 0 is none.
    #[serde(default)]
    pub upper_threshold: u32,
    /// `-y`: new connections again below this many; 0 is three quarters of the upper one.
    #[serde(default)]
    pub lower_threshold: u32,
    /// Its tunnel, meaningful with [`Method::Tunnel`].
    #[serde(default)]
    pub tunnel: Tunnel,
}

impl ServerConfig {
    /// As `-a` with a method and a weight and no other option.
    #[must_use]
    pub const fn plain(key: ServerKey, method: Method, weight: u32) -> Self {
        Self {
            key,
            method,
            weight,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel {
                kind: TunnelKind::Ipip,
                port: 0,
                flags: 0,
            },
        }
    }
}
