//! How long a connection lives in each state without a packet: the kernel's defaults, three of
//! which an operator can set (`ipvsadm --set`).

use super::{sctp, tcp};
use crate::meta::Protocol;
use crate::time::Ticks;

/// States that a table has room for: a power of two, so that a masked state byte is always in it.
const ROOM: usize = 16;

/// The timeout of every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    tcp: [Ticks; ROOM],
    sctp: [Ticks; ROOM],
    udp: Ticks,
}

impl Default for Timeouts {
    fn default() -> Self {
        let seconds = |table: &[u32]| {
            let mut ticks = [Ticks::from_secs(2); ROOM];
            for (to, secs) in ticks.iter_mut().zip(table) {
                *to = Ticks::from_secs(*secs);
            }
            ticks
        };
        Self {
            tcp: seconds(&tcp::State::ALL.map(tcp::State::default_secs)),
            sctp: seconds(&sctp::State::ALL.map(sctp::State::default_secs)),
            udp: Ticks::from_secs(300),
        }
    }
}

impl Timeouts {
    /// The life of an entry between its creation and its first packet.
    pub const NEW: Ticks = Ticks::from_secs(3);

    /// The timeout of a state.
    #[must_use]
    #[inline]
    pub fn of(&self, protocol: Protocol, state: u8) -> Ticks {
        let table = match protocol {
            Protocol::TCP => &self.tcp,
            Protocol::SCTP => &self.sctp,
            _ => return self.udp,
        };
        table
            .get(usize::from(state) % ROOM)
            .copied()
            .unwrap_or(self.udp)
    }

    /// Sets the timeouts of TCP's ESTABLISHED and FIN_WAIT, and of UDP, in seconds; 0 keeps a
    /// value. SCTP's ESTABLISHED is not among them.
    pub fn set(&mut self, tcp_secs: u32, tcp_fin_secs: u32, udp_secs: u32) {
        for (state, secs) in [
            (tcp::State::Established, tcp_secs),
            (tcp::State::FinWait, tcp_fin_secs),
        ] {
            if let Some(ticks) = self.tcp.get_mut(state as usize).filter(|_| secs != 0) {
                *ticks = Ticks::from_secs(secs);
            }
        }
        if udp_secs != 0 {
            self.udp = Ticks::from_secs(udp_secs);
        }
    }

    /// What [`set`](Self::set) sets, in its order, in seconds.
    #[must_use]
    pub fn get(&self) -> (u32, u32, u32) {
        let tcp = |state| self.of(Protocol::TCP, state as u8).secs();
        let (established, fin) = (tcp::State::Established, tcp::State::FinWait);
        (tcp(established), tcp(fin), self.udp.secs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_keeps_a_timeout() {
        let mut timeouts = Timeouts::default();
        assert_eq!(timeouts.get(), (900, 120, 300));
        timeouts.set(0, 60, 0);
        assert_eq!(timeouts.get(), (900, 60, 300));
        timeouts.set(2_678_400, 0, 7);
        assert_eq!(timeouts.get(), (2_678_400, 60, 7));
        let time_wait = tcp::State::TimeWait as u8;
        assert_eq!(timeouts.of(Protocol::TCP, time_wait), Ticks::from_secs(120));
    }

    #[test]
    fn any_byte_has_a_timeout() {
        let timeouts = Timeouts::default();
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::SCTP, Protocol(0)] {
            for state in 0..=u8::MAX {
                assert!(
                    timeouts.of(protocol, state).secs() >= 2,
                    "{protocol:?} {state}"
                );
            }
        }
    }
}
