//! Ports and signal of a transport header: all that the connection table and the state tables need.

use crate::meta::{Malformed, Protocol};
use crate::wire::{Ports, icmp, sctp, tcp};
use zerocopy::FromBytes;

/// What a transport header says; zeros for a protocol without ports.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Transport {
    pub src: u16,
    pub dst: u16,
    pub signal: u8,
}

/// Reads the transport header that `bytes` begin with.
#[inline(always)]
pub(super) fn transport<const QUOTED: bool>(
    protocol: Protocol,
    bytes: &[u8],
) -> Result<Transport, Malformed> {
    match protocol {
        Protocol::TCP if !QUOTED => {
            let (header, _) = tcp::Header::ref_from_prefix(bytes).map_err(cut)?;
            Ok(Transport {
                src: header.src.get(),
                dst: header.dst.get(),
                signal: header.flags,
            })
        }
        Protocol::SCTP if !QUOTED => {
            let (header, chunks) = sctp::Header::ref_from_prefix(bytes).map_err(cut)?;
            Ok(Transport {
                src: header.src.get(),
                dst: header.dst.get(),
                signal: sctp_signal(chunks),
            })
        }
        Protocol::TCP | Protocol::UDP | Protocol::SCTP => {
            let (ports, _) = Ports::ref_from_prefix(bytes).map_err(cut)?;
            Ok(Transport {
                src: ports.src.get(),
                dst: ports.dst.get(),
                signal: 0,
            })
        }
        Protocol::ICMP | Protocol::ICMPV6 => {
            let needed = if QUOTED { 1 } else { icmp::Header::LEN };
            let message = bytes.get(..needed).and_then(|b| b.first());
            let signal = *message.ok_or(Malformed::TransportTruncated)?;
            Ok(Transport {
                src: 0,
                dst: 0,
                signal,
            })
        }
        _ => Ok(Transport::default()),
    }
}

/// What the first piece of a datagram says: its ports. The rest of its transport
/// header may be in the next one.
#[cold]
#[inline(never)]
pub(super) fn first_piece(protocol: Protocol, bytes: &[u8]) -> Result<Transport, Malformed> {
    transport::<false>(protocol, bytes).or_else(|_| transport::<true>(protocol, bytes))
}

/// [`Meta::signal`](crate::Meta::signal) of a transport segment, whose beginning this is.
///
/// # Errors
/// The segment ends inside its header.
pub fn signal(protocol: Protocol, segment: &[u8]) -> Result<u8, Malformed> {
    transport::<false>(protocol, segment).map(|transport| transport.signal)
}

/// The type of the first chunk. An ABORT may be bundled behind COOKIE ECHO or COOKIE ACK (RFC 9260
/// section 3.3.7), and IPVS then goes by the ABORT.
#[inline(never)]
fn sctp_signal(chunks: &[u8]) -> u8 {
    let Ok((first, _)) = sctp::Chunk::ref_from_prefix(chunks) else {
        return 0;
    };
    if matches!(
        first.kind,
        sctp::chunk::COOKIE_ECHO | sctp::chunk::COOKIE_ACK
    ) && usize::from(first.length.get()) >= size_of::<sctp::Chunk>()
    {
        let next = usize::from(first.length.get()).next_multiple_of(4);
        let behind = chunks.get(next..).unwrap_or_default();
        if let Ok((second, _)) = sctp::Chunk::ref_from_prefix(behind) {
            if second.kind == sctp::chunk::ABORT {
                return second.kind;
            }
        }
    }
    first.kind
}

fn cut<E>(_: E) -> Malformed {
    Malformed::TransportTruncated
}
