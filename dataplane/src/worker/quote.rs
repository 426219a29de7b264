//! What an ICMP error says: the packet that it quotes, whose connection that belongs to, and
//! whether its checksum is right.
//!
//! A quote is a stranger's word, and of an error that came in pieces the first one alone is at
//! hand: each length is checked.

use super::hops::HopFamily;
use super::{Arrived, View};
use crate::steering::WorkerIndex;
use crate::table::{Direction, EntryIndex, Table, Tuple};
use pvs_proto::checksum::{self, Sum};
use pvs_proto::parse::Quote;
use pvs_proto::wire::{gre, gue, icmp};
use pvs_proto::{Fragment, Meta, Protocol};
use pvs_sched::{Real, TunnelKind};

/// An error with what it quotes.
pub(super) struct Related<'a, F: HopFamily> {
    pub meta: &'a Meta<F>,
    pub quote: Meta<F>,
    /// It is addressed to the director.
    pub here: bool,
}

impl<F: HopFamily> Related<'_, F> {
    /// The packet within the quoted one, if that is one of a tunnel that there is. The kernel
    /// knows IPv4 in IPv4 alone.
    pub(super) fn within(&self, view: &View<'_>, frame: &[u8]) -> Option<Meta<F>> {
        let outer = &self.quote;
        if !F::IS_V4 || outer.fragment == Fragment::Later {
            return None;
        }
        let behind = frame.get(usize::from(outer.l4)..)?;
        let (kind, port, (protocol, len)) = match outer.protocol {
            Protocol::IPIP => (TunnelKind::Ipip, 0, (Protocol::IPIP, 0)),
            Protocol::UDP => (TunnelKind::Gue, outer.dst.port, gue::within(behind)?),
            Protocol::GRE => (TunnelKind::Gre, 0, gre::within(behind)?),
            _ => return None,
        };
        let far = Real::Tunnel(kind, outer.dst.addr.into(), port);
        if protocol != Protocol::IPIP || !view.config.has_real(far) {
            return None;
        }
        quote(frame, self.meta, outer.l4.checked_add(len as u16)?)
    }

    /// The connection that it is about, and which way it goes. The kernel asks in the order
    /// of its hooks: for replies first where the error is addressed to the director, for
    /// requests first where it is not.
    pub(super) fn find(&self, table: &Table<F>) -> Option<(EntryIndex, Direction)> {
        let forth = Tuple::of(&self.quote);
        let back = Tuple {
            src: forth.dst,
            dst: forth.src,
            ..forth
        };
        let translated = table.lookup(&back);
        let untouched = || {
            let (at, direction) = table.lookup(&forth)?;
            let is_request = direction == Direction::Request;
            let passes_by = table.get(at).is_some_and(|entry| !entry.has_reply());
            (is_request && passes_by).then_some((at, Direction::Reply))
        };
        match self.here {
            true => untouched().or(translated),
            false => translated.or_else(untouched),
        }
    }

    /// Its checksum is right: a translation would make any other one right too.
    pub(super) fn is_right(&self, view: &View<'_>, frame: &[u8]) -> bool {
        let meta = self.meta;
        let end = usize::from(meta.l3).saturating_add(meta.ip_len as usize);
        let len = end.saturating_sub(meta.l4.into()) as u32;
        let message = frame.get(meta.l4.into()..end.min(frame.len()));
        message.is_some_and(|message| {
            let sum = Sum::of(message).and(view.gathered.rest);
            checksum::is_right_sum(meta.src.addr, meta.dst.addr, F::PROTOCOL, len, sum)
        })
    }
}

/// Where the quote of an ICMP error begins.
pub(super) fn message<F: HopFamily>(meta: &Meta<F>) -> u16 {
    meta.l4.saturating_add(icmp::Header::LEN as u16)
}

/// The packet that is quoted at `l3` of an error, as far as it is there and has any sense.
pub(super) fn quote<F: HopFamily>(frame: &[u8], meta: &Meta<F>, l3: u16) -> Option<Meta<F>> {
    let end = usize::from(meta.l3).checked_add(meta.ip_len as usize)?;
    // Of an error in pieces the first one is here, with as much of the next ones as matters.
    let here = frame.get(..end.min(frame.len()))?;
    let Quote(quote) = F::quote_at(here, l3).ok()?;
    Some(quote)
}

/// The worker that the quoted packet's connection belongs to, if it is another one than this. A
/// packet from a local address, which a virtual one is, went to its client.
pub(super) fn other_owner<F: HopFamily>(view: &View<'_>, quote: &Meta<F>) -> Option<WorkerIndex> {
    if view.arrived == Arrived::FromWorker || !quote.protocol.has_ports() {
        return None;
    }
    let client = match view.fib.is_local::<F>(quote.src.addr) {
        true => quote.dst,
        false => quote.src,
    };
    let owner = view.steering.owner(client);
    owner.filter(|owner| *owner != view.index)
}
