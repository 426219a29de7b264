//! A packet that leaves in pieces: because it is longer than its way takes, or
//! because it came in pieces.
//!
//! As `ip_do_fragment` and `ip6_fragment`: pieces that came, if they fit as they are, leave
//! with their own sizes, each in its own buffer, under the header of the whole; else all of it
//! is copied into new ones, each as long as possible, but no longer than the longest that
//! came. Options that are the first piece's alone (RFC 791 section 3.1) are empty in the
//! others. The packet is complete when it comes here: translated, or in its tunnel, with its
//! link layer if its next hop is known.

use super::hops::ServerHops;
use super::pieces::{Complete, Held};
use super::plan::{Cut, Plan, put};
use super::waiting::{ResolveRequest, WaitingRoom};
use super::{Access, Lineup, Shared, View, dispatch};
use crate::fib::PortIndex;
use crate::handover::{Handed, Purpose};
use crate::port::{Buf, Pool, Port};
use crate::punt::{PuntClass, Punted};
use crate::reason::DropReason;
use crate::steering::WorkerIndex;
use pvs_proto::wire::{Network, ipv4};
use pvs_proto::{Family, V4, parse_link};

/// Where pieces leave to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outlet {
    /// Out by a port.
    Port(PortIndex),
    /// Into the waiting room, for this neighbour.
    Wait(ResolveRequest),
    /// To Linux, as having come by a port.
    Linux(PuntClass, PortIndex),
    /// To the worker that owns its connection, as having come by a port.
    Worker(WorkerIndex, PortIndex),
}

/// What is needed to let a frame go.
pub(super) struct Exit<'a, 'v, P: Port> {
    pub view: &'a View<'v>,
    pub ports: &'a mut [Lineup<P>],
    pub shared: &'a Shared<P::Buf>,
    pub waiting: &'a mut WaitingRoom<P::Buf>,
}

impl<P: Port> Exit<'_, '_, P> {
    /// Lets a frame go.
    pub(super) fn leave(&mut self, outlet: Outlet, buf: P::Buf) {
        match outlet {
            Outlet::Port(port) => {
                dispatch::send(self.view, self.ports, &self.shared.handover, port, buf);
            }
            Outlet::Wait(wants) => {
                // A piece of a packet that was cut to fit.
                if !self.waiting.enter(buf, (wants, u16::MAX), self.view.now) {
                    self.lost(DropReason::NeighbourQueueFull);
                }
            }
            Outlet::Linux(class, port) => {
                self.shared.punt.push(class, Punted { buf, port });
            }
            Outlet::Worker(owner, port) => {
                let purpose = Purpose::Decide;
                let frame = Handed { buf, port, purpose };
                dispatch::hand_over(self.view, &self.shared.handover, owner, frame);
            }
        }
    }

    pub(super) fn lost(&self, reason: DropReason) {
        self.view.stats.count_dropped(reason, 1);
    }

    /// A buffer of any port.
    fn alloc(&mut self) -> Option<P::Buf> {
        self.ports
            .iter_mut()
            .find_map(|lineup| match &mut lineup.access {
                Access::Own(queue) => queue.alloc(),
                Access::By(_, pool) => pool.alloc(),
            })
    }
}

/// Lets the pieces of a packet in an IPv4 tunnel have DF, and an identification. The kernel's is
/// that of an outer packet with DF, 0: pieces of several packets look alike.
pub(super) fn keep_df<B: Buf>(view: &View<'_>, hops: &mut ServerHops, buf: &mut B) {
    if let Ok((link, V4::ETHERTYPE)) = parse_link(buf.bytes()) {
        if let Some(header) = V4::header_mut(buf.bytes_mut(), link.l3.into()) {
            header.fragment = ipv4::DONT_FRAGMENT.into();
            if header.id.get() == 0 && view.config.tunables.strict_compat == 0 {
                header.id = hops.identification().into();
            }
            header.fill_checksum();
        }
    }
}

/// Lets a packet go in pieces. `head` begins with its headers, which say the length of the whole;
/// its data go on in `rest`.
#[cold]
#[inline(never)]
pub(super) fn send<P: Port>(
    exit: &mut Exit<'_, '_, P>,
    outlet: Outlet,
    head: P::Buf,
    rest: Complete<P::Buf>,
    cut: &Cut,
) {
    let sent = match Plan::of(head.bytes(), &rest, cut) {
        Some(mut plan) if plan.keeps => {
            // The kernel takes DF off pieces that it lets go as they came; who is to
            // judge them gets them with it.
            plan.keeps_df = matches!(outlet, Outlet::Linux(..) | Outlet::Worker(..));
            keep(exit, outlet, head, rest, &plan)
        }
        Some(plan) => copy(exit, outlet, head.bytes(), &rest, &plan),
        None => Err(DropReason::TooBig),
    };
    if let Err(reason) = sent {
        exit.lost(reason);
    }
}

/// The pieces that came, under the header of the whole.
fn keep<P: Port>(
    exit: &mut Exit<'_, '_, P>,
    outlet: Outlet,
    mut head: P::Buf,
    rest: Complete<P::Buf>,
    plan: &Plan,
) -> Result<(), DropReason> {
    let no_room = DropReason::NoHeadroom;
    let more_head = plan.first.len.checked_sub(plan.data).ok_or(no_room)?;
    if more_head > 0 {
        head.prepend(more_head).ok_or(no_room)?;
    }
    let mut offset = head.bytes().len().saturating_sub(plan.first.len);
    let more = !rest.is_empty();
    plan.write(&plan.first, head.bytes_mut(), 0, offset, more)
        .ok_or(no_room)?;
    exit.leave(outlet, head);
    let count = rest.len();
    for (at, held) in (1..).zip(rest) {
        let (mut buf, len) = (held.buf, held.piece.len as usize);
        if !buf.trim_front(held.piece.data.into()) {
            return Err(no_room);
        }
        buf.truncate(len);
        buf.prepend(plan.others.len).ok_or(no_room)?;
        plan.write(&plan.others, buf.bytes_mut(), offset, len, at < count)
            .ok_or(no_room)?;
        exit.leave(outlet, buf);
        offset += len;
    }
    Ok(())
}

/// New pieces, each as long as possible.
fn copy<P: Port>(
    exit: &mut Exit<'_, '_, P>,
    outlet: Outlet,
    head: &[u8],
    rest: &[Held<P::Buf>],
    plan: &Plan,
) -> Result<(), DropReason> {
    let end = head.len().min(plan.data + plan.total);
    let run = head.get(plan.data..end).unwrap_or_default();
    let mut source = Source { run, rest };
    let mut offset = 0;
    while offset < plan.total {
        let left = plan.total - offset;
        let len = if left <= plan.room {
            left
        } else {
            plan.room & !7
        };
        let before = if offset == 0 {
            &plan.first
        } else {
            &plan.others
        };
        let mut buf = exit.alloc().ok_or(DropReason::NoBuffer)?;
        let frame = buf.append(before.len + len).ok_or(DropReason::NoBuffer)?;
        plan.write(before, frame, offset, len, len < left)
            .ok_or(DropReason::NoBuffer)?;
        source.read(frame.get_mut(before.len..).unwrap_or_default());
        exit.leave(outlet, buf);
        offset += len;
    }
    Ok(())
}

/// The data of a packet, piece after piece.
struct Source<'a, B> {
    run: &'a [u8],
    rest: &'a [Held<B>],
}

impl<B: Buf> Source<'_, B> {
    fn read(&mut self, mut into: &mut [u8]) {
        while !into.is_empty() {
            if self.run.is_empty() {
                let Some((next, rest)) = self.rest.split_first() else {
                    return;
                };
                (self.run, self.rest) = (next.data(), rest);
                continue;
            }
            let len = self.run.len().min(into.len());
            let (Some((data, run)), Some((filled, left))) = (
                self.run.split_at_checked(len),
                core::mem::take(&mut into).split_at_mut_checked(len),
            ) else {
                return;
            };
            put(filled, data);
            (self.run, into) = (run, left);
        }
    }
}
