//! SCTP: the states of IPVS for an association, as its server sees it (RFC 9260 section 4).
//!
//! INIT1 and REJECTED are IPVS's own: short-lived, so that INITs that nobody answers do not fill
//! the table. `secure_tcp` has no part in it.

use super::step::Direction;
use crate::wire::sctp::chunk;

/// An association's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum State {
    /// Before the first packet.
    None,
    /// The client's first INIT.
    Init1,
    /// Another INIT of the client.
    Init,
    /// The server has answered with a cookie.
    CookieSent,
    /// The client has returned the cookie.
    CookieReplied,
    /// The server has sent an INIT.
    CookieWait,
    /// The client has answered the server's INIT.
    Cookie,
    /// The server has returned the client's cookie.
    CookieEchoed,
    /// Data flows.
    Established,
    /// The server shuts down.
    ShutdownSent,
    /// The client shuts down.
    ShutdownReceived,
    /// The server has acknowledged a shutdown.
    ShutdownAckSent,
    /// The server refused an INIT.
    Rejected,
    /// Over.
    Closed,
}

/// What a packet means, by the chunk that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Event {
    /// DATA, and every chunk without a meaning of its own.
    Data,
    /// INIT.
    Init,
    /// INIT ACK.
    InitAck,
    /// COOKIE ECHO.
    CookieEcho,
    /// COOKIE ACK.
    CookieAck,
    /// SHUTDOWN.
    Shutdown,
    /// SHUTDOWN ACK.
    ShutdownAck,
    /// SHUTDOWN COMPLETE.
    ShutdownComplete,
    /// ERROR.
    Error,
    /// ABORT.
    Abort,
}

/// States, events and directions that the table has room for: powers of two.
const STATES: usize = 16;
const EVENTS: usize = 16;
const DIRECTIONS: usize = 4;
const CELLS: usize = DIRECTIONS * EVENTS * STATES;

/// Every transition. A state byte or a direction that does not exist leads to CLOSED.
static NEXT: [u8; CELLS] = cells();

impl State {
    /// Every state, in the order of its number.
    pub const ALL: [Self; 14] = [
        Self::None,
        Self::Init1,
        Self::Init,
        Self::CookieSent,
        Self::CookieReplied,
        Self::CookieWait,
        Self::Cookie,
        Self::CookieEchoed,
        Self::Established,
        Self::ShutdownSent,
        Self::ShutdownReceived,
        Self::ShutdownAckSent,
        Self::Rejected,
        Self::Closed,
    ];

    /// Its name in listings.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::None => "NONE",
            Self::Init1 => "INIT1",
            Self::Init => "INIT",
            Self::CookieSent => "C-SENT",
            Self::CookieReplied => "C-REPLIED",
            Self::CookieWait => "C-WAIT",
            Self::Cookie => "COOKIE",
            Self::CookieEchoed => "C-ECHOED",
            Self::Established => "ESTABLISHED",
            Self::ShutdownSent => "S-SENT",
            Self::ShutdownReceived => "S-RECEIVED",
            Self::ShutdownAckSent => "S-ACK-SENT",
            Self::Rejected => "REJECTED",
            Self::Closed => "CLOSED",
        }
    }

    /// Its timeout in seconds: mostly the longest retransmission timeout, and one more.
    #[must_use]
    pub const fn default_secs(self) -> u32 {
        match self {
            Self::None => 2,
            Self::Init1 | Self::Rejected => 4,
            Self::Established => 900,
            _ => 61,
        }
    }
}

impl Event {
    /// Every event.
    pub const ALL: [Self; 10] = [
        Self::Data,
        Self::Init,
        Self::InitAck,
        Self::CookieEcho,
        Self::CookieAck,
        Self::Shutdown,
        Self::ShutdownAck,
        Self::ShutdownComplete,
        Self::Error,
        Self::Abort,
    ];

    /// Of a packet whose signal is this chunk type.
    #[must_use]
    pub const fn from_chunk(kind: u8) -> Self {
        match kind {
            chunk::INIT => Self::Init,
            chunk::INIT_ACK => Self::InitAck,
            chunk::ABORT => Self::Abort,
            chunk::SHUTDOWN => Self::Shutdown,
            chunk::SHUTDOWN_ACK => Self::ShutdownAck,
            chunk::ERROR => Self::Error,
            chunk::COOKIE_ECHO => Self::CookieEcho,
            chunk::COOKIE_ACK => Self::CookieAck,
            chunk::SHUTDOWN_COMPLETE => Self::ShutdownComplete,
            _ => Self::Data,
        }
    }
}

/// The state after an event.
#[must_use]
#[inline]
pub fn next(direction: Direction, state: u8, event: Event) -> u8 {
    let row = direction as usize * EVENTS + event as usize;
    let cell = row * STATES + usize::from(state) % STATES;
    NEXT.get(cell).copied().unwrap_or(State::Closed as u8)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
const fn cells() -> [u8; CELLS] {
    let mut cells = [State::Closed as u8; CELLS];
    let mut cell = 0;
    while cell < DIRECTIONS * Event::ALL.len() * State::ALL.len() {
        let (rest, state) = (cell / State::ALL.len(), cell % State::ALL.len());
        let (direction, event) = (rest / Event::ALL.len(), rest % Event::ALL.len());
        let row = (direction * EVENTS + event) * STATES;
        let (from, event) = (State::ALL[state], Event::ALL[event]);
        cells[row + state] = match direction {
            0 => input(from, event) as u8,
            1 => output(from, event) as u8,
            2 => input_only(from, event) as u8,
            _ => State::Closed as u8,
        };
        cell += 1;
    }
    cells
}

/// From the client, with the replies in sight.
const fn input(from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Data, None) => Established,
        (Event::Init, None) => Init1,
        (Event::Init, Init1 | Rejected | Closed) => Init,
        (Event::InitAck, None | Init1 | Init) => CookieWait,
        (Event::InitAck, CookieWait) => Cookie,
        (Event::CookieEcho, None | CookieSent) => CookieReplied,
        (Event::CookieEcho, Init1) => Init,
        (Event::CookieAck, None | CookieEchoed) => Established,
        (Event::Shutdown, None | Established) => ShutdownReceived,
        (Event::ShutdownAck, None | ShutdownSent | ShutdownAckSent) => Closed,
        (Event::ShutdownAck, Init1) => Init,
        (Event::ShutdownComplete, None | Init1 | Init | ShutdownAckSent) => Closed,
        (Event::Error, None | CookieEchoed) => Closed,
        (Event::Abort, CookieWait) => Rejected,
        (Event::Abort, _) => Closed,
        _ => from,
    }
}

/// From the server.
const fn output(from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Data, None) => Established,
        (Event::Init, Established) => Established,
        (Event::Init, _) => CookieWait,
        (Event::InitAck, None | Init1 | Init) => CookieSent,
        (Event::CookieEcho, _) if is_opening(from) => CookieEchoed,
        (Event::CookieAck, _) if is_opening(from) => Established,
        (Event::Shutdown, Established) => ShutdownSent,
        (Event::Shutdown, _) if is_opening(from) => ShutdownSent,
        (Event::ShutdownAck | Event::Error, CookieWait | Cookie | CookieEchoed) => from,
        (Event::ShutdownAck, ShutdownSent | ShutdownReceived) => ShutdownAckSent,
        (Event::ShutdownAck, _) if is_opening(from) => ShutdownAckSent,
        (Event::ShutdownComplete, None) => Closed,
        (Event::Error, _) if is_opening(from) => Closed,
        (Event::Abort, Init1) => Rejected,
        (Event::Abort, _) => Closed,
        _ => from,
    }
}

/// From the client, with the replies out of sight.
const fn input_only(from: State, event: Event) -> State {
    use State::*;
    match (event, from) {
        (Event::Data, None | CookieWait) => Established,
        (Event::Init, None) => Init1,
        (Event::Init, Cookie | CookieEchoed) => from,
        (Event::Init, Rejected | Closed) => Init,
        (Event::Init, _) if is_opening(from) => Init,
        (Event::InitAck | Event::CookieEcho, Cookie | CookieEchoed) => from,
        (Event::InitAck, _) if is_opening(from) => CookieEchoed,
        (Event::CookieEcho, _) if is_opening(from) => Established,
        (Event::CookieAck, Init1 | Init | CookieWait) => from,
        (Event::CookieAck, _) if is_opening(from) => Established,
        (Event::Shutdown, None | Established) => ShutdownReceived,
        (Event::ShutdownAck, None | Established | ShutdownSent | ShutdownAckSent) => Closed,
        (Event::ShutdownAck, Init1) => Init,
        (Event::ShutdownComplete, CookieWait | Cookie | CookieEchoed) => from,
        (Event::ShutdownComplete, ShutdownReceived | ShutdownAckSent) => Closed,
        (Event::ShutdownComplete, _) if is_opening(from) => Closed,
        (Event::Error, None) => Closed,
        (Event::Abort, CookieWait) => Rejected,
        (Event::Abort, _) => Closed,
        _ => from,
    }
}

/// The handshake is not over.
const fn is_opening(state: State) -> bool {
    (state as u8) < State::Established as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIRECTIONS: [Direction; 3] = [Direction::Input, Direction::Output, Direction::InputOnly];

    #[test]
    fn every_pair_leads_to_a_state() {
        for direction in DIRECTIONS {
            for (state, event) in (0..=u8::MAX).flat_map(|s| Event::ALL.map(|e| (s, e))) {
                let to = next(direction, state, event);
                assert!(
                    usize::from(to) < State::ALL.len(),
                    "{state} {event:?}: {to}"
                );
            }
        }
    }

    #[test]
    fn an_abort_ends_every_association() {
        for (direction, from) in DIRECTIONS.iter().flat_map(|d| State::ALL.map(|s| (*d, s))) {
            let to = next(direction, from as u8, Event::Abort);
            let ends = [State::Closed as u8, State::Rejected as u8];
            assert!(ends.contains(&to), "{direction:?} {from:?}");
        }
    }

    #[test]
    fn an_established_association_survives_the_handshake() {
        let handshake = [Event::Data, Event::Init, Event::InitAck, Event::CookieEcho];
        for direction in DIRECTIONS {
            for event in handshake
                .into_iter()
                .chain([Event::CookieAck, Event::Error])
            {
                let established = State::Established as u8;
                assert_eq!(
                    next(direction, established, event),
                    established,
                    "{event:?}"
                );
            }
        }
    }

    #[test]
    fn every_other_chunk_is_data() {
        let known = (0..=u8::MAX).filter(|kind| Event::from_chunk(*kind) != Event::Data);
        assert_eq!(known.collect::<Vec<_>>(), [1, 2, 6, 7, 8, 9, 10, 11, 14]);
    }

    /// Associations that the server opens, and ends that cross: the recordings do not get there.
    #[test]
    fn transitions_that_no_recording_reaches() {
        use Direction::{Input, InputOnly, Output};
        use State::*;
        for (direction, event, from, to) in [
            (Input, Event::InitAck, CookieWait, Cookie),
            (Output, Event::CookieEcho, Cookie, CookieEchoed),
            (Input, Event::CookieAck, CookieEchoed, Established),
            (Input, Event::Error, CookieEchoed, Closed),
            (Input, Event::Abort, CookieWait, Rejected),
            (Input, Event::Init, Rejected, Init),
            (Input, Event::ShutdownAck, Init1, Init),
            (Input, Event::ShutdownAck, ShutdownSent, Closed),
            (Output, Event::ShutdownAck, CookieWait, CookieWait),
            (Output, Event::Shutdown, Cookie, ShutdownSent),
            (Output, Event::Shutdown, Rejected, Rejected),
            (Output, Event::Error, CookieEchoed, CookieEchoed),
            (InputOnly, Event::Data, CookieWait, Established),
            (InputOnly, Event::Init, CookieEchoed, CookieEchoed),
            (InputOnly, Event::CookieAck, Cookie, Established),
            (InputOnly, Event::ShutdownAck, Init1, Init),
            (InputOnly, Event::ShutdownComplete, CookieWait, CookieWait),
            (InputOnly, Event::ShutdownComplete, CookieReplied, Closed),
        ] {
            let next = next(direction, from as u8, event);
            assert_eq!(next, to as u8, "{direction:?} {event:?} in {from:?}");
        }
    }
}
