//! Linux beside the director, as the recordings had it: a stack without sockets, and a router.
//!
//! It answers what the engine gave to it, and its answers go back through the engine, as from a
//! tap. It is written from the RFCs and from what the recordings show, and shares no code with what
//! makes the director's own errors.

use crate::frames::{self, set};
use pvs_dataplane::fib::{Fib, FibFamily, Route};
use pvs_proto::checksum::{Sum, is_right};
use pvs_proto::wire::{icmp, icmpv6, tcp};
use pvs_proto::{Checks, Family, Fragment, Meta, Packet, Protocol, V4, V6, parse};
use std::net::IpAddr;
use zerocopy::FromBytes;

/// Bytes of an ICMP error at most (RFC 1812 section 4.3.2.3).
const ERROR_MAX: usize = 576;
/// Bytes of an ICMPv6 error at most (RFC 4443 section 2.4).
const ERROR6_MAX: usize = 1280;
const TIMESTAMP: u8 = 13;
const PROTOCOL_UNREACHABLE: u8 = 2;
/// Type of service of an ICMP error; of the packet that it is about come these bits.
const ERROR_TOS: u8 = 0xc0;
const ERROR_TOS_KEPT: u8 = 0x1e;

/// What Linux does with a frame.
#[derive(Debug)]
pub(super) struct Done {
    /// The packet was for itself.
    pub(super) is_local: bool,
    /// What it sends: the port, and the frame.
    pub(super) sends: Option<(u16, Vec<u8>)>,
}

/// What Linux does with a frame that is not IP, or is not understood: nothing that leaves.
const NOTHING: Done = Done {
    is_local: true,
    sends: None,
};

/// What Linux does with a frame.
pub(super) fn take(fib: &Fib, frame: &[u8]) -> Done {
    match parse(frame, Checks { ip_good: false }) {
        Ok((_, Packet::V4(meta))) => packet::<V4>(fib, frame, &meta),
        Ok((_, Packet::V6(meta))) => packet::<V6>(fib, frame, &meta),
        _ => NOTHING,
    }
}

fn packet<F: FibFamily>(fib: &Fib, frame: &[u8], meta: &Meta<F>) -> Done {
    let begin = usize::from(meta.l3);
    let Some(packet) = frame.get(begin..begin + meta.ip_len as usize) else {
        return NOTHING;
    };
    let segment = packet.get(usize::from(meta.l4) - begin..).unwrap_or(&[]);
    let is_local = fib.is_local::<F>(meta.dst.addr);
    let answer = match is_local {
        true => stack(packet, segment, meta),
        false if meta.ttl > 1 => {
            let sends = send::<F>(fib, meta.dst.addr, hopped::<F>(packet));
            return Done { is_local, sends };
        }
        // No error is answered by another one.
        false if is_error(meta) => None,
        false => fib.source::<F>(meta.src.addr).map(|own| {
            let (v4, v6) = ((icmp::TIME_EXCEEDED, 0), (icmpv6::TIME_EXCEEDED, 0));
            error(own.into(), packet, meta, v4, v6)
        }),
    };
    let sends = answer.and_then(|answer| send::<F>(fib, meta.src.addr, answer));
    Done { is_local, sends }
}

fn is_error<F: FibFamily>(meta: &Meta<F>) -> bool {
    match meta.protocol {
        Protocol::ICMP => icmp::is_error(meta.signal),
        Protocol::ICMPV6 => icmpv6::is_error(meta.signal),
        _ => false,
    }
}

/// A packet in a frame to its next hop.
fn send<F: FibFamily>(fib: &Fib, dst: F::Addr, packet: Vec<u8>) -> Option<(u16, Vec<u8>)> {
    let Route::Hop(index) = fib.route::<F>(dst) else {
        return None;
    };
    let hop = fib.hop(index)?;
    let frame = frames::ethernet(hop.mac, hop.source, F::ETHERTYPE, &packet);
    Some((hop.port.0, frame))
}

/// A forwarded packet, one hop older.
fn hopped<F: Family>(packet: &[u8]) -> Vec<u8> {
    let mut packet = packet.to_vec();
    if let Some(left) = packet.get_mut(if F::IS_V4 { 8 } else { 7 }) {
        *left -= 1;
    }
    if F::IS_V4 {
        fill_checksum(&mut packet);
    }
    packet
}

/// Computes the checksum of an IPv4 header anew.
fn fill_checksum(packet: &mut [u8]) {
    let len = packet.first().map_or(0, |b| usize::from(b & 15) * 4);
    if let Some(header) = packet.get_mut(..len) {
        set(header, 10, [0, 0]);
        let sum = Sum::of(header).finish();
        set(header, 10, sum.to_be_bytes());
    }
}

/// The answer of a stack without sockets.
fn stack<F: Family>(packet: &[u8], segment: &[u8], meta: &Meta<F>) -> Option<Vec<u8>> {
    let (src, dst) = (meta.src.addr, meta.dst.addr);
    let good = is_right(src, dst, meta.protocol, segment).unwrap_or(false);
    let (own, client): (IpAddr, IpAddr) = (dst.into(), src.into());
    match meta.protocol {
        _ if meta.fragment != Fragment::None => None,
        Protocol::TCP if good => reset(own, client, segment),
        Protocol::UDP if good => {
            let v4 = (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE);
            let v6 = (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE);
            Some(error(own, packet, meta, v4, v6))
        }
        Protocol::TCP | Protocol::UDP => None,
        Protocol::ICMP if good => reply(own, client, packet, segment),
        Protocol::ICMPV6 if good && meta.signal == icmpv6::ECHO => {
            let mut message = segment.to_vec();
            set(&mut message, 0, [icmpv6::ECHO_REPLY]);
            Some(frames::ip(own, client, Protocol::ICMPV6, message))
        }
        Protocol::ICMP | Protocol::ICMPV6 => None,
        _ if F::IS_V4 => {
            let code = (icmp::UNREACHABLE, PROTOCOL_UNREACHABLE);
            Some(error(own, packet, meta, code, code))
        }
        _ => None,
    }
}

/// A reset (RFC 9293 section 3.5.2); none for a reset.
fn reset(own: IpAddr, client: IpAddr, segment: &[u8]) -> Option<Vec<u8>> {
    let (header, _) = tcp::Header::ref_from_prefix(segment).ok()?;
    let flags = header.flags;
    if flags & tcp::RST != 0 {
        return None;
    }
    let payload = segment
        .len()
        .saturating_sub(usize::from(header.offset >> 4) * 4) as u32;
    let counted = u32::from(flags & tcp::SYN != 0) + u32::from(flags & tcp::FIN != 0);
    let end = header.seq.get().wrapping_add(payload + counted);
    let (seq, ack, flags) = match flags & tcp::ACK {
        0 => (0, end, tcp::RST | tcp::ACK),
        _ => (header.ack.get(), 0, tcp::RST),
    };
    let (src, dst) = (header.dst.get(), header.src.get());
    let mut segment = frames::tcp_segment(src, dst, seq, ack, flags, b"");
    const WINDOW: usize = 14;
    set(&mut segment, WINDOW, [0, 0]);
    Some(frames::ip(own, client, Protocol::TCP, segment))
}

/// The reply to an echo or timestamp request; the time of a timestamp is no time here.
fn reply(own: IpAddr, client: IpAddr, packet: &[u8], segment: &[u8]) -> Option<Vec<u8>> {
    let mut message = segment.to_vec();
    match message.first().copied()? {
        icmp::ECHO => set(&mut message, 0, [icmp::ECHO_REPLY]),
        TIMESTAMP => set(&mut message, 0, [TIMESTAMP + 1]),
        _ => return None,
    }
    Some(icmp_packet(own, client, *packet.get(1)?, message))
}

/// An ICMP error about a packet; type and code are those of IPv4 or IPv6.
fn error<F: Family>(
    own: IpAddr,
    packet: &[u8],
    meta: &Meta<F>,
    v4: (u8, u8),
    v6: (u8, u8),
) -> Vec<u8> {
    let (most, (kind, code)) = match F::IS_V4 {
        true => (ERROR_MAX - 20 - icmp::Header::LEN, v4),
        false => (ERROR6_MAX - 40 - icmp::Header::LEN, v6),
    };
    let quoted = packet.get(..packet.len().min(most)).unwrap_or(packet);
    let message = [&[kind, code, 0, 0, 0, 0, 0, 0], quoted].concat();
    let client = meta.src.addr.into();
    if !F::IS_V4 {
        return frames::ip(own, client, Protocol::ICMPV6, message);
    }
    let tos = packet.get(1).copied().unwrap_or_default();
    icmp_packet(own, client, ERROR_TOS | (tos & ERROR_TOS_KEPT), message)
}

/// An ICMP message whose checksum is filled in, in a packet without DF.
fn icmp_packet(own: IpAddr, client: IpAddr, tos: u8, mut message: Vec<u8>) -> Vec<u8> {
    set(&mut message, 2, [0, 0]);
    let sum = Sum::of(&message).finish();
    set(&mut message, 2, sum.to_be_bytes());
    let mut packet = frames::ip(own, client, Protocol::ICMP, message);
    set(&mut packet, 1, [tos]);
    set(&mut packet, 6, [0, 0]);
    fill_checksum(&mut packet);
    packet
}
