//! What pvsd tells of itself: plain data, filled by the composition root, shown by pvsadm.
//!
//! Names of fields are those of the JSON that operators' programs read: they are added to, and
//! never change their meaning. Nothing here knows a worker, a device or netlink. A field that an
//! older pvsd leaves out has its default.

mod attention;
mod linux;
mod losses;
mod parts;
mod ports;
mod workers;

pub use attention::attention;
pub use linux::{
    AddressView, AstrayView, ExchangeView, HopState, HopView, InterfaceKind, InterfaceView,
    LinuxView, PuntView,
};
pub use losses::{LossPlace, LossView};
pub use ports::PortView;
pub use workers::{EndsView, IcmpErrorsView, TableView, VersionView, WorkerState, WorkerView};

use pvs_sched::config::ServiceKey;
use serde::{Deserialize, Serialize};

/// The state of a director.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StatusView {
    /// pvsd's version.
    pub version: String,
    /// DPDK's version, in its own words.
    pub dpdk: String,
    /// Since pvsd started, in seconds.
    pub uptime_secs: u64,
    /// The time that rates and shares are over; 0: not known yet.
    pub interval_ms: u64,
    /// How old the figures of ports, rates and shares are, in milliseconds.
    pub sample_age_ms: u64,
    /// How packets find their worker.
    pub steering: String,
    /// The ports, in the order of their indices.
    pub ports: Vec<PortView>,
    /// The workers, in the order of their numbers.
    pub workers: Vec<WorkerView>,
    /// The connection tables, over all workers.
    pub tables: Vec<TableView>,
    /// How connections left them.
    pub ends: EndsView,
    /// The connection tables are on huge pages.
    pub table_huge_pages: bool,
    /// Packet buffers are on huge pages.
    pub buffer_huge_pages: bool,
    /// The published configuration.
    pub config: VersionView,
    /// The services.
    pub services: ServicesView,
    /// What Linux knows, and what pvs makes of it.
    pub linux: LinuxView,
    /// Frames for Linux, by class.
    pub punts: Vec<PuntView>,
    /// Frames between rings and taps.
    pub exchange: ExchangeView,
    /// ICMP errors of the director's own, if it makes any.
    pub icmp_errors: Option<IcmpErrorsView>,
    /// The reasons for which packets were lost.
    pub drops: Vec<LossView>,
}

/// The services, counted, and those that wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServicesView {
    /// How many there are.
    pub services: u64,
    /// How many of them have no server that takes new connections.
    pub without_servers: u64,
    /// Real servers, over all services.
    pub servers: u64,
    /// Services whose address is not local: they take no packets.
    pub waiting: Vec<ServiceKey>,
}
