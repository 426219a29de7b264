//! A connection begins: a server is picked, or a template names it, and an entry is made.
//!
//! As `ip_vs_schedule` and `ip_vs_sched_persist`. A packet of one-packet scheduling gets an entry
//! too, which lives as long as the packet is in hand and is in no table.

use super::View;
use super::decide::{advance, began, ended, established};
use super::forward::to_server;
use super::hops::{HopFamily, ServerHops};
use super::lane::{Item, Verdict};
use crate::port::Buf;
use crate::reason::DropReason;
use crate::table::{Direction, Entry, EntryIndex, Flags, Refused, Table, Tuple};
use pvs_proto::state::Timeouts;
use pvs_proto::wire::udp;
use pvs_proto::{Endpoint, Meta, Protocol, Ticks, sip};
use pvs_sched::config::Persistence;
use pvs_sched::persistence::{TemplateKey, takes_one_port};
use pvs_sched::templates::{EngineData, TemplateRef};
use pvs_sched::{
    AsWorker, Flow, Loads, Method, ServerConfig, ServerIndex, Service, ServiceFlags, ServiceKey,
};

/// Servers that are tried in turn when a reply tuple is taken, at most.
const COLLISION_TRIES: usize = 8;

/// The server that a new connection gets.
#[derive(Clone, Copy)]
struct Chosen<'a> {
    index: ServerIndex,
    config: &'a ServerConfig,
    port: u16,
    template: TemplateRef,
}

/// Why there is no connection.
pub(super) enum Failed {
    /// No server takes it.
    NoServer,
    /// It is dropped.
    Dropped(DropReason),
}

impl From<Refused> for Failed {
    fn from(refused: Refused) -> Self {
        Self::Dropped(match refused {
            Refused::Full => DropReason::TableFull,
            Refused::BucketFull => DropReason::BucketFull,
            Refused::Collision => DropReason::ReplyCollision,
        })
    }
}

/// Begins a connection and forwards its first packet.
pub(super) fn connect<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    hops: &mut ServerHops,
    item: &Item<F>,
    buf: &mut B,
    service: &Service,
) -> Result<Verdict, Failed> {
    let meta = &item.meta;
    let chosen = choose(view, service, meta, buf)?;
    let one_packet = service.config.flags.has(ServiceFlags::ONE_PACKET);
    let begun = if is_hairpin(view, &chosen, meta) {
        Err(Failed::Dropped(DropReason::Hairpin))
    } else if one_packet && meta.protocol == Protocol::UDP {
        match entry(service, &chosen, meta) {
            Some(entry) => return Ok(once(view, hops, entry, meta, buf)),
            None => Err(Failed::NoServer),
        }
    } else {
        enter_somewhere(view, table, item, service, &chosen)
    };
    match begun {
        Ok(at) => Ok(established(
            view,
            table,
            hops,
            item,
            buf,
            at,
            Direction::Request,
        )),
        Err(failed) => {
            if chosen.template.is_some() {
                F::templates(view).release(chosen.template);
            }
            Err(failed)
        }
    }
}

/// Begins the connection that an ICMP error is about (`schedule_icmp`); `item` is a packet from
/// its client as it would be.
#[cold]
#[inline(never)]
pub(super) fn begin<F: HopFamily, B: Buf>(
    view: &View<'_>,
    table: &mut Table<F>,
    item: &Item<F>,
    buf: &B,
    service: &Service,
) -> Result<EntryIndex, Failed> {
    let chosen = choose(view, service, &item.meta, buf)?;
    let begun = enter_somewhere(view, table, item, service, &chosen);
    if begun.is_err() && chosen.template.is_some() {
        F::templates(view).release(chosen.template);
    }
    begun
}

/// The server of the client's template, or the scheduler's.
fn choose<'a, F: HopFamily, B: Buf>(
    view: &View<'a>,
    service: &'a Service,
    meta: &Meta<F>,
    buf: &B,
) -> Result<Chosen<'a>, Failed> {
    let flow = Flow {
        client: meta.src,
        virtual_: meta.dst,
        now: view.now,
    };
    match service.config.persistence {
        Some(persistence) => {
            let data = engine_data(service, meta, buf)?;
            remembered::<F>(view, service, persistence, meta.protocol, &flow, &data)
        }
        None => picked::<F>(view, service, &flow),
    }
}

/// The scheduler's server.
fn picked<'a, F: HopFamily>(
    view: &View<'a>,
    service: &'a Service,
    flow: &Flow<F::Addr>,
) -> Result<Chosen<'a>, Failed> {
    let server = service
        .pick(flow, &view.config.tunables, &loads(view))
        .ok_or(Failed::NoServer)?;
    Ok(plain(server.index, &server.config, flow.virtual_.port))
}

/// What this worker's picks go by.
const fn loads<'a>(view: &View<'a>) -> AsWorker<'a> {
    view.servers.loads.as_worker(view.index.0 as usize)
}

fn plain(index: ServerIndex, config: &ServerConfig, wanted: u16) -> Chosen<'_> {
    Chosen {
        index,
        config,
        port: own_port(config, wanted),
        template: TemplateRef::NONE,
    }
}

/// A server without a port of its own serves on the one that was asked for.
const fn own_port(config: &ServerConfig, wanted: u16) -> u16 {
    match config.key.port {
        0 => wanted,
        port => port,
    }
}

/// The server of the client's template, or one that is picked and remembered. The template's stripe
/// is held meanwhile: another worker that asks for the same one waits for the answer.
#[cold]
#[inline(never)]
fn remembered<'a, F: HopFamily>(
    view: &View<'a>,
    service: &'a Service,
    persistence: Persistence,
    protocol: Protocol,
    flow: &Flow<F::Addr>,
    data: &EngineData,
) -> Result<Chosen<'a>, Failed> {
    let key = TemplateKey::of(service, persistence, protocol, flow);
    let hash = view.servers.templates.hash::<F>(&key, data.bytes());
    let busy = Failed::Dropped(DropReason::TemplatesBusy);
    let mut held = F::templates(view).hold(hash).ok_or(busy)?;
    let known = held.find(&key, data, view.now);
    let valid = known.filter(|(_, server)| is_in_service(view, *server));
    let (place, index) = match valid {
        Some(known) => known,
        None => {
            if let Some((place, _)) = known {
                held.invalidate(place);
            }
            let server = service
                .pick(flow, &view.config.tunables, &loads(view))
                .ok_or(Failed::NoServer)?;
            let port = match service.config.key.port() {
                own if takes_one_port(own, flow.virtual_.port) => server.config.key.port,
                _ => 0,
            };
            let timeout = Ticks::from_secs(persistence.timeout_secs);
            let full = Failed::Dropped(DropReason::TemplatesFull);
            let place = held.insert((key, data), (server.index, port), timeout, view.now);
            let place = place.ok_or(full)?;
            if service.config.flags.has(ServiceFlags::ONE_PACKET) {
                held.keep(place);
            }
            (place, server.index)
        }
    };
    held.refresh(place, view.now);
    let config = view.config.server(index).ok_or(Failed::NoServer)?;
    let wanted = flow.virtual_.port;
    let port = match service.config.key {
        ServiceKey::Address { port, .. } if port == wanted => own_port(config, wanted),
        _ => wanted,
    };
    Ok(Chosen {
        index,
        config,
        port,
        template: held.adopt(place),
    })
}

/// What the service's engine goes by. A packet that it can't read begins no connection, as in the
/// kernel. Of a datagram in pieces it reads the first one.
pub(super) fn engine_data<F: HopFamily, B: Buf>(
    service: &Service,
    meta: &Meta<F>,
    buf: &B,
) -> Result<EngineData, Failed> {
    if service.config.engine.is_none() {
        return Ok(EngineData::NONE);
    }
    let end = usize::from(meta.l3) + meta.ip_len as usize;
    let here = end.min(buf.bytes().len());
    let datagram = buf.bytes().get(usize::from(meta.l4)..here);
    let message = datagram.and_then(|datagram| datagram.get(udp::Header::LEN..));
    let call = message
        .filter(|_| meta.protocol == Protocol::UDP)
        .and_then(sip::call_id);
    call.and_then(EngineData::new)
        .ok_or(Failed::Dropped(DropReason::NoCall))
}

/// A template may go on leading to this server (`ip_vs_check_template`).
pub(super) fn is_in_service(view: &View<'_>, server: ServerIndex) -> bool {
    let is_quiescent = view.config.tunables.expire_quiescent_template != 0
        && view.config.server(server).is_some_and(|s| s.weight == 0);
    view.config.is_available(server) && !is_quiescent
}

/// The client is the masqueraded server: the packet would come back to it from itself.
fn is_hairpin<F: HopFamily>(view: &View<'_>, chosen: &Chosen<'_>, meta: &Meta<F>) -> bool {
    view.config.tunables.strict_compat == 0
        && chosen.config.method == Method::Masquerade
        && F::addr(chosen.config.key.address) == Some(meta.src.addr)
}

/// An entry for the chosen server; where another client's replies from it would look the same, for
/// the next one that will do.
fn enter_somewhere<F: HopFamily>(
    view: &View<'_>,
    table: &mut Table<F>,
    item: &Item<F>,
    service: &Service,
    chosen: &Chosen<'_>,
) -> Result<EntryIndex, Failed> {
    let first = enter_chosen(view, table, item, service, chosen);
    if first != Err(Refused::Collision) || service.config.persistence.is_some() {
        return first.map_err(Failed::from);
    }
    let servers = service.servers().iter();
    let loads = &view.servers.loads;
    let others = servers.filter(|s| s.index != chosen.index && s.config.weight > 0);
    let others = others.filter(|s| !loads.overloaded(s.index));
    for server in others.take(COLLISION_TRIES) {
        let other = plain(server.index, &server.config, item.meta.dst.port);
        if is_hairpin(view, &other, &item.meta) {
            continue;
        }
        match enter_chosen(view, table, item, service, &other) {
            Err(Refused::Collision) => {}
            entered => return entered.map_err(Failed::from),
        }
    }
    Err(Refused::Collision.into())
}

fn enter_chosen<F: HopFamily>(
    view: &View<'_>,
    table: &mut Table<F>,
    item: &Item<F>,
    service: &Service,
    chosen: &Chosen<'_>,
) -> Result<EntryIndex, Refused> {
    let entry = entry(service, chosen, &item.meta).ok_or(Refused::Collision)?;
    enter(view, table, entry)
}

/// Enters a connection; in a full table another one may have to make room.
pub(super) fn enter<F: HopFamily>(
    view: &View<'_>,
    table: &mut Table<F>,
    entry: Entry<F>,
) -> Result<EntryIndex, Refused> {
    let at = match table.insert(entry, view.now) {
        Err(Refused::Full) => {
            let (class, evicted) = table.evict(view.now).ok_or(Refused::Full)?;
            ended(view, &evicted);
            view.stats.count_evicted(class);
            table.insert(entry, view.now)?
        }
        other => other?,
    };
    began(view, entry.server_index());
    Ok(at)
}

/// The entry of a connection; `None` if the server is of the other family.
fn entry<F: HopFamily>(service: &Service, chosen: &Chosen<'_>, meta: &Meta<F>) -> Option<Entry<F>> {
    let method = chosen.config.method;
    let addr = match F::addr(chosen.config.key.address) {
        Some(addr) => addr,
        // A tunnel may lead to a server of the other family, whose name is in the snapshot alone.
        None if method == Method::Tunnel => F::Addr::default(),
        None => return None,
    };
    let to = Endpoint {
        addr,
        port: chosen.port,
    };
    let tuple = Tuple::of(meta);
    let mut entry = Entry::new(
        &tuple,
        to,
        method,
        chosen.index,
        service.index,
        Timeouts::NEW,
    );
    entry.set_template(chosen.template);
    Some(entry)
}

/// One-packet scheduling: the connection is over when its packet is forwarded.
#[cold]
#[inline(never)]
fn once<F: HopFamily, B: Buf>(
    view: &View<'_>,
    hops: &mut ServerHops,
    mut entry: Entry<F>,
    meta: &Meta<F>,
    buf: &mut B,
) -> Verdict {
    entry.flags = entry.flags.with(Flags::ONE_PACKET);
    began(view, entry.server_index());
    advance(view, &mut entry, meta, Direction::Request, true);
    let verdict = to_server(view, hops, &entry, meta, buf);
    ended(view, &entry);
    verdict
}
