//! The workers, their tables, and which published values they use.

use serde::{Deserialize, Serialize};

/// What a worker was doing during the last interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WorkerState {
    /// It has not been looked at twice yet.
    #[default]
    Starting,
    /// It polls all the time.
    Polling,
    /// It polls, and naps when nothing comes.
    Napping,
    /// It has not begun a turn.
    Stuck,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerView {
    /// Its number.
    pub worker: u64,
    /// Its core.
    pub core: u64,
    /// What it was doing.
    pub state: WorkerState,
    /// Turns of its poll loop during the last interval.
    pub polls: u64,
    /// Those of them in which a frame came.
    pub busy_polls: u64,
    /// Frames taken from the ports during the last interval, a second.
    pub rx_per_sec: u64,
    /// Frames given to the ports during the last interval, a second.
    pub tx_per_sec: u64,
    /// Frames taken from the ports.
    pub received: u64,
    /// Frames given to the ports, those from Linux included.
    pub sent: u64,
    /// Frames from Linux.
    pub injected: u64,
    /// Frames that it received and gave to the worker that owns their connection.
    pub handed_over: u64,
    /// Frames that another worker sent for it, who has a queue of the port.
    pub relayed: u64,
    /// Frames that other workers gave to it, for either reason.
    pub taken_over: u64,
    /// Connections in its tables.
    pub connections: u64,
    /// The version of the configuration that it uses; absent while it sleeps, and
    /// then the newest is next.
    pub config_seen: Option<u64>,
    /// The version of the forwarding information that it uses; likewise.
    pub forwarding_seen: Option<u64>,
}

/// A connection table, over all workers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableView {
    /// `ipv4` or `ipv6`.
    pub family: String,
    /// Connections in it.
    pub used: u64,
    /// Connections that fit.
    pub capacity: u64,
}

/// Connections that ended by themselves, and those that had to go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct EndsView {
    /// They expired.
    pub expired: u64,
    /// They were evicted from a full table.
    pub evicted: u64,
}

/// A published value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct VersionView {
    /// The newest version.
    pub published: u64,
    /// Older ones that are not freed yet.
    pub outstanding: u64,
}

/// ICMP errors that the director made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IcmpErrorsView {
    /// Sent.
    pub sent: u64,
    /// Not sent, since too many were.
    pub limited: u64,
}
