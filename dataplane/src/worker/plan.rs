//! How a packet is cut: what is before the data of each piece, and how much data a piece has.
//!
//! The first piece's header is the packet's own. The others' has the options that RFC 791 section
//! 3.1 has copied, or in IPv6 the same headers up to the fragment header.

use super::pieces::Held;
use crate::port::Buf;
use pvs_proto::checksum::Sum;
use pvs_proto::parse::keep_copied_options;
use pvs_proto::wire::{ipv4, ipv6};
use pvs_proto::{Family, V4, V6, parse_link};
use zerocopy::FromBytes;
use zerocopy::network_endian::{U16, U32};

/// Pieces that one packet is cut into at most: the longest one on a path of 300 bytes.
pub const PIECES_MAX: usize = 256;

/// Bytes before the data of a piece, at most: link layer, tag, the longest IPv4 header; or IPv6 and
/// what may be before its fragment header.
const BEFORE_MAX: usize = 192;

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

/// Copies bytes to where there is room for them.
pub(super) fn put(into: &mut [u8], bytes: &[u8]) {
    for (to, from) in into.iter_mut().zip(bytes) {
        *to = *from;
    }
}

/// What is before the data of a piece.
#[derive(Clone, Copy)]
pub(super) struct Before {
    bytes: [u8; BEFORE_MAX],
    pub len: usize,
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
pub(super) struct Plan {
    /// Before the data of the first piece: link layer, header, and with IPv6 the fragment header.
    pub first: Before,
    /// Before those of all others.
    pub others: Before,
    /// IPv6, with a fragment header.
    fragment_at: Option<usize>,
    l3: usize,
    /// Where the data begin in the head.
    pub data: usize,
    /// Bytes of data in a piece, at most.
    pub room: usize,
    /// Bytes of data of all.
    pub total: usize,
    /// Those that came may leave as they are.
    pub keeps: bool,
    /// The IPv4 DF bit is that of the whole.
    pub keeps_df: bool,
}

impl Plan {
    pub(super) fn of<B: Buf>(head: &[u8], rest: &[Held<B>], cut: &Cut) -> Option<Self> {
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
    pub(super) fn write(
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
