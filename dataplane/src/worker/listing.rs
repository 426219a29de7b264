//! What a worker answers to control's questions in its mailbox.

use super::hops::HopFamily;
use super::mailbox::{Mailbox, PAGE, Page, Part, PlaceInTable, Question, Record, WayTo};
use super::{State, View};
use crate::fib::Route;
use crate::steering::WorkerIndex;
use crate::table::{Direction, Tuple};
use crate::table::{Entry, Table};
use arrayvec::ArrayVec;
use core::sync::atomic::Ordering;
use pvs_proto::{Endpoint, Family, Protocol, Ticks, V4, V6, state};
use pvs_sched::Method;
use pvs_sched::templates::{EngineData, Listed};
use std::net::{IpAddr, SocketAddr};

/// Places of a table that one page looks at, at most.
const SPAN: u32 = 256;

/// Answers a question, if there is one.
#[inline]
pub(super) fn serve<B>(view: &View<'_>, state: &State<B>, mailbox: &Mailbox) {
    if mailbox.asked.load(Ordering::Acquire) {
        answer(view, state, mailbox);
    }
}

#[cold]
fn answer<B>(view: &View<'_>, state: &State<B>, mailbox: &Mailbox) {
    // Control asks while it holds the page; if it still does, there is another turn.
    let Some(mut page) = mailbox.page.try_lock() else {
        return;
    };
    match page.question {
        Question::Page(from) => turn_page(view, state, from, &mut page),
        Question::Connection {
            protocol,
            client,
            virtual_,
        } => {
            let ends = (client.ip(), virtual_.ip());
            let ports = (client.port(), virtual_.port());
            find(view, &state.v4, protocol, ends, ports, &mut page);
            find(view, &state.v6, protocol, ends, ports, &mut page);
        }
        Question::Way(address) => {
            way::<V4>(view, address, &mut page);
            way::<V6>(view, address, &mut page);
        }
    }
    // While the page is held: control's next question can't be taken for this one.
    mailbox.asked.store(false, Ordering::Release);
}

/// The connection between these ends, if they are of this family.
fn find<F: HopFamily>(
    view: &View<'_>,
    table: &Table<F>,
    protocol: Protocol,
    (client, virtual_): (IpAddr, IpAddr),
    (from, to): (u16, u16),
    page: &mut Page,
) {
    let (Some(client), Some(virtual_)) = (F::addr(client), F::addr(virtual_)) else {
        return;
    };
    let end = |addr, port| Endpoint { addr, port };
    page.owner = view.steering.owner(end(client, from));
    let tuple = Tuple {
        protocol,
        src: end(client, from),
        dst: end(virtual_, to),
    };
    let found = table
        .lookup(&tuple)
        .filter(|(_, direction)| *direction == Direction::Request);
    if let Some(entry) = found.and_then(|(at, _)| table.get(at)) {
        let _ = page.records.try_push(record(view, entry));
    }
}

/// The way to an address, if it is of this family.
fn way<F: HopFamily>(view: &View<'_>, address: IpAddr, page: &mut Page) {
    let Some(address) = F::addr(address) else {
        return;
    };
    let neighbour = |interface, address: F::Addr, mac, failed| WayTo::Neighbour {
        address: address.into(),
        interface,
        mac,
        failed,
    };
    let way = match view.fib.route::<F>(address) {
        Route::Local => WayTo::Local,
        Route::Elsewhere => WayTo::Elsewhere,
        Route::Unreachable => WayTo::Unreachable,
        Route::Unresolved(interface, by) => neighbour(interface, by, None, false),
        Route::Failed(interface, by) => neighbour(interface, by, None, true),
        Route::Hop(index) => match (view.fib.hop(index), view.fib.next_hop::<F>(address)) {
            (Some(hop), Some((interface, by))) => neighbour(interface, by, Some(hop.mac), false),
            _ => WayTo::Unreachable,
        },
    };
    if let WayTo::Neighbour { interface, .. } = way {
        let _ = page.interface.try_push_str(view.fib.name(interface));
    }
    page.way = Some(way);
}

/// The page that begins at a place.
fn turn_page<B>(
    view: &View<'_>,
    state: &State<B>,
    PlaceInTable { part, place }: PlaceInTable,
    page: &mut Page,
) {
    let records = &mut page.records;
    let next = match part {
        Part::V4 => fill(view, &state.v4, place, records),
        Part::V6 => fill(view, &state.v6, place, records),
        Part::TemplatesV4 => fill_templates::<V4>(view, place, records),
        Part::TemplatesV6 => fill_templates::<V6>(view, place, records),
    };
    let first = view.index == WorkerIndex(0);
    let behind = match part {
        Part::V4 => Some(Part::V6),
        Part::V6 if first => Some(Part::TemplatesV4),
        Part::TemplatesV4 => Some(Part::TemplatesV6),
        Part::V6 | Part::TemplatesV6 => None,
    };
    page.next = match next {
        Some(place) => Some(PlaceInTable { part, place }),
        None => behind.map(|part| PlaceInTable { part, place: 0 }),
    };
}

/// Fills the page and returns the next place; `None` at the table's end.
fn fill<F: Family>(
    view: &View<'_>,
    table: &Table<F>,
    from: u32,
    page: &mut ArrayVec<Record, PAGE>,
) -> Option<u32> {
    for (place, entry) in table.scan(from, SPAN) {
        if page.try_push(record(view, entry)).is_err() {
            return Some(place);
        }
    }
    let end = from.saturating_add(SPAN);
    (end < table.extent()).then_some(end)
}

/// The same with templates.
fn fill_templates<F: HopFamily>(
    view: &View<'_>,
    from: u32,
    page: &mut ArrayVec<Record, PAGE>,
) -> Option<u32> {
    let templates = F::templates(view);
    let end = templates.list(from, SPAN, view.now, |template| {
        page.try_push(template_record::<F>(view, &template)).is_ok()
    });
    (end < templates.extent()).then_some(end)
}

fn template_record<F: HopFamily>(view: &View<'_>, template: &Listed<F::Addr>) -> Record {
    let endpoint = |addr: F::Addr, port| SocketAddr::new(Into::<IpAddr>::into(addr), port);
    let key = &template.key;
    let server = view.config.server(template.server);
    let address = server.map_or(key.virtual_.into(), |config| config.key.address);
    Record {
        protocol: key.protocol,
        state: state::template_label(template.is_assured),
        expires_secs: template.expires_secs,
        client: endpoint(key.client, 0),
        virtual_: endpoint(key.virtual_, key.port),
        server: SocketAddr::new(address, template.port),
        method: server.map_or(Method::Route, |config| config.method),
        engine: template.data,
        idle_secs: 0,
        packets: 0,
    }
}

fn record<F: Family>(view: &View<'_>, entry: &Entry<F>) -> Record {
    let endpoint = |addr: F::Addr, port| SocketAddr::new(Into::<IpAddr>::into(addr), port);
    let method = entry.flags.method();
    // An entry has no room for a server of the other family, which a tunnel may lead to.
    let server = match view.config.server(entry.server_index()) {
        Some(config) if method == Method::Tunnel => {
            SocketAddr::new(config.key.address, entry.server_port)
        }
        _ => endpoint(entry.server, entry.server_port),
    };
    Record {
        protocol: entry.protocol(),
        state: state::label(entry.protocol(), entry.state),
        expires_secs: entry.deadline.left(view.now).secs(),
        client: endpoint(entry.client, entry.client_port),
        virtual_: endpoint(entry.virtual_, entry.virtual_port),
        server,
        method,
        engine: EngineData::NONE,
        idle_secs: Ticks(
            entry
                .timeout
                .0
                .saturating_sub(entry.deadline.left(view.now).0),
        )
        .secs(),
        packets: entry.packets,
    }
}
