//! ICMP errors about connections: what routers and servers say of packets to servers, and
//! clients of packets to them.
//!
//! An error belongs to the connection of the packet that it quotes (`ip_vs_in_icmp`,
//! `ip_vs_out_icmp` and their IPv6 twins). One about a packet from the virtual address goes to the
//! server, like a request; one about a packet to the server is a reply. Under masquerading both are
//! translated, without and within; under direct routing and tunnelling an error about a client's
//! packet is Linux's to route, and only counted here. Errors move no timer and no state. Everything
//! else without ports is Linux's: echo, redirects, what quotes no connection.
//!
//! What an error quotes is a stranger's word: each length is checked, and so is the checksum
//! before anything is translated.

use super::connect::{self, Failed};
use super::decide::ended;
use super::forward::{self, judge, pass, path_mtu};
use super::hops::{HopFamily, ServerHops, Way, route};
use super::lane::{Item, Verdict};
use super::quote::{Related, message, other_owner, quote};
use super::tunnel::Entrance;
use super::{Arrived, View, options, quoted, schedule, tunnel_errors};
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::steering::Mode;
use crate::table::{Direction, Entry, EntryIndex, Table, Tuple};
use pvs_proto::wire::IpHeader;
use pvs_proto::{Address, Checks, Endpoint, Fragment, Meta, Parse, Protocol};
use pvs_sched::snapshot::FTP_DATA;
use pvs_sched::{Method, ServiceFlags};

/// What becomes of a packet without ports.
#[cold]
#[inline(never)]
pub(super) fn decide<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
) -> Verdict {
    let meta = &item.meta;
    let linux = Verdict::Punt(schedule::class(view, meta));
    if meta.protocol != F::PROTOCOL || !F::is_followed(meta.signal) {
        return linux;
    }
    let Some(quote) = quote::<F>(buf.bytes(), meta, message(meta)) else {
        return linux;
    };
    if meta.src.addr.is_martian_source() || view.fib.is_local::<F>(meta.src.addr) {
        return Verdict::drop(DropReason::MartianSource);
    }
    let here = view.fib.is_local::<F>(meta.dst.addr);
    let error = Related { meta, quote, here };
    // An error about a packet in a tunnel comes to whoever sent that.
    let tunnelled = here.then(|| error.within(view, buf.bytes())).flatten();
    if let Some(inner) = tunnelled {
        let decided = tunnel_errors::decide(view, table, hops, &error, &inner, buf);
        return decided.unwrap_or(if is_sought(view) {
            Verdict::Seek
        } else {
            linux
        });
    }
    if let Some(owner) = other_owner(view, &quote) {
        return Verdict::HandOver(owner);
    }
    let found = error.find(table);
    if found.is_none() && is_sought(view) {
        return Verdict::Seek;
    }
    match found {
        Some((at, Direction::Request)) => error.request(view, table, hops, at, buf),
        Some((at, Direction::Reply)) => error.reply(view, table, at, buf).unwrap_or(linux),
        None if view.config.tunables.schedule_icmp != 0 => {
            error.begin(view, table, hops, item, buf).unwrap_or(linux)
        }
        None => linux,
    }
}

/// Another worker may have the connection, and no hash tells which.
fn is_sought(view: &View<'_>) -> bool {
    view.steering.mode() == Mode::Rxq
        && view.steering.workers() > 1
        && view.arrived == Arrived::FromPort
        && view.gathered.largest == 0
}

/// Whether a frame whose network header begins at `l3` is an ICMP error about a connection of this
/// table.
pub(super) fn is_known<F: HopFamily + Parse>(
    view: &View<'_>,
    table: &Table<F>,
    frame: &[u8],
    l3: u16,
) -> bool {
    // It was parsed before, by whoever received it.
    let Ok(meta) = F::parse_at(frame, l3, Checks { ip_good: true }) else {
        return false;
    };
    let Some(quote) = quote::<F>(frame, &meta, message(&meta)) else {
        return false;
    };
    let (meta, here) = (&meta, view.fib.is_local::<F>(meta.dst.addr));
    let error = Related { meta, quote, here };
    match here.then(|| error.within(view, frame)).flatten() {
        Some(inner) => table.lookup(&Tuple::of(&inner)).is_some(),
        None => error.find(table).is_some(),
    }
}

/// An ICMP error of Linux's own about a connection whose server is the director: counted, and
/// translated under masquerading.
pub(super) fn from_linux<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &Table<F>,
    meta: &Meta<F>,
    buf: &mut B,
) {
    let here = false;
    let found = quote::<F>(buf.bytes(), meta, message(meta)).and_then(|quote| {
        let error = Related { meta, quote, here };
        match error.find(table)? {
            (at, Direction::Reply) => Some((error, table.get(at)?)),
            _ => None,
        }
    });
    let Some((error, entry)) = found else { return };
    count(view, entry, Direction::Reply, meta.ip_len);
    if entry.has_reply() {
        // It fails on a cut packet only, and Linux sends none.
        let _ = error.to_client(entry, buf);
    }
}

impl<F: HopFamily> Related<'_, F> {
    /// A client, or a router on the way to it, about what it was sent: to the server.
    fn request<B: Buf>(
        &self,
        view: &View<'_>,
        table: &mut Table<F>,
        hops: &mut ServerHops,
        at: EntryIndex,
        buf: &mut B,
    ) -> Verdict {
        let Some(entry) = table.get_mut(at) else {
            return Verdict::drop(DropReason::ServerRemoved);
        };
        if entry.has_reply() && !self.is_right(view, buf.bytes()) {
            return Verdict::drop(DropReason::IcmpChecksum);
        }
        // What is not for the director has passed a hop before the hook sees it.
        let mut meta = *self.meta;
        if !self.here {
            if meta.ttl <= 1 {
                return Verdict::drop(DropReason::TtlExceeded);
            }
            meta.ttl -= 1;
        }
        count(view, entry, Direction::Request, meta.ip_len);
        if options::has_any(&meta) && self.here && !view.fib.is_local::<F>(entry.server) {
            if let Err(verdict) = options::record(view, &meta, entry.virtual_, buf) {
                return verdict;
            }
        }
        match entry.flags.method() {
            Method::Masquerade => self.to_server(view, hops, entry, &meta, buf),
            Method::Tunnel => {
                entry.packets = entry.packets.wrapping_add(1);
                let Entrance { tunnel, mtu, .. } = hops.tunnels.towards(view, entry.server_index());
                let room = tunnel.room(mtu).unwrap_or(0);
                meta.dont_fragment &= !is_free(view, room, &meta);
                forward::into_tunnel(view, hops, entry, &meta, buf)
            }
            Method::Route | Method::Local => {
                entry.packets = entry.packets.wrapping_add(1);
                let way = hops.towards::<F>(view, entry.server_index(), entry.server);
                go_on(view, entry, Direction::Request, way, &meta, buf, |_| Ok(()))
            }
        }
    }

    /// Translated: from the virtual address to the server's, which is the quoted
    /// packet's source as well.
    fn to_server<B: Buf>(
        &self,
        view: &View<'_>,
        hops: &mut ServerHops,
        entry: &Entry<F>,
        meta: &Meta<F>,
        buf: &mut B,
    ) -> Verdict {
        let server = Endpoint {
            addr: entry.server,
            port: entry.server_port,
        };
        let way = hops.towards::<F>(view, entry.server_index(), entry.server);
        let translate =
            |buf: &mut B| quoted::translate(buf, meta, &self.quote, Direction::Request, server);
        if way == Err(Verdict::Punt(PuntClass::Local)) {
            if !self.here || server.addr.is_martian_source() {
                return Verdict::drop(DropReason::LoopbackServer);
            }
            return match translate(buf) {
                Ok(()) => Verdict::Punt(PuntClass::Local),
                Err(verdict) => verdict,
            };
        }
        go_on(view, entry, Direction::Request, way, meta, buf, translate)
    }

    /// A server, or a router on the way to it, about what it was sent. `None` if
    /// it is Linux's to deliver.
    fn reply<B: Buf>(
        &self,
        view: &View<'_>,
        table: &Table<F>,
        at: EntryIndex,
        buf: &mut B,
    ) -> Option<Verdict> {
        let (meta, entry) = (self.meta, table.get(at)?);
        let is_translated = entry.has_reply();
        let way = match self.here {
            true => None,
            false => Some(route::<F>(view, meta.dst.addr).map(|(_, hop)| hop)),
        };
        // The kernel's router judges it before its hook does: one that can't go on counts for
        // nothing. One in pieces is judged piece by piece.
        if let Some(way) = &way {
            let len = match view.gathered.largest {
                0 => meta.ip_len,
                largest => largest,
            };
            let piece = Meta {
                ip_len: len,
                ..*meta
            };
            match judge(way, path_mtu(way), &piece) {
                Err(stop) if !stop.passes_in_pieces(view, entry, Direction::Reply, meta) => {
                    return is_translated.then(|| stop.verdict());
                }
                _ => {}
            }
        }
        if is_translated && !self.is_right(view, buf.bytes()) {
            return Some(Verdict::drop(DropReason::IcmpChecksum));
        }
        count(view, entry, Direction::Reply, meta.ip_len);
        let way = way.filter(|_| is_translated)?;
        if options::has_any(meta) {
            if let Err(verdict) = options::record(view, meta, entry.virtual_, buf) {
                return Some(verdict);
            }
        }
        let translate = |buf: &mut B| self.to_client(entry, buf);
        Some(go_on(
            view,
            entry,
            Direction::Reply,
            way,
            meta,
            buf,
            translate,
        ))
    }

    /// Translated: from the server's address to the virtual one, which is the quoted
    /// packet's destination as well.
    fn to_client<B: Buf>(&self, entry: &Entry<F>, buf: &mut B) -> Result<(), Verdict> {
        let source = Endpoint {
            addr: entry.virtual_,
            port: entry.virtual_port,
        };
        quoted::translate(buf, self.meta, &self.quote, Direction::Reply, source)
    }

    /// No connection is known: one begins, as if its client had sent a packet (`schedule_icmp`).
    /// `None` if it is Linux's.
    #[cold]
    #[inline(never)]
    fn begin<B: Buf>(
        &self,
        view: &View<'_>,
        table: &mut Table<F>,
        hops: &mut ServerHops,
        item: &Item<F>,
        buf: &mut B,
    ) -> Option<Verdict> {
        let (quote, nobody) = (&self.quote, Verdict::drop(DropReason::NoServer));
        if !quote.protocol.has_ports() || quote.fragment == Fragment::Later {
            return None;
        }
        let meta = Meta {
            src: quote.dst,
            dst: quote.src,
            ..*quote
        };
        let service = schedule::service(view, &meta, buf)?;
        if view.defence.drops_packet() {
            return Some(Verdict::drop(DropReason::Defence));
        }
        if meta.src.port == FTP_DATA {
            return None;
        }
        let config = &service.config;
        let is_others = ![0, meta.dst.port].contains(&config.key.port());
        if is_others && config.persistence.is_none() {
            return Some(nobody);
        }
        let one_packet =
            config.flags.has(ServiceFlags::ONE_PACKET) && meta.protocol == Protocol::UDP;
        let as_client = Item { meta, ..*item };
        let at = match connect::begin(view, table, &as_client, buf, service) {
            Ok(at) => at,
            Err(Failed::NoServer) => return Some(nobody),
            Err(Failed::Dropped(reason)) => return Some(Verdict::drop(reason)),
        };
        let verdict = self.request(view, table, hops, at, buf);
        if one_packet {
            if let Some(entry) = table.remove(at) {
                ended(view, &entry);
            }
        }
        Some(verdict)
    }
}

/// Lets an error go its way, in pieces if it is too long and may be cut. Nobody is told
/// of one that can't go on.
fn go_on<F: HopFamily, B: Buf>(
    view: &View<'_>,
    entry: &Entry<F>,
    direction: Direction,
    way: Way<'_>,
    meta: &Meta<F>,
    buf: &mut B,
    translate: impl FnOnce(&mut B) -> Result<(), Verdict>,
) -> Verdict {
    let mtu = path_mtu(&way);
    let Err(stop) = judge(&way, mtu, meta) else {
        return pass(way, meta, buf, translate);
    };
    let free = direction == Direction::Request && is_free(view, mtu, meta);
    let judged = Meta {
        dont_fragment: meta.dont_fragment && !free,
        ..*meta
    };
    if !stop.passes_in_pieces(view, entry, direction, &judged) {
        return stop.verdict();
    }
    if let Some(header) = F::header_mut(buf.bytes_mut(), meta.l3) {
        header.allow_fragments();
    }
    forward::cut(pass(way, meta, buf, translate), mtu)
}

/// On the way to a server DF keeps no error from being cut, but for pieces that do not fit
/// (`ip_vs_iph_icmp`, `ignore_df`).
fn is_free<F: HopFamily>(view: &View<'_>, mtu: u32, meta: &Meta<F>) -> bool {
    meta.ip_len > mtu && view.gathered.largest <= mtu
}

/// Counts an error of a connection; a server that is no longer listed counts nothing.
pub(super) fn count<F: HopFamily>(
    view: &View<'_>,
    entry: &Entry<F>,
    direction: Direction,
    bytes: u32,
) {
    let server = entry.server_index();
    let listed = view.config.is_available(server);
    match (view.cells.get(server).filter(|_| listed), direction) {
        (Some(cell), Direction::Request) => cell.count_in(bytes),
        (Some(cell), Direction::Reply) => cell.count_out(bytes),
        (None, _) => {}
    }
}
