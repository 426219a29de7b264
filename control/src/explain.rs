//! What `pvsadm explain` tells: plain data with stable names, as it also
//! crosses the control socket.

use pvs_sched::MhSlots;
use pvs_sched::config::{Method, ServerKey, ServiceKey};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// What would become of a packet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Explanation {
    /// The packet's protocol, as listings call it.
    pub protocol: String,
    /// Where it comes from.
    pub client: Option<SocketAddr>,
    /// Where it goes.
    pub virtual_: Option<SocketAddr>,
    /// A mark rule drops it.
    pub dropped: bool,
    /// Its mark; 0 is none.
    pub mark: u32,
    /// The service that takes it.
    pub service: Option<ServiceKey>,
    /// The service's scheduler.
    pub scheduler: String,
    /// How many slots the service's table has, if its scheduler is mh.
    pub mh_slots: Option<MhSlots>,
    /// The service remembers clients for so many seconds.
    pub persistence_secs: Option<u32>,
    /// Its destination is local: else Linux routes it.
    pub is_local: bool,
    /// The connection that it belongs to.
    pub connection: Option<ConnectionSeen>,
    /// The template that its client has.
    pub template: Option<TemplateSeen>,
    /// The server that it goes to.
    pub server: Option<ServerKey>,
    /// Why that one.
    pub because: Because,
    /// The service's servers, in the kernel's list order.
    pub servers: Vec<Candidate>,
    /// The way to the server.
    pub way: Option<WaySeen>,
    /// The worker that its connection belongs to; none if it is whoever receives it.
    pub owner: Option<u16>,
}

/// Why a packet goes to its server, or to none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// No service takes it.
    #[default]
    NoService,
    /// A mark rule drops it.
    Dropped,
    /// Its connection has it.
    Connection,
    /// Its client's template has it.
    Template,
    /// The scheduler picks it.
    Scheduler,
    /// No server may take it.
    NoServer,
}

/// A connection that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionSeen {
    /// The worker that has it.
    pub worker: u16,
    /// Its state.
    pub state: String,
    /// Its server.
    pub server: SocketAddr,
    /// Whole seconds until it expires.
    pub expires_secs: u32,
    /// Whole seconds since its last packet.
    pub idle_secs: u32,
    /// Packets from the client.
    pub packets: u32,
}

/// A template that exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TemplateSeen {
    /// Its server.
    pub server: ServerKey,
    /// Whole seconds until it expires.
    pub expires_secs: u32,
    /// One of its connections was established.
    pub is_assured: bool,
    /// Its server is in service: else it is replaced.
    pub is_usable: bool,
}

/// A server of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// The server.
    pub server: ServerKey,
    /// How packets reach it.
    pub method: Method,
    /// Its weight.
    pub weight: u32,
    /// Connections in an active state.
    pub active: u32,
    /// All others.
    pub inactive: u32,
    /// What keeps it from being picked.
    pub why_not: Option<WhyNot>,
}

/// What keeps a server from being picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhyNot {
    /// Its weight is 0.
    Weight,
    /// It is at its upper threshold.
    Threshold,
    /// The client is another server's, by its connection or template.
    Remembered,
    /// Another one has less load for its weight.
    Load,
    /// The hash of the client, or of the address it wants, leads elsewhere.
    Hash,
    /// Another one's turn comes first.
    Turn,
}

/// The way to a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WaySeen {
    /// The director itself.
    Local,
    /// There is no route.
    Unreachable,
    /// Out by an interface that is no port.
    Elsewhere,
    /// By a neighbour.
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// The interface.
        interface: String,
        /// Its hardware address, if it is known.
        mac: Option<String>,
        /// It does not answer.
        failed: bool,
    },
}
