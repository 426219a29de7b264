//! Mark rules: which packets get a firewall mark, and which are dropped before anything else.
//!
//! There is no netfilter in the way of a packet, so what iptables does for a kernel director is
//! done here. Rules are asked in their order, as iptables asks those of a chain: `mark` sets the
//! mark, or some of its bits, and goes on; `accept` and `drop` end. A mark is asked for only where
//! a connection may begin; dropping holds for every packet.

use core::fmt;
use core::net::IpAddr;
use pvs_proto::{Address, Protocol};
use serde::{Deserialize, Serialize};

/// An address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The address; bits behind the length are 0.
    pub address: IpAddr,
    /// The length.
    pub length: u8,
}

/// Ports from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortRange {
    /// The first.
    pub first: u16,
    /// The last.
    pub last: u16,
}

/// What becomes of a packet that a rule matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Action {
    /// It gets these bits of a mark, and the next rule is asked.
    Mark {
        /// The bits.
        value: u32,
        /// Which bits are set; all others stay.
        mask: u32,
    },
    /// It is dropped.
    Drop,
    /// No further rule is asked.
    Accept,
}

/// A rule. What is not given matches everything.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MarkRule {
    /// The protocol's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<u8>,
    /// Where it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Prefix>,
    /// Where it goes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Prefix>,
    /// One of these source ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub source_ports: Vec<PortRange>,
    /// One of these destination ports.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub destination_ports: Vec<PortRange>,
    /// The interface that it came in by: its name on the mirror.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// What becomes of it.
    pub action: Action,
}

/// A packet, as rules see it.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a, A> {
    /// Its protocol.
    pub protocol: Protocol,
    /// Its source.
    pub source: (A, u16),
    /// Its destination.
    pub destination: (A, u16),
    /// The name of the interface that it came in by; empty if that has none.
    pub interface: &'a str,
}

/// What the rules say of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// It has this mark; 0 is none.
    Mark(u32),
    /// It is dropped.
    Drop,
}

/// Why a rule was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleError {
    /// Ports without a protocol that has some.
    PortsWithoutProtocol,
    /// Source and destination of different families.
    Families,
    /// A length that its address does not have.
    Length,
    /// More ranges of ports than [`RANGES_MAX`].
    Ranges,
    /// The last port is before the first.
    Range,
    /// No name of an interface.
    Interface,
}

/// Ranges of ports in one rule, as many as iptables' multiport takes.
pub const RANGES_MAX: usize = 15;

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PortsWithoutProtocol => "ports need a protocol that has some: tcp, udp or sctp",
            Self::Families => "source and destination are of different address families",
            Self::Length => {
                "a prefix is no longer than its address, and has no bits behind its length"
            }
            Self::Ranges => "at most 15 ranges of ports are possible",
            Self::Range => "a range of ports begins with the lower one",
            Self::Interface => "the name of an interface has 1 to 15 bytes without / and blanks",
        })
    }
}

impl Prefix {
    /// The network of an address: the bits behind the length are cleared. `None`
    /// if the address has fewer.
    #[must_use]
    pub fn new(address: IpAddr, length: u8) -> Option<Self> {
        let cut = |bits: u128, width: u8| match width.checked_sub(length)? {
            128 => Some(0),
            cleared => Some(bits >> cleared << cleared),
        };
        let address = match address {
            IpAddr::V4(a) => {
                let bits = cut(u32::from(a).into(), 32)?;
                IpAddr::V4((bits as u32).into())
            }
            IpAddr::V6(a) => IpAddr::V6(cut(a.into(), 128)?.into()),
        };
        Some(Self { address, length })
    }

    fn contains<A: Address>(&self, addr: A) -> bool {
        let bits = match self.address {
            IpAddr::V4(a) if size_of::<A>() == 4 => u128::from(u32::from(a)),
            IpAddr::V6(a) if size_of::<A>() == 16 => u128::from(a),
            _ => return false,
        };
        addr.masked(self.length).bits() == bits
    }
}

impl MarkRule {
    /// A rule that matches every packet.
    #[must_use]
    pub const fn every(action: Action) -> Self {
        Self {
            protocol: None,
            source: None,
            destination: None,
            source_ports: Vec::new(),
            destination_ports: Vec::new(),
            interface: None,
            action,
        }
    }

    /// Whether it makes sense.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn check(&self) -> Result<(), RuleError> {
        let ranges = || self.source_ports.iter().chain(&self.destination_ports);
        let has_ports = self.protocol.is_some_and(|p| Protocol(p).has_ports());
        if ranges().next().is_some() && !has_ports {
            return Err(RuleError::PortsWithoutProtocol);
        }
        if ranges().count() > RANGES_MAX {
            return Err(RuleError::Ranges);
        }
        if ranges().any(|range| range.first > range.last) {
            return Err(RuleError::Range);
        }
        let prefixes = || self.source.iter().chain(&self.destination);
        if prefixes().any(|p| Prefix::new(p.address, p.length) != Some(*p)) {
            return Err(RuleError::Length);
        }
        if let (Some(source), Some(destination)) = (self.source, self.destination) {
            if source.address.is_ipv4() != destination.address.is_ipv4() {
                return Err(RuleError::Families);
            }
        }
        let is_name = |name: &String| {
            (1..16).contains(&name.len())
                && !name.contains(['/', '\0', '"'])
                && !name.contains(char::is_whitespace)
        };
        match &self.interface {
            Some(name) if !is_name(name) => Err(RuleError::Interface),
            _ => Ok(()),
        }
    }

    fn matches<A: Address>(&self, packet: &Judged<'_, A>) -> bool {
        let (source, source_port) = packet.source;
        let (destination, destination_port) = packet.destination;
        self.protocol.is_none_or(|p| p == packet.protocol.0)
            && self.destination.is_none_or(|p| p.contains(destination))
            && self.source.is_none_or(|p| p.contains(source))
            && is_among(&self.destination_ports, destination_port)
            && is_among(&self.source_ports, source_port)
            && self
                .interface
                .as_deref()
                .is_none_or(|name| name == packet.interface)
    }
}

/// No range is every port.
fn is_among(ranges: &[PortRange], port: u16) -> bool {
    ranges.is_empty() || ranges.iter().any(|r| (r.first..=r.last).contains(&port))
}

/// All rules, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MarkRules {
    rules: Vec<MarkRule>,
    drops: bool,
}

impl MarkRules {
    /// These rules; each is right by itself.
    #[must_use]
    pub fn new(rules: Vec<MarkRule>) -> Self {
        let drops = rules.iter().any(|rule| rule.action == Action::Drop);
        Self { rules, drops }
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[MarkRule] {
        &self.rules
    }

    /// There are none.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Some packets are dropped by a rule: then each has to be asked.
    #[inline]
    #[must_use]
    pub const fn drops(&self) -> bool {
        self.drops
    }

    /// What they say of a packet.
    pub fn judge<A: Address>(&self, packet: &Judged<'_, A>) -> Judgement {
        let mut mark = 0;
        for rule in self.rules.iter().filter(|rule| rule.matches(packet)) {
            match rule.action {
                Action::Mark { value, mask } => mark = (mark & !mask) | (value & mask),
                Action::Drop => return Judgement::Drop,
                Action::Accept => break,
            }
        }
        Judgement::Mark(mark)
    }
}

/// The rule as it is written behind `pvsadm mark add`.
impl fmt::Display for MarkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(protocol) = self.protocol {
            match Protocol(protocol) {
                Protocol::TCP => f.write_str("--protocol tcp ")?,
                Protocol::UDP => f.write_str("--protocol udp ")?,
                Protocol::SCTP => f.write_str("--protocol sctp ")?,
                Protocol::ICMP => f.write_str("--protocol icmp ")?,
                Protocol::ICMPV6 => f.write_str("--protocol icmpv6 ")?,
                Protocol(other) => write!(f, "--protocol {other} ")?,
            }
        }
        for (option, prefix) in [("source", self.source), ("destination", self.destination)] {
            if let Some(Prefix { address, length }) = prefix {
                write!(f, "--{option} {address}/{length} ")?;
            }
        }
        for (option, ranges) in [
            ("source-ports", &self.source_ports),
            ("destination-ports", &self.destination_ports),
        ] {
            let mut between = format!("--{option} ");
            for PortRange { first, last } in ranges {
                match first == last {
                    true => write!(f, "{between}{first}")?,
                    false => write!(f, "{between}{first}:{last}")?,
                }
                ",".clone_into(&mut between);
            }
            if !ranges.is_empty() {
                f.write_str(" ")?;
            }
        }
        if let Some(name) = &self.interface {
            write!(f, "--interface {name} ")?;
        }
        match self.action {
            Action::Mark {
                value,
                mask: u32::MAX,
            } => write!(f, "--set {value}"),
            Action::Mark { value, mask } => write!(f, "--set {value:#x}/{mask:#x}"),
            Action::Drop => f.write_str("--drop"),
            Action::Accept => f.write_str("--accept"),
        }
    }
}

#[cfg(test)]
mod tests;
