//! The least of many servers without looking at each: a winner tree (Knuth,
//! TAOCP 5.4.1) for each worker.
//!
//! The candidates meet in pairs, the winners meet in pairs, and so on; a tie is the earlier one's.
//! When a load changes only the meetings on the way from its server to the root are played again:
//! ten of them among a thousand. Which loads have changed, its own and other workers', a worker
//! reads in their journals when it picks: so a pick is of the loads as they are at that moment, and
//! what is kept is written by its worker alone. If more has happened than a scan would cost, the
//! candidates are scanned; the tree is made anew with the next pick before which less has.
//!
//! Control takes the memory when the list is published. Not a scheduler.

use super::candidates::{COST_MAX, Candidate, Candidates, is_less};
use super::least::Cost;
use crate::cells::journal::{self, Journal};
use crate::cells::words::Words;
use crate::cells::{AllCells, AsWorker, Loads};
use crate::service::ServerIndex;
use crate::sync::{AtomicBool, AtomicU64, Relaxed};
use core::marker::PhantomData;
use hashbrown::HashMap;
use std::sync::Arc;

/// Fewer candidates than this are scanned.
#[cfg(not(loom))]
const MANY: usize = 64;
#[cfg(loom)]
const MANY: usize = 2;

/// Servers that a scan looks at, with one worker's loads, in the time of taking in one change.
#[cfg(not(loom))]
const SCANNED_PER_CHANGE: u64 = 16;
#[cfg(loom)]
const SCANNED_PER_CHANGE: u64 = 2;

/// The trees of all workers.
#[derive(Clone, Debug)]
pub(super) struct Tournaments<C> {
    field: Arc<Field>,
    trees: Arc<[Tree]>,
    cost: PhantomData<C>,
}

/// What the trees have in common.
#[derive(Debug)]
struct Field {
    /// Candidates by their cells.
    positions: HashMap<ServerIndex, u32>,
    /// Leaves: a power of two.
    size: usize,
    /// Changes between two picks from which on a scan is no slower.
    patience: u64,
}

/// One worker's tree. Written by that worker alone.
#[derive(Debug)]
#[repr(align(128))]
struct Tree {
    /// All changes that were seen are in it.
    is_sound: AtomicBool,
    /// How many changes of [`AllCells::overloaded_changes`] were seen.
    overloaded_changes: AtomicU64,
    /// How many changes of each worker's journal were seen.
    seen: Words,
    /// Cost and weight of the candidates.
    leaves: Words,
    /// Who won: the root at 1, under the one at n those at 2n and 2n + 1.
    winners: Words,
}

/// A candidate's cost and weight in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leaf(u64);

impl Leaf {
    /// Loses against everyone: of no weight.
    const NOBODY: Self = Self(COST_MAX << 32);

    const fn new(cost: u64, weight: u32) -> Self {
        Self(cost << 32 | weight as u64)
    }

    const fn weight(self) -> u32 {
        self.0 as u32
    }

    fn is_less(self, other: Self) -> bool {
        is_less(self.0 >> 32, self.weight(), other.0 >> 32, other.weight())
    }
}

impl<C: Cost> Tournaments<C> {
    /// For this number of workers; `None` if there is no use in it.
    pub(super) fn new(candidates: &Candidates, workers: usize) -> Option<Self> {
        if workers == 0 || candidates.len() < MANY {
            return None;
        }
        let size = candidates.len().next_power_of_two();
        let positions = (0..).zip(candidates.all()).map(|(at, c)| (c.index, at));
        let scanned = (candidates.len() as u64).saturating_mul(workers as u64);
        let field = Field {
            positions: positions.collect(),
            size,
            patience: (scanned / SCANNED_PER_CHANGE).min(journal::SLOTS / 2),
        };
        Some(Self {
            field: Arc::new(field),
            trees: (0..workers).map(|_| Tree::new(workers, size)).collect(),
            cost: PhantomData,
        })
    }

    /// The position of the least candidate; `None` if a scan is to tell, which it is
    /// too where nobody is usable.
    pub(super) fn winner(&self, candidates: &Candidates, worker: AsWorker<'_>) -> Option<usize> {
        // A tree hears of as many workers as it was made for.
        if worker.cells.workers() != self.trees.len() {
            return None;
        }
        let contest = Contest {
            candidates,
            cells: worker.cells,
            field: &self.field,
            tree: self.trees.get(worker.worker)?,
            cost: self.cost,
        };
        contest.update().then(|| contest.winner()).flatten()
    }
}

impl Tree {
    fn new(workers: usize, size: usize) -> Self {
        Self {
            is_sound: AtomicBool::new(false),
            overloaded_changes: AtomicU64::new(0),
            seen: Words::new(workers),
            leaves: Words::new(size),
            winners: Words::new(size),
        }
    }

    fn leaf(&self, position: usize) -> Leaf {
        let leaf = self.leaves.get(position);
        leaf.map_or(Leaf::NOBODY, |leaf| Leaf(leaf.load(Relaxed)))
    }
}

/// One worker's tree with all that it is about, for one pick.
struct Contest<'a, C> {
    candidates: &'a Candidates,
    cells: &'a AllCells,
    field: &'a Field,
    tree: &'a Tree,
    cost: PhantomData<C>,
}

impl<C: Cost> Contest<'_, C> {
    /// Takes in what has changed; false if that is too much.
    fn update(&self) -> bool {
        let behind = self
            .journals()
            .map(|(seen, journal)| journal.length().wrapping_sub(seen.load(Relaxed)));
        if behind.fold(0, u64::saturating_add) > self.field.patience {
            self.see_all();
            self.tree.is_sound.store(false, Relaxed);
            return false;
        }
        let overloaded_changes = if C::HEEDS_THRESHOLDS {
            self.cells.overloaded_changes()
        } else {
            0
        };
        let is_sound = self.tree.is_sound.load(Relaxed)
            && self.tree.overloaded_changes.load(Relaxed) == overloaded_changes;
        if !(is_sound && self.catch_up()) {
            self.tree
                .overloaded_changes
                .store(overloaded_changes, Relaxed);
            self.see_all();
            self.play_all();
            self.tree.is_sound.store(true, Relaxed);
        }
        true
    }

    fn journals(&self) -> impl Iterator<Item = (&AtomicU64, &Journal)> {
        self.tree.seen.iter().zip(self.cells.journals())
    }

    fn see_all(&self) {
        for (seen, journal) in self.journals() {
            seen.store(journal.length(), Relaxed);
        }
    }

    /// Plays for each server whose load has changed; false if the journals
    /// do not reach back so far.
    fn catch_up(&self) -> bool {
        self.journals().all(|(seen, journal)| {
            let (from, to) = (seen.load(Relaxed), journal.length());
            for n in from..to {
                let position = self.field.positions.get(&journal.server(n));
                position
                    .into_iter()
                    .for_each(|position| self.play(*position as usize));
            }
            seen.store(to, Relaxed);
            journal.reaches(from)
        })
    }

    /// The candidate as it is now.
    fn entrant(&self, candidate: &Candidate) -> Leaf {
        if C::HEEDS_THRESHOLDS && self.cells.overloaded(candidate.index) {
            return Leaf::NOBODY;
        }
        Leaf::new(
            C::within(self.cells.load(candidate.index)),
            candidate.weight,
        )
    }

    /// The candidate meets others, on the way to the root, as far as anything changes by it.
    fn play(&self, position: usize) {
        let entrant = self.candidates.nth(position).map(|c| self.entrant(c));
        let (Some(entrant), Some(leaf)) = (entrant, self.tree.leaves.get(position)) else {
            return;
        };
        if leaf.load(Relaxed) == entrant.0 {
            return;
        }
        leaf.store(entrant.0, Relaxed);
        let mut at = (self.field.size + position) / 2;
        while let Some(slot) = self.tree.winners.get(at).filter(|_| at > 0) {
            let (old, new) = (slot.load(Relaxed) as usize, self.meeting(at));
            if old == new && new != position {
                break;
            }
            slot.store(new as u64, Relaxed);
            at /= 2;
        }
    }

    /// All meetings.
    fn play_all(&self) {
        for (leaf, candidate) in self.tree.leaves.iter().zip(self.candidates.all()) {
            leaf.store(self.entrant(candidate).0, Relaxed);
        }
        for leaf in self.tree.leaves.iter().skip(self.candidates.len()) {
            leaf.store(Leaf::NOBODY.0, Relaxed);
        }
        for (at, slot) in self.tree.winners.iter().enumerate().skip(1).rev() {
            slot.store(self.meeting(at) as u64, Relaxed);
        }
    }

    /// Who wins the meeting at this node.
    fn meeting(&self, at: usize) -> usize {
        let (left, right) = (self.at(2 * at), self.at(2 * at + 1));
        match self.tree.leaf(right).is_less(self.tree.leaf(left)) {
            true => right,
            false => left,
        }
    }

    /// Who comes to a meeting from this node: a winner, or the candidate itself.
    fn at(&self, node: usize) -> usize {
        let winner = self
            .tree
            .winners
            .get(node)
            .map(|slot| slot.load(Relaxed) as usize);
        winner.unwrap_or(node.wrapping_sub(self.field.size))
    }

    /// Who has won all; nobody if no candidate is usable.
    fn winner(&self) -> Option<usize> {
        let winner = self.at(1);
        (self.tree.leaf(winner).weight() > 0).then_some(winner)
    }
}
