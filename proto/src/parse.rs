//! One pass over a frame: Ethernet, an optional 802.1Q tag, IPv4 or IPv6,
//! and the transport's ports.
//!
//! It judges only what later stages rely on. IPVS forwards a datagram whose UDP length is
//! nonsense, a segment whose data offset is, and a wrong transport checksum: so does pvs. The
//! checks come in the kernel's order (header length, checksum, length), hence a packet that is
//! wrong in two ways is counted where the kernel would count it. Bytes behind the IP length are
//! padding and are ignored.

use crate::addr::{Endpoint, Family, V4, V6};
use crate::checksum::Sum;
use crate::meta::{Fragment, Link, Malformed, Meta, Other, Packet, VlanId};
use crate::wire::{IpHeader, Network, ethernet, ipv4, ipv6};
use zerocopy::{FromBytes, IntoBytes};

mod extension;
mod piece;
mod transport;

pub use piece::{Piece, Pieces, Whole, keep_copied_options};
pub use transport::signal;
use transport::{Transport, first_piece, transport};

/// What the port has verified already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Checks {
    /// The IPv4 header checksum is right.
    pub ip_good: bool,
}

/// A packet that an ICMP error quotes: its beginning, seldom the whole.
///
/// Less is proven than of a packet on the wire: behind `l4` lie the 4 bytes of the ports for TCP,
/// UDP and SCTP, the type for ICMP and ICMPv6, nothing else. `ip_len` is what the quoted header
/// says, and `signal` is 0 but for ICMP and ICMPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote<F: Family>(pub Meta<F>);

/// A family whose packets can be parsed, at any place in a frame.
pub trait Parse: Network + Pieces {
    /// Parses the packet at `l3`: a frame's own, or one within a tunnel.
    ///
    /// # Errors
    /// The packet is malformed.
    fn parse_at(frame: &[u8], l3: u16, checks: Checks) -> Result<Meta<Self>, Malformed>;

    /// Parses the beginning of a packet that an ICMP error quotes at `l3`. Its length and its
    /// checksum prove nothing: routers cut the one and may change what the other covers.
    ///
    /// # Errors
    /// The quote ends before its ports, or has no sense.
    fn quote_at(frame: &[u8], l3: u16) -> Result<Quote<Self>, Malformed>;
}

/// Parses a frame.
///
/// # Errors
/// The frame is malformed; the reason has a counter.
pub fn parse(frame: &[u8], checks: Checks) -> Result<(Link, Packet), Malformed> {
    let (link, ethertype) = parse_link(frame)?;
    let l3 = link.l3.into();
    let packet = match ethertype {
        V4::ETHERTYPE => Packet::V4(V4::parse_at(frame, l3, checks)?),
        V6::ETHERTYPE => Packet::V6(V6::parse_at(frame, l3, checks)?),
        ethernet::ARP => Packet::Other(Other::Arp),
        other => Packet::Other(Other::EtherType(other)),
    };
    Ok((link, packet))
}

/// Parses the link layer alone, and yields the EtherType of what follows: the first half of
/// [`parse()`] for a caller that judges the link layer first, and keeps the families apart.
///
/// # Errors
/// The frame ends inside its Ethernet header or VLAN tag.
#[inline]
pub fn parse_link(frame: &[u8]) -> Result<(Link, u16), Malformed> {
    let (header, rest) =
        ethernet::Header::ref_from_prefix(frame).map_err(|_| Malformed::LinkTruncated)?;
    let ethertype = header.ethertype.get();
    if ethertype != ethernet::VLAN {
        return Ok((link(header, None), ethertype));
    }
    let (tag, _) = ethernet::Tag::ref_from_prefix(rest).map_err(|_| Malformed::LinkTruncated)?;
    // The EtherType of a second tag is like any unknown one.
    Ok((link(header, Some(tag)), tag.ethertype.get()))
}

#[inline]
fn link(header: &ethernet::Header, tag: Option<&ethernet::Tag>) -> Link {
    let (dst, src) = header.addresses();
    Link {
        dst,
        src,
        vlan: tag.map_or(VlanId::NONE, ethernet::Tag::vlan),
        l3: l3(tag),
    }
}

/// Where the network header begins.
#[inline]
const fn l3(tag: Option<&ethernet::Tag>) -> u8 {
    match tag {
        None => ethernet::Header::LEN as u8,
        Some(_) => (ethernet::Header::LEN + ethernet::Tag::LEN) as u8,
    }
}

// Always inlined: the result is built where it stays, and each copy of it is seen in the benchmark.
impl Parse for V4 {
    #[inline(always)]
    fn parse_at(frame: &[u8], l3: u16, checks: Checks) -> Result<Meta<V4>, Malformed> {
        v4::<false>(frame, l3, checks)
    }
    fn quote_at(frame: &[u8], l3: u16) -> Result<Quote<V4>, Malformed> {
        v4::<true>(frame, l3, Checks { ip_good: true }).map(Quote)
    }
}

impl Parse for V6 {
    #[inline(always)]
    fn parse_at(frame: &[u8], l3: u16, _: Checks) -> Result<Meta<V6>, Malformed> {
        v6::<false>(frame, l3)
    }
    fn quote_at(frame: &[u8], l3: u16) -> Result<Quote<V6>, Malformed> {
        v6::<true>(frame, l3).map(Quote)
    }
}

#[inline(always)]
fn v4<const QUOTED: bool>(frame: &[u8], l3: u16, checks: Checks) -> Result<Meta<V4>, Malformed> {
    let bytes = frame.get(usize::from(l3)..).unwrap_or_default();
    let (header, _) = ipv4::Header::ref_from_prefix(bytes).map_err(|_| Malformed::IpTruncated)?;
    if header.version() != 4 {
        return Err(Malformed::IpVersion);
    }
    let header_len = header.header_len();
    if header_len < ipv4::Header::LEN || header_len > bytes.len() {
        return Err(Malformed::IpHeaderLength);
    }
    if !checks.ip_good && !has_good_checksum(header, bytes) {
        return Err(Malformed::IpChecksum);
    }
    let ip_len = usize::from(header.total_len.get());
    let end = if QUOTED { bytes.len() } else { ip_len };
    let payload = bytes.get(header_len..end).ok_or(Malformed::IpLength)?;

    let field = header.fragment.get();
    let (mut fragment, mut fragment_id) = (Fragment::None, 0);
    if field & (ipv4::MORE_FRAGMENTS | ipv4::OFFSET_MASK) != 0 {
        if !QUOTED && !is_good_piece(field, header_len, payload.len()) {
            return Err(Malformed::FragmentOffset);
        }
        let is_first = field & ipv4::OFFSET_MASK == 0;
        fragment = if is_first {
            Fragment::First
        } else {
            Fragment::Later
        };
        fragment_id = header.id.get().into();
    }
    let ends = match fragment {
        Fragment::None => transport::<QUOTED>(header.next(), payload)?,
        Fragment::First => first_piece(header.next(), payload)?,
        Fragment::Later => Transport::default(),
    };
    Ok(Meta {
        src: Endpoint {
            addr: header.src(),
            port: ends.src,
        },
        dst: Endpoint {
            addr: header.dst(),
            port: ends.dst,
        },
        ip_len: ip_len as u32,
        fragment_id,
        l3,
        l4: l3
            .checked_add(header_len as u16)
            .ok_or(Malformed::IpTruncated)?,
        protocol: header.next(),
        signal: ends.signal,
        ttl: header.ttl,
        fragment,
        dont_fragment: field & ipv4::DONT_FRAGMENT != 0,
    })
}

/// The header with its options; a plain one has a length that the compiler knows.
#[inline]
fn has_good_checksum(header: &ipv4::Header, bytes: &[u8]) -> bool {
    if header.version_ihl == ipv4::Header::PLAIN {
        Sum::of(header.as_bytes()).finish() == 0
    } else {
        has_good_checksum_with_options(bytes.get(..header.header_len()).unwrap_or_default())
    }
}

/// Apart, so that the loop takes no registers from the common case.
#[inline(never)]
fn has_good_checksum_with_options(header: &[u8]) -> bool {
    Sum::of(header).finish() == 0
}

/// A piece ends within the largest datagram, and only the last may be no multiple of 8 bytes.
fn is_good_piece(field: u16, header_len: usize, len: usize) -> bool {
    let offset = usize::from(field & ipv4::OFFSET_MASK) * 8;
    let is_last = field & ipv4::MORE_FRAGMENTS == 0;
    header_len + offset + len <= usize::from(u16::MAX) && (is_last || len % 8 == 0)
}

#[inline(always)]
fn v6<const QUOTED: bool>(frame: &[u8], l3: u16) -> Result<Meta<V6>, Malformed> {
    let bytes = frame.get(usize::from(l3)..).unwrap_or_default();
    let (header, _) = ipv6::Header::ref_from_prefix(bytes).map_err(|_| Malformed::IpTruncated)?;
    if header.version() != 6 {
        return Err(Malformed::IpVersion);
    }
    let ip_len = ipv6::Header::LEN + usize::from(header.payload_len.get());
    let end = if QUOTED { bytes.len() } else { ip_len };
    let packet = bytes.get(..end).ok_or(Malformed::IpLength)?;

    let mut chain = extension::Chain::none(header.next());
    if ipv6::is_extension(header.next_header) {
        chain = extension::walk::<QUOTED>(packet, chain)?;
    }
    let payload = packet.get(chain.offset..).unwrap_or_default();
    let ends = match chain.fragment {
        Fragment::None => transport::<QUOTED>(chain.protocol, payload)?,
        Fragment::First => first_piece(chain.protocol, payload)?,
        Fragment::Later => Transport::default(),
    };
    Ok(Meta {
        src: Endpoint {
            addr: header.src(),
            port: ends.src,
        },
        dst: Endpoint {
            addr: header.dst(),
            port: ends.dst,
        },
        ip_len: ip_len as u32,
        fragment_id: chain.fragment_id,
        l3,
        l4: l3
            .checked_add(chain.offset as u16)
            .ok_or(Malformed::IpTruncated)?,
        protocol: chain.protocol,
        signal: ends.signal,
        ttl: header.hop_limit,
        fragment: chain.fragment,
        dont_fragment: true,
    })
}
