//! The chain of IPv6 extension headers between the header and the transport (RFC 8200 section 4).
//!
//! Their contents are not judged and their order is not enforced: as the kernel, pvs only steps
//! over them. Their number is bounded, and one fragment header is enough for everybody.

use crate::meta::{Fragment, Malformed, Protocol};
use crate::wire::ipv6;
use zerocopy::FromBytes;

/// Extension headers that a packet may have; at most 2048 bytes each.
const EXTENSIONS_MAX: usize = 8;

/// Where the chain ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    /// What follows the chain.
    pub protocol: Protocol,
    /// Where it follows, from the beginning of the packet.
    pub offset: usize,
    /// A piece of a larger packet?
    pub fragment: Fragment,
    /// Identification of that packet.
    pub fragment_id: u32,
}

impl Chain {
    /// No extension header: the protocol follows at once.
    #[inline]
    pub(super) const fn none(protocol: Protocol) -> Self {
        Self {
            protocol,
            offset: ipv6::Header::LEN,
            fragment: Fragment::None,
            fragment_id: 0,
        }
    }
}

/// Walks from the first extension header to the transport, or to the contents of a later fragment.
#[inline(never)]
pub(super) fn walk<const QUOTED: bool>(
    packet: &[u8],
    mut chain: Chain,
) -> Result<Chain, Malformed> {
    let mut is_piece = false;
    for _ in 0..EXTENSIONS_MAX {
        let kind = chain.protocol.0;
        let bytes = packet.get(chain.offset..).unwrap_or_default();
        if kind == ipv6::FRAGMENT {
            if is_piece {
                return Err(Malformed::ExtensionHeader);
            }
            is_piece = true;
            chain = piece::<QUOTED>(bytes, chain)?;
            if chain.fragment == Fragment::Later {
                return Ok(chain);
            }
        } else {
            let (header, _) = ipv6::Extension::ref_from_prefix(bytes).map_err(cut)?;
            let len = header.header_len(kind);
            if len > bytes.len() {
                return Err(Malformed::ExtensionHeader);
            }
            chain.protocol = Protocol(header.next_header);
            chain.offset += len;
        }
        if !ipv6::is_extension(chain.protocol.0) {
            return Ok(chain);
        }
    }
    Err(Malformed::ExtensionHeader)
}

/// Where the byte is that says that a fragment header follows, and where that is, from the
/// beginning of the packet.
pub(super) fn find_fragment(packet: &[u8]) -> Option<(usize, usize)> {
    let (header, _) = ipv6::Header::ref_from_prefix(packet).ok()?;
    /// Where the IPv6 header says what follows.
    const NEXT_HEADER: usize = 6;
    let (mut kind, mut said_at, mut at) = (header.next_header, NEXT_HEADER, ipv6::Header::LEN);
    for _ in 0..EXTENSIONS_MAX {
        if kind == ipv6::FRAGMENT {
            return Some((said_at, at));
        }
        if !ipv6::is_extension(kind) {
            return None;
        }
        let (extension, _) = ipv6::Extension::ref_from_prefix(packet.get(at..)?).ok()?;
        let len = extension.header_len(kind);
        (kind, said_at, at) = (extension.next_header, at, at + len);
    }
    None
}

/// Reads a fragment header. One that says "offset 0, no more" makes an atomic fragment: a whole
/// packet (RFC 6946).
fn piece<const QUOTED: bool>(bytes: &[u8], mut chain: Chain) -> Result<Chain, Malformed> {
    let (header, contents) = ipv6::Fragment::ref_from_prefix(bytes).map_err(cut)?;
    let field = header.offset.get();
    let offset = usize::from(field & ipv6::OFFSET_MASK);
    let is_last = field & ipv6::MORE_FRAGMENTS == 0;
    let is_good =
        offset + contents.len() <= usize::from(u16::MAX) && (is_last || contents.len() % 8 == 0);
    if !QUOTED && !is_good {
        return Err(Malformed::FragmentOffset);
    }
    chain.protocol = Protocol(header.next_header);
    chain.offset += size_of::<ipv6::Fragment>();
    chain.fragment = match (offset, is_last) {
        (0, true) => Fragment::None,
        (0, false) => Fragment::First,
        _ => Fragment::Later,
    };
    if chain.fragment != Fragment::None {
        chain.fragment_id = header.id.get();
    }
    Ok(chain)
}

fn cut<E>(_: E) -> Malformed {
    Malformed::ExtensionHeader
}
