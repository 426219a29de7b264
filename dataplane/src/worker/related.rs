//! ICMP errors about connections: what routers and servers say of packets to servers, and clients of packets to them.
//!
//! An error belongs to the connection of the packet that it quotes (`ip_vs_in_icmp`, `ip_vs_out_icmp` and their IPv6
//! twins). One about a packet from the virtual address goes to the server, like a request; one about a packet to the
//! server is a reply. Under masquerading both are translated, without and within; under direct routing and
//! tunnelling an error about a client's packet is Linux's to route, and only counted here. Errors move no timer and no
//! state. Everything else without ports is Linux's: echo, redirects, what quotes no connection.
//!
//! What an error quotes is a stranger's word: each length is checked, and so is the checksum before anything is translated.

use super::connect::{self, Failed};
use super::decide::ended;
use super::forward::{self, judge, pass, path_mtu};
use super::hops::{HopFamily, ServerHops, route};
use super::lane::{Item, Verdict};
use super::{Arrived, View, options, quoted, schedule, tunnel_errors};
use crate::port::Buf;
use crate::punt::PuntClass;
use crate::reason::DropReason;
use crate::steering::WorkerIndex;
use crate::table::{Direction, Entry, EntryIndex, Table, Tuple};
use pvs_proto::checksum;
use pvs_proto::parse::Quote;
use pvs_proto::wire::{gre, gue, icmp};
use pvs_proto::{Address, Endpoint, Fragment, Meta, Protocol};
use pvs_sched::snapshot::FTP_DATA;
use pvs_sched::{Method, Real, ServiceFlags, TunnelKind};

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
        return tunnel_errors::decide(view, table, hops, &error, &inner, buf).unwrap_or(linux);
    }
    if let Some(owner) = other_owner(view, &quote) {
        return Verdict::HandOver(owner);
    }
    match error.find(table) {
        Some((at, Direction::Request)) => error.request(view, table, hops, at, buf),
        Some((at, Direction::Reply)) => error.reply(view, table, at, buf).unwrap_or(linux),
        None if view.config.tunables.schedule_icmp != 0 => {
            error.begin(view, table, hops, item, buf).unwrap_or(linux)
        }
        None => linux,
    }
}

/// An ICMP error of Linux's own about a connection whose server is the director: counted, and translated under
/// masquerading.
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

/// Where the quote of an ICMP error begins.
fn message<F: HopFamily>(meta: &Meta<F>) -> u16 {
    meta.l4.saturating_add(icmp::Header::LEN as u16)
}

/// The packet that is quoted at `l3` of an error, as far as it is there and has any sense.
fn quote<F: HopFamily>(frame: &[u8], meta: &Meta<F>, l3: u16) -> Option<Meta<F>> {
    let end = usize::from(meta.l3).checked_add(meta.ip_len as usize)?;
    let Quote(quote) = F::quote_at(frame.get(..end)?, l3).ok()?;
    Some(quote)
}

/// The worker that the quoted packet's connection belongs to, if it is another one than this. A packet from a
/// local address, which a virtual one is, went to its client.
pub(super) fn other_owner<F: HopFamily>(view: &View<'_>, quote: &Meta<F>) -> Option<WorkerIndex> {
    if view.arrived == Arrived::FromWorker || !quote.protocol.has_ports() {
        return None;
    }
    let client = match view.fib.is_local::<F>(quote.src.addr) {
        true => quote.dst,
        false => quote.src,
    };
    let owner = view.steering.owner(client);
    owner.filter(|owner| *owner != view.index)
}

/// An error with what it quotes.
pub(super) struct Related<'a, F: HopFamily> {
    pub meta: &'a Meta<F>,
    pub quote: Meta<F>,
    /// It is addressed to the director.
    here: bool,
}

impl<F: HopFamily> Related<'_, F> {
    /// The packet within the quoted one, if that is one of a tunnel that there is. The kernel knows IPv4 in IPv4 alone.
    fn within(&self, view: &View<'_>, frame: &[u8]) -> Option<Meta<F>> {
        let outer = &self.quote;
        if !F::IS_V4 || outer.fragment == Fragment::Later {
            return None;
        }
        let behind = frame.get(usize::from(outer.l4)..)?;
        let (kind, port, (protocol, len)) = match outer.protocol {
            Protocol::IPIP => (TunnelKind::Ipip, 0, (Protocol::IPIP, 0)),
            Protocol::UDP => (TunnelKind::Gue, outer.dst.port, gue::within(behind)?),
            Protocol::GRE => (TunnelKind::Gre, 0, gre::within(behind)?),
            _ => return None,
        };
        let far = Real::Tunnel(kind, outer.dst.addr.into(), port);
        if protocol != Protocol::IPIP || !view.config.has_real(far) {
            return None;
        }
        quote(frame, self.meta, outer.l4.checked_add(len as u16)?)
    }

    /// The connection that it is about, and which way it goes. The kernel asks in the order of its hooks: for replies
    /// first where the error is addressed to the director, for requests first where it is not.
    fn find(&self, table: &Table<F>) -> Option<(EntryIndex, Direction)> {
        let forth = Tuple::of(&self.quote);
        let back = Tuple {
            src: forth.dst,
            dst: forth.src,
            ..forth
        };
        let translated = table.lookup(&back);
        let untouched = || {
            let (at, direction) = table.lookup(&forth)?;
            let is_request = direction == Direction::Request;
            let passes_by = table.get(at).is_some_and(|entry| !entry.has_reply());
            (is_request && passes_by).then_some((at, Direction::Reply))
        };
        match self.here {
            true => untouched().or(translated),
            false => translated.or_else(untouched),
        }
    }

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
        if entry.has_reply() && !self.is_right(buf.bytes()) {
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
                forward::into_tunnel(view, hops, entry, &meta, buf)
            }
            Method::Route | Method::Local => {
                entry.packets = entry.packets.wrapping_add(1);
                let way = hops.towards::<F>(view, entry.server_index(), entry.server);
                match judge(&way, path_mtu(&way), &meta) {
                    Ok(()) => pass(way, &meta, buf, |_| Ok(())),
                    Err(stop) => stop.verdict(),
                }
            }
        }
    }

    /// Translated: from the virtual address to the server's, which is the quoted packet's source as well.
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
        match judge(&way, path_mtu(&way), meta) {
            Ok(()) => pass(way, meta, buf, translate),
            Err(stop) => stop.verdict(),
        }
    }

    /// A server, or a router on the way to it, about what it was sent. `None` if it is Linux's to deliver.
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
        // The kernel's router judges it before its hook does: one that can't go on counts for nothing.
        if let Some(way) = &way {
            if let Err(stop) = judge(way, path_mtu(way), meta) {
                return is_translated.then(|| stop.verdict());
            }
        }
        if is_translated && !self.is_right(buf.bytes()) {
            return Some(Verdict::drop(DropReason::IcmpChecksum));
        }
        count(view, entry, Direction::Reply, meta.ip_len);
        let way = way.filter(|_| is_translated)?;
        if options::has_any(meta) {
            if let Err(verdict) = options::record(view, meta, entry.virtual_, buf) {
                return Some(verdict);
            }
        }
        Some(pass(way, meta, buf, |buf| self.to_client(entry, buf)))
    }

    /// Translated: from the server's address to the virtual one, which is the quoted packet's destination as well.
    fn to_client<B: Buf>(&self, entry: &Entry<F>, buf: &mut B) -> Result<(), Verdict> {
        let source = Endpoint {
            addr: entry.virtual_,
            port: entry.virtual_port,
        };
        quoted::translate(buf, self.meta, &self.quote, Direction::Reply, source)
    }

    /// No connection is known: one begins, as if its client had sent a packet (`schedule_icmp`). `None` if it is Linux's.
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

    /// Its checksum is right: a translation would make any other one right too.
    pub(super) fn is_right(&self, frame: &[u8]) -> bool {
        let meta = self.meta;
        let end = usize::from(meta.l3).saturating_add(meta.ip_len as usize);
        frame.get(meta.l4.into()..end).is_some_and(|message| {
            checksum::is_right(meta.src.addr, meta.dst.addr, F::PROTOCOL, message) == Ok(true)
        })
    }
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
