//! What pvsd answers: outcomes of commands, and refusals in the kernel's and ipvsadm's words.

use crate::command::{Command, DaemonRole, Tuning};
use crate::explain::Explanation;
use crate::listing::command_line;
use crate::status::{LossView, StatusView};
use pvs_sched::config::{Method, SchedulerName, ServerConfig, ServiceConfig, ServiceKey};
use pvs_sched::marks::MarkRule;
use pvs_sched::{Counters, MhSlots};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// The outcome of one command. A long listing comes in parts: `more` says that the next outcome
/// continues this one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Outcome {
    /// Done; nothing to show.
    Done,
    /// Refused; nothing has changed.
    Refused(Refusal),
    /// Services with their servers.
    Services {
        /// Index slots of the connection table, for the heading.
        table_size: u64,
        /// In the order of their slots; servers in the kernel's list order.
        services: Vec<ServiceView>,
        /// Another part follows. A service that it begins with may continue this part's last one.
        more: bool,
    },
    /// A page of connections.
    Connections {
        /// The entries.
        entries: Vec<ConnectionView>,
        /// Another page follows.
        more: bool,
    },
    /// What all services have counted since pvsd started, or since `-Z`.
    Totals {
        /// Counts.
        stats: Figures,
        /// Per second.
        rates: Figures,
    },
    /// The commands by which rules replaced the running ones, or would.
    Changes(Vec<Command>),
    /// The three timeouts that `--set` sets, in seconds.
    Timeouts {
        /// TCP, established.
        tcp_secs: u32,
        /// TCP, after a FIN.
        tcp_fin_secs: u32,
        /// UDP.
        udp_secs: u32,
    },
    /// The running synchronisation daemons, the master first.
    Daemons(Vec<DaemonView>),
    /// Tunables with their values.
    Tunables(Vec<Tuning>),
    /// What would become of a packet.
    Explanation(Box<Explanation>),
    /// The mark rules, in their order.
    Marks(Vec<MarkRule>),
    /// How many slots the tables of mh services have.
    Slots(Vec<SlotsView>),
    /// The state of the director.
    Status {
        /// The state, or a part of it.
        status: Box<StatusView>,
        /// Another part follows.
        more: bool,
    },
    /// Every reason for which a packet can be lost.
    Drops(Vec<LossView>),
}

/// Why a command was refused: in ipvsadm's words where ipvsadm has some.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// `-A` of a service that is there.
    #[error("Service already exists")]
    ServiceExists,
    /// A name that nothing here has.
    #[error("Scheduler or persistence engine not found")]
    SchedulerUnknown,
    /// A service that is not there.
    #[error("No such service")]
    ServiceUnknown,
    /// A server of a service that is not there.
    #[error("Service not defined")]
    ServiceUndefined,
    /// `-a` of a server that is there.
    #[error("Destination already exists")]
    ServerExists,
    /// A server that is not there.
    #[error("No such destination")]
    ServerUnknown,
    /// A weight beyond the kernel's range, or a lower threshold above the upper one.
    #[error("Numerical result out of range")]
    OutOfRange,
    /// A value that the kernel calls invalid.
    #[error("Invalid operation.  Possibly wrong module version, address not unicast, ...")]
    Invalid,
    /// No room for another service or server.
    #[error("Memory allocation problem")]
    Full,
    /// The multicast interface does not exist.
    #[error("No such device")]
    DeviceUnknown,
    /// `--start-daemon` of a daemon that runs.
    #[error("Daemon has already run")]
    DaemonRuns,
    /// `--stop-daemon` of a daemon that does not run.
    #[error("No daemon is running")]
    DaemonUnknown,
    /// A tunable that does not exist, or does not take this value.
    #[error("{name}: {reason}")]
    Tunable {
        /// The name that was given, with the value if there was one.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// A mark rule that makes no sense, or a number that no rule has.
    #[error("{reason}")]
    MarkRule {
        /// What is wrong.
        reason: String,
    },
    /// A mark rule that is not there.
    #[error("no mark rule says this")]
    MarkRuleUnknown,
    /// `mh` of a service that has no such table.
    #[error("The service's scheduler is {scheduler}: only mh has a table with slots")]
    NotMaglev {
        /// Its scheduler.
        scheduler: SchedulerName,
    },
    /// One of the commands by which rules would replace the running ones.
    #[error("{refusal} ({})", command_line(command))]
    Rule {
        /// The command.
        command: Box<Command>,
        /// Why it was refused.
        refusal: Box<Refusal>,
    },
    /// Not asked of the kernel but of pvsd: what its dataplane cannot do.
    #[error("{0}")]
    Unsupported(Feature),
    /// A worker did not answer a listing of connections.
    #[error("worker {worker} has not answered")]
    Silent {
        /// Its number.
        worker: usize,
    },
}

/// What a dataplane may be unable to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feature {
    /// `-m`.
    #[error(
        "pvsd was started with workers.steering = \"rxq\", which takes no masquerading: replies would miss their connection's worker"
    )]
    Masquerading,
}

/// Five figures in the order of a listing's columns: totals, or rates per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Figures {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

impl From<Counters> for Figures {
    fn from(c: Counters) -> Self {
        Self {
            connections: c.connections,
            in_packets: c.in_packets,
            out_packets: c.out_packets,
            in_bytes: c.in_bytes,
            out_bytes: c.out_bytes,
        }
    }
}

/// A service as listings need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceView {
    /// What the operator gave.
    pub config: ServiceConfig,
    /// Since it was added, or since `-Z`.
    pub stats: Figures,
    /// Per second.
    pub rates: Figures,
    /// How many slots its table has, if its scheduler is mh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mh_slots: Option<MhSlots>,
    /// Its servers, in the kernel's list order.
    pub servers: Vec<ServerView>,
}

/// The table of an mh service, as `pvsadm mh` tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotsView {
    /// The service's name.
    pub service: ServiceKey,
    /// How many slots the table has.
    pub slots: MhSlots,
    /// A service of scheduler mh has the name: else the next one of that name gets the number.
    pub running: bool,
}

/// A server as listings need it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerView {
    /// What the operator gave.
    pub config: ServerConfig,
    /// Connections in an active state.
    pub active: u32,
    /// All others.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Since it was added, or since `-Z`.
    pub stats: Figures,
    /// Per second.
    pub rates: Figures,
}

/// A connection as listings need it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionView {
    /// TCP, UDP, SCTP, or IP for a mark's template.
    pub protocol: String,
    /// Whole seconds until it expires.
    pub expires_secs: u32,
    /// The state's name.
    pub state: String,
    /// The client; port 0 for a template.
    pub client: SocketAddr,
    /// The virtual address and port.
    pub virtual_: SocketAddr,
    /// The real server.
    pub server: SocketAddr,
    /// How its packets are forwarded.
    pub method: Method,
    /// The persistence engine of a template, and what it goes by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<(String, String)>,
}

impl From<&crate::plane::Connection> for ConnectionView {
    fn from(c: &crate::plane::Connection) -> Self {
        Self {
            protocol: c.protocol.to_owned(),
            expires_secs: c.expires_secs,
            state: c.state.to_owned(),
            client: c.client,
            virtual_: c.virtual_,
            server: c.server,
            method: c.method,
            engine: c
                .engine
                .as_ref()
                .map(|(name, data)| ((*name).to_owned(), data.clone())),
        }
    }
}

/// A running synchronisation daemon.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaemonView {
    /// Which side.
    pub role: DaemonRole,
    /// The multicast interface.
    pub interface: String,
    /// Its syncid.
    pub sync_id: u8,
    /// Bytes of a message at most.
    pub max_len: u16,
    /// The multicast group.
    pub group: IpAddr,
    /// The UDP port.
    pub port: u16,
    /// The time to live of messages.
    pub ttl: u8,
}
