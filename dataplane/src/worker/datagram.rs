//! A datagram that came in pieces: once all of them are there it is decided as one packet,
//! and leaves in pieces again.
//!
//! As in the kernel, which puts datagrams together before its hooks see them (`ip_local_deliver`,
//! `ip_vs_gather_frags`, `nf_defrag_ipv6`): one look at the connection, one count with the length
//! of the whole. The first piece gets the header of the whole and goes through the decision in the
//! others' name; how it came out is how they leave. The pieces of a datagram meet at one worker by
//! what names it; whose it is they say once they are all there.

use super::cut::{self, Exit, Outlet};
use super::gather::{Entered, Gathering, Key};
use super::hops::{HopFamily, ServerHops};
use super::lane::{Item, Verdict};
use super::pieces::{Complete, Held};
use super::whole::{Became, Datagram, ECN};
use super::{Arrived, Lineup, Shared, State, View, decide, dispatch, local};
use crate::fib::PortIndex;
use crate::handover::{Handed, Purpose};
use crate::port::{Buf, Port};
use crate::reason::{DropReason, Loss};
use crate::steering::WorkerIndex;
use crate::table::{Direction, Slot, Table, Tuple};
use pvs_proto::parse::Quote;
use pvs_proto::wire::{IpHeader, ipv6};
use pvs_proto::{Checks, Family, Fragment, Malformed, Meta, Parse, V4, V6, parse_link};

/// Where a piece comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// In by the port, or from another worker.
    Port,
    /// Out of Linux, on its way to the port.
    Linux,
    /// The same, by another worker: its connection is this one's.
    LinuxByWorker,
}

/// Takes a piece that this worker collects, and carries its datagram on if it is the last one.
#[cold]
#[inline(never)]
pub(super) fn arrive<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    port: PortIndex,
    buf: P::Buf,
    origin: Origin,
) {
    let Ok((link, ethertype)) = parse_link(buf.bytes()) else {
        return;
    };
    let mut exit = Exit {
        view,
        ports,
        shared,
        waiting: &mut state.waiting,
    };
    let (hops, l3) = (&mut state.hops, u16::from(link.l3));
    if ethertype == V4::ETHERTYPE {
        let (table, pieces) = (&mut state.v4, &mut state.v4_pieces);
        let mut collector = Collector {
            table,
            pieces,
            hops,
        };
        collector.take(&mut exit, (port, origin), l3, buf);
    } else if ethertype == V6::ETHERTYPE {
        let (table, pieces) = (&mut state.v6, &mut state.v6_pieces);
        let mut collector = Collector {
            table,
            pieces,
            hops,
        };
        collector.take(&mut exit, (port, origin), l3, buf);
    }
}

/// What a worker has of a family, and what its packets need.
struct Collector<'a, F: HopFamily, B> {
    table: &'a mut Table<F>,
    pieces: &'a mut Gathering<F, B>,
    hops: &'a mut ServerHops,
}

impl<F: HopFamily + Parse, B: Buf> Collector<'_, F, B> {
    fn take<P: Port<Buf = B>>(
        &mut self,
        exit: &mut Exit<'_, '_, P>,
        (port, origin): (PortIndex, Origin),
        l3: u16,
        buf: B,
    ) {
        let view = exit.view;
        // It was parsed before, by whoever received it.
        let Ok(meta) = F::parse_at(buf.bytes(), l3, Checks { ip_good: true }) else {
            return;
        };
        let Some(piece) = F::piece_at(buf.bytes(), l3) else {
            return;
        };
        let collector = view
            .steering
            .collector(meta.src.addr, meta.dst.addr, meta.fragment_id)
            .filter(|worker| *worker != view.index);
        if let (Some(worker), Origin::Port, Arrived::FromPort) = (collector, origin, view.arrived) {
            return give(exit, worker, port, buf, Purpose::Gather);
        }
        let ecn = F::header(buf.bytes(), l3).map_or(0, |header| header.tos() & ECN);
        let key = Key::of(&meta, origin != Origin::Port);
        let hash = self.table.hash(key.tuple());
        let held = Held {
            buf,
            piece,
            l3,
            ecn,
        };
        let mut lost = |reason, n: usize| view.stats.count_dropped(reason, n as u64);
        let entered = self.pieces.enter(key, hash, held, view.now, &mut lost);
        if let Entered::Complete(pieces) = entered {
            if let Err(loss) = self.carry(exit, (port, origin), pieces) {
                view.stats.count_loss(loss);
            }
        }
    }

    /// Carries a datagram on, all of whose pieces are there.
    fn carry<P: Port<Buf = B>>(
        &mut self,
        exit: &mut Exit<'_, '_, P>,
        (port, origin): (PortIndex, Origin),
        mut pieces: Complete<B>,
    ) -> Result<(), Loss> {
        let cut_short = Loss::Malformed(Malformed::TransportTruncated);
        let first = pieces.first().ok_or(cut_short)?;
        let Quote(ports) = F::quote_at(first.buf.bytes(), first.l3).map_err(Loss::Malformed)?;
        if let Some(owner) = self.other_owner(exit.view, &ports, origin) {
            let purpose = match origin {
                Origin::Port => Purpose::Decide,
                _ => Purpose::Translate,
            };
            for held in pieces {
                give(exit, owner, port, held.buf, purpose);
            }
            return Ok(());
        }
        let mut whole = Datagram::<F, B>::of(&mut pieces)?;
        match origin {
            Origin::Port => {
                let verdict = self.decide(exit.view, port, &mut whole);
                if exit.view.rehearse_failure && verdict.leaves() {
                    return Err(Loss::Dropped(DropReason::Rehearsal));
                }
                self.send(exit, port, whole, pieces, verdict)
            }
            _ => {
                let reply = self.table.lookup(&Tuple::of(&whole.meta));
                if let Some((at, Direction::Reply)) = reply {
                    local::reply(exit.view, self.table, at, &whole.meta, &mut whole.head.buf);
                }
                self.send(exit, port, whole, pieces, Verdict::Send(port))
            }
        }
    }

    /// The worker that the datagram's connection belongs to, if it is another one. Linux is the
    /// server of what it sends; an ICMP error says whose it is when it is decided.
    fn other_owner(&self, view: &View<'_>, meta: &Meta<F>, origin: Origin) -> Option<WorkerIndex> {
        if !meta.protocol.has_ports() {
            return None;
        }
        let owner = match (origin, view.arrived) {
            (Origin::Port, Arrived::FromPort) => view
                .steering
                .owner_of(meta, |addr| view.fib.is_local::<F>(addr)),
            (Origin::Linux, _) => view.steering.owner(meta.dst),
            _ => None,
        };
        owner.filter(|owner| *owner != view.index)
    }

    /// What becomes of the datagram, its first piece rewritten in the name of all.
    fn decide(&mut self, view: &View<'_>, port: PortIndex, whole: &mut Datagram<F, B>) -> Verdict {
        let arrived = match whole.meta.protocol.has_ports() {
            true => Arrived::FromWorker,
            false => view.arrived,
        };
        let view = View {
            arrived,
            port,
            gathered: whole.gathered,
            ..*view
        };
        let hash = self.table.hash(&Tuple::of(&whole.meta));
        let item = Item {
            at: 0,
            meta: whole.meta,
            hash,
            candidate: Slot::NONE,
        };
        decide::decide(&view, self.table, self.hops, &item, &mut whole.head.buf)
    }

    /// Lets the datagram go as the decision has it.
    fn send<P: Port<Buf = B>>(
        &mut self,
        exit: &mut Exit<'_, '_, P>,
        port: PortIndex,
        mut whole: Datagram<F, B>,
        mut rest: Complete<B>,
        verdict: Verdict,
    ) -> Result<(), Loss> {
        let (outlet, mtu) = match verdict {
            Verdict::Send(port) => (Outlet::Port(port), u16::MAX),
            Verdict::Cut(port, mtu) => (Outlet::Port(port), mtu),
            Verdict::Wait(wants, mtu) => (Outlet::Wait(wants), mtu),
            Verdict::Punt(class) => (Outlet::Linux(class, port), u16::MAX),
            Verdict::Answer(port) => {
                exit.leave(Outlet::Port(port), whole.head.buf);
                return Ok(());
            }
            Verdict::HandOver(owner) => (Outlet::Worker(owner, port), u16::MAX),
            Verdict::Lose(loss) => return Err(loss),
            // What is whole is no piece, and only what came whole is asked for.
            Verdict::Gather | Verdict::Seek => return Ok(()),
        };
        let became = whole.became();
        match became {
            Became::Translated => whole.finish_checksum(&rest),
            // What came with DF leaves with it, whatever the outer packet says (IPSKB_FRAG_PMTU).
            Became::Tunnelled if F::IS_V4 && whole.meta.dont_fragment => {
                cut::keep_df(exit.view, self.hops, &mut whole.head.buf);
            }
            _ => {}
        }
        whole.give_back(&mut rest);
        let cut = whole.cut(self.hops, became, mtu.into());
        cut::send(exit, outlet, whole.head.buf, rest, &cut);
        Ok(())
    }
}

/// Gives a piece to another worker.
fn give<P: Port>(
    exit: &mut Exit<'_, '_, P>,
    to: WorkerIndex,
    port: PortIndex,
    buf: P::Buf,
    purpose: Purpose,
) {
    let frame = Handed { buf, port, purpose };
    dispatch::hand_over(exit.view, &exit.shared.handover, to, frame);
}

/// A piece of a datagram that may be balanced, or of ICMP, which may be an error about a
/// connection; anything else is Linux's at once.
#[cold]
pub(super) fn verdict<F: HopFamily>(view: &View<'_>, meta: &Meta<F>) -> Verdict {
    let balances = view.config.services().next().is_some();
    let matters = meta.protocol.has_ports()
        || meta.protocol == F::PROTOCOL
        // A later piece, of a datagram whose first one says more.
        || (!F::IS_V4 && ipv6::is_extension(meta.protocol.0));
    if balances && matters && meta.fragment != Fragment::None {
        return Verdict::Gather;
    }
    Verdict::Punt(super::schedule::class(view, meta))
}
