//! A command in the making: what the options have said so far, each read the moment it is met.
//!
//! ipvsadm is sensitive to the order of its options in a few places (`-6` behind `-f`, `-M` behind
//! an IPv6 address, `-r` without a port behind the service), and so is this.

use super::names::Names;
use super::notation::{inet_aton, leading_number, number};
use super::plan::Failure;
use super::row::{Row, Tag};
use super::{endpoint, tokens::Token};
use pvs_sched::config::{
    AddressFamily, Method, ServerKey, ServiceFlags, ServiceKey, Transport, Tunnel, TunnelKind,
};
use pvs_sched::limits::{TIMEOUT_SECS_MAX, WEIGHT_MAX};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The persistence of a `-p` without a time.
const PERSISTENT_SECS: u32 = 360;

/// The netmask of one client alone.
pub(super) const HOST_MASK_V4: u32 = u32::MAX;
/// The prefix length of one client alone.
pub(super) const HOST_MASK_V6: u32 = 128;

/// Longest name of a device, a scheduler or an engine that ipvsadm passes on.
const NAME_BYTES_MAX: usize = 15;

/// As much of the flags of `-b` as ipvsadm reads.
const FLAGS_BYTES_MAX: usize = 127;

/// What the options have said.
#[derive(Debug)]
pub(super) struct Draft {
    given: Vec<&'static str>,
    transport: Option<Transport>,
    address: Option<IpAddr>,
    port: u16,
    mark: u32,
    family: Option<AddressFamily>,
    pub(super) scheduler: String,
    pub(super) scheduler_flags: Option<String>,
    pub(super) flags: ServiceFlags,
    pub(super) timeout_secs: Option<u32>,
    pub(super) netmask: u32,
    pub(super) engine: Option<String>,
    server: Option<ServerKey>,
    pub(super) method: Method,
    pub(super) weight: u32,
    pub(super) upper_threshold: u32,
    pub(super) lower_threshold: u32,
    pub(super) tunnel: Tunnel,
    pub(super) interface: String,
    pub(super) sync_id: u8,
    pub(super) sync_max_len: Option<u16>,
    pub(super) group: Option<IpAddr>,
    pub(super) group_port: Option<u16>,
    pub(super) group_ttl: Option<u8>,
}

impl Draft {
    pub(super) fn new() -> Self {
        Self {
            given: Vec::new(),
            transport: None,
            address: None,
            port: 0,
            mark: 0,
            family: None,
            scheduler: String::new(),
            scheduler_flags: None,
            flags: ServiceFlags::default(),
            timeout_secs: None,
            netmask: HOST_MASK_V4,
            engine: None,
            server: None,
            method: Method::Route,
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::default(),
            interface: String::new(),
            sync_id: 0,
            sync_max_len: None,
            group: None,
            group_port: None,
            group_ttl: None,
        }
    }

    /// The option of this name was given.
    pub(super) fn has(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// The service; `None` if no option named one.
    pub(super) fn service(&self) -> Option<ServiceKey> {
        if self.mark != 0 {
            let family = self.family.unwrap_or(AddressFamily::Ipv4);
            return Some(ServiceKey::Mark {
                mark: self.mark,
                family,
            });
        }
        let (protocol, address) = (self.transport?, self.address?);
        Some(ServiceKey::Address {
            protocol,
            address,
            port: self.port,
        })
    }

    /// The server; `None` if no option named one.
    pub(super) const fn server(&self) -> Option<ServerKey> {
        self.server
    }

    /// Takes an option.
    pub(super) fn take(&mut self, token: &Token, names: &dyn Names) -> Result<(), Failure> {
        self.mark_given(token.row)?;
        let text = token.value.as_deref().unwrap_or_default();
        match token.row.tag {
            Tag::Verb(_) | Tag::Help | Tag::Version => {
                return Err(Failure::wrong(format!("invalid option `{}'", token.word)));
            }
            Tag::Service(transport) => self.take_service(transport, text, names)?,
            Tag::Mark => self.take_mark(text)?,
            Tag::Scheduler => self.scheduler = cut(text),
            Tag::Persistent => self.timeout_secs = Some(timeout(token.value.as_deref(), 1)?),
            Tag::Netmask => self.take_netmask(text, names)?,
            Tag::Server => self.take_server(text, names)?,
            Tag::Method(method) => self.method = method,
            Tag::Weight => self.weight = ranged(text, 0, WEIGHT_MAX, "weight")?,
            Tag::UpperThreshold => {
                self.upper_threshold = ranged(text, 0, WEIGHT_MAX, "u_threshold")?;
            }
            Tag::LowerThreshold => {
                self.lower_threshold = ranged(text, 0, WEIGHT_MAX, "l_threshold")?;
            }
            Tag::SchedulerFlags => {
                self.scheduler_flags = Some(first(text, FLAGS_BYTES_MAX).to_owned());
            }
            Tag::OnePacket => self.flags = self.flags.with(ServiceFlags::ONE_PACKET),
            Tag::Engine => self.engine = Some(cut(text)),
            Tag::Ipv6 => self.take_ipv6()?,
            Tag::Interface => self.interface = cut(text),
            Tag::SyncId => self.sync_id = ranged(text, 0, 255, "syncid")?,
            Tag::Group => self.group = Some(multicast_group(text)?),
            Tag::GroupPort => self.group_port = Some(ranged(text, 1, 65_535, "mcast-port")?),
            Tag::GroupTtl => self.group_ttl = Some(ranged(text, 1, 255, "mcast-ttl")?),
            Tag::SyncMaxLen => {
                self.sync_max_len = Some(ranged(text, 1, 65_535 - 28, "sync-maxlen")?);
            }
            Tag::TunnelKind => self.tunnel.kind = tunnel_kind(text)?,
            Tag::TunnelPort => self.tunnel.port = ranged(text, 1, 65_535, "tunnel port")?,
            Tag::TunnelChecksum(flag) => self.tunnel.flags |= flag,
            Tag::Flag | Tag::Json => {}
        }
        Ok(())
    }

    /// Notes that an option was given; options of one name exclude each other.
    fn mark_given(&mut self, row: &Row) -> Result<(), Failure> {
        if row.name.is_empty() {
            return Ok(());
        }
        if self.has(row.name) {
            return Err(Failure::wrong(format!(
                "multiple '{}' options specified",
                row.name
            )));
        }
        self.given.push(row.name);
        Ok(())
    }

    fn take_service(
        &mut self,
        transport: Transport,
        text: &str,
        names: &dyn Names,
    ) -> Result<(), Failure> {
        self.transport = Some(transport);
        let (address, port) = endpoint::parse(text, Some(transport), names)
            .ok_or_else(|| Failure::wrong("illegal virtual server address[:port] specified"))?;
        self.address = Some(address);
        self.port = port.unwrap_or(self.port);
        if address.is_ipv6() {
            self.family = Some(AddressFamily::Ipv6);
            self.netmask = HOST_MASK_V6;
        } else {
            self.family = Some(AddressFamily::Ipv4);
        }
        Ok(())
    }

    fn take_mark(&mut self, text: &str) -> Result<(), Failure> {
        self.family = Some(AddressFamily::Ipv4);
        // Names of a server's port are looked up as TCP's.
        self.transport = Some(Transport::Tcp);
        let mark = number(text, 1, u32::MAX.into()).and_then(|n| u32::try_from(n).ok());
        let wrong = || Failure::wrong(format!("invalid fwmark value `{text}' specified"));
        self.mark = mark.ok_or_else(wrong)?;
        Ok(())
    }

    fn take_ipv6(&mut self) -> Result<(), Failure> {
        if self.mark == 0 {
            return Err(Failure::wrong("-6 used before -f\n"));
        }
        self.family = Some(AddressFamily::Ipv6);
        self.netmask = HOST_MASK_V6;
        Ok(())
    }

    /// A mask for IPv4, or for a service that is still to come; a prefix length for IPv6.
    fn take_netmask(&mut self, text: &str, names: &dyn Names) -> Result<(), Failure> {
        if self.family == Some(AddressFamily::Ipv6) {
            let length = u32::try_from(leading_number(text)).ok();
            self.netmask = length
                .filter(|l| (1..=HOST_MASK_V6).contains(l))
                .ok_or_else(|| Failure::wrong("illegal ipv6 netmask specified"))?;
        } else {
            let mask = inet_aton(text).or_else(|| names.address(text));
            let wrong = || Failure::wrong("illegal virtual server persistent mask specified");
            self.netmask = mask.map(Ipv4Addr::to_bits).ok_or_else(wrong)?;
        }
        Ok(())
    }

    fn take_server(&mut self, text: &str, names: &dyn Names) -> Result<(), Failure> {
        let (address, port) = endpoint::parse(text, self.transport, names)
            .ok_or_else(|| Failure::wrong("illegal real server address[:port] specified"))?;
        self.server = Some(ServerKey {
            address,
            port: port.unwrap_or(self.port),
        });
        Ok(())
    }
}

/// A time in seconds, at least `from`; [`PERSISTENT_SECS`] if there is none.
pub(super) fn timeout(text: Option<&str>, from: u32) -> Result<u32, Failure> {
    let Some(text) = text else {
        return Ok(PERSISTENT_SECS);
    };
    number(text, from.into(), TIMEOUT_SECS_MAX.into())
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| Failure::wrong(format!("invalid timeout value `{text}' specified")))
}

/// A number in a range, for the option that messages call `name`.
fn ranged<T: TryFrom<i64>>(text: &str, from: u32, to: u32, name: &str) -> Result<T, Failure> {
    number(text, from.into(), to.into())
        .and_then(|n| T::try_from(n).ok())
        .ok_or_else(|| Failure::wrong(format!("illegal {name} specified")))
}

/// A name as long as the kernel's room for it.
fn cut(name: &str) -> String {
    first(name, NAME_BYTES_MAX).to_owned()
}

/// The first bytes of a text, as many as make whole characters.
fn first(text: &str, bytes: usize) -> &str {
    let end = (0..=bytes.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at));
    text.get(..end.unwrap_or(0)).unwrap_or_default()
}

fn tunnel_kind(text: &str) -> Result<TunnelKind, Failure> {
    match text {
        "ipip" => Ok(TunnelKind::Ipip),
        "gue" => Ok(TunnelKind::Gue),
        "gre" => Ok(TunnelKind::Gre),
        _ => Err(Failure::wrong("illegal tunnel type specified")),
    }
}

fn multicast_group(text: &str) -> Result<IpAddr, Failure> {
    let (family, address) = if text.contains(':') {
        let address = text.parse::<Ipv6Addr>().ok().filter(Ipv6Addr::is_multicast);
        ("IPv6", address.map(IpAddr::V6))
    } else {
        let address = text.parse::<Ipv4Addr>().ok().filter(Ipv4Addr::is_multicast);
        ("IPv4", address.map(IpAddr::V4))
    };
    address.ok_or_else(|| Failure::wrong(format!("invalid {family} mcast-group `{text}'")))
}
