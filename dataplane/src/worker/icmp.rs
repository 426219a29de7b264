//! The ICMP and ICMPv6 errors that the director makes: whether, what, and to whom.
//!
//! As `icmp_send` and `icmp6_send` have it (RFC 1122 section 3.2.2, RFC 4443 section 2.4): from the
//! address that the packet was for if that is local, else from the one that Linux would send from;
//! at most 576 or 1280 bytes; never about an error, a later fragment, or a source that is none. An
//! error is made of the packet that it is about, in its own buffer. How many a worker sends is
//! limited; those that path MTU discovery lives on, which the kernel does not limit
//! (`icmpv4_mask_allow`, `icmp.ratemask`), have a limit of their own, above anything but a flood;
//! that of the others is a tunable.

use super::View;
use super::hops::{self, HopFamily, ServerHops};
use super::lane::Verdict;
use super::options;
use super::rewrite;
use crate::port::Buf;
use pvs_proto::checksum::{self, Offload};
use pvs_proto::wire::options::Echo;
use pvs_proto::wire::{IpHeader, Plain, ethernet, icmp, icmpv6};
use pvs_proto::{Address, Family, Fragment, Meta, Protocol, Ticks, V4, V6};
use zerocopy::FromBytes;

/// Messages "fragmentation needed" and "packet too big" that it makes in a
/// second, and at once, at most.
pub const ICMP_TOO_BIG_PER_SECOND: u32 = 10_000;
/// See [`ICMP_TOO_BIG_PER_SECOND`].
pub const ICMP_TOO_BIG_BURST: u32 = 1000;

/// Time to live of the director's own packets, as Linux's default.
const TTL: u8 = 64;

/// What keeps a packet from its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Error {
    /// A service without a server that may take the connection.
    NoServer,
    /// No way to the server or client.
    Unreachable,
    /// The time to live ran out.
    TimeExceeded,
    /// Pieces of the datagram did not come in time.
    ReassemblyTime,
    /// Longer than this, which is what fits.
    TooBig(u32),
    /// What a router on the way to a server told: type, code and the word behind the checksum.
    Told(u8, u8, u32),
}

/// The errors of a family.
pub(super) trait ErrorFamily: Family {
    /// What they are carried as.
    const PROTOCOL: Protocol;
    /// Longest error, its IP header included.
    const LEN_MAX: u32;
    /// Type, code and the word behind the checksum.
    fn words(error: Error) -> (u8, u8, u32);
    /// A message of this type must not be answered by an error.
    fn is_silent(kind: u8) -> bool;
    /// An error of this type is followed to the connection that it is about.
    fn is_followed(kind: u8) -> bool;
    /// The type of service of an error about a packet of this one.
    fn tos(offending: u8) -> u8;
}

impl ErrorFamily for V4 {
    const PROTOCOL: Protocol = Protocol::ICMP;
    const LEN_MAX: u32 = 576;
    fn words(error: Error) -> (u8, u8, u32) {
        match error {
            Error::NoServer => (icmp::UNREACHABLE, icmp::PORT_UNREACHABLE, 0),
            Error::Unreachable => (icmp::UNREACHABLE, icmp::HOST_UNREACHABLE, 0),
            Error::TimeExceeded => (icmp::TIME_EXCEEDED, 0, 0),
            Error::ReassemblyTime => (icmp::TIME_EXCEEDED, icmp::REASSEMBLY_TIME, 0),
            Error::TooBig(mtu) => (icmp::UNREACHABLE, icmp::FRAGMENTATION_NEEDED, mtu),
            Error::Told(kind, code, rest) => (kind, code, rest),
        }
    }
    fn is_silent(kind: u8) -> bool {
        /// Types beyond this are unknown to Linux (NR_ICMP_TYPES).
        const KNOWN_MAX: u8 = 18;
        icmp::is_error(kind) || kind > KNOWN_MAX
    }
    fn is_followed(kind: u8) -> bool {
        matches!(
            kind,
            icmp::UNREACHABLE | icmp::SOURCE_QUENCH | icmp::TIME_EXCEEDED
        )
    }
    fn tos(offending: u8) -> u8 {
        /// Precedence "internetwork control" (RFC 1812 section 4.3.2.5), beside the four bits that
        /// RFC 1349 calls the type of service.
        const CONTROL: u8 = 0xc0;
        const TOS_MASK: u8 = 0x1e;
        CONTROL | (offending & TOS_MASK)
    }
}

impl ErrorFamily for V6 {
    const PROTOCOL: Protocol = Protocol::ICMPV6;
    const LEN_MAX: u32 = 1280;
    fn words(error: Error) -> (u8, u8, u32) {
        match error {
            Error::NoServer => (icmpv6::UNREACHABLE, icmpv6::PORT_UNREACHABLE, 0),
            Error::Unreachable => (icmpv6::UNREACHABLE, icmpv6::ADDRESS_UNREACHABLE, 0),
            Error::TimeExceeded => (icmpv6::TIME_EXCEEDED, 0, 0),
            Error::ReassemblyTime => (icmpv6::TIME_EXCEEDED, icmpv6::REASSEMBLY_TIME, 0),
            Error::TooBig(mtu) => (icmpv6::PACKET_TOO_BIG, 0, mtu),
            Error::Told(kind, code, rest) => (kind, code, rest),
        }
    }
    fn is_silent(kind: u8) -> bool {
        icmpv6::is_error(kind)
    }
    fn is_followed(kind: u8) -> bool {
        icmpv6::is_error(kind)
    }
    fn tos(_: u8) -> u8 {
        0
    }
}

/// How many errors may still be made.
#[derive(Debug)]
pub(super) struct Limits {
    too_big: Limit,
    others: Limit,
}

impl Limits {
    pub(super) const fn new() -> Self {
        Self {
            too_big: Limit::FULL,
            others: Limit::FULL,
        }
    }

    fn take(&mut self, error: Error, view: &View<'_>) -> bool {
        let tunables = &view.config.tunables;
        let natural = |n: i32| u32::try_from(n).unwrap_or(0);
        match error {
            Error::TooBig(_) => {
                self.too_big
                    .take(view.now, ICMP_TOO_BIG_PER_SECOND, ICMP_TOO_BIG_BURST)
            }
            _ => self.others.take(
                view.now,
                natural(tunables.icmp_msgs_per_sec),
                natural(tunables.icmp_msgs_burst),
            ),
        }
    }
}

/// A token bucket. A token is a second's worth of ticks, so that small rates have
/// their part of each tick.
#[derive(Debug)]
struct Limit {
    parts: u32,
    since: Ticks,
}

impl Limit {
    const FULL: Self = Self {
        parts: u32::MAX,
        since: Ticks(0),
    };

    fn take(&mut self, now: Ticks, per_second: u32, burst: u32) -> bool {
        let passed = now.left(self.since).0;
        self.since = now;
        let earned = passed.saturating_mul(per_second);
        let most = burst.saturating_mul(Ticks::PER_SECOND);
        let parts = self.parts.saturating_add(earned).min(most);
        let left = parts.checked_sub(Ticks::PER_SECOND);
        self.parts = left.unwrap_or(parts);
        left.is_some()
    }
}

/// Turns a packet, still as it came, into the error about it. Returns what becomes of the error,
/// and its IP length; `None` if there is none to be sent.
#[cold]
#[inline(never)]
pub(super) fn answer<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    meta: &Meta<F>,
    buf: &mut B,
    error: Error,
) -> Option<(Verdict, u32)> {
    if view.rehearse_failure || !may_be_answered(meta) {
        return None;
    }
    let to = meta.src.addr;
    let from = match view.fib.is_local::<F>(meta.dst.addr) {
        true => meta.dst.addr,
        false => view.fib.source::<F>(to)?,
    };
    let way = hops::route::<F>(view, to).map(|(_, hop)| hop);
    let hop = match way {
        Ok(hop) => hop,
        // None waits: what may come from anywhere must not take the places of connections. Linux is
        // asked, so that there is an answer to the next one.
        Err(Verdict::Wait(wants, _)) => {
            let _ = view.resolve.push(wants);
            return None;
        }
        Err(_) => return None,
    };
    let echo = options::echo(view, meta, from, buf.bytes_mut())?;
    let between = echo.as_bytes().len() + icmp::Header::LEN;
    let header = (F::HEADER_LEN + between) as u32;
    let len_max = F::LEN_MAX.min(hop.mtu);
    // Of a datagram in pieces only the first one is here.
    let here = buf.bytes().len().saturating_sub(meta.l3.into()) as u32;
    let quoted = len_max.checked_sub(header)?.min(meta.ip_len).min(here);
    if !hops.limits.take(error, view) {
        view.stats.count_icmp_limited();
        return None;
    }
    let plain = Plain {
        src: from,
        dst: to,
        next: F::PROTOCOL,
        tos: F::tos(F::header(buf.bytes(), meta.l3)?.tos()),
        ttl: TTL,
        payload_len: (between as u32 + quoted) as u16,
        id: hops.identification(),
        dont_fragment: false,
    };
    buf.truncate(usize::from(meta.l3) + quoted as usize);
    if !rewrite::wrap::<F, B>(buf, meta.l3, between, &plain) {
        return None;
    }
    say::<F>(buf.bytes_mut(), from, to, error, &echo)?;
    if !rewrite::link(buf, hop) {
        return None;
    }
    view.stats.count_icmp_sent();
    Some((Verdict::Answer(hop.port), header + quoted))
}

/// Writes the options, if there are any, and the message before its quote.
fn say<F: HopFamily>(
    frame: &mut [u8],
    from: F::Addr,
    to: F::Addr,
    error: Error,
    echo: &Echo,
) -> Option<()> {
    let echoed = echo.as_bytes();
    let start = ethernet::Header::LEN + F::HEADER_LEN;
    if !echoed.is_empty() {
        let end = start.checked_add(echoed.len())?;
        let place = frame.get_mut(start..end)?;
        place
            .iter_mut()
            .zip(echoed)
            .for_each(|(to, from)| *to = *from);
        F::lengthen(frame, ethernet::Header::LEN as u16, echoed.len())?;
    }
    let message = frame.get_mut(start + echoed.len()..)?;
    let (header, _) = icmp::Header::mut_from_prefix(message).ok()?;
    let (kind, code, rest) = F::words(error);
    header.kind = kind;
    header.code = code;
    header.rest.set(rest);
    checksum::fill(from, to, F::PROTOCOL, message, Offload::Software).ok()
}

/// Nobody is answered who did not ask, and no error by another one.
fn may_be_answered<F: ErrorFamily>(meta: &Meta<F>) -> bool {
    let silent = meta.protocol == F::PROTOCOL && F::is_silent(meta.signal);
    let strange = meta.src.addr.is_martian_source() || meta.dst.addr.is_multicast();
    meta.fragment != Fragment::Later && !silent && !strange
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_as_many_as_time_allows() {
        let mut limit = Limit::FULL;
        let mut taken = |at: Ticks| (0..200).filter(|_| limit.take(at, 1000, 50)).count();
        let start = Ticks(u32::MAX - 1);
        assert_eq!(taken(start), 50);
        assert_eq!(taken(start), 0);
        assert_eq!(taken(start.after(Ticks(1))), 4);
        assert_eq!(
            taken(start.after(Ticks(6))),
            20,
            "past the wrap of the clock"
        );
        assert_eq!(taken(start.after(Ticks::from_secs(60))), 50);
        let begin = start.after(Ticks::from_secs(100));
        let second: usize = (0..250).map(|n| taken(begin.after(Ticks(n)))).sum();
        assert_eq!(second, 50 + 249 * 4);
    }

    #[test]
    fn a_rate_below_that_of_the_ticks_is_kept_and_none_is_none() {
        let mut limit = Limit::FULL;
        let mut taken = |at: u32, rate| (0..9).filter(|_| limit.take(Ticks(at), rate, 2)).count();
        assert_eq!(taken(0, 10), 2);
        let second: usize = (1..=250).map(|at| taken(at, 10)).sum();
        assert_eq!(second, 10);
        let second: usize = (251..=500).map(|at| taken(at, 0)).sum();
        assert_eq!(second, 0);
    }
}
