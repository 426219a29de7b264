//! A listing of connections: the one question that control asks of a worker.
//!
//! Control puts a page with a place into the mailbox; the worker fills it between two bursts, a bounded
//! number of places in each turn, and control takes it back. The page is the mailbox's own, so
//! nothing is allocated here, and a worker never waits for its lock (a spin lock, because giving back the
//! standard library's may call the kernel).

use super::{State, View};
use crate::table::{Entry, Table};
use arrayvec::ArrayVec;
use core::sync::atomic::{AtomicBool, Ordering};
use pvs_proto::{Family, Protocol, state};
use pvs_sched::Method;
use spin::{Mutex, MutexGuard};
use std::net::{IpAddr, SocketAddr};

/// Connections in one page.
const PAGE: usize = 64;

/// Places of a table that one page looks at, at most.
const SPAN: u32 = 256;

/// Where a listing stands in a worker's tables: IPv4 first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlaceInTable {
    /// In the IPv6 table.
    pub v6: bool,
    /// The next place to look at.
    pub place: u32,
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
    let from = page.from;
    let next = if from.v6 {
        fill(view, &state.v6, from.place, &mut page.records)
    } else {
        fill(view, &state.v4, from.place, &mut page.records)
    };
    page.next = match next {
        Some(place) => Some(PlaceInTable { v6: from.v6, place }),
        None if from.v6 => None,
        None => Some(PlaceInTable { v6: true, place: 0 }),
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

fn record<F: Family>(view: &View<'_>, entry: &Entry<F>) -> Record {
    let endpoint = |addr: F::Addr, port| SocketAddr::new(Into::<IpAddr>::into(addr), port);
    let method = entry.flags.method();
    // An entry has no room for a server of the other family, which a tunnel may lead to.
    let server = match view.config.server(entry.server_index()) {
        Some(name) if method == Method::Tunnel => SocketAddr::new(name.address, entry.server_port),
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
    }
}
