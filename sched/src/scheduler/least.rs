//! The server with the least cost for its weight: what lc, wlc, sed, nq, lblc and lblcr look for.
//!
//! By a scan, as the kernel does; among many servers and for a worker, by the
//! [tournament](super::tournament) that is kept for it. Not a scheduler.

use super::candidates::{COST_MAX, Candidate, Candidates};
use super::tournament::Tournaments;
use crate::cells::{Load, Loads};
use core::fmt::Debug;
use core::marker::PhantomData;

/// What is compared, divided by the weight.
pub(super) trait Cost: Clone + Copy + Debug {
    /// Who is at its threshold is out of the question.
    const HEEDS_THRESHOLDS: bool = true;
    /// The cost of a server that has this load.
    fn of(load: Load) -> u64;

    /// The same, but no more than the greatest that is told apart.
    #[inline]
    fn within(load: Load) -> u64 {
        Self::of(load).min(COST_MAX)
    }
}

macro_rules! costs {
    ($($(#[$doc:meta])* $name:ident: $heeds:literal, $of:expr;)+) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub(super) struct $name;

            impl Cost for $name {
                const HEEDS_THRESHOLDS: bool = $heeds;

                #[inline]
                fn of(load: Load) -> u64 {
                    $of(load)
                }
            }
        )+
    };
}

costs! {
    /// [`Load::overhead`].
    Overhead: true, Load::overhead;
    /// [`Load::delay`].
    Delay: true, Load::delay;
    /// [`Load::queue`].
    Queue: true, Load::queue;
    /// Active connections, of whoever has a weight.
    Active: false, |load: Load| u64::from(load.active);
}

/// Candidates, of which the least one is wanted again and again.
#[derive(Clone, Debug)]
pub(super) struct Least<C> {
    candidates: Candidates,
    tournaments: Option<Tournaments<C>>,
    cost: PhantomData<C>,
}

impl<C: Cost> Least<C> {
    /// Of these.
    pub(super) fn of(candidates: Candidates) -> Self {
        Self {
            candidates,
            tournaments: None,
            cost: PhantomData,
        }
    }

    /// Takes the memory that makes it fast for this number of workers, if there are
    /// enough candidates for that.
    pub(super) fn keep_for(&mut self, workers: usize) {
        self.tournaments = Tournaments::new(&self.candidates, workers);
    }

    /// Those of which it is.
    pub(super) const fn candidates(&self) -> &Candidates {
        &self.candidates
    }

    /// The first one with the least cost for its weight.
    pub(super) fn pick<L: Loads>(&self, loads: &L) -> Option<&Candidate> {
        let kept = self.tournaments.as_ref().zip(loads.as_worker());
        match kept.and_then(|(tournaments, worker)| tournaments.winner(&self.candidates, worker)) {
            Some(position) => self.candidates.nth(position),
            None => self.scan(loads),
        }
    }

    /// As `ip_vs_wlc.c` compares: by cross-multiplication, and only a lesser one takes the place of
    /// an earlier one. Whether a server is overloaded is asked last: of a thousand few get so far.
    fn scan<L: Loads>(&self, loads: &L) -> Option<&Candidate> {
        let mut least = None;
        // Above all costs.
        let (mut least_cost, mut least_weight) = (1, 0);
        for candidate in self.candidates.all() {
            let (cost, weight) = (C::within(loads.load(candidate.index)), candidate.weight);
            let lesser = least_cost * u64::from(weight) > cost * u64::from(least_weight);
            if lesser && !(C::HEEDS_THRESHOLDS && loads.overloaded(candidate.index)) {
                (least, least_cost, least_weight) = (Some(candidate), cost, weight);
                if cost == 0 {
                    break;
                }
            }
        }
        least
    }
}
