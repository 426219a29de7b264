//! A listing of connections: the one question that control asks of a worker.
//!
//! Control puts a page with a place into the mailbox; the worker fills it between two bursts, a bounded
//! number of places in each turn, and control takes it back. The page is the mailbox's own, so
//! nothing is allocated here, and a worker never waits for its lock (a spin lock, because giving back the
//! standard library's may call the kernel).

use super::hops::HopFamily;
use super::{State, View};
use crate::steering::WorkerIndex;
use crate::table::{Entry, Table};
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicBool, Ordering};
use pvs_proto::{Family, Protocol, V4, V6, state};
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
}

/// A page of a listing.
#[derive(Debug, Default)]
pub struct Page {
    /// Where to begin.
    pub from: PlaceInTable,
    /// Where to go on; `None` at the end.
    pub next: Option<PlaceInTable>,
    /// The connections.
    pub records: ArrayVec<Record, PAGE>,
}

/// Where control and a worker meet. The worker looks at it in each turn, so it is on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Mailbox {
    asked: AtomicBool,
    page: Mutex<Page>,
}

impl Mailbox {
    /// Asks for the page at `from`. Control's side; one question at a time.
    pub fn ask(&self, from: PlaceInTable) {
        let mut page = self.page.lock();
        page.from = from;
        page.next = None;
        page.records.clear();
        self.asked.store(true, Ordering::Release);
    }

    /// The answer, once it is there.
    pub fn answer(&self) -> Option<MutexGuard<'_, Page>> {
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
    let PlaceInTable { part, place } = page.from;
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
    // While the page is held: control's next question can't be taken for this one.
    mailbox.asked.store(false, Ordering::Release);
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
    }
}
