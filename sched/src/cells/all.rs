//! The cells of all workers together.

use super::journal::Journal;
use super::{Cells, Load, Loads};
use crate::service::ServerIndex;
use crate::sync::{Acquire, AtomicBool, AtomicU64, Relaxed, Release, SeqCst, fence};
use std::sync::Arc;

/// How often a server is judged at most while others begin and end its connections: each of them
/// judges as well.
const JUDGED_AGAIN_MAX: u32 = 8;

/// The blocks of all workers: a server's connections wherever they are. Each worker's
/// are read as they are at the moment, which costs a cache line for each worker and only
/// when a connection begins.
///
/// With them goes which servers are at their threshold: a matter of all workers' connections,
/// judged when one begins or ends and when a threshold is edited.
#[derive(Clone, Debug)]
pub struct AllCells {
    blocks: Arc<[Arc<Cells>]>,
    overloaded: Arc<Overloaded>,
}

/// Which servers are at their upper threshold.
#[derive(Debug)]
struct Overloaded {
    servers: Box<[AtomicBool]>,
    /// How many of them are.
    count: AtomicU64,
    /// How often that has changed.
    changes: AtomicU64,
}

impl Overloaded {
    /// True if it was otherwise before.
    fn set(&self, server: ServerIndex, is: bool) -> bool {
        let Some(flag) = self.servers.get(server.0 as usize) else {
            return false;
        };
        if flag.load(Relaxed) == is || flag.swap(is, Relaxed) == is {
            return false;
        }
        if is {
            self.count.fetch_add(1, Relaxed);
        } else {
            self.count.fetch_sub(1, Relaxed);
        }
        self.changes.fetch_add(1, Release);
        true
    }
}

/// All cells as one of the workers asks for them.
#[derive(Clone, Copy, Debug)]
pub struct AsWorker<'a> {
    pub(crate) cells: &'a AllCells,
    pub(crate) worker: usize,
}

impl AllCells {
    /// Over the blocks of these workers.
    #[must_use]
    pub fn new(blocks: impl IntoIterator<Item = Arc<Cells>>) -> Self {
        let blocks: Arc<[_]> = blocks.into_iter().collect();
        let servers = blocks.first().map_or(0, |block| block.cells.len());
        let overloaded = Overloaded {
            servers: (0..servers).map(|_| AtomicBool::new(false)).collect(),
            count: AtomicU64::new(0),
            changes: AtomicU64::new(0),
        };
        Self {
            blocks,
            overloaded: Arc::new(overloaded),
        }
    }

    /// For the worker whose block is at this place, from 0. No two threads may ask as the same one
    /// at a time: one of them would get what is not the least loaded server any more.
    #[must_use]
    pub const fn as_worker(&self, worker: usize) -> AsWorker<'_> {
        AsWorker {
            cells: self,
            worker,
        }
    }

    /// Judges whether a server with these thresholds is at the upper one
    /// (IP_VS_DEST_F_OVERLOAD): from there on, until it is below the lower one, or below three
    /// quarters of the upper one if there is no lower.
    pub fn judge(&self, server: ServerIndex, upper: u32, lower: u32) {
        for _ in 0..JUDGED_AGAIN_MAX {
            // Before the others' loads are read, one's own is to be seen: of two workers whose last
            // connections end at the same time one must see that there is none left.
            fence(SeqCst);
            let verdict = self.verdict(server, upper, lower);
            // Who has changed it may have done so by loads that have changed since.
            if !verdict.is_some_and(|is| self.overloaded.set(server, is)) {
                return;
            }
        }
    }

    /// Whether the server is overloaded; `None` if that is as it was.
    fn verdict(&self, server: ServerIndex, upper: u32, lower: u32) -> Option<bool> {
        let all = u64::from(self.load(server).total());
        let (upper, lower) = (u64::from(upper), u64::from(lower));
        let is_below = match lower {
            0 => all * 4 < upper * 3,
            _ => all < lower,
        };
        match upper {
            0 => Some(false),
            _ if all >= upper => Some(true),
            _ => is_below.then_some(false),
        }
    }

    /// How many workers there are.
    pub(crate) fn workers(&self) -> usize {
        self.blocks.len()
    }

    /// What each worker says of its changes.
    pub(crate) fn journals(&self) -> impl Iterator<Item = &Journal> {
        self.blocks.iter().map(|block| &block.journal)
    }

    /// How often a server came to its threshold or left it. Flags that are read later are no older.
    pub(crate) fn overloaded_changes(&self) -> u64 {
        self.overloaded.changes.load(Acquire)
    }

    /// Both counts at once: no table holds as many connections as would
    /// carry from one to the other.
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
        let flag = self.overloaded.servers.get(server.0 as usize);
        flag.is_some_and(|flag| flag.load(Relaxed))
    }

    #[inline]
    fn any_overloaded(&self) -> bool {
        self.overloaded.count.load(Relaxed) != 0
    }
}

impl Loads for AsWorker<'_> {
    #[inline]
    fn load(&self, server: ServerIndex) -> Load {
        self.cells.load(server)
    }

    #[inline]
    fn overloaded(&self, server: ServerIndex) -> bool {
        self.cells.overloaded(server)
    }

    #[inline]
    fn any_overloaded(&self) -> bool {
        self.cells.any_overloaded()
    }

    #[inline]
    fn as_worker(&self) -> Option<AsWorker<'_>> {
        Some(*self)
    }
}

#[cfg(all(test, not(loom)))]
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
            assert_eq!(all.any_overloaded(), all.overloaded(server));
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
}
