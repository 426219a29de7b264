//! Long-lived cells: a server's statistics and connection counts, which outlive every edit.
//!
//! Each worker has a block of its own, one cache line of statistics and one word of load a server
//! and a journal, and is its only writer: an increment is a load and a store, no
//! read-modify-write. Control reads the blocks of all workers and adds them up. `-Z` never writes
//! here; control keeps the values of that moment and subtracts them. A service has no cell: it is
//! the sum of its servers and of what removed ones had counted.

mod all;
pub(crate) mod journal;
mod load;
pub(crate) mod words;

pub use all::{AllCells, AsWorker};
pub use load::{Load, Loads};

use crate::service::ServerIndex;
use crate::sync::{AtomicU64, Relaxed};
use journal::Journal;
use words::Words;

/// One worker's statistics of one server.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Cell {
    connections: AtomicU64,
    in_packets: AtomicU64,
    in_bytes: AtomicU64,
    out_packets: AtomicU64,
    out_bytes: AtomicU64,
}

const _: () = assert!(size_of::<Cell>() == 64, "a cell is one cache line");

/// Statistics in the kernel's terms; bytes are IP lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub in_packets: u64,
    /// Packets to clients.
    pub out_packets: u64,
    /// Bytes from clients.
    pub in_bytes: u64,
    /// Bytes to clients.
    pub out_bytes: u64,
}

/// One worker's block of cells, and its servers' loads.
#[derive(Debug)]
pub struct Cells {
    cells: Box<[Cell]>,
    /// A word for each server, since schedulers ask for those of a thousand for one connection.
    loads: Words,
    journal: Journal,
}

impl Cells {
    /// A zeroed block for `servers` servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        Self {
            cells: (0..servers).map(|_| Cell::default()).collect(),
            loads: Words::new(servers),
            journal: Journal::new(),
        }
    }

    /// The cell of a server; `None` past the end of the block.
    #[must_use]
    #[inline]
    pub fn get(&self, server: ServerIndex) -> Option<&Cell> {
        self.cells.get(server.0 as usize)
    }

    /// A connection that counts as active (or not) began.
    pub fn open(&self, server: ServerIndex, active: bool) {
        let (active, inactive) = (i32::from(active), i32::from(!active));
        self.change(server, active, inactive);
    }

    /// A connection that counted as active (or not) ended.
    pub fn close(&self, server: ServerIndex, active: bool) {
        let (active, inactive) = (-i32::from(active), -i32::from(!active));
        self.change(server, active, inactive);
    }

    /// A connection that counted otherwise counts as active (or not) from now on. Both counts
    /// change at once: whoever reads them never sees it twice or not at all.
    pub fn turn(&self, server: ServerIndex, active: bool) {
        let by = if active { 1 } else { -1 };
        self.change(server, by, -by);
    }

    fn change(&self, server: ServerIndex, active: i32, inactive: i32) {
        if let Some(word) = self.word(server) {
            let load = Load::unpack(word.load(Relaxed)).changed(active, inactive);
            word.store(load.pack(), Relaxed);
            self.journal.note(server);
        }
    }

    #[inline]
    fn word(&self, server: ServerIndex) -> Option<&AtomicU64> {
        self.loads.get(server.0 as usize)
    }

    /// Where in memory the loads are, and what is said of their changes.
    #[must_use]
    pub fn loads_places(&self) -> [core::ops::Range<usize>; 2] {
        [self.loads.place(), self.journal.place()]
    }
}

impl Loads for Cells {
    #[inline]
    fn load(&self, server: ServerIndex) -> Load {
        let word = self.word(server);
        word.map(|word| Load::unpack(word.load(Relaxed)))
            .unwrap_or_default()
    }
}

#[inline]
fn add64(counter: &AtomicU64, n: u64) {
    counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
}

impl Cell {
    /// A packet from a client.
    #[inline]
    pub fn count_in(&self, bytes: u32) {
        add64(&self.in_packets, 1);
        add64(&self.in_bytes, bytes.into());
    }

    /// A packet to a client.
    #[inline]
    pub fn count_out(&self, bytes: u32) {
        add64(&self.out_packets, 1);
        add64(&self.out_bytes, bytes.into());
    }

    /// A connection was scheduled.
    pub fn count_connection(&self) {
        add64(&self.connections, 1);
    }

    /// The statistics of this worker.
    #[must_use]
    pub fn counters(&self) -> Counters {
        Counters {
            connections: self.connections.load(Relaxed),
            in_packets: self.in_packets.load(Relaxed),
            out_packets: self.out_packets.load(Relaxed),
            in_bytes: self.in_bytes.load(Relaxed),
            out_bytes: self.out_bytes.load(Relaxed),
        }
    }
}

impl Counters {
    /// Field by field.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            connections: self.connections.wrapping_add(other.connections),
            in_packets: self.in_packets.wrapping_add(other.in_packets),
            out_packets: self.out_packets.wrapping_add(other.out_packets),
            in_bytes: self.in_bytes.wrapping_add(other.in_bytes),
            out_bytes: self.out_bytes.wrapping_add(other.out_bytes),
        }
    }

    /// Field by field; what was counted since `earlier`.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Self {
        Self {
            connections: self.connections.wrapping_sub(earlier.connections),
            in_packets: self.in_packets.wrapping_sub(earlier.in_packets),
            out_packets: self.out_packets.wrapping_sub(earlier.out_packets),
            in_bytes: self.in_bytes.wrapping_sub(earlier.in_bytes),
            out_bytes: self.out_bytes.wrapping_sub(earlier.out_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_counts_what_happened_and_nothing_else() {
        let cells = Cells::new(2);
        let server = ServerIndex(1);
        let cell = cells.get(server).unwrap();
        cells.open(server, false);
        cell.count_connection();
        cell.count_in(40);
        cell.count_out(1500);
        cells.turn(server, true);
        let load = |active, inactive| Load { active, inactive };
        assert_eq!(cells.load(server), load(1, 0));
        cells.open(server, false);
        cells.turn(server, false);
        assert_eq!(cells.load(server), load(0, 2));
        cells.close(server, false);
        cells.close(server, true);
        assert_eq!(cells.load(server), load(0, 1), "there was no active one");
        let expected = Counters {
            connections: 1,
            in_packets: 1,
            out_packets: 1,
            in_bytes: 40,
            out_bytes: 1500,
        };
        assert_eq!(cell.counters(), expected);
        assert_eq!(cell.counters().since(expected), Counters::default());
        assert_eq!(cells.load(ServerIndex(0)), Load::default());
        assert!(cells.get(ServerIndex(2)).is_none());
    }
}
