//! A worker's own counters: written by it alone with plain loads and stores, read by anybody.

use crate::reason::{DropReason, Loss};
use crate::table::EvictClass;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use pvs_proto::Malformed;

/// What a worker counts besides the servers' cells: on cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerStats {
    malformed: Reasons<{ Malformed::ALL.len() }>,
    dropped: Reasons<{ DropReason::ALL.len() }>,
    evicted: [AtomicU64; 4],
    received: AtomicU64,
    sent: AtomicU64,
    injected: AtomicU64,
    handed_over: AtomicU64,
    relayed: AtomicU64,
    taken_over: AtomicU64,
    expired: AtomicU64,
    icmp_sent: AtomicU64,
    icmp_limited: AtomicU64,
    polls: AtomicU64,
    busy_polls: AtomicU64,
    /// Those of IPv4 in the lower half, those of IPv6 in the upper one: one store a turn.
    connections: AtomicU64,
}

/// A counter for each reason of a kind.
#[derive(Debug)]
struct Reasons<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Reasons<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Reasons<N> {
    #[inline]
    fn get(&self, at: usize) -> Option<&AtomicU64> {
        self.0.get(at)
    }
}

#[inline]
fn add(counter: Option<&AtomicU64>, n: u64) {
    if let Some(counter) = counter {
        counter.store(counter.load(Relaxed).wrapping_add(n), Relaxed);
    }
}

/// A worker's totals at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Frames taken from the ports.
    pub received: u64,
    /// Frames given to the ports, those from Linux included.
    pub sent: u64,
    /// Frames from Linux.
    pub injected: u64,
    /// Frames that were received here and given to the worker that owns them.
    pub handed_over: u64,
    /// Frames that another worker sent, who has the port's queue.
    pub relayed: u64,
    /// Frames that other workers gave to this one, for either reason.
    pub taken_over: u64,
    /// Connections that expired.
    pub expired: u64,
    /// ICMP errors that the worker made; the packets that they are about are counted as dropped.
    pub icmp_sent: u64,
    /// ICMP errors that it did not make because there were too many.
    pub icmp_limited: u64,
    /// Connections that were evicted from a full table.
    pub evicted: u64,
    /// Turns of the poll loop.
    pub polls: u64,
    /// Turns in which a frame came.
    pub busy_polls: u64,
    /// Connections in the tables.
    pub connections: u64,
    /// Those of them that are of IPv6.
    pub connections_v6: u64,
}

impl WorkerStats {
    #[inline]
    pub(crate) fn count_loss(&self, loss: Loss) {
        match loss {
            Loss::Malformed(m) => add(self.malformed.get(m as usize), 1),
            Loss::Dropped(d) => self.count_dropped(d, 1),
        }
    }

    #[inline]
    pub(crate) fn count_dropped(&self, reason: DropReason, n: u64) {
        add(self.dropped.get(reason as usize), n);
    }

    pub(crate) fn count_evicted(&self, class: EvictClass) {
        add(self.evicted.get(class as usize), 1);
    }

    pub(crate) fn count_expired(&self) {
        add(Some(&self.expired), 1);
    }

    pub(crate) fn count_icmp_sent(&self) {
        add(Some(&self.icmp_sent), 1);
    }

    pub(crate) fn count_icmp_limited(&self) {
        add(Some(&self.icmp_limited), 1);
    }

    pub(crate) fn count_injected(&self) {
        add(Some(&self.injected), 1);
    }

    pub(crate) fn count_handed_over(&self) {
        add(Some(&self.handed_over), 1);
    }

    pub(crate) fn count_relayed(&self) {
        add(Some(&self.relayed), 1);
    }

    pub(crate) fn count_taken_over(&self) {
        add(Some(&self.taken_over), 1);
    }

    #[inline]
    pub(crate) fn count_sent(&self, n: u64) {
        add(Some(&self.sent), n);
    }

    #[inline]
    pub(crate) fn count_poll(&self, received: u64, connections_v4: u32, connections_v6: u32) {
        add(Some(&self.polls), 1);
        if received > 0 {
            add(Some(&self.busy_polls), 1);
            add(Some(&self.received), received);
        }
        let connections = u64::from(connections_v6) << 32 | u64::from(connections_v4);
        self.connections.store(connections, Relaxed);
    }

    /// How often a packet was lost for this reason.
    #[must_use]
    pub fn lost(&self, loss: Loss) -> u64 {
        let counter = match loss {
            Loss::Malformed(m) => self.malformed.get(m as usize),
            Loss::Dropped(d) => self.dropped.get(d as usize),
        };
        counter.map_or(0, |c| c.load(Relaxed))
    }

    /// The reasons for which packets were lost, with how often.
    pub fn losses(&self) -> impl Iterator<Item = (Loss, u64)> {
        Loss::all()
            .map(|loss| (loss, self.lost(loss)))
            .filter(|(_, n)| *n > 0)
    }

    /// The totals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let read = |c: &AtomicU64| c.load(Relaxed);
        let connections = read(&self.connections);
        let connections_v6 = connections >> 32;
        Totals {
            received: read(&self.received),
            sent: read(&self.sent),
            injected: read(&self.injected),
            handed_over: read(&self.handed_over),
            relayed: read(&self.relayed),
            taken_over: read(&self.taken_over),
            expired: read(&self.expired),
            icmp_sent: read(&self.icmp_sent),
            icmp_limited: read(&self.icmp_limited),
            evicted: self.evicted.iter().map(read).sum(),
            polls: read(&self.polls),
            busy_polls: read(&self.busy_polls),
            connections: connections_v6 + (connections & u64::from(u32::MAX)),
            connections_v6,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_of_both_families_are_told_apart() {
        let stats = WorkerStats::default();
        stats.count_poll(0, u32::MAX, 7);
        let totals = stats.totals();
        assert_eq!(totals.connections, u64::from(u32::MAX) + 7);
        assert_eq!(totals.connections_v6, 7);
        assert_eq!((totals.polls, totals.busy_polls), (1, 0));
    }
}
