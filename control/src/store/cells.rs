//! Which server has which cell, what it had counted when it got it, and when a cell may be given to
//! another server.
//!
//! A worker never writes a cell back to zero, and control writes none at all: a server's statistics
//! are the cell's less a base. A removed server keeps its cell while connections refer to it, and
//! for as long as the kernel's trash remembers it; added again to a service of the same name it
//! takes its old cell, and with it its live connections, back.

use super::estimate::Estimator;
use crate::limits::TRASH_PERIODS;
use crate::plane::Plane;
use crate::reply::{Figures, Refusal};
use pvs_sched::config::{ServerKey, ServiceKey};
use pvs_sched::{Counters, Load, ServerIndex};
use std::collections::{BTreeSet, HashMap};

/// What a removed server is found by again.
type Name = (ServiceKey, ServerKey);

/// A cell's place in its life.
#[derive(Clone, Copy, Debug)]
enum Life {
    /// Given to no server.
    Free,
    /// Its server is in the list of its service.
    Listed,
    /// Its server was removed with this snapshot, and has been without connections for this many
    /// estimator periods.
    Removed { version: u64, idle_periods: u32 },
}

/// A cell's book entry.
#[derive(Clone, Debug)]
struct Entry {
    life: Life,
    name: Option<Name>,
    /// Which service it counted for: a service that was deleted and added again is another one.
    service_id: u64,
    /// Subtracted from the cell to get the server's statistics.
    base: Counters,
    /// The cell's counters when the server joined the list: what came later is the service's too.
    joined: Counters,
    estimator: Estimator,
}

impl Entry {
    const FREE: Self = Self {
        life: Life::Free,
        name: None,
        service_id: 0,
        base: ZERO,
        joined: ZERO,
        estimator: Estimator::ZERO,
    };
}

/// No packet at all.
pub(super) const ZERO: Counters = Counters {
    connections: 0,
    in_packets: 0,
    out_packets: 0,
    in_bytes: 0,
    out_bytes: 0,
};

/// Neither a connection nor a template refers to the cell.
fn is_idle(plane: &dyn Plane, index: ServerIndex) -> bool {
    plane.load(index) == Load::default() && plane.templates(index) == 0
}

/// The book of all cells.
#[derive(Clone, Debug)]
pub(super) struct CellBook {
    entries: Vec<Entry>,
    free: BTreeSet<u32>,
    removed: HashMap<Name, ServerIndex>,
    room: usize,
    seen: u64,
}

impl CellBook {
    /// A book of at most `room` cells.
    pub(super) fn new(room: usize) -> Self {
        Self {
            entries: Vec::new(),
            free: BTreeSet::new(),
            removed: HashMap::new(),
            room,
            seen: 0,
        }
    }

    /// A cell for a server that is about to join the list of a service.
    pub(super) fn take(
        &mut self,
        service: ServiceKey,
        service_id: u64,
        server: ServerKey,
        plane: &dyn Plane,
    ) -> Result<ServerIndex, Refusal> {
        let name = (service, server);
        let returning = self.removed.remove(&name);
        let index = match returning {
            Some(index) => index,
            None => self.unused(plane)?,
        };
        let raw = plane.counters(index);
        let entry = self.entry_mut(index).ok_or(Refusal::Full)?;
        if returning.is_none() || entry.service_id != service_id {
            entry.base = raw;
            entry.estimator = Estimator::ZERO;
        }
        entry.life = Life::Listed;
        entry.name = Some(name);
        entry.service_id = service_id;
        entry.joined = raw;
        Ok(index)
    }

    /// A server leaves its list with the snapshot of this version. Returns what it has counted for
    /// its service since it joined.
    pub(super) fn leave(
        &mut self,
        index: ServerIndex,
        version: u64,
        plane: &dyn Plane,
    ) -> Counters {
        let raw = plane.counters(index);
        let Some(entry) = self.entry_mut(index) else {
            return ZERO;
        };
        entry.life = Life::Removed {
            version,
            idle_periods: 0,
        };
        let counted = raw.since(entry.joined);
        if let Some(name) = entry.name {
            self.removed.insert(name, index);
        }
        counted
    }

    /// What a listed server has counted for its service since it joined.
    pub(super) fn counted(&self, index: ServerIndex, plane: &dyn Plane) -> Counters {
        self.entry(index)
            .map_or(ZERO, |e| plane.counters(index).since(e.joined))
    }

    /// The server's statistics.
    pub(super) fn stats(&self, index: ServerIndex, plane: &dyn Plane) -> Figures {
        self.entry(index)
            .map_or(ZERO, |e| plane.counters(index).since(e.base))
            .into()
    }

    /// The server's rates.
    pub(super) fn rates(&self, index: ServerIndex) -> Figures {
        self.entry(index)
            .map(|e| e.estimator.rates())
            .unwrap_or_default()
    }

    /// `-Z` of a server.
    pub(super) fn zero(&mut self, index: ServerIndex, plane: &dyn Plane) {
        let raw = plane.counters(index);
        if let Some(entry) = self.entry_mut(index) {
            entry.base = raw;
            entry.estimator = Estimator::ZERO;
        }
    }

    /// Every worker has seen the snapshot of this version.
    pub(super) fn note_seen(&mut self, version: u64) {
        self.seen = self.seen.max(version);
    }

    /// An estimator period has passed: rates move, if they are estimated, and removed servers are
    /// forgotten in time.
    pub(super) fn tick(&mut self, plane: &dyn Plane, estimates: bool) {
        let seen = self.seen;
        let mut forgotten = Vec::new();
        for (at, entry) in (0..).map(ServerIndex).zip(&mut self.entries) {
            match &mut entry.life {
                Life::Free => {}
                Life::Listed if !estimates => {}
                Life::Listed => entry.estimator.tick(plane.counters(at).since(entry.base)),
                Life::Removed {
                    version,
                    idle_periods,
                } => {
                    let idle = *version <= seen && is_idle(plane, at);
                    *idle_periods = if idle { *idle_periods + 1 } else { 0 };
                    if *idle_periods >= TRASH_PERIODS {
                        forgotten.push(at);
                    }
                }
            }
        }
        for index in forgotten {
            self.forget(index);
        }
    }

    /// A cell that no connection refers to: one that is free, or a new one, or that of a removed
    /// server that has no connection left.
    fn unused(&mut self, plane: &dyn Plane) -> Result<ServerIndex, Refusal> {
        if self.free.is_empty() && self.entries.len() >= self.room {
            let seen = self.seen;
            let idle = self.removed.values().copied().find(|index| {
                let left =
                    |e: &Entry| matches!(e.life, Life::Removed { version, .. } if version <= seen);
                self.entry(*index).is_some_and(left) && is_idle(plane, *index)
            });
            self.forget(idle.ok_or(Refusal::Full)?);
        }
        if let Some(free) = self.free.pop_first() {
            return Ok(ServerIndex(free));
        }
        let index = u32::try_from(self.entries.len()).map_err(|_| Refusal::Full)?;
        self.entries.push(Entry::FREE);
        Ok(ServerIndex(index))
    }

    fn forget(&mut self, index: ServerIndex) {
        let Some(entry) = self.entry_mut(index) else {
            return;
        };
        entry.life = Life::Free;
        if let Some(name) = entry.name.take() {
            self.removed.remove(&name);
        }
        self.free.insert(index.0);
    }

    fn entry(&self, index: ServerIndex) -> Option<&Entry> {
        self.entries.get(index.0 as usize)
    }

    fn entry_mut(&mut self, index: ServerIndex) -> Option<&mut Entry> {
        self.entries.get_mut(index.0 as usize)
    }
}
