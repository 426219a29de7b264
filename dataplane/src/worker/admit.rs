//! The first stage: parse each frame, see who it is for, hash what may be balanced
//! and bring its bucket near.

use super::lane::{Item, Lane, Lanes, Verdict, Verdicts};
use super::schedule;
use super::{State, View};
use crate::fib::{FibFamily, PortIndex};
use crate::port::{Batch, Buf};
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::table::{Slot, Table, Tuple};
use pvs_proto::wire::ethernet;
use pvs_proto::{Checks, Family, Link, Parse, V4, V6, VlanId, parse_link};

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
            other => Some(arrival.not_ip(view, other)),
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
        match self.address(view) {
            Addressed::Here => {}
            Addressed::Group => return Some(Verdict::Punt(schedule::class(view, &meta))),
            Addressed::Elsewhere(reason) => return Some(Verdict::drop(reason)),
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

    /// What becomes of a frame that carries no IP.
    fn not_ip(&self, view: &View<'_>, ethertype: u16) -> Verdict {
        match self.address(view) {
            Addressed::Elsewhere(reason) => Verdict::drop(reason),
            _ if ethertype == ethernet::ARP => Verdict::Punt(PuntClass::Neighbour),
            _ => Verdict::Punt(PuntClass::Local),
        }
    }

    /// Whom the frame is addressed to.
    #[inline]
    fn address(&self, view: &View<'_>) -> Addressed {
        let Some((_, interface)) = view.fib.interface(self.port, self.link.vlan) else {
            return Addressed::Elsewhere(match self.link.vlan {
                VlanId::NONE => DropReason::NoInterface,
                _ => DropReason::UnknownVlan,
            });
        };
        let dst = self.link.dst;
        if dst == interface.mac {
            return Addressed::Here;
        }
        if dst.is_multicast() {
            return Addressed::Group;
        }
        if interface.other_macs.contains(&dst) {
            return Addressed::Here;
        }
        Addressed::Elsewhere(DropReason::OtherHost)
    }
}

/// Whom a frame is addressed to.
enum Addressed {
    /// The interface that it came in by.
    Here,
    /// A group or everybody: never balanced.
    Group,
    /// Nobody here.
    Elsewhere(DropReason),
}
