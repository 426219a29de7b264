//! A packet that leaves in pieces: because it is longer than its way takes, or because it came in pieces.
//!
//! As `ip_do_fragment` and `ip6_fragment`: pieces that came, if they fit as they are, leave with their own sizes, each
//! in its own buffer, under the header of the whole; else all of it is copied into new ones, each as long as possible,
//! but no longer than the longest that came. Options that are the first piece's alone (RFC 791 section 3.1) are empty
//! in the others. The packet is complete when it comes here: translated, or in its tunnel, with its link layer if its
//! next hop is known.

use super::gather::{Complete, Held};
use super::waiting::{ResolveRequest, WaitingRoom};
use super::{Access, Lineup, Shared, View, dispatch};
use crate::fib::PortIndex;
use crate::port::{Buf, Port};
use crate::punt::{PuntClass, Punted};
use crate::reason::DropReason;
use pvs_proto::checksum::Sum;
use pvs_proto::parse::keep_copied_options;
use pvs_proto::wire::{ipv4, ipv6};
use pvs_proto::{Family, V4, V6, parse_link};
use zerocopy::FromBytes;
use zerocopy::network_endian::{U16, U32};

/// Pieces that one packet is cut into at most: the longest one on a path of 300 bytes.
pub const PIECES_MAX: usize = 256;

/// Bytes before the data of a piece, at most: link layer, tag, the longest IPv4 header; or IPv6 and what may be before its
/// fragment header.
const BEFORE_MAX: usize = 192;

/// Where pieces leave to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outlet {
    /// Out by a port.
    Port(PortIndex),
    /// Into the waiting room, for this neighbour.
    Wait(ResolveRequest),
    /// To Linux, as having come by a port.
    Linux(PuntClass, PortIndex),
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
                if !self.waiting.enter(buf, wants, self.view.now) {
                    self.lost(DropReason::NeighbourQueueFull);
                }
            }
            Outlet::Linux(class, port) => {
                self.shared.punt.push(class, Punted { buf, port });
            }
        }
    }

    pub(super) fn lost(&self, reason: DropReason) {
        self.view.stats.count_dropped(reason, 1);
    }

    /// A buffer of any port that the worker has a queue of.
    fn alloc(&mut self) -> Option<P::Buf> {
        self.ports
            .iter_mut()
            .find_map(|lineup| match &mut lineup.access {
                Access::Own(queue) => queue.alloc(),
                Access::By(_) => None,
            })
    }
}

/// What IPv6 pieces say beside the header: where the fragment header goes, and its identification.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place6 {
    /// From the network header: the byte that says what follows.
    pub next_at: u16,
    /// From the network header: where the fragment header begins.
    pub at: u16,
    /// The identification.
    pub id: u32,
}

impl Place6 {
    /// Right behind the header.
    pub(super) const fn plain(id: u32) -> Self {
        Self {
            next_at: 6,
            at: ipv6::Header::LEN as u16,
            id,
        }
    }
}

/// How a packet is to be cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut {
    /// Longest piece, its IP header included.
    pub longest: u32,
    /// It leaves in pieces even if it would fit whole.
    pub always: bool,
    /// Pieces that came may leave as they are.
    pub keeps: bool,
    /// For IPv6.
    pub place6: Place6,
}

/// Lets a packet go in pieces. `head` begins with its headers, which say the length of the whole; its data go on in
/// `rest`.
#[cold]
#[inline(never)]
pub(super) fn send<P: Port>(
    exit: &mut Exit<'_, '_, P>,
    outlet: Outlet,
    head: P::Buf,
    rest: Complete<P::Buf>,
    cut: &Cut,
) {
    let to_linux = matches!(outlet, Outlet::Linux(..));
    let sent = match Plan::of(head.bytes(), &rest, cut) {
        Some(plan) if plan.keeps => {
            // The kernel takes DF off pieces that it lets go as they came; Linux gets them with it.
            let plan = Plan {
                keeps_df: to_linux,
                ..plan
            };
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

/// Copies bytes to where there is room for them.
fn put(into: &mut [u8], bytes: &[u8]) {
    for (to, from) in into.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// What is before the data of a piece.
#[derive(Clone, Copy)]
struct Before {
    bytes: [u8; BEFORE_MAX],
    len: usize,
}

impl Before {
    fn of(bytes: &[u8], more: usize) -> Option<Self> {
        let len = bytes.len() + more;
        let mut before = Self {
            bytes: [0; BEFORE_MAX],
            len,
        };
        before.bytes.get(..len)?;
        put(&mut before.bytes, bytes);
        Some(before)
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

/// How a packet is cut.
struct Plan {
    /// Before the data of the first piece: link layer, header, and with IPv6 the fragment header.
    first: Before,
    /// Before those of all others.
    others: Before,
    /// IPv6, with a fragment header.
    fragment_at: Option<usize>,
    l3: usize,
    /// Where the data begin in the head.
    data: usize,
    /// Bytes of data in a piece, at most.
    room: usize,
    /// Bytes of data of all.
    total: usize,
    /// Those that came may leave as they are.
    keeps: bool,
    /// The IPv4 DF bit is that of the whole.
    keeps_df: bool,
}

impl Plan {
    fn of<B: Buf>(head: &[u8], rest: &[Held<B>], cut: &Cut) -> Option<Self> {
        let (link, ethertype) = parse_link(head).ok()?;
        let l3 = usize::from(link.l3);
        let mut plan = match ethertype {
            V4::ETHERTYPE => Self::v4(head, l3, cut)?,
            V6::ETHERTYPE => Self::v6(head, l3, cut)?,
            _ => return None,
        };
        let run = head.len().checked_sub(plan.data)?;
        let fits = |len: usize, last: bool| len <= plan.room && (last || len % 8 == 0);
        let count = rest.len();
        let rest_fits = (1..)
            .zip(rest)
            .all(|(at, held)| fits(held.piece.len as usize, at == count));
        let in_pieces = cut.always || plan.data - l3 + plan.total > cut.longest as usize;
        plan.keeps = in_pieces && cut.keeps && count > 0 && fits(run, false) && rest_fits;
        let pieces = plan.total.checked_div(plan.room & !7)?;
        (plan.keeps || pieces < PIECES_MAX).then_some(plan)
    }

    fn v4(head: &[u8], l3: usize, cut: &Cut) -> Option<Self> {
        let (header, _) = ipv4::Header::ref_from_prefix(head.get(l3..)?).ok()?;
        let (len, whole) = (header.header_len(), usize::from(header.total_len.get()));
        let data = l3 + len;
        let first = Before::of(head.get(..data)?, 0)?;
        let mut others = first;
        keep_copied_options(others.bytes.get_mut(l3 + ipv4::Header::LEN..data)?);
        Some(Self {
            first,
            others,
            fragment_at: None,
            l3,
            data,
            room: (cut.longest as usize).checked_sub(len)?,
            total: whole.checked_sub(len)?,
            keeps: false,
            keeps_df: true,
        })
    }

    fn v6(head: &[u8], l3: usize, cut: &Cut) -> Option<Self> {
        let (header, _) = ipv6::Header::ref_from_prefix(head.get(l3..)?).ok()?;
        let whole = ipv6::Header::LEN + usize::from(header.payload_len.get());
        let Place6 { next_at, at, id } = cut.place6;
        let (next_at, at) = (l3 + usize::from(next_at), usize::from(at));
        let data = l3 + at;
        let in_pieces = cut.always || whole > cut.longest as usize;
        let more = if in_pieces { ipv6::Fragment::LEN } else { 0 };
        let mut first = Before::of(head.get(..data)?, more)?;
        if in_pieces {
            let said = first.bytes.get_mut(next_at)?;
            let next_header = core::mem::replace(said, ipv6::FRAGMENT);
            let (fragment, _) =
                ipv6::Fragment::mut_from_prefix(first.bytes.get_mut(data..)?).ok()?;
            fragment.next_header = next_header;
            fragment.id = U32::new(id);
        }
        Some(Self {
            first,
            others: first,
            fragment_at: in_pieces.then_some(data),
            l3,
            data,
            room: (cut.longest as usize).checked_sub(at + more)?,
            total: whole.checked_sub(at)?,
            keeps: false,
            keeps_df: true,
        })
    }

    /// Writes what is before the data of a piece to the beginning of its frame.
    fn write(
        &self,
        before: &Before,
        frame: &mut [u8],
        offset: usize,
        len: usize,
        more: bool,
    ) -> Option<()> {
        put(frame.get_mut(..before.len)?, before.bytes());
        let headers = frame.get_mut(self.l3..before.len)?;
        if let Some(at) = self.fragment_at {
            let (fragment, _) =
                ipv6::Fragment::mut_from_prefix(headers.get_mut(at - self.l3..)?).ok()?;
            let flag = if more { ipv6::MORE_FRAGMENTS } else { 0 };
            fragment.offset = U16::new(offset as u16 | flag);
        }
        let all = headers.len();
        if headers.first()? >> 4 == ipv6::VERSION {
            let (header, _) = ipv6::Header::mut_from_prefix(headers).ok()?;
            header.payload_len = U16::new((all - ipv6::Header::LEN + len) as u16);
            return Some(());
        }
        let (header, _) = ipv4::Header::mut_from_prefix(headers).ok()?;
        let flag = if more { ipv4::MORE_FRAGMENTS } else { 0 };
        let kept = match self.keeps_df {
            true => header.fragment.get() & ipv4::DONT_FRAGMENT,
            false => 0,
        };
        header.total_len = U16::new((all + len) as u16);
        header.fragment = U16::new((offset / 8) as u16 | flag | kept);
        header.checksum = U16::ZERO;
        let sum = Sum::of(headers).finish();
        let (header, _) = ipv4::Header::mut_from_prefix(headers).ok()?;
        header.checksum = U16::new(sum);
        Some(())
    }
}
