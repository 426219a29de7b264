//! The configuration file, in TOML. Unknown keys are errors; what is not given has the value shown here.

use crate::args::Args;
use anyhow::{Context, Result, anyhow, bail, ensure};
use pvs_control::cli::service_named;
use pvs_control::command::Tuning;
use pvs_sched::{MhSlots, ServiceKey, Tunables};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

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
    /// DPDK's devargs: a virtual device (`net_af_packet0,iface=eth1`) or a PCI address (`0000:3b:00.0`).
    pub device: String,
    /// The name of the mirror tap.
    pub mirror: String,
    /// The network namespace of the mirror tap: a name under /run/netns or a path; that of pvsd if not given.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Who is on it: what a NIC is asked to hash, so that packets find their worker. With one worker it
    /// changes nothing.
    #[serde(default)]
    pub role: Role,
    /// Its MTU; 1500 if not given, or the largest of the device if that is less.
    #[serde(default)]
    pub mtu: Option<u16>,
    /// Its receive queues, and transmit queues; one for each worker if not given, or as many as the device
    /// can have.
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
    /// How many slots the tables of mh services have, by the option that names the service for pvsadm.
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
    /// The workers drop what they would forward, counted as "rehearsal": to see that a check notices.
    pub drop_service_traffic: bool,
}

/// Reads the file and applies the command line on top.
///
/// # Errors
/// The file can't be read, is no TOML, has an unknown key, or says what can't be.
pub fn load(args: &Args) -> Result<Config> {
    let path = args.config.display();
    let text = std::fs::read_to_string(&args.config)
        .with_context(|| format!("{path}: can't be read (another file: pvsd --config FILE)"))?;
    let mut config = parse(&args.config, &text)?;
    if let Some(socket) = &args.socket {
        config.control.socket.clone_from(socket);
    }
    if args.no_hugepages {
        config.memory.hugepages = Hugepages::Off;
    }
    if let Some(level) = &args.log_level {
        config.log.level.clone_from(level);
    }
    check(&config).with_context(|| path.to_string())?;
    Ok(config)
}

fn parse(path: &Path, text: &str) -> Result<Config> {
    match toml::from_str(text) {
        Ok(config) => Ok(config),
        Err(error) => {
            let before = error
                .span()
                .and_then(|span| text.get(..span.start))
                .unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let message = error.message().replace('\n', " ");
            bail!("{}: line {line}: {message}", path.display())
        }
    }
}

fn check(config: &Config) -> Result<()> {
    ensure!(
        !config.port.is_empty(),
        "no port: at least one [[port]] with device and mirror is needed"
    );
    for (at, port) in config.port.iter().enumerate() {
        let (device, mirror) = (&port.device, &port.mirror);
        let valid = !mirror.is_empty() && mirror.len() < 16 && !mirror.contains(['/', ' ', '\0']);
        ensure!(
            valid,
            "port {device}: the mirror {mirror:?} is no interface name: 1 to 15 bytes without / and blanks"
        );
        let earlier = config.port.iter().take(at);
        let twin = earlier
            .clone()
            .any(|p| p.mirror == *mirror && p.namespace == port.namespace);
        ensure!(
            !twin,
            "two ports have the mirror {mirror}: each needs one of its own"
        );
        let twin = earlier
            .clone()
            .any(|p| name_of(&p.device) == name_of(device));
        ensure!(
            !twin,
            "two ports have the device {}: each needs one of its own",
            name_of(device)
        );
    }
    let workers = &config.workers;
    ensure!(
        (1..=WORKERS_MAX).contains(&workers.count),
        "workers.count is {}: 1 to {WORKERS_MAX} are possible",
        workers.count
    );
    let cores = workers.cores.len();
    ensure!(
        cores == 0 || cores == usize::from(workers.count),
        "workers.cores names {cores} cores for {} workers: one for each, or none to let pvsd choose",
        workers.count
    );
    let connections = config.table.connections;
    let connections6 = config.table.connections6.unwrap_or(connections);
    for (key, value) in [("connections", connections), ("connections6", connections6)] {
        ensure!(
            (1024..=1 << 28).contains(&value),
            "table.{key} is {value}: 1024 to 268435456 are possible"
        );
    }
    let servers = config.table.servers;
    ensure!(
        (1..=pvs_sched::limits::SERVERS_MAX as u32).contains(&servers),
        "table.servers is {servers}: 1 to {} are possible",
        pvs_sched::limits::SERVERS_MAX
    );
    let templates = config.table.templates;
    ensure!(
        (512..=1 << 21).contains(&templates),
        "table.templates is {templates}: 512 to 2097152 are possible"
    );
    config.control.mode()?;
    config.rules.mh_slots()?;
    let mut tunables = Tunables::default();
    for Tuning { name, value } in config.sysctl.tunings() {
        let set = tunables.set(&name, &value);
        set.map_err(|error| anyhow!("sysctl.{name} is {value}: {error}"))?;
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;

    const PORT: &str = "[[port]]\ndevice = \"net_af_packet0,iface=d0\"\nmirror = \"eth0\"\n";

    fn config(text: &str) -> Result<Config> {
        let config = parse(Path::new("pvsd.toml"), text)?;
        check(&config)?;
        Ok(config)
    }

    #[test]
    fn what_is_not_given_has_a_value() {
        let config = config(PORT).unwrap();
        assert_eq!(config.port[0].role, Role::Both);
        assert_eq!(config.port[0].netdev(), Some("d0"));
        assert_eq!(config.control.mode().unwrap(), 0o660);
        assert_eq!(config.workers.count, 1);
    }

    /// The file that operators copy.
    const EXAMPLE: &str = include_str!("../../../docs/pvsd.toml");

    #[test]
    fn the_example_has_the_values_of_a_file_that_says_nothing() {
        let mut example = config(EXAMPLE).unwrap();
        for port in std::mem::take(&mut example.port) {
            assert_eq!(
                (port.role, port.namespace, port.mtu),
                (Role::Both, None, None)
            );
        }
        assert_eq!(example, Config::default());
    }

    #[test]
    fn what_the_example_leaves_out_may_be_set_as_it_shows() {
        let set = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase()) => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        let example = config(&EXAMPLE.lines().map(set).collect::<String>()).unwrap();
        assert_eq!(example.port[0].namespace.as_deref(), Some("director"));
        assert_eq!(example.port[0].mtu, Some(1500));
        let default = TableConfig::default();
        assert_eq!(example.table.connections6, Some(default.connections / 4));
        assert!(example.control.group.is_some() && example.rules.file.is_some());
        assert_eq!(example.rules.mh_slots().unwrap().len(), 1);
    }

    #[test]
    fn a_mistake_is_told_in_one_line_that_says_what_would_be_right() {
        let tell = |text: &str| {
            let line = format!("{:#}", config(text).unwrap_err());
            assert!(!line.contains('\n'), "{line}");
            line
        };
        assert!(tell("").contains("at least one [[port]]"));
        assert!(
            tell(&format!("{PORT}[table]\nconections = 5\n"))
                .starts_with("pvsd.toml: line 5: unknown field")
        );
        assert!(tell(&format!("{PORT}[workers]\ncount = 65\n")).contains("1 to 64 are possible"));
        assert!(
            tell(&format!("{PORT}[workers]\nsteering = \"rss\"\n")).contains("unknown variant")
        );
        assert!(tell(&format!("{PORT}{PORT}")).contains("each needs one of its own"));
        assert!(tell(&format!("{PORT}[control]\nmode = \"0999\"\n")).contains("octal"));
        assert!(tell(&format!("{PORT}[table]\nconnections = 5\n")).contains("268435456"));
        assert!(
            tell("[[port]]\ndevice = \"net_null0\"\nmirror = \"a/b\"\n")
                .contains("no interface name")
        );
        assert!(tell(&format!("{PORT}[sysctl]\nsecure_tcp = 4\n")).contains("0 to 3 are possible"));
        assert!(tell(&format!("{PORT}[sysctl]\nsecure = 4\n")).contains("no such tunable"));
        let slots = |line: &str| tell(&format!("{PORT}[rules]\nmh_slots = {{ {line} }}\n"));
        assert!(slots("\"-t 10.0.0.1:80\" = 65536").contains("65521, 65537"));
        assert!(slots("\"10.0.0.1:80\" = 65537").contains("unexpected argument"));
        assert!(tell("[[port]]\ndevice = 5\n").starts_with("pvsd.toml: line 2: "));
    }
}
