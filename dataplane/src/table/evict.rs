//! What goes when the table is full: a stated order, found by a hand that goes round the arena.
//!
//! A call looks at a bounded number of entries and takes the first of the lowest class among them.
//! In a flood nearly every entry is of the lowest class, so one look finds it; established
//! connections that carry data are never evicted.

use super::entry::{Entry, Flags};
use crate::slab::Slab;
use pvs_proto::state::TcpState;
use pvs_proto::{Family, Protocol, Ticks};

/// Entries that one call looks at.
const LOOKED_AT: u32 = 64;

/// Packets that an idle entry may have carried and still be evicted.
const FEW_PACKETS: u32 = 3;

/// How long such an entry must have been idle.
const IDLE: Ticks = Ticks::from_secs(60);

/// States before the handshake is complete.
const EMBRYONIC: [TcpState; 4] = [
    TcpState::None,
    TcpState::SynSent,
    TcpState::SynRecv,
    TcpState::SynAck,
];

/// The classes of entries that may be evicted, in the order in which they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EvictClass {
    /// TCP before its handshake is complete.
    Embryonic,
    /// UDP that has seen one packet.
    OnePacketUdp,
    /// TCP on its way out.
    Closing,
    /// Three packets at most, idle for 60 s.
    Idle,
}

#[derive(Debug, Default)]
pub(super) struct Hand(u32);

impl Hand {
    pub(super) fn choose<F: Family>(
        &mut self,
        arena: &Slab<Entry<F>>,
        now: Ticks,
    ) -> Option<(EvictClass, u32)> {
        let mut best: Option<(EvictClass, u32)> = None;
        for _ in 0..LOOKED_AT {
            let at = self.0;
            self.0 = if (at as usize) + 1 < arena.len() {
                at + 1
            } else {
                0
            };
            let Some(class) = arena.get(at as usize).and_then(|e| class(e, now)) else {
                continue;
            };
            if class == EvictClass::Embryonic {
                return Some((class, at));
            }
            if best.is_none_or(|(least, _)| class < least) {
                best = Some((class, at));
            }
        }
        best
    }
}

fn class<F: Family>(entry: &Entry<F>, now: Ticks) -> Option<EvictClass> {
    if !entry.flags.has(Flags::USED) {
        return None;
    }
    if entry.protocol() == Protocol::TCP {
        if EMBRYONIC.iter().any(|s| *s as u8 == entry.state) {
            return Some(EvictClass::Embryonic);
        }
        if entry.state != TcpState::Established as u8 && entry.state != TcpState::Listen as u8 {
            return Some(EvictClass::Closing);
        }
    }
    if entry.protocol() == Protocol::UDP && entry.packets <= 1 {
        return Some(EvictClass::OnePacketUdp);
    }
    let idle = Ticks(entry.timeout.0.saturating_sub(entry.deadline.left(now).0));
    (entry.packets <= FEW_PACKETS && idle.0 >= IDLE.0).then_some(EvictClass::Idle)
}
