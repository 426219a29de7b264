//! The tunnel method: a packet goes to its server within a packet of the director's own.
//!
//! IPv4 or IPv6 in either (RFC 2003, RFC 2473, RFC 4213), or with GUE or GRE between them, as
//! `ip_vs_tunnel_xmit` writes it: the outer header takes the hop limit that is left and the type of
//! service, "congestion experienced" turned into "capable of it" (RFC 6040); DF only from IPv4
//! within IPv4; no flow label and no options. Both ends are found once for each version of routes
//! and configuration. A packet that may not be refused and is too long with its outer header is cut
//! after it was put in: the outer packet is fragmented.

use super::View;
use super::encapsulation::Encapsulation;
use super::forward::path_mtu;
use super::hops::{HopFamily, ServerHops, Way, route};
use super::lane::Verdict;
use super::learned::Learned;
use super::rewrite;
use crate::apart::Apart;
use crate::fib::HopIndex;
use crate::port::Buf;
use crate::reason::DropReason;
use pvs_proto::wire::{IpHeader, Network, Plain, ethernet, ipv4, ipv6};
use pvs_proto::{Addr4, Addr6, Family, Meta, Protocol, V4, V6};
use pvs_sched::ServerIndex;
use std::net::IpAddr;

/// Largest packet that an outer header can tell the length of.
const OUTER_MAX: u32 = u16::MAX as u32;

/// The ends of a tunnel: the director's address towards the server, and the server's.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Ends {
    /// There is no way to the server.
    #[default]
    None,
    /// An IPv4 tunnel.
    V4(Addr4, Addr4),
    /// An IPv6 tunnel.
    V6(Addr6, Addr6),
}

/// A tunnel: where it leads, and what packets get besides an outer header.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tunnel {
    ends: Ends,
    encapsulation: Encapsulation,
}

impl Tunnel {
    /// Its other end.
    fn far(&self) -> Option<IpAddr> {
        match self.ends {
            Ends::None => None,
            Ends::V4(_, to) => Some(to.into()),
            Ends::V6(_, to) => Some(to.into()),
        }
    }

    /// Longest packet that fits into a tunnel over a path of this MTU. `None` where the kernel
    /// does not use the tunnel: what is left is less than any host must take (RFC 791, RFC 8200
    /// section 5).
    #[inline]
    pub(super) fn room(&self, mtu: u32) -> Option<u32> {
        let (header, least) = match self.ends {
            Ends::None | Ends::V4(..) => (ipv4::Header::LEN, 68),
            Ends::V6(..) => (ipv6::Header::LEN, 1280),
        };
        let header = header + self.encapsulation.len();
        let room = mtu.min(OUTER_MAX).saturating_sub(header as u32);
        (room >= least).then_some(room)
    }
}

/// The tunnels of all servers, and what routers told of the paths that they take.
pub(super) struct Tunnels {
    found: Apart<Cached>,
    learned: Learned,
}

/// The way into a tunnel.
pub(super) struct Entrance<'a> {
    /// What it makes of a packet.
    pub tunnel: Tunnel,
    /// Where the packet leaves.
    pub way: Way<'a>,
    /// Longest packet that the path to the other end takes, outer header included.
    pub mtu: u32,
}

impl Entrance<'_> {
    const fn closed(verdict: Verdict) -> Self {
        Self {
            tunnel: Tunnel {
                ends: Ends::None,
                encapsulation: Encapsulation::IpIp,
            },
            way: Err(verdict),
            mtu: u32::MAX,
        }
    }
}

/// A tunnel with the versions of forwarding information and configuration that it was found under.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Cached {
    fib: u32,
    config: u32,
    hop: HopIndex,
    /// What was known of path MTUs: [`Learned::news`].
    news: u16,
    /// A path MTU was told of, and may hold still.
    is_limited: bool,
    tunnel: Tunnel,
}

const _: () = assert!(size_of::<Cached>() == 64, "a tunnel is one cache line");

impl Tunnels {
    pub(super) fn new(servers: usize) -> Self {
        Self {
            found: Apart::new(Cached::default(), servers),
            learned: Learned::new(servers),
        }
    }

    /// Where in memory its arrays lie.
    #[cfg(test)]
    pub(super) fn places(&self) -> [core::ops::Range<usize>; 2] {
        let found = self.found.as_ptr_range();
        [found.start.addr()..found.end.addr(), self.learned.place()]
    }

    /// The tunnel to a server, and the way to its other end.
    #[inline]
    pub(super) fn towards<'a>(&mut self, view: &View<'a>, server: ServerIndex) -> Entrance<'a> {
        if let Some(cached) = self.found.get(server.0 as usize) {
            if cached.is_of(view, self.learned.news) {
                if let Some(hop) = view.fib.hop(cached.hop) {
                    let (tunnel, is_limited) = (cached.tunnel, cached.is_limited);
                    let mtu = match is_limited {
                        false => hop.mtu,
                        true => self.limited(view, server, &tunnel, hop.mtu),
                    };
                    let way = Ok(hop);
                    return Entrance { tunnel, way, mtu };
                }
            }
        }
        self.find(view, server)
    }

    /// The path MTU of a tunnel that has been told of one, which may be over.
    #[cold]
    fn limited(&mut self, view: &View<'_>, server: ServerIndex, tunnel: &Tunnel, mtu: u32) -> u32 {
        let told = tunnel.far().and_then(|to| self.learned.mtu(to, view.now));
        if told.is_none() {
            if let Some(cached) = self.found.get_mut(server.0 as usize) {
                cached.is_limited = false;
            }
        }
        told.map_or(mtu, |told| told.min(mtu))
    }

    /// A router told of the path to an address. Returns the path MTU that the tunnel to a server
    /// goes by at this moment, as `dst_mtu` of a cached route: one that was found before its
    /// address was first told of hears of it with the next packet.
    pub(super) fn tell<F: HopFamily>(
        &mut self,
        view: &View<'_>,
        server: ServerIndex,
        to: F::Addr,
        mtu: u32,
    ) -> u32 {
        let knows = self
            .found
            .get(server.0 as usize)
            .filter(|cached| cached.is_limited)
            .and_then(|cached| cached.tunnel.far());
        let route = view.fib.mtu::<F>(to).into();
        self.learned.tell(to.into(), mtu, route, view.now);
        let told = knows.and_then(|to| self.learned.mtu(to, view.now));
        told.map_or(route, |told| told.min(route))
    }

    #[cold]
    fn find<'a>(&mut self, view: &View<'a>, server: ServerIndex) -> Entrance<'a> {
        let configured = view.config.server(server);
        let (ends, way) = match configured.map(|config| config.key.address) {
            Some(IpAddr::V4(address)) => {
                let to = Addr4::from(address);
                let from = view.fib.source::<V4>(to);
                (from.map(|from| Ends::V4(from, to)), route::<V4>(view, to))
            }
            Some(IpAddr::V6(address)) => {
                let to = Addr6::from(address);
                let from = view.fib.source::<V6>(to);
                (from.map(|from| Ends::V6(from, to)), route::<V6>(view, to))
            }
            None => (None, Err(Verdict::drop(DropReason::HostUnreachable))),
        };
        let (hop, way, mtu) = match (ends, way) {
            // A route that is no way out says itself what becomes of the packet.
            (_, Err(verdict @ (Verdict::Lose(_) | Verdict::Punt(_)))) => {
                return Entrance::closed(verdict);
            }
            (None, _) => return Entrance::closed(Verdict::drop(DropReason::NoSource)),
            (Some(_), Err(waits)) => (HopIndex::NONE, Err(waits), path_mtu(&Err(waits))),
            (Some(_), Ok((index, hop))) => (index, Ok(hop), hop.mtu),
        };
        let tunnel = Tunnel {
            ends: ends.unwrap_or_default(),
            encapsulation: configured
                .map(|config| Encapsulation::of(&config.tunnel))
                .unwrap_or_default(),
        };
        let told = tunnel.far().and_then(|to| self.learned.mtu(to, view.now));
        if let Some(slot) = self.found.get_mut(server.0 as usize) {
            *slot = Cached {
                fib: view.fib.version,
                config: view.config.version as u32,
                hop,
                news: self.learned.news,
                is_limited: told.is_some(),
                tunnel,
            };
        }
        let mtu = told.map_or(mtu, |told| told.min(mtu));
        Entrance { tunnel, way, mtu }
    }
}

impl Cached {
    /// It was found under these versions.
    #[inline]
    fn is_of(&self, view: &View<'_>, news: u16) -> bool {
        let now = (view.fib.version, view.config.version as u32, news);
        (self.fib, self.config, self.news) == now
    }
}

/// Puts a packet, its hop limit already lowered, into the tunnel; the link layer is then without
/// addresses.
#[inline]
pub(super) fn wrap<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    tunnel: &Tunnel,
    meta: &Meta<F>,
    buf: &mut B,
) -> Result<(), Verdict> {
    let no_room = Verdict::drop(DropReason::NoHeadroom);
    let inner = F::header(buf.bytes(), meta.l3).ok_or(no_room)?;
    let (tos, ttl) = (outer_tos(inner.tos()), inner.ttl());
    let wrapped = match tunnel.ends {
        Ends::None => false,
        Ends::V4(src, dst) => {
            let dont_fragment =
                F::IS_V4 && meta.dont_fragment && view.config.tunables.pmtu_disc != 0;
            let id = match dont_fragment {
                true => 0,
                false => hops.identification(),
            };
            let plain = plain::<F, V4>((src, dst), meta, (tos, ttl));
            let plain = Plain {
                id,
                dont_fragment,
                ..plain
            };
            around::<F, V4, B>(view, buf, tunnel.encapsulation, meta, plain)
        }
        Ends::V6(src, dst) => {
            let plain = plain::<F, V6>((src, dst), meta, (tos, ttl));
            around::<F, V6, B>(view, buf, tunnel.encapsulation, meta, plain)
        }
    };
    if wrapped { Ok(()) } else { Err(no_room) }
}

/// Writes the outer header; false if there is no room.
#[inline]
fn around<F: Family, O: Network, B: Buf>(
    view: &View<'_>,
    buf: &mut B,
    encapsulation: Encapsulation,
    meta: &Meta<F>,
    plain: Plain<O::Addr>,
) -> bool {
    match encapsulation {
        Encapsulation::IpIp => rewrite::wrap::<O, B>(buf, meta.l3, 0, &plain),
        other => encapsulate::<F, O, B>(view, buf, other, meta, plain).is_some(),
    }
}

/// The same with GUE or GRE between outer header and packet.
#[inline(never)]
fn encapsulate<F: Family, O: Network, B: Buf>(
    view: &View<'_>,
    buf: &mut B,
    encapsulation: Encapsulation,
    meta: &Meta<F>,
    plain: Plain<O::Addr>,
) -> Option<()> {
    let (len, within) = (encapsulation.len(), plain.next);
    let outer = Plain {
        next: encapsulation.protocol(within),
        payload_len: plain.payload_len.checked_add(len as u16)?,
        ..plain
    };
    rewrite::wrap::<O, B>(buf, meta.l3, len, &outer).then_some(())?;
    let behind = buf
        .bytes_mut()
        .get_mut(ethernet::Header::LEN + O::HEADER_LEN..)?;
    let rest = view.gathered.rest;
    encapsulation.write(behind, (plain.src, plain.dst), within, meta, rest)
}

/// An outer header around a packet of this length.
#[inline]
fn plain<F: Family, O: Network>(
    (src, dst): (O::Addr, O::Addr),
    meta: &Meta<F>,
    (tos, ttl): (u8, u8),
) -> Plain<O::Addr> {
    Plain {
        src,
        dst,
        next: match F::IS_V4 {
            true => Protocol::IPIP,
            false => Protocol::IPV6,
        },
        tos,
        ttl,
        payload_len: meta.ip_len as u16,
        id: 0,
        dont_fragment: false,
    }
}

/// The type of service outside: "congestion experienced" is a matter of the packet within.
#[inline]
const fn outer_tos(inner: u8) -> u8 {
    const ECN: u8 = 0x03;
    const ECT_0: u8 = 0x02;
    match inner & ECN {
        ECN => (inner & !ECN) | ECT_0,
        _ => inner,
    }
}
