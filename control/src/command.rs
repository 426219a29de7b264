//! What can be asked of pvsd: validated commands, the form in which they cross the control socket.
//!
//! Produced by [`cli`](crate::cli) out of an argument vector, carried out by
//! [`store`](crate::store). Nothing here judges; a value that came over the socket is judged again
//! by the store.

use pvs_sched::MhSlots;
use pvs_sched::config::{
    Persistence, ServerConfig, ServerKey, ServiceFlags, ServiceKey, Transport,
};
use pvs_sched::marks::MarkRule;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};

/// One command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Command {
    /// `-A`.
    AddService(ServiceRequest),
    /// `-E`.
    EditService(ServiceRequest),
    /// `-D`.
    DeleteService(ServiceKey),
    /// `-C`.
    Flush,
    /// `-a`.
    AddServer {
        /// The service that gets it.
        service: ServiceKey,
        /// The server.
        server: ServerConfig,
    },
    /// `-e`.
    EditServer {
        /// The service that has it.
        service: ServiceKey,
        /// The server with its new values.
        server: ServerConfig,
    },
    /// `-d`.
    DeleteServer {
        /// The service that has it.
        service: ServiceKey,
        /// The server.
        server: ServerKey,
    },
    /// `-Z`: of one service, or of all.
    Zero(Option<ServiceKey>),
    /// `--set`, in seconds; 0 keeps a value.
    SetTimeouts {
        /// TCP, established.
        tcp_secs: u32,
        /// TCP, after a FIN.
        tcp_fin_secs: u32,
        /// UDP.
        udp_secs: u32,
    },
    /// `--start-daemon`.
    StartDaemon(DaemonRequest),
    /// `--stop-daemon`.
    StopDaemon(DaemonRole),
    /// `-L`, `-S`: every service.
    ListServices,
    /// `-L` with a service.
    ListService(ServiceKey),
    /// `-L -c`.
    ListConnections,
    /// `proc ip_vs_stats`: what all services have counted, those that are gone too.
    ListTotals,
    /// `apply`, `diff`: makes these rules the running ones, all of them or none.
    Replace {
        /// The services with their servers, in the order in which they are added.
        rules: Vec<Rule>,
        /// Only tells what would be changed.
        #[serde(default)]
        dry_run: bool,
    },
    /// `-L --timeout`.
    ListTimeouts,
    /// `-L --daemon`.
    ListDaemons,
    /// `sysctl NAME=VALUE ...`: all of them, or none.
    Tune(Vec<Tuning>),
    /// `sysctl`: the tunables of these names, or all of them if none is named.
    ListTunables(Vec<String>),
    /// `explain`.
    Explain(ExplainRequest),
    /// `mark list`.
    ListMarks,
    /// `mark add`: a rule before the one that has this number, or behind all others.
    AddMark {
        /// The number, counted from 1.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u32>,
        /// The rule.
        rule: MarkRule,
    },
    /// `mark delete`: the rule of this number.
    DeleteMark(u32),
    /// `mark delete`: the first rule that says the same.
    DeleteMarkRule(MarkRule),
    /// `mark restore`, `mark flush`: these rules in place of all others.
    SetMarks(Vec<MarkRule>),
    /// `mh --slots`: how many slots the table of a service with the scheduler mh has.
    SetSlots {
        /// The service.
        service: ServiceKey,
        /// The number, a prime.
        slots: MhSlots,
    },
    /// `mh`: those of one service, or of all.
    ListSlots(Option<ServiceKey>),
    /// `status`.
    Status,
    /// `drops`.
    Drops,
}

impl Command {
    /// Changes nothing.
    #[must_use]
    pub const fn is_listing(&self) -> bool {
        matches!(
            self,
            Self::ListServices
                | Self::ListService(_)
                | Self::ListConnections
                | Self::ListTotals
                | Self::Replace { dry_run: true, .. }
                | Self::ListTimeouts
                | Self::ListDaemons
                | Self::ListTunables(_)
                | Self::ListMarks
                | Self::ListSlots(_)
                | Self::Explain(_)
                | Self::Status
                | Self::Drops
        )
    }
}

/// A packet that `explain` tells of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainRequest {
    /// Its protocol.
    pub protocol: Transport,
    /// Where it comes from.
    pub client: SocketAddr,
    /// Where it goes.
    pub virtual_: SocketAddr,
    /// The interface that it comes in by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
}

/// A tunable and its value, as they are written under /proc/sys/net/ipv4/vs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tuning {
    /// The name.
    pub name: String,
    /// The value.
    pub value: String,
}

/// A service with its servers, as asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The service.
    pub service: ServiceRequest,
    /// Its servers, in the order in which they are added.
    #[serde(default)]
    pub servers: Vec<ServerConfig>,
}

/// A service as asked for: names that may turn out to be unknown are still text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceRequest {
    /// What names it.
    pub key: ServiceKey,
    /// The scheduler's name.
    pub scheduler: String,
    /// Its flags.
    #[serde(default)]
    pub flags: ServiceFlags,
    /// Its persistence, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Persistence>,
    /// The persistence engine's name, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,
}

/// The two sides of connection synchronisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DaemonRole {
    /// Sends.
    Master,
    /// Receives.
    Backup,
}

impl DaemonRole {
    /// The word on the command line and in a listing.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Backup => "backup",
        }
    }

    /// The role of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Master, Self::Backup]
            .into_iter()
            .find(|r| r.as_str() == name)
    }
}

/// A synchronisation daemon as asked for; what is absent gets the kernel's default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DaemonRequest {
    /// Which side.
    pub role: DaemonRole,
    /// The multicast interface.
    pub interface: String,
    /// `--syncid`.
    #[serde(default)]
    pub sync_id: u8,
    /// `--sync-maxlen`.
    #[serde(default)]
    pub max_len: Option<u16>,
    /// `--mcast-group`.
    #[serde(default)]
    pub group: Option<IpAddr>,
    /// `--mcast-port`.
    #[serde(default)]
    pub port: Option<u16>,
    /// `--mcast-ttl`.
    #[serde(default)]
    pub ttl: Option<u8>,
}
