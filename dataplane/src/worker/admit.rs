//! The first stage: parse each frame, see whose it is, hash what may be balanced and bring its bucket near.

use super::lane::{Item, Lane, Lanes, Verdict, Verdicts};
use super::{State, View};
use crate::fib::{FibFamily, PortIndex};
use crate::port::{Batch, Buf};
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::table::{Slot, Table, Tuple};
use pvs_proto::{Checks, Family, Link, Parse, V4, V6, parse_link};

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
        let frame = buf.bytes();
        let (link, ethertype) = match parse_link(frame) {
            Ok(parsed) => parsed,
            Err(reason) => {
                verdicts.set(at, Verdict::malformed(reason));
                continue;
            }
        };
        let checks = Checks {
            ip_good: buf.rx_checks().ip_good,
        };
        let arrival = Arrival {
            at,
            port,
            link,
            frame,
            checks,
        };
        let entered = match ethertype {
            V4::ETHERTYPE => arrival.enter(view, &state.v4, &mut lanes.v4),
            V6::ETHERTYPE => arrival.enter(view, &state.v6, &mut lanes.v6),
            _ => arrival
                .address(view)
                .or(Some(Verdict::Punt(PuntClass::Control))),
        };
        if let Some(verdict) = entered {
            verdicts.set(at, verdict);
        }
    }
}

/// A frame whose link layer is parsed.
struct Arrival<'a> {
    at: u8,
    port: PortIndex,
    link: Link,
    frame: &'a [u8],
    checks: Checks,
}

impl Arrival<'_> {
    /// Puts the packet into its lane, or says at once what becomes of it.
    ///
    /// The parser's result is built where it stays: each copy of it is seen in the benchmark.
    #[inline]
    fn enter<F: FibFamily + Parse>(
        &self,
        view: &View<'_>,
        table: &Table<F>,
        lane: &mut Lane<F>,
    ) -> Option<Verdict> {
        let meta = match F::parse_at(self.frame, self.link.l3.into(), self.checks) {
            Ok(meta) => meta,
            Err(reason) => return Some(Verdict::malformed(reason)),
        };
        if let Some(verdict) = self.address(view) {
            return Some(verdict);
        }
        if !view
            .steering
            .owns(&meta, |addr| view.fib.is_local::<F>(addr))
        {
            return Some(Verdict::drop(DropReason::WrongWorker));
        }
        let hash = table.hash(&Tuple::of(&meta));
        table.prefetch(hash);
        // There is room: a lane holds as many as a burst.
        let _ = lane.try_push(Item {
            at: self.at,
            meta,
            hash,
            candidate: Slot::NONE,
        });
        None
    }

    /// What becomes of a frame that is not addressed to this interface alone; `None` if it is.
    #[inline]
    fn address(&self, view: &View<'_>) -> Option<Verdict> {
        let Some((_, interface)) = view.fib.interface(self.port, self.link.vlan) else {
            return Some(Verdict::drop(DropReason::UnknownVlan));
        };
        let dst = self.link.dst;
        if dst == interface.mac {
            return None;
        }
        if dst.is_multicast() {
            return Some(Verdict::Punt(PuntClass::Control));
        }
        if interface.other_macs.contains(&dst) {
            return None;
        }
        Some(Verdict::drop(DropReason::OtherHost))
    }
}
