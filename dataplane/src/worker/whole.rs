//! All pieces of a datagram as one packet: the first one, which has the header of the
//! whole and speaks for all.
//!
//! As the kernel's `ip_frag_reasm` and `nf_ct_frag6_reasm`, but nothing is copied: the others
//! keep their data, and what the first one lacks of a transport header is lent to it for as long
//! as the packet is decided.

use super::Gathered;
use super::hops::{HopFamily, ServerHops};
use super::pieces::{Complete, Held};
use super::plan::{Cut, Place6};
use crate::port::Buf;
use crate::reason::{DropReason, Loss};
use pvs_proto::checksum::{self, Sum};
use pvs_proto::parse::{self, Quote, Whole};
use pvs_proto::wire::{IpHeader, ipv6, sctp, tcp, udp};
use pvs_proto::{Family, Malformed, Meta, Parse, Protocol, V4, parse_link};
use zerocopy::FromBytes;

/// The two bits of the type of service that are ECN's (RFC 3168).
pub(super) const ECN: u8 = 0x03;

/// What all pieces together say of congestion, by which of the four values they carry (RFC 3168
/// section 5.3); `None` for values that can't be of one datagram, as `ip_frag_ecn_table` has it.
fn joined_ecn(pieces: &[Held<impl Buf>]) -> Option<u8> {
    const CE: u8 = 0x03;
    let seen = pieces.iter().fold(0u8, |seen, held| seen | 1 << held.ecn);
    let (not_capable, capable, marked) = (seen & 1 != 0, seen & 0b0110, seen & 0b1000 != 0);
    let first = pieces.first().map_or(0, |held| held.ecn);
    match (not_capable, capable != 0, marked) {
        (true, _, true) | (true, true, _) => None,
        (false, _, true) => Some(CE),
        _ => Some(first),
    }
}

/// A datagram whose first piece speaks for all.
pub(super) struct Datagram<F: Family, B> {
    pub head: Held<B>,
    /// What it says as a whole.
    pub meta: Meta<F>,
    pub gathered: Gathered,
    place6: Place6,
    /// Bytes at the end of the first piece that are the next ones'.
    borrowed: usize,
    /// How much of the packet is in the first piece, with what is borrowed.
    packet_len: usize,
}

/// What a decision makes of a datagram, besides a hop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Became {
    /// Nothing.
    Same,
    /// It has another address.
    Translated,
    /// It is in another packet.
    Tunnelled,
}

impl<F: HopFamily + Parse, B: Buf> Datagram<F, B> {
    /// Takes the first piece, and gives it the header of the whole.
    pub(super) fn of(pieces: &mut Complete<B>) -> Result<Self, Loss> {
        let too_long = Loss::Malformed(Malformed::FragmentOffset);
        let len = pieces.iter().map(|held| held.piece.len).sum();
        let largest = pieces.iter().map(Held::ip_len).max().unwrap_or(0);
        let with_df = pieces.iter().filter(|held| held.piece.dont_fragment);
        let largest_df = with_df.map(Held::ip_len).max().unwrap_or(0);
        let ecn = joined_ecn(pieces).ok_or(Loss::Dropped(DropReason::FragmentOverlap))?;
        let whole = Whole {
            len,
            // As the kernel: if the largest piece has it.
            dont_fragment: largest_df == largest,
            ecn,
        };
        let first = pieces.first().ok_or(too_long)?;
        let Quote(first) = F::quote_at(first.buf.bytes(), first.l3).map_err(Loss::Malformed)?;
        let signal = signal(pieces, &first).map_err(Loss::Malformed)?;
        let mut head = pieces.pop_at(0).ok_or(too_long)?;
        let end = usize::from(head.piece.data) + head.piece.len as usize;
        head.buf.truncate(end);
        let cut = F::make_whole(head.buf.bytes_mut(), head.l3, &head.piece, &whole);
        if !head.buf.trim_front(cut.ok_or(too_long)?) {
            return Err(too_long);
        }
        let Quote(mut meta) = F::quote_at(head.buf.bytes(), head.l3).map_err(Loss::Malformed)?;
        meta.signal = signal;
        let borrowed = borrow(&mut head.buf, &meta, pieces)?;
        let rest = behind(pieces, borrowed).fold(Sum::ZERO, |sum, data| sum.and(Sum::of(data)));
        let from_l3 = |at: u16| at.saturating_sub(head.l3);
        Ok(Self {
            place6: Place6 {
                next_at: from_l3(head.piece.next_at),
                at: from_l3(head.piece.data).saturating_sub(ipv6::Fragment::LEN as u16),
                id: first.fragment_id,
            },
            gathered: Gathered { largest, rest },
            packet_len: head.buf.bytes().len().saturating_sub(head.l3.into()),
            head,
            meta,
            borrowed,
        })
    }

    /// What the decision has made of it.
    pub(super) fn became(&self) -> Became {
        let frame = self.head.buf.bytes();
        let Ok((link, ethertype)) = parse_link(frame) else {
            return Became::Same;
        };
        if frame.len() - usize::from(link.l3) > self.packet_len || ethertype != F::ETHERTYPE {
            return Became::Tunnelled;
        }
        let before = (self.meta.src.addr, self.meta.dst.addr);
        match F::header(frame, link.l3.into()).map(|header| (header.src(), header.dst())) {
            Some(now) if now != before => Became::Translated,
            _ => Became::Same,
        }
    }

    /// Gives back what was borrowed, rewritten.
    pub(super) fn give_back(&mut self, rest: &mut [Held<B>]) {
        let frame = self.head.buf.bytes();
        let keep = frame.len().saturating_sub(self.borrowed);
        let lent = frame.get(keep..).unwrap_or_default();
        let places = rest.iter_mut().flat_map(Held::data_mut);
        for (to, from) in places.zip(lent) {
            *to = *from;
        }
        self.head.buf.truncate(keep);
    }

    /// How it is to be cut again. Of a tunnel it is the outer packet, and the pieces' size counts
    /// only if that is of the same family.
    pub(super) fn cut(&self, hops: &mut ServerHops, became: Became, mtu: u32) -> Cut {
        let outer_is_v4 = parse_link(self.head.buf.bytes())
            .is_ok_and(|(_, ethertype)| ethertype == V4::ETHERTYPE);
        let always = outer_is_v4 == F::IS_V4;
        let largest = match F::IS_V4 {
            true => self.gathered.largest,
            // RFC 8200 section 5.
            false => self.gathered.largest.max(1280),
        };
        let place6 = match became == Became::Tunnelled && !outer_is_v4 {
            true => Place6::plain(hops.identification().into()),
            false => self.place6,
        };
        Cut {
            longest: if always { largest.min(mtu) } else { mtu },
            always,
            // The kernel's buffers of IPv4 have no room for a header of IPv6 around each; and to
            // translate a header it draws it together.
            keeps: (outer_is_v4 || !F::IS_V4)
                && (became != Became::Translated || self.borrowed == 0),
            place6,
        }
    }

    /// Computes what has no incremental update, over all pieces, as the kernel does: an absent UDP
    /// checksum, that of SCTP if a port has changed, and that of an ICMP error.
    pub(super) fn finish_checksum(&mut self, rest: &[Held<B>]) {
        let frame = self.head.buf.bytes_mut();
        let Ok((link, _)) = parse_link(frame) else {
            return;
        };
        let Ok(Quote(now)) = F::quote_at(frame, link.l3.into()) else {
            return;
        };
        let Some(segment) = frame.get_mut(usize::from(now.l4)..) else {
            return;
        };
        let is_due = match now.protocol {
            Protocol::UDP => udp::Header::ref_from_prefix(segment)
                .is_ok_and(|(header, _)| header.checksum.get() == 0),
            Protocol::SCTP => {
                (now.src.port, now.dst.port) != (self.meta.src.port, self.meta.dst.port)
            }
            Protocol::ICMP | Protocol::ICMPV6 => true,
            _ => false,
        };
        if is_due {
            let (src, dst) = (now.src.addr, now.dst.addr);
            let rest = behind(rest, self.borrowed);
            // It fails on a cut header only, and this one is whole.
            let _ = checksum::fill_pieces(src, dst, now.protocol, segment, rest);
        }
    }
}

/// The data of pieces behind their first bytes, so many of them.
fn behind<B: Buf>(pieces: &[Held<B>], bytes: usize) -> impl Iterator<Item = &[u8]> {
    let mut skip = bytes;
    pieces.iter().map(move |held| {
        let data = held.data();
        let here = skip.min(data.len());
        skip -= here;
        data.get(here..).unwrap_or_default()
    })
}

/// Bytes of an ICMP message that are looked at, at most: its header and what is quoted, as far as
/// the ports, be it in a tunnel, with some options.
const ICMP_MAX: usize = 128;

/// Lends the first piece what it lacks of its transport header, out of the next
/// ones. Returns how many bytes.
fn borrow<F: Family, B: Buf>(
    head: &mut B,
    meta: &Meta<F>,
    rest: &[Held<B>],
) -> Result<usize, Loss> {
    let header = match meta.protocol {
        Protocol::TCP => tcp::Header::LEN,
        Protocol::SCTP => sctp::Header::LEN,
        Protocol::ICMP | Protocol::ICMPV6 => ICMP_MAX,
        _ => udp::Header::LEN,
    };
    let end = usize::from(meta.l4) + header;
    let missing = end.saturating_sub(head.bytes().len());
    let available = rest.iter().map(|held| held.data().len()).sum();
    // IPVS forwards a datagram that ends inside its UDP header.
    let missing = missing.min(available);
    if missing > 0 {
        let room = head.append(missing);
        let room = room.ok_or(Loss::Dropped(DropReason::NoBuffer))?;
        let data = rest.iter().flat_map(Held::data);
        for (to, from) in room.iter_mut().zip(data) {
            *to = *from;
        }
    }
    Ok(missing)
}

/// Bytes of a transport header that are looked at, at most, where the first
/// piece has not even those.
const TRANSPORT_MAX: usize = 64;

/// [`Meta::signal`] of a datagram. `first` is what its first piece says.
fn signal<F: Family>(pieces: &[Held<impl Buf>], first: &Meta<F>) -> Result<u8, Malformed> {
    let data = pieces.first().map_or(&[][..], Held::data);
    let begins = pieces.first().map_or(0, |held| held.piece.data);
    let skip = usize::from(first.l4.saturating_sub(begins));
    let segment = data.get(skip..).unwrap_or_default();
    if segment.len() >= TRANSPORT_MAX {
        return parse::signal(first.protocol, segment);
    }
    let mut room = [0; TRANSPORT_MAX];
    let mut len = 0;
    let all = pieces.iter().flat_map(Held::data).skip(skip);
    for (to, from) in room.iter_mut().zip(all) {
        *to = *from;
        len += 1;
    }
    parse::signal(first.protocol, room.get(..len).unwrap_or_default())
}
