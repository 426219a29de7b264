//! The configuration file, in TOML. Unknown keys are errors; what is not given
//! has the value shown here.

mod file;
#[cfg(test)]
mod tests;

pub use file::load;

use anyhow::{Result, anyhow, bail};
use pvs_control::cli::service_named;
use pvs_control::command::Tuning;
use pvs_sched::{MhSlots, ServiceKey};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Workers at most.
pub const WORKERS_MAX: u16 = 64;

/// Everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The ports, at least one.
    pub port: Vec<PortConfig>,
    /// Who polls them.
    pub workers: WorkersConfig,
    /// DPDK's memory.
    pub memory: MemoryConfig,
    /// The connection table.
    pub table: TableConfig,
    /// The control socket.
    pub control: ControlConfig,
    /// The log.
    pub log: LogConfig,
    /// Rules loaded at start.
    pub rules: RulesConfig,
    /// The tunables that are not as the kernel has them.
    pub sysctl: SysctlConfig,
    /// What no production director sets.
    pub debug: DebugConfig,
}

/// A port.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortConfig {
    /// DPDK's devargs: a virtual device (`net_af_packet0,iface=eth1`) or a PCI
    /// address (`0000:3b:00.0`).
    pub device: String,
    /// The name of the mirror tap.
    pub mirror: String,
    /// The network namespace of the mirror tap: a name under /run/netns or a path;
    /// that of pvsd if not given.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Who is on it: what a NIC is asked to hash, so that packets find their worker. With one
    /// worker it changes nothing.
    #[serde(default)]
    pub role: Role,
    /// Its MTU; 1500 if not given, or the largest of the device if that is less.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Its receive queues, and transmit queues; one for each worker if not given, or as
    /// many as the device can have.
    #[serde(default)]
    pub queues: Option<u16>,
}

/// Who is on a port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Clients.
    Client,
    /// Real servers.
    Server,
    /// Both.
    #[default]
    Both,
}

/// The workers.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkersConfig {
    /// How many: at most one for each core.
    pub count: u16,
    /// Their cores, one each; the last ones of the machine if not given.
    pub cores: Vec<usize>,
    /// What they do when nothing comes.
    pub idle: IdleConfig,
    /// How packets find the worker that owns their connection.
    pub steering: SteeringConfig,
}

impl Default for WorkersConfig {
    fn default() -> Self {
        Self {
            count: 1,
            cores: vec![],
            idle: IdleConfig::Poll,
            steering: SteeringConfig::Auto,
        }
    }
}

/// How packets find the worker that owns their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SteeringConfig {
    /// `nic` where the ports can do it, else `ring`.
    Auto,
    /// The NIC hashes the client's endpoint.
    Nic,
    /// Whoever receives a packet owns its connection: no masquerading.
    Rxq,
    /// Whoever receives a packet hands it over.
    Ring,
}

/// What a worker does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleConfig {
    /// Polls on.
    Poll,
    /// Naps after a while: for small machines.
    Adaptive,
}

/// DPDK's memory.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfig {
    /// Whether it is of huge pages.
    pub hugepages: Hugepages,
    /// How much, in MiB; 256 if not given, or 64 for each worker if that is more.
    pub megabytes: Option<u32>,
    /// Packet buffers; 16,384 for each worker if not given.
    pub buffers: Option<u32>,
}

impl Default for MemoryConfig {
    fn default() -> Self {
        Self {
            hugepages: Hugepages::Auto,
            megabytes: None,
            buffers: None,
        }
    }
}

/// Whether memory is of huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Hugepages {
    /// Where they can be had.
    Auto,
    /// Or pvsd does not start.
    Require,
    /// Never.
    Off,
}

/// The connection table.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TableConfig {
    /// IPv4 connections.
    pub connections: u32,
    /// IPv6 connections; a quarter of the others if not given.
    pub connections6: Option<u32>,
    /// Real servers over all services: about 170 bytes each, and as much for each further worker.
    pub servers: u32,
    /// Templates of persistent services over IPv4; a quarter as many fit over IPv6.
    pub templates: u32,
}

impl Default for TableConfig {
    fn default() -> Self {
        Self {
            connections: 1 << 20,
            connections6: None,
            servers: pvs_sched::limits::SERVERS_MAX as u32,
            templates: 65_536,
        }
    }
}

/// The control socket.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlConfig {
    /// Its path.
    pub socket: PathBuf,
    /// Its mode, in octal: "0660".
    pub mode: String,
    /// Its group.
    pub group: Option<String>,
}

impl Default for ControlConfig {
    fn default() -> Self {
        let socket = PathBuf::from(pvs_control::socket::DEFAULT_PATH);
        Self {
            socket,
            mode: "0660".to_owned(),
            group: None,
        }
    }
}

/// The log, on standard error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogConfig {
    /// From this level on; a module may have its own: `info,pvs_linux=debug`.
    pub level: String,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
        }
    }
}

/// Rules loaded at start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RulesConfig {
    /// A file as `ipvsadm -S` writes it.
    pub file: Option<PathBuf>,
    /// A file as `pvsadm mark save` writes it.
    pub marks: Option<PathBuf>,
    /// How many slots the tables of mh services have, by the option that
    /// names the service for pvsadm.
    pub mh_slots: BTreeMap<String, u32>,
}

impl RulesConfig {
    /// The services of `mh_slots` with their numbers.
    ///
    /// # Errors
    /// A name or a number that can't be.
    pub fn mh_slots(&self) -> Result<Vec<(ServiceKey, MhSlots)>> {
        let read = |(name, slots): (&String, &u32)| {
            let service = service_named(name);
            let service = service.map_err(|wrong| anyhow!("rules.mh_slots: {name:?}: {wrong}"))?;
            let slots = MhSlots::new(*slots)
                .map_err(|wrong| anyhow!("rules.mh_slots: {name:?} is {slots}: {wrong}"))?;
            Ok((service, slots))
        };
        self.mh_slots.iter().map(read).collect()
    }
}

/// Tunables by name, as `pvsadm sysctl` sets them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct SysctlConfig(pub BTreeMap<String, SysctlValue>);

/// A number, or a text such as the two numbers of `sync_threshold`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum SysctlValue {
    /// A number.
    Number(i64),
    /// A text.
    Text(String),
}

impl SysctlConfig {
    /// The command that sets them.
    #[must_use]
    pub fn tunings(&self) -> Vec<Tuning> {
        let tuning = |(name, value): (&String, &SysctlValue)| Tuning {
            name: name.clone(),
            value: match value {
                SysctlValue::Number(number) => number.to_string(),
                SysctlValue::Text(text) => text.clone(),
            },
        };
        self.0.iter().map(tuning).collect()
    }
}

/// For rehearsals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DebugConfig {
    /// The workers drop what they would forward, counted as "rehearsal": to
    /// see that a check notices.
    pub drop_service_traffic: bool,
}

/// The device's name: what stands before the first comma.
#[must_use]
pub fn name_of(device: &str) -> &str {
    device.split(',').next().unwrap_or(device)
}

impl Config {
    /// DPDK's memory, in MiB: the buffers and what is around them.
    #[must_use]
    pub fn megabytes(&self) -> u32 {
        let workers = u32::from(self.workers.count);
        self.memory.megabytes.unwrap_or((workers * 64).max(256))
    }

    /// Packet buffers.
    #[must_use]
    pub fn buffers(&self) -> u32 {
        let workers = u32::from(self.workers.count);
        let each = 16_384;
        self.memory.buffers.unwrap_or(workers * each)
    }
}

impl ControlConfig {
    /// The mode as a number.
    ///
    /// # Errors
    /// It is not octal, or above 0777.
    pub fn mode(&self) -> Result<u32> {
        match u32::from_str_radix(&self.mode, 8) {
            Ok(mode) if mode <= 0o777 => Ok(mode),
            _ => bail!(
                "control.mode is {:?}: an octal number such as \"0660\" is expected",
                self.mode
            ),
        }
    }
}

impl PortConfig {
    /// The kernel netdev that the device takes frames from, if it is one of that kind.
    #[must_use]
    pub fn netdev(&self) -> Option<&str> {
        let kinds = ["net_af_packet", "net_af_xdp"];
        let is = kinds.iter().any(|kind| self.device.starts_with(kind));
        self.device
            .split(',')
            .find_map(|part| part.strip_prefix("iface="))
            .filter(|_| is)
    }
}
