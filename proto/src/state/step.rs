//! One packet's effect on a connection, whatever its protocol.

use super::{Timeouts, sctp, tcp, udp};
use crate::meta::Protocol;
use crate::time::Ticks;

/// The state byte of a new connection, before its first packet is applied.
pub const NONE: u8 = 0;

/// Which packets of a connection the director sees, and which of them this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Direction {
    /// From the client, of a connection whose replies are seen.
    Input,
    /// From the server.
    Output,
    /// From the client, of a connection whose replies go around the director (DR, TUN).
    InputOnly,
}

/// The set of TCP tables in force: the sysctl `secure_tcp` selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Variant {
    /// An ACK of the client establishes.
    #[default]
    Normal,
    /// A connection is held embryonic until the server has answered.
    Secure,
    /// As `Normal`, but a segment without flags, which no sound stack sends, changes nothing.
    Tolerant,
    /// As `Secure`, with the same exception.
    TolerantSecure,
}

impl Variant {
    /// The tables under `secure_tcp`, or not; exactly the kernel's, or not.
    #[must_use]
    pub const fn of(is_secure: bool, is_strict: bool) -> Self {
        match (is_secure, is_strict) {
            (false, true) => Self::Normal,
            (true, true) => Self::Secure,
            (false, false) => Self::Tolerant,
            (true, false) => Self::TolerantSecure,
        }
    }
}

/// A packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// The transport protocol.
    pub protocol: Protocol,
    /// The packet is a reply.
    pub from_server: bool,
    /// No reply has been seen, and none is expected: IPVS's flag NOOUTPUT.
    pub no_output: bool,
    /// The connection's state byte.
    pub state: u8,
    /// [`Meta::signal`](crate::Meta::signal) of the packet.
    pub signal: u8,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// The next state byte.
    pub state: u8,
    /// The flag NOOUTPUT: a reply clears it.
    pub no_output: bool,
    /// Counts as an active connection of its server, else as an inactive one.
    pub is_active: bool,
    /// A persistence template that controls this connection becomes assured.
    pub assures: bool,
    /// How long the connection lives if no other packet comes.
    pub timeout: Ticks,
}

impl Direction {
    /// Of a packet of a connection with or without the flag NOOUTPUT.
    #[must_use]
    pub const fn of(from_server: bool, no_output: bool) -> Self {
        match (from_server, no_output) {
            (true, _) => Self::Output,
            (false, false) => Self::Input,
            (false, true) => Self::InputOnly,
        }
    }
}

/// Applies a packet to a connection.
#[must_use]
#[inline]
pub fn advance(timeouts: &Timeouts, variant: Variant, event: Event) -> Step {
    let direction = Direction::of(event.from_server, event.no_output);
    let (state, assures) = match event.protocol {
        Protocol::TCP => {
            let signal = tcp::Event::from_flags(event.signal);
            let state = tcp::next(variant, direction, event.state, signal);
            (state, state == tcp::State::Established as u8)
        }
        Protocol::SCTP => {
            let signal = sctp::Event::from_chunk(event.signal);
            let state = sctp::next(direction, event.state, signal);
            (state, state == sctp::State::Established as u8)
        }
        _ => (udp::NORMAL, event.from_server),
    };
    Step {
        state,
        no_output: event.no_output && !event.from_server,
        is_active: is_active(event.protocol, state),
        assures,
        timeout: timeouts.of(event.protocol, state),
    }
}

/// Whether a connection in this state counts as active: never for UDP.
#[must_use]
#[inline]
pub const fn is_active(protocol: Protocol, state: u8) -> bool {
    match protocol {
        Protocol::TCP => tcp::is_active(state),
        Protocol::SCTP => state == sctp::State::Established as u8,
        _ => false,
    }
}

/// The state's name in listings of connections.
#[must_use]
pub fn label(protocol: Protocol, state: u8) -> &'static str {
    let known = match protocol {
        Protocol::TCP => tcp::State::ALL
            .iter()
            .find(|s| **s as u8 == state)
            .map(|s| s.label()),
        Protocol::SCTP => sctp::State::ALL
            .iter()
            .find(|s| **s as u8 == state)
            .map(|s| s.label()),
        Protocol::UDP => Some(udp::LABEL),
        _ => Some("NONE"),
    };
    known.unwrap_or("ERR!")
}

/// The state's name in listings, of a persistence template.
#[must_use]
pub const fn template_label(is_assured: bool) -> &'static str {
    if is_assured { "ASSURED" } else { "NONE" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::tcp as wire;

    fn event(protocol: Protocol, state: u8, signal: u8) -> Event {
        Event {
            protocol,
            from_server: false,
            no_output: false,
            state,
            signal,
        }
    }

    #[test]
    fn a_reply_clears_no_output_for_good() {
        let timeouts = Timeouts::default();
        let syn = Event {
            no_output: true,
            ..event(Protocol::TCP, NONE, wire::SYN)
        };
        let step = advance(&timeouts, Variant::Normal, syn);
        assert!(step.no_output && step.is_active && !step.assures);
        let reply = Event {
            from_server: true,
            state: step.state,
            signal: wire::ACK,
            ..syn
        };
        let step = advance(&timeouts, Variant::Normal, reply);
        assert!(!step.no_output && step.assures);
        assert_eq!(label(Protocol::TCP, step.state), "ESTABLISHED");
    }

    #[test]
    fn udp_is_never_active_and_a_reply_assures_its_template() {
        let timeouts = Timeouts::default();
        let datagram = event(Protocol::UDP, NONE, 0);
        let step = advance(&timeouts, Variant::Secure, datagram);
        assert_eq!((step.is_active, step.assures), (false, false));
        assert_eq!(step.timeout, Ticks::from_secs(300));
        let reply = Event {
            from_server: true,
            ..datagram
        };
        assert!(advance(&timeouts, Variant::Normal, reply).assures);
    }

    #[test]
    fn labels_of_states_that_do_not_exist() {
        assert_eq!(label(Protocol::TCP, 11), "ERR!");
        assert_eq!(label(Protocol::SCTP, 14), "ERR!");
        assert_eq!(label(Protocol::SCTP, 11), "S-ACK-SENT");
        assert_eq!(label(Protocol::UDP, 0), "UDP");
        assert_eq!(label(Protocol(0), 0), "NONE");
        assert_eq!(
            (template_label(false), template_label(true)),
            ("NONE", "ASSURED")
        );
    }
}
