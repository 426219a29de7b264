//! The packets of a burst between the stages: one lane for each address family, one body for both.

use super::decide;
use super::hops::{HopFamily, ServerHops};
use super::waiting::ResolveRequest;
use super::{Arrived, View};
use crate::fib::PortIndex;
use crate::port::{BURST, Batch, Buf};
use crate::punt::PuntClass;
use crate::reason::{DropReason, Loss};
use crate::steering::{Mode, WorkerIndex};
use crate::table::{Slot, Table};
use arrayvec::ArrayVec;
use pvs_proto::{Family, Fragment, Malformed, Meta, V4, V6};

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Rewritten: out by this port.
    Send(PortIndex),
    /// Rewritten but for the hardware address of this next hop, on a way that takes
    /// packets of so many bytes.
    Wait(ResolveRequest, u16),
    /// To Linux: as it came, but for what a server of the director's own gets.
    Punt(PuntClass),
    /// Rewritten: out by this port in pieces, of so many bytes at most.
    Cut(PortIndex, u16),
    /// An ICMP error in its place: out by this port.
    Answer(PortIndex),
    /// As it came, to the worker that owns its connection.
    HandOver(WorkerIndex),
    /// As it came, to one worker after the other, until one has the connection.
    Seek,
    /// A piece of a datagram, to wait for the others.
    Gather,
    /// Freed and counted.
    Lose(Loss),
}

impl Verdict {
    /// The packet itself goes on to a server or client.
    pub(super) const fn leaves(self) -> bool {
        matches!(self, Self::Send(_) | Self::Wait(..) | Self::Cut(..))
    }

    /// Dropped for a reason.
    pub(super) const fn drop(reason: DropReason) -> Self {
        Self::Lose(Loss::Dropped(reason))
    }

    /// Malformed for a reason.
    pub(super) const fn malformed(reason: Malformed) -> Self {
        Self::Lose(Loss::Malformed(reason))
    }
}

/// A verdict for each packet of the burst.
pub(super) struct Verdicts([Verdict; BURST]);

impl Verdicts {
    /// To Linux, unless a stage says otherwise.
    pub(super) fn new() -> Self {
        Self([Verdict::Punt(PuntClass::Local); BURST])
    }

    #[inline]
    pub(super) fn set(&mut self, at: u8, verdict: Verdict) {
        if let Some(slot) = self.0.get_mut(usize::from(at)) {
            *slot = verdict;
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Verdict> {
        self.0.iter().copied()
    }
}

/// A packet on its way through the stages.
pub(super) struct Item<F: Family> {
    /// Its place in the burst.
    pub at: u8,
    /// What the parser said.
    pub meta: Meta<F>,
    /// The tuple's hash.
    pub hash: u64,
    /// Where the look-up will try first.
    pub candidate: Slot,
}

/// A burst's packets of one family.
pub(super) type Lane<F> = ArrayVec<Item<F>, BURST>;

/// A burst's packets that may be balanced.
pub(super) struct Lanes {
    pub v4: Lane<V4>,
    pub v6: Lane<V6>,
}

impl Lanes {
    pub(super) fn new() -> Self {
        Self {
            v4: Lane::new(),
            v6: Lane::new(),
        }
    }
}

/// The worker that a packet's connection belongs to, if it is another one than this. What carries
/// no ports is nobody's, but for ICMP errors, which are asked for what they quote: whoever receives
/// it gives it to Linux. Pieces say whose they are when all of them are there.
#[inline]
pub(super) fn other_owner<F: HopFamily>(view: &View<'_>, meta: &Meta<F>) -> Option<WorkerIndex> {
    if view.arrived == Arrived::FromWorker
        || !meta.protocol.has_ports()
        || meta.fragment != Fragment::None
    {
        return None;
    }
    view.steering
        .owner_of(meta, |addr| view.fib.is_local::<F>(addr))
        .filter(|owner| *owner != view.index)
}

/// Takes out of a lane what other workers own.
#[inline(never)]
fn steer<F: HopFamily>(view: &View<'_>, lane: &mut Lane<F>, verdicts: &mut Verdicts) {
    lane.retain(|item| {
        let owner = other_owner(view, &item.meta);
        if let Some(owner) = owner {
            verdicts.set(item.at, Verdict::HandOver(owner));
        }
        owner.is_none()
    });
}

/// Carries a lane through look-up and decision.
#[inline]
pub(super) fn carry<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    lane: &mut Lane<F>,
    batch: &mut Batch<B>,
    verdicts: &mut Verdicts,
) {
    // In the mode `nic` a packet is asked only if it has no connection here.
    if view.steering.mode() == Mode::Ring {
        steer(view, lane, verdicts);
    }
    for item in lane.iter_mut() {
        item.candidate = table.candidate(item.hash);
    }
    for item in lane.iter() {
        if let Some(buf) = batch.get_mut(usize::from(item.at)) {
            verdicts.set(item.at, decide::decide(view, table, hops, item, buf));
        }
    }
}
