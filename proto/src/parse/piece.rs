//! Where a piece of a datagram belongs, and how a whole one is made of its header.
//!
//! As the kernel puts a datagram together (`ip_frag_reasm`, `nf_ct_frag6_reasm`): the header is the
//! first piece's, with the length of the whole and without its place in it.

use super::extension;
use crate::addr::{V4, V6};
use crate::checksum::Sum;
use crate::wire::{ipv4, ipv6};
use zerocopy::FromBytes;
use zerocopy::network_endian::U16;

/// A piece of a datagram. Its places are offsets in the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Where its data begin in the datagram.
    pub offset: u32,
    /// Where they begin in the frame.
    pub data: u16,
    /// How many there are.
    pub len: u32,
    /// It is not the last one.
    pub more: bool,
    /// The IPv4 DF bit.
    pub dont_fragment: bool,
    /// Where IPv6 says that a fragment header follows; 0 for IPv4.
    pub next_at: u16,
}

/// A family whose datagrams may come in pieces.
pub trait Pieces: Sized {
    /// The piece whose network header is at `l3` of a frame; `None` if there is
    /// none, or a whole datagram.
    fn piece_at(frame: &[u8], l3: u16) -> Option<Piece>;

    /// Makes the header at `l3` of a frame, which the first piece begins with, that of a datagram
    /// of so many bytes of data. Returns how many bytes of the frame behind its link layer are to
    /// be taken off its front, the link layer having been moved: IPv6's fragment header. `None` if
    /// there is no datagram of that length.
    fn make_whole(frame: &mut [u8], l3: u16, piece: &Piece, whole: &Whole) -> Option<usize>;
}

/// What is known of a datagram when all its pieces are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// Bytes of data of all pieces.
    pub len: u32,
    /// The IPv4 DF bit.
    pub dont_fragment: bool,
    /// What ECN says by all pieces together (RFC 3168 section 5.3).
    pub ecn: u8,
}

impl Pieces for V4 {
    fn piece_at(frame: &[u8], l3: u16) -> Option<Piece> {
        let bytes = frame.get(usize::from(l3)..)?;
        let (header, _) = ipv4::Header::ref_from_prefix(bytes).ok()?;
        let field = header.fragment.get();
        if field & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK) == 0 {
            return None;
        }
        let header_len = header.header_len();
        Some(Piece {
            offset: u32::from(field & ipv4::OFFSET_MASK) * 8,
            data: l3.checked_add(header_len as u16)?,
            len: u32::from(header.total_len.get()).checked_sub(header_len as u32)?,
            more: field & ipv4::MORE_FRAGMENTS != 0,
            dont_fragment: field & ipv4::DONT_FRAGMENT != 0,
            next_at: 0,
        })
    }

    fn make_whole(frame: &mut [u8], l3: u16, piece: &Piece, whole: &Whole) -> Option<usize> {
        let end = usize::from(piece.data);
        let header_len = piece.data.checked_sub(l3)?;
        let bytes = frame.get_mut(usize::from(l3)..end)?;
        let (header, _) = ipv4::Header::mut_from_prefix(bytes).ok()?;
        let total = u16::try_from(whole.len.checked_add(header_len.into())?).ok()?;
        header.total_len = U16::new(total);
        header.fragment = U16::new(match whole.dont_fragment {
            true => ipv4::DONT_FRAGMENT,
            false => 0,
        });
        header.tos = (header.tos & !ECN) | whole.ecn;
        header.checksum = U16::ZERO;
        let sum = Sum::of(bytes).finish();
        let (header, _) = ipv4::Header::mut_from_prefix(bytes).ok()?;
        header.checksum = U16::new(sum);
        Some(0)
    }
}

/// The two bits of the type of service that are ECN's.
const ECN: u8 = 0x03;

impl Pieces for V6 {
    fn piece_at(frame: &[u8], l3: u16) -> Option<Piece> {
        let bytes = frame.get(usize::from(l3)..)?;
        let (header, _) = ipv6::Header::ref_from_prefix(bytes).ok()?;
        let end = ipv6::Header::LEN + usize::from(header.payload_len.get());
        let packet = bytes.get(..end)?;
        let (next_at, at) = extension::find_fragment(packet)?;
        let (fragment, contents) = ipv6::Fragment::ref_from_prefix(packet.get(at..)?).ok()?;
        let field = fragment.offset.get();
        let (offset, more) = (field & ipv6::OFFSET_MASK, field & ipv6::MORE_FRAGMENTS != 0);
        if offset == 0 && !more {
            return None;
        }
        Some(Piece {
            offset: offset.into(),
            data: l3.checked_add((at + ipv6::Fragment::LEN) as u16)?,
            len: contents.len() as u32,
            more,
            dont_fragment: true,
            next_at: l3.checked_add(next_at as u16)?,
        })
    }

    fn make_whole(frame: &mut [u8], l3: u16, piece: &Piece, whole: &Whole) -> Option<usize> {
        let at = usize::from(piece.data).checked_sub(ipv6::Fragment::LEN)?;
        let bytes = frame.get(at..)?;
        let (fragment, _) = ipv6::Fragment::ref_from_prefix(bytes).ok()?;
        let next = fragment.next_header;
        *frame.get_mut(usize::from(piece.next_at))? = next;
        let (header, _) = ipv6::Header::mut_from_prefix(frame.get_mut(usize::from(l3)..)?).ok()?;
        let before = at.checked_sub(usize::from(l3) + ipv6::Header::LEN)?;
        let payload = u16::try_from(whole.len.checked_add(before as u32)?).ok()?;
        header.payload_len = U16::new(payload);
        let word = header.version_class_flow.get();
        let ecn = u32::from(whole.ecn) << 20;
        header
            .version_class_flow
            .set((word & !(u32::from(ECN) << 20)) | ecn);
        // From the back, since the places overlap.
        for from in (0..at).rev() {
            let byte = *frame.get(from)?;
            *frame.get_mut(from + ipv6::Fragment::LEN)? = byte;
        }
        Some(ipv6::Fragment::LEN)
    }
}

/// Makes every option that is the first piece's alone an empty one (RFC 791 section 3.1): the
/// options of an IPv4 header whose datagram is cut, for all pieces but the first.
pub fn keep_copied_options(options: &mut [u8]) {
    const END: u8 = 0;
    const EMPTY: u8 = 1;
    const COPIED: u8 = 0x80;
    let mut rest = options;
    while let [kind, ..] = *rest {
        let len = match (kind, rest.get(1)) {
            (END, _) => return,
            (EMPTY, _) => 1,
            (_, Some(len)) if *len >= 2 => usize::from(*len),
            _ => return,
        };
        let Some((option, behind)) = rest.split_at_mut_checked(len) else {
            return;
        };
        if kind & COPIED == 0 {
            option.fill(EMPTY);
        }
        rest = behind;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_of_the_first_piece_alone_become_empty() {
        // Loose source route (copied), record route (not), empty, timestamp (not),
        // end, and what is behind it.
        let mut options = [0x83, 3, 4, 7, 7, 4, 1, 2, 3, 4, 1, 0x44, 4, 5, 0, 0, 7, 3];
        keep_copied_options(&mut options);
        let expected = [0x83, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 7, 3];
        assert_eq!(options, expected);
        for nonsense in [&mut [7u8, 1, 9][..], &mut [7, 9, 9], &mut [7], &mut []] {
            let before = nonsense.to_vec();
            keep_copied_options(nonsense);
            assert_eq!(nonsense, before);
        }
    }
}
