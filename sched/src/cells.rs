//! Long-lived cells: a server's statistics and connection counts, which outlive every edit.
//!
//! Each worker has a block of its own, one cache line of statistics and one word of load a server, and is its only writer: an
//! increment is a load and a store, no read-modify-write. Control reads the blocks of all workers and adds
//! them up. `-Z` never writes here; control keeps the values of that moment and subtracts them.
//! A service has no cell: it is the sum of its servers and of what removed ones had counted.

use crate::service::ServerIndex;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::Arc;

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

/// Words before and behind a worker's loads, which are never touched: x86 fetches lines in pairs of 128 bytes, and what
/// lies beside them on the heap may be another worker's.
const MARGIN: usize = 16;

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

/// A server's connections at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Connections in an active state.
    pub active: u32,
    /// All others.
    pub inactive: u32,
}

impl Load {
    const fn pack(self) -> u64 {
        ((self.active as u64) << 32) | self.inactive as u64
    }

    const fn unpack(word: u64) -> Self {
        Self {
            active: (word >> 32) as u32,
            inactive: word as u32,
        }
    }

    /// One more on a side, and one less on the other, if that is wanted.
    const fn changed(self, active: i32, inactive: i32) -> Self {
        Self {
            active: self.active.saturating_add_signed(active),
            inactive: self.inactive.saturating_add_signed(inactive),
        }
    }

    /// The cost that lc, wlc and their kin compare: 256 for an active connection and 1 for each
    /// connection of any kind (`ip_vs_dest_conn_overhead` since the fix of 2026).
    #[must_use]
    pub const fn overhead(self) -> u64 {
        (self.active as u64) * 257 + self.inactive as u64
    }

    /// What sed and nq compare: the active connections and the one that is about to come.
    #[must_use]
    pub const fn delay(self) -> u64 {
        self.active as u64 + 1
    }

    /// All connections.
    #[must_use]
    pub const fn total(self) -> u32 {
        self.active.saturating_add(self.inactive)
    }

    /// The connections of two blocks together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
        }
    }
}

/// What a scheduler may ask about servers.
pub trait Loads {
    /// The server's connections over all workers.
    fn load(&self, server: ServerIndex) -> Load;
    /// The server is at its upper threshold (IP_VS_DEST_F_OVERLOAD).
    fn overloaded(&self, _server: ServerIndex) -> bool {
        false
    }
}

/// One worker's block of cells, and its servers' loads.
#[derive(Debug)]
pub struct Cells {
    cells: Box<[Cell]>,
    /// A word for each server, since schedulers ask for those of a thousand for one connection; margins on either side.
    loads: Box<[AtomicU64]>,
}

impl Cells {
    /// A zeroed block for `servers` servers.
    #[must_use]
    pub fn new(servers: usize) -> Self {
        let words = servers.saturating_add(2 * MARGIN);
        Self {
            cells: (0..servers).map(|_| Cell::default()).collect(),
            loads: (0..words).map(|_| AtomicU64::new(0)).collect(),
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

    /// A connection that counted otherwise counts as active (or not) from now on. Both counts change at once: whoever
    /// reads them never sees it twice or not at all.
    pub fn turn(&self, server: ServerIndex, active: bool) {
        let by = if active { 1 } else { -1 };
        self.change(server, by, -by);
    }

    fn change(&self, server: ServerIndex, active: i32, inactive: i32) {
        if let Some(word) = self.word(server) {
            let load = Load::unpack(word.load(Relaxed)).changed(active, inactive);
            word.store(load.pack(), Relaxed);
        }
    }

    #[inline]
    fn word(&self, server: ServerIndex) -> Option<&AtomicU64> {
        self.words().get(server.0 as usize)
    }

    #[inline]
    fn words(&self) -> &[AtomicU64] {
        let end = self.loads.len().saturating_sub(MARGIN);
        self.loads.get(MARGIN..end).unwrap_or_default()
    }

    /// Where in memory the loads are.
    #[must_use]
    pub fn loads_place(&self) -> core::ops::Range<usize> {
        let words = self.words().as_ptr_range();
        words.start.addr()..words.end.addr()
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

/// The blocks of all workers: a server's connections wherever they are. Each worker's are read as they
/// are at the moment, which costs a cache line for each worker and only when a connection begins.
///
/// With them goes which servers are at their threshold: a matter of all workers' connections, judged when one
/// begins or ends and when a threshold is edited.
#[derive(Clone, Debug)]
pub struct AllCells {
    blocks: Arc<[Arc<Cells>]>,
    overloaded: Arc<[AtomicBool]>,
}

impl AllCells {
    /// Over the blocks of these workers.
    #[must_use]
    pub fn new(blocks: impl IntoIterator<Item = Arc<Cells>>) -> Self {
        let blocks: Arc<[_]> = blocks.into_iter().collect();
        let servers = blocks.first().map_or(0, |block| block.cells.len());
        Self {
            blocks,
            overloaded: (0..servers).map(|_| AtomicBool::new(false)).collect(),
        }
    }

    /// Judges whether a server with these thresholds is at the upper one (IP_VS_DEST_F_OVERLOAD): from there on, until
    /// it is below the lower one, or below three quarters of the upper one if there is no lower.
    pub fn judge(&self, server: ServerIndex, upper: u32, lower: u32) {
        let Some(flag) = self.overloaded.get(server.0 as usize) else {
            return;
        };
        let all = u64::from(self.load(server).total());
        let (upper, lower) = (u64::from(upper), u64::from(lower));
        let is_below = match lower {
            0 => all * 4 < upper * 3,
            _ => all < lower,
        };
        if upper != 0 && all >= upper {
            flag.store(true, Relaxed);
        } else if upper == 0 || is_below {
            flag.store(false, Relaxed);
        }
    }
}

impl AllCells {
    /// Both counts at once: no table holds as many connections as would carry from one to the other.
    #[inline(never)]
    fn sum(&self, server: ServerIndex) -> Load {
        let words = self.blocks.iter().filter_map(|block| block.word(server));
        let sum = words.fold(0u64, |sum, word| sum.wrapping_add(word.load(Relaxed)));
        Load::unpack(sum)
    }
}

impl Loads for AllCells {
    #[inline]
    fn load(&self, server: ServerIndex) -> Load {
        match &*self.blocks {
            // Without a loop within a scheduler's loop.
            [only] => only.load(server),
            _ => self.sum(server),
        }
    }

    #[inline]
    fn overloaded(&self, server: ServerIndex) -> bool {
        let flag = self.overloaded.get(server.0 as usize);
        flag.is_some_and(|flag| flag.load(Relaxed))
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

    /// What the kernel was seen doing with UDP connections and `-x`, `-y`, edits included.
    #[test]
    fn a_threshold_has_a_memory() {
        let cells = Arc::new(Cells::new(1));
        let all = AllCells::new([Arc::clone(&cells)]);
        let server = ServerIndex(0);
        let with = |connections: u32, upper, lower| {
            while cells.load(server).total() < connections {
                cells.open(server, false);
            }
            while cells.load(server).total() > connections {
                cells.close(server, false);
            }
            all.judge(server, upper, lower);
            all.overloaded(server)
        };
        assert!(!with(1, 2, 0) && with(2, 2, 0));
        assert!(!with(2, 3, 0), "raised to above what there is");
        assert!(with(3, 3, 0) && with(3, 2, 0));
        assert!(!with(3, 10, 9), "below a lower threshold of its own");
        assert!(with(5, 2, 0), "lowered to below what there is");
        assert!(
            with(4, 4, 0) && with(4, 6, 1),
            "raised, but not below the lower one"
        );
        assert!(with(3, 4, 0) && !with(2, 4, 0), "three quarters of four");
        assert!(with(4, 4, 2) && with(2, 4, 2) && !with(1, 4, 2));
        assert!(with(4, 4, 2) && !with(4, 0, 0), "without a threshold");
    }

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
