//! Where control asks a worker: for pages of a listing of connections, for one connection, or
//! for the way to an address.
//!
//! Control puts a page with a place into the mailbox; the worker fills it between two bursts, a
//! bounded number of places in each turn, and control takes it back. The page is the mailbox's own,
//! so nothing is allocated here, and a worker never waits for its lock (a spin lock, because giving
//! back the standard library's may call the kernel).

use crate::fib::InterfaceIndex;
use crate::steering::WorkerIndex;
use arrayvec::{ArrayString, ArrayVec};
use core::sync::atomic::{AtomicBool, Ordering};
use pvs_proto::{MacAddr, Protocol};
use pvs_sched::Method;
use pvs_sched::templates::EngineData;
use spin::{Mutex, MutexGuard};
use std::net::{IpAddr, SocketAddr};

/// Connections in one page.
pub(super) const PAGE: usize = 64;

/// What a listing goes through, in this order. The templates are all workers':
/// the first one lists them.
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

/// Where control and a worker meet. The worker looks at it in each turn, so
/// it is on lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Mailbox {
    pub(super) asked: AtomicBool,
    pub(super) page: Mutex<Page>,
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
