//! What became of a packet, in the recordings' words.
//!
//! A frame that leaves is told by its side, its MAC and what is in it.

use crate::Side;
use pvs_dataplane::reason::DropReason;
use pvs_proto::wire::tcp;
use pvs_proto::{Checks, Family, Meta, Packet, Protocol, parse};
use std::fmt;

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The director.
    Ipvs,
    /// Linux beside it.
    Stack,
    /// Linux beside it, which only forwarded it.
    Route,
}

impl By {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ipvs => "ipvs",
            Self::Stack => "stack",
            Self::Route => "route",
        }
    }
}

/// An answer that nothing here gives, and that is taken as given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StandIn {
    /// A packet that went to Linux as a local one is answered by a stack without sockets.
    Stack,
    /// A packet that went to Linux as a stranger's is forwarded by the laboratory's routes.
    Router,
}

impl fmt::Display for StandIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stack => "punted for Linux's answer",
            Self::Router => "punted for Linux's forwarding",
        })
    }
}

/// What became of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Out on the servers' side; the last byte of the MAC that it went to.
    Server(u8),
    /// Out on the clients' side.
    Client,
    /// Answered by ICMP or ICMPv6 of this type and code.
    Icmp(IcmpKind, By),
    /// Answered by a reset.
    Reset,
    /// Taken, and not answered.
    Absorbed,
    /// Dropped, with the counter's name.
    Dropped(&'static str),
}

/// An ICMP message's type and code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpKind {
    /// ICMPv6.
    pub v6: bool,
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
}

/// What the kernel drops without a word.
const SILENT: [DropReason; 2] = [DropReason::ServerRemoved, DropReason::Defence];

impl Way {
    /// Of a frame that came out by a side after a packet had come in by another (or the same).
    #[must_use]
    pub fn of_frame(came: Side, left: Side, frame: &[u8], by: By) -> Self {
        if let Some((v6, meta)) = facts(frame) {
            let icmp = matches!(meta.protocol, Protocol::ICMP | Protocol::ICMPV6);
            if icmp {
                let at = usize::from(meta.l4);
                let byte = |at: usize| frame.get(at).copied().unwrap_or_default();
                let (kind, code) = (byte(at), byte(at + 1));
                return Self::Icmp(IcmpKind { v6, kind, code }, by);
            }
            if came == left && meta.protocol == Protocol::TCP && meta.signal & tcp::RST != 0 {
                return Self::Reset;
            }
        }
        match left {
            Side::Client => Self::Client,
            Side::Server => Self::Server(frame.get(5).copied().unwrap_or_default()),
        }
    }

    /// Where it went, as in `to` of sched.jsonl. A connection without its server is the only one
    /// that the kernel drops; any other reason is told by its name.
    #[must_use]
    pub fn to(self) -> Option<String> {
        match self {
            Self::Server(n) => Some(format!("rs{n}")),
            Self::Client => Some("client".to_owned()),
            Self::Icmp(IcmpKind { v6, kind, code }, _) => {
                let family = if v6 { "6" } else { "" };
                Some(format!("icmp{family}-{kind}-{code}"))
            }
            Self::Reset => Some("tcp-rst".to_owned()),
            Self::Absorbed => None,
            Self::Dropped(label) if SILENT.iter().any(|reason| reason.label() == label) => None,
            Self::Dropped(label) => Some(format!("dropped: {label}")),
        }
    }

    /// Whose answer it is, as in `by` of sched.jsonl.
    #[must_use]
    pub const fn by(self) -> Option<&'static str> {
        match self {
            Self::Server(_) | Self::Client => None,
            Self::Icmp(_, by) => Some(by.as_str()),
            Self::Reset | Self::Absorbed => Some(By::Stack.as_str()),
            Self::Dropped(_) => Some(By::Ipvs.as_str()),
        }
    }

    /// The interface that a frame left by, as in `forwarded` of states.jsonl.
    #[must_use]
    pub fn interface(self) -> Option<String> {
        match self {
            Self::Server(_) => Some("r0".to_owned()),
            Self::Client | Self::Icmp(..) | Self::Reset => Some("c0".to_owned()),
            Self::Absorbed | Self::Dropped(_) => self.to(),
        }
    }

    /// The kind of frame, as in `out` of states.jsonl.
    #[must_use]
    pub fn kind(self) -> Option<String> {
        match self {
            Self::Server(_) | Self::Client => Some("fwd".to_owned()),
            Self::Icmp(..) => Some("icmp".to_owned()),
            Self::Reset => Some("rst".to_owned()),
            Self::Absorbed | Self::Dropped(_) => self.to(),
        }
    }
}

/// What counts of a packet of either family.
struct Facts {
    protocol: Protocol,
    signal: u8,
    l4: u16,
}

fn facts(frame: &[u8]) -> Option<(bool, Facts)> {
    fn of<F: Family>(meta: &Meta<F>) -> Facts {
        Facts {
            protocol: meta.protocol,
            signal: meta.signal,
            l4: meta.l4,
        }
    }
    match parse(frame, Checks { ip_good: false }).ok()?.1 {
        Packet::V4(meta) => Some((false, of(&meta))),
        Packet::V6(meta) => Some((true, of(&meta))),
        Packet::Other(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{self, from_client, tcp as segment};
    use crate::scenario::at;
    use pvs_proto::wire::tcp::{RST, SYN};

    fn answer(message: &[u8], protocol: Protocol) -> Vec<u8> {
        let (vip, client) = (at("10.0.0.100:0").ip(), at("10.9.0.1:0").ip());
        frames::ethernet(
            frames::CLIENT_MAC,
            frames::DIRECTOR_CLIENT_MAC,
            pvs_proto::wire::ethernet::IPV4,
            &frames::ip(vip, client, protocol, message.to_vec()),
        )
    }

    #[test]
    fn frames_that_leave_are_told_by_side_mac_and_content() {
        let unreachable = answer(&[3, 3, 0xfc, 0xfc, 0, 0, 0, 0], Protocol::ICMP);
        let way = Way::of_frame(Side::Client, Side::Client, &unreachable, By::Ipvs);
        assert_eq!(way.to().as_deref(), Some("icmp-3-3"));
        assert_eq!(
            (way.by(), way.kind().as_deref()),
            (Some("ipvs"), Some("icmp"))
        );

        let reset = answer(
            &frames::tcp_segment(80, 4001, 0, 0, RST, b""),
            Protocol::TCP,
        );
        let left = |came| Way::of_frame(came, Side::Client, &reset, By::Stack);
        assert_eq!(left(Side::Client), Way::Reset);
        assert_eq!(left(Side::Server), Way::Client, "a server's own");

        let mut request = from_client(&segment(at("10.9.0.1:4001"), at("10.0.0.100:80"), SYN, b""));
        request.splice(..6, frames::server_mac(16).0);
        let way = Way::of_frame(Side::Client, Side::Server, &request, By::Ipvs);
        assert_eq!(way.to().as_deref(), Some("rs16"));
    }

    #[test]
    fn only_a_connection_without_its_server_is_dropped_in_silence() {
        let removed = Way::Dropped("server_removed");
        assert_eq!((removed.to(), removed.interface()), (None, None));
        let full = Way::Dropped("table_full");
        assert_eq!(full.kind().as_deref(), Some("dropped: table_full"));
    }
}
