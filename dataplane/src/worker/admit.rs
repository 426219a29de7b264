//! The first stage: parse each frame, see whose it is, hash what may be balanced and bring its bucket near.

use super::lane::{Item, Lane, Lanes, Verdict, Verdicts};
use super::{State, View};
use crate::fib::{FibFamily, Interface, PortIndex};
use crate::port::{Batch, Buf};
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::table::{Slot, Table, Tuple};
use pvs_proto::{Checks, Link, Meta, Packet, parse};

/// Fills the lanes with the packets that may be balanced, and says what becomes of all others.
#[inline]
pub(super) fn admit<B: Buf>(
    view: &View<'_>,
    state: &State<B>,
    port: PortIndex,
    batch: &Batch<B>,
    lanes: &mut Lanes,
    verdicts: &mut Verdicts,
) {
    for (at, buf) in (0u8..).zip(batch) {
        let (link, packet) = match parse(
            buf.bytes(),
            Checks {
                ip_good: buf.rx_checks().ip_good,
            },
        ) {
            Ok(parsed) => parsed,
            Err(reason) => {
                verdicts.set(at, Verdict::malformed(reason));
                continue;
            }
        };
        let Some((_, interface)) = view.fib.interface(port, link.vlan) else {
            verdicts.set(at, Verdict::drop(DropReason::UnknownVlan));
            continue;
        };
        if let Some(verdict) = stranger(&link, interface) {
            verdicts.set(at, verdict);
            continue;
        }
        match packet {
            Packet::V4(meta) => enter(view, &state.v4, &mut lanes.v4, at, meta, verdicts),
            Packet::V6(meta) => enter(view, &state.v6, &mut lanes.v6, at, meta, verdicts),
            Packet::Other(_) => verdicts.set(at, Verdict::Punt(PuntClass::Control)),
        }
    }
}

/// What becomes of a frame that is not addressed to this interface alone; `None` if it is.
#[inline]
fn stranger(link: &Link, interface: &Interface) -> Option<Verdict> {
    if link.dst == interface.mac {
        return None;
    }
    if link.dst.is_multicast() {
        return Some(Verdict::Punt(PuntClass::Control));
    }
    if interface.other_macs.contains(&link.dst) {
        return None;
    }
    Some(Verdict::drop(DropReason::OtherHost))
}

#[inline]
fn enter<F: FibFamily>(
    view: &View<'_>,
    table: &Table<F>,
    lane: &mut Lane<F>,
    at: u8,
    meta: Meta<F>,
    verdicts: &mut Verdicts,
) {
    if !view
        .steering
        .owns(&meta, |addr| view.fib.is_local::<F>(addr))
    {
        verdicts.set(at, Verdict::drop(DropReason::WrongWorker));
        return;
    }
    let tuple = Tuple {
        protocol: meta.protocol,
        src: meta.src,
        dst: meta.dst,
    };
    let hash = table.hash(&tuple);
    table.prefetch(hash);
    // There is room: a lane holds as many as a burst.
    let _ = lane.try_push(Item {
        at,
        tuple,
        meta,
        hash,
        candidate: Slot::NONE,
    });
}
