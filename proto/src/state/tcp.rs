//! TCP: the states of IPVS, which watches a connection rather than taking part in it.
//!
//! It judges by flags alone, never by sequence numbers. Each event is one rule by direction; under
//! `secure_tcp` the client's packets leave SYN_RECV and SYNACK as they are, until the server's ACK
//! establishes. The states are those of /proc/net/ip_vs_conn, in the kernel's order.

use super::step::{Direction, Variant};
use crate::wire::tcp as wire;

/// A connection's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Before the first packet.
    None,
    /// Data flows.
    Established,
    /// The server opens towards the client.
    SynSent,
    /// The client has sent its SYN.
    SynRecv,
    /// The server closed first; under DR and TUN: the client did.
    FinWait,
    /// Both have closed.
    TimeWait,
    /// Reset, or a packet that makes no sense.
    Close,
    /// The client closed first.
    CloseWait,
    /// Waits for the last ACK.
    LastAck,
    /// Waits for a SYN.
    Listen,
    /// A SYN is answered or, under DR, seen, and not yet acknowledged (`secure_tcp`).
    SynAck,
}

/// What a segment means: the first of RST, SYN, FIN and ACK that it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// RST.
    Rst,
    /// SYN without RST.
    Syn,
    /// FIN without RST and SYN.
    Fin,
    /// ACK alone.
    Ack,
    /// None of the four.
    Nothing,
}

/// States that a row has room for, events that a table has room for: powers of two.
const STATES: usize = 16;
const EVENTS: usize = 8;
const DIRECTIONS: usize = 4;
const VARIANTS: usize = 4;
const CELLS: usize = VARIANTS * DIRECTIONS * EVENTS * STATES;

/// Every transition. A state byte or a direction that does not exist leads to CLOSE.
static NEXT: [u8; CELLS] = cells();

impl State {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 11] = [
        Self::None,
        Self::Established,
        Self::SynSent,
        Self::SynRecv,
        Self::FinWait,
        Self::TimeWait,
        Self::Close,
        Self::CloseWait,
        Self::LastAck,
        Self::Listen,
        Self::SynAck,
    ];

    /// Its name in listings.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN_SENT",
            Self::SynRecv => "SYN_RECV",
            Self::FinWait => "FIN_WAIT",
            Self::TimeWait => "TIME_WAIT",
            Self::Close => "CLOSE",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::Listen => "LISTEN",
            Self::SynAck => "SYNACK",
        }
    }

    /// Its timeout in seconds, if the operator sets none.
    #[must_use]
    pub const fn default_secs(self) -> u32 {
        match self {
            Self::None => 2,
            Self::Established => 900,
            Self::SynRecv | Self::CloseWait => 60,
            Self::Close => 10,
            Self::LastAck => 30,
            Self::SynSent | Self::FinWait | Self::TimeWait | Self::Listen | Self::SynAck => 120,
        }
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 5] = [Self::Rst, Self::Syn, Self::Fin, Self::Ack, Self::Nothing];

    /// Of a segment with these flags.
    #[must_use]
    #[inline]
    pub const fn from_flags(flags: u8) -> Self {
        if flags & wire::RST != 0 {
            Self::Rst
        } else if flags & wire::SYN != 0 {
            Self::Syn
        } else if flags & wire::FIN != 0 {
            Self::Fin
        } else if flags & wire::ACK != 0 {
            Self::Ack
        } else {
            Self::Nothing
        }
    }
}

/// Whether a connection in this state counts as active: handshake and data.
#[must_use]
#[inline]
pub const fn is_active(state: u8) -> bool {
    const ACTIVE: u16 = 1 << State::Established as u8
        | 1 << State::SynSent as u8
        | 1 << State::SynRecv as u8
        | 1 << State::SynAck as u8;
    state < STATES as u8 && ACTIVE & (1 << state) != 0
}

/// The state after an event.
#[must_use]
#[inline]
pub fn next(variant: Variant, direction: Direction, state: u8, event: Event) -> u8 {
    let row = (variant as usize * DIRECTIONS + direction as usize) * EVENTS + event as usize;
    let cell = row * STATES + usize::from(state) % STATES;
    NEXT.get(cell).copied().unwrap_or(State::Close as u8)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
const fn cells() -> [u8; CELLS] {
    let mut cells = [State::Close as u8; CELLS];
    let mut cell = 0;
    while cell < VARIANTS * DIRECTIONS * Event::ALL.len() * State::ALL.len() {
        let (rest, state) = (cell / State::ALL.len(), cell % State::ALL.len());
        let (rest, event) = (rest / Event::ALL.len(), rest % Event::ALL.len());
        let (variant, direction) = (rest / DIRECTIONS, rest % DIRECTIONS);
        let is_secure = variant % 2 == 1;
        let is_tolerant = variant / 2 == 1;
        let row = (rest * EVENTS + event) * STATES;
        let (from, event) = (State::ALL[state], Event::ALL[event]);
        cells[row + state] = match direction {
            _ if is_tolerant && matches!(event, Event::Nothing) => from as u8,
            0 => input(is_secure, from, event) as u8,
            1 => output(is_secure, from, event) as u8,
            2 => input_only(is_secure, from, event) as u8,
            _ => State::Close as u8,
        };
        cell += 1;
    }
    cells
}

/// From the client, with the replies in sight.
const fn input(is_secure: bool, from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Syn | Event::Fin | Event::Ack, SynAck) if is_secure => SynAck,
        (Event::Ack, SynRecv) if is_secure => SynRecv,
        (Event::Rst, SynAck) if is_secure => Close,

        (Event::Rst, SynRecv | SynAck) => SynRecv,
        (Event::Rst, LastAck | Listen) => from,
        (Event::Rst | Event::Nothing, _) => Close,

        (Event::Syn, Established | SynSent) => Established,
        (Event::Syn, _) => SynRecv,

        (Event::Fin, None) => Close,
        (Event::Fin, Established) => CloseWait,
        (Event::Fin, SynRecv | SynAck | FinWait) => TimeWait,

        (Event::Ack, None | SynRecv | SynAck) => Established,
        (Event::Ack, LastAck) => Close,

        (Event::Fin | Event::Ack, _) => from,
    }
}

/// From the server.
const fn output(is_secure: bool, from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Rst, SynSent | TimeWait) => from,
        (Event::Rst | Event::Nothing, _) => Close,

        (Event::Syn, Established | Listen) => from,
        (Event::Syn, SynRecv | SynAck) if is_secure => SynAck,
        (Event::Syn, SynRecv | SynAck) => SynRecv,
        (Event::Syn, _) => SynSent,

        (Event::Fin, Established) => FinWait,
        (Event::Fin, None | SynRecv | SynAck | CloseWait) => TimeWait,

        (Event::Ack, None | SynRecv | SynAck | Listen) => Established,

        (Event::Fin | Event::Ack, _) => from,
    }
}

/// From the client, with the replies out of sight.
const fn input_only(is_secure: bool, from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Rst, SynRecv | LastAck | Listen) => from,
        (Event::Rst | Event::Nothing, _) => Close,

        (Event::Syn, Established | SynSent) => Established,
        (Event::Syn, SynRecv) => SynRecv,
        (Event::Syn, _) if is_secure => SynAck,
        (Event::Syn, _) => SynRecv,

        (Event::Fin, None) => Close,
        (Event::Fin, Established) => FinWait,
        (Event::Fin, SynRecv | SynAck) => TimeWait,

        (Event::Ack, None | SynRecv | SynAck) => Established,
        (Event::Ack, LastAck) => Close,

        (Event::Fin | Event::Ack, _) => from,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VARIANTS: [Variant; 2] = [Variant::Normal, Variant::Secure];
    const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Output, Direction::InputOnly];

    #[test]
    fn every_pair_leads_to_a_state() {
        for (variant, direction) in VARIANTS.iter().flat_map(|v| DIRECTIONS.map(|d| (*v, d))) {
            for state in 0..=u8::MAX {
                for event in Event::ALL {
                    let to = next(variant, direction, state, event);
                    assert!(
                        usize::from(to) < State::ALL.len(),
                        "{state} {event:?}: {to}"
                    );
                }
                let to = next(variant, direction, state, Event::Nothing);
                assert_eq!(to, State::Close as u8, "a segment without flags closes");
            }
        }
    }

    /// What secure_tcp is about: it has its say in these transitions and in no other.
    #[test]
    fn secure_tcp_changes_fifteen_transitions() {
        use State::*;
        let mut changed = Vec::new();
        for (direction, state) in DIRECTIONS.iter().flat_map(|d| State::ALL.map(|s| (*d, s))) {
            for event in Event::ALL {
                let [normal, secure] = VARIANTS.map(|v| next(v, direction, state as u8, event));
                if normal != secure {
                    changed.push((direction, event, state, State::ALL[usize::from(secure)]));
                }
            }
        }
        let input = [
            (Event::Ack, SynRecv, SynRecv),
            (Event::Rst, SynAck, Close),
            (Event::Syn, SynAck, SynAck),
            (Event::Fin, SynAck, SynAck),
            (Event::Ack, SynAck, SynAck),
        ];
        let output = [(Event::Syn, SynRecv, SynAck), (Event::Syn, SynAck, SynAck)];
        let syn = [
            None, FinWait, TimeWait, Close, CloseWait, LastAck, Listen, SynAck,
        ];
        let input_only = syn.map(|from| (Event::Syn, from, SynAck));
        let expected = [
            (Direction::Input, &input[..]),
            (Direction::Output, &output[..]),
            (Direction::InputOnly, &input_only[..]),
        ];
        let expected = expected.iter().flat_map(|(direction, changes)| {
            changes
                .iter()
                .map(|(event, from, to)| (*direction, *event, *from, *to))
        });
        assert_eq!(changed, expected.collect::<Vec<_>>());
    }

    #[test]
    fn tolerance_is_about_segments_without_flags_alone() {
        let pairs = [
            (Variant::Normal, Variant::Tolerant),
            (Variant::Secure, Variant::TolerantSecure),
        ];
        for (strict, tolerant) in pairs {
            for (direction, state) in DIRECTIONS.iter().flat_map(|d| State::ALL.map(|s| (*d, s))) {
                for event in Event::ALL {
                    let to = next(tolerant, direction, state as u8, event);
                    let expected = match event {
                        Event::Nothing => state as u8,
                        _ => next(strict, direction, state as u8, event),
                    };
                    assert_eq!(to, expected, "{direction:?} {state:?} {event:?}");
                }
            }
        }
        assert_eq!(Variant::of(true, true), Variant::Secure);
        assert_eq!(Variant::of(false, false), Variant::Tolerant);
    }

    #[test]
    fn the_first_of_rst_syn_fin_ack_counts() {
        for flags in 0..=u8::MAX {
            let expected = match flags & 0x17 {
                f if f & 0x04 != 0 => Event::Rst,
                f if f & 0x02 != 0 => Event::Syn,
                f if f & 0x01 != 0 => Event::Fin,
                0x10 => Event::Ack,
                _ => Event::Nothing,
            };
            assert_eq!(Event::from_flags(flags), expected, "{flags:02x}");
        }
    }

    #[test]
    fn four_states_are_active() {
        let active = (0..=u8::MAX).filter(|state| is_active(*state));
        let expected = [
            State::Established,
            State::SynSent,
            State::SynRecv,
            State::SynAck,
        ];
        assert_eq!(
            active.collect::<Vec<_>>(),
            expected.map(|state| state as u8)
        );
    }
}
