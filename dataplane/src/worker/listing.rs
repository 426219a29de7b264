//! What control asks of a worker: pages of a listing of connections, one connection, or the way to an address.
//!
//! Control puts a page with a place into the mailbox; the worker fills it between two bursts, a bounded
//! number of places in each turn, and control takes it back. The page is the mailbox's own, so
//! nothing is allocated here, and a worker never waits for its lock (a spin lock, because giving back the
//! standard library's may call the kernel).

use super::hops::HopFamily;
use super::{State, View};
use crate::fib::{InterfaceIndex, Route};
use crate::steering::WorkerIndex;
use crate::table::{Direction, Tuple};
use crate::table::{Entry, Table};
use arrayvec::{ArrayString, ArrayVec};
use core::sync::atomic::{AtomicBool, Ordering};
use pvs_proto::{Endpoint, Family, MacAddr, Protocol, Ticks, V4, V6, state};
use pvs_sched::Method;
use pvs_sched::templates::{EngineData, Listed};
use spin::{Mutex, MutexGuard};
use std::net::{IpAddr, SocketAddr};

/// Connections in one page.
const PAGE: usize = 64;

/// Places of a table that one page looks at, at most.
const SPAN: u32 = 256;

/// What a listing goes through, in this order. The templates are all workers': the first one lists them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum Part {
    /// IPv4 connections.
    #[default]
    V4,
    /// IPv6 connections.
    V6,
    /// Templates of IPv4.
    TemplatesV4,
    /// Templates of IPv6.
    TemplatesV6,
}

/// Where a listing stands in a worker's tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceInTable {
    /// The table.
    pub part: Part,
    /// The next place to look at.
    pub place: u32,
}

impl PlaceInTable {
    /// Bits of a packed place.
    pub const BITS: u32 = 34;

    /// The place as a number of [`BITS`](Self::BITS) bits.
    #[must_use]
    pub const fn packed(self) -> u64 {
        (self.part as u64) << 32 | self.place as u64
    }

    /// The place out of such a number; what is above its bits does not matter.
    #[must_use]
    pub const fn unpacked(number: u64) -> Self {
        let part = match (number >> 32) & 3 {
            0 => Part::V4,
            1 => Part::V6,
            2 => Part::TemplatesV4,
            _ => Part::TemplatesV6,
        };
        let place = number as u32;
        Self { part, place }
    }
}

/// A connection as the worker has it.
#[derive(Clone, Copy, Debug)]
pub struct Record {
    /// The protocol.
    pub protocol: Protocol,
    /// The state's name.
    pub state: &'static str,
    /// Whole seconds until it expires.
    pub expires_secs: u32,
    /// The client.
    pub client: SocketAddr,
    /// The virtual address and port.
    pub virtual_: SocketAddr,
    /// The real server.
    pub server: SocketAddr,
    /// The forwarding method.
    pub method: Method,
    /// What the persistence engine of a template goes by.
    pub engine: EngineData,
    /// Whole seconds since its last packet.
    pub idle_secs: u32,
    /// Packets from the client.
    pub packets: u32,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub enum Question {
    /// The page that begins here.
    Page(PlaceInTable),
    /// The connection of a client, and whose it would be.
    Connection {
        /// Its protocol.
        protocol: Protocol,
        /// The client.
        client: SocketAddr,
        /// The virtual address and port.
        virtual_: SocketAddr,
    },
    /// Which way packets to an address go.
    Way(IpAddr),
}

impl Default for Question {
    fn default() -> Self {
        Self::Page(PlaceInTable::default())
    }
}

/// The way to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayTo {
    /// Linux takes the packets.
    Local,
    /// There is no route.
    Unreachable,
    /// Out by an interface that is no port.
    Elsewhere,
    /// By this neighbour, whose hardware address is known, or is asked for, or does not answer.
    Neighbour {
        /// The neighbour.
        address: IpAddr,
        /// The interface.
        interface: InterfaceIndex,
        /// Its hardware address.
        mac: Option<MacAddr>,
        /// Linux has given it up.
        failed: bool,
    },
}

/// A page of a listing, or another answer.
#[derive(Debug, Default)]
pub struct Page {
    /// What was asked.
    pub question: Question,
    /// The worker that the connection belongs to; none if it is whoever receives it.
    pub owner: Option<WorkerIndex>,
    /// The way that was asked for, and the name of its interface.
    pub way: Option<WayTo>,
    /// The name of its interface.
    pub interface: ArrayString<16>,
    /// Where to go on; `None` at the end.
    pub next: Option<PlaceInTable>,
    /// The connections.
    pub records: ArrayVec<Record, PAGE>,
}

impl Page {
    /// The connection that was asked for.
    #[must_use]
    pub fn found(&self) -> Option<&Record> {
        self.records.first()
    }
}

/// An answer, until control has read it.
pub type MailGuard<'a> = MutexGuard<'a, Page>;

/// Where control and a worker meet. The worker looks at it in each turn, so it is on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Mailbox {
    asked: AtomicBool,
    page: Mutex<Page>,
}

impl Mailbox {
    /// Asks. Control's side; one question at a time.
    pub fn ask(&self, question: Question) {
        let mut page = self.page.lock();
        page.question = question;
        page.next = None;
        page.owner = None;
        page.way = None;
        page.interface.clear();
        page.records.clear();
        self.asked.store(true, Ordering::Release);
    }

    /// The answer, once it is there.
    pub fn answer(&self) -> Option<MailGuard<'_>> {
        (!self.asked.load(Ordering::Acquire)).then(|| self.page.lock())
    }
}

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
