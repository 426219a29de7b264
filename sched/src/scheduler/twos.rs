//! twos: the power of two random choices: of two servers drawn by weight, the one with the lesser
//! overhead for its weight.
//!
//! Mirrors `ip_vs_twos.c`: a number is drawn from 0 to the sum of the weights, both
//! included, so that the first server in the list has a share more than its weight; both
//! draws may fall on the same one.

use super::candidates::{Candidate, Candidates, is_less};
use super::{Ask, Copyable, List, Scheduler};
use crate::cells::Loads;
use crate::sync::{AtomicU64, Relaxed};
use pvs_proto::{Address, Ticks};
use std::sync::Arc;

/// The servers that have a weight, and what the weights add up to with each.
#[derive(Clone, Debug)]
pub(crate) struct Twos {
    candidates: Candidates,
    sums: Arc<[u64]>,
}

/// Where the sequence of numbers is, on a line of its own as rr's place is.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct State(AtomicU64);

impl Copyable for State {
    fn copy(&self) -> Self {
        Self(AtomicU64::new(self.0.load(Relaxed)))
    }
}

/// Steele, Lea and Flood's SplitMix64, whose state moves by this much for each number.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl State {
    /// A number. The instant is mixed in, so that directors that started alike do not draw alike.
    fn draw(&self, now: Ticks) -> u64 {
        let mut z = self.0.fetch_add(GAMMA, Relaxed).wrapping_add(GAMMA) ^ u64::from(now.0) << 32;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Scheduler for Twos {
    type State = State;
    type Change = ();

    fn build(list: &List<'_>) -> Self {
        let candidates = Candidates::listed(list.servers);
        let sums = candidates.all().scan(0, |sum, c| {
            *sum += u64::from(c.weight);
            Some(*sum)
        });
        Self {
            sums: sums.collect(),
            candidates,
        }
    }

    fn start(&self) -> State {
        State::default()
    }

    fn pick<A: Address, L: Loads>(
        &self,
        state: &State,
        ask: &Ask<'_, A>,
        loads: &L,
    ) -> Option<usize> {
        let everyone = !loads.any_overloaded();
        let sum = match everyone {
            true => self.sums.last().copied().unwrap_or_default(),
            false => self.usable_sum(loads),
        };
        let draw = || below(state.draw(ask.flow.now), sum + 1);
        let numbers = [draw(), draw()];
        let [one, other] = match everyone {
            true => numbers.map(|number| self.found(number)),
            false => self.drawn(numbers, loads),
        };
        let (one, other) = one.zip(other)?;
        let cost = |c: &Candidate| loads.load(c.index).overhead();
        let lesser = is_less(cost(other), other.weight, cost(one), one.weight);
        Some(if lesser { other } else { one }.place())
    }
}

/// A number below `bound` out of a whole word.
const fn below(word: u64, bound: u64) -> u64 {
    ((word as u128 * bound as u128) >> 64) as u64
}

impl Twos {
    /// The first server with which the weights add up to a number, if all are usable.
    fn found(&self, number: u64) -> Option<&Candidate> {
        let position = self.sums.partition_point(|sum| *sum < number);
        self.candidates.nth(position)
    }

    #[cold]
    fn usable_sum<L: Loads>(&self, loads: &L) -> u64 {
        let weights = self.candidates.usable(loads).map(|c| u64::from(c.weight));
        weights.sum()
    }

    /// The first servers with which the weights of the usable ones add up to each of two numbers.
    #[cold]
    fn drawn<L: Loads>(&self, numbers: [u64; 2], loads: &L) -> [Option<&Candidate>; 2] {
        let mut drawn = [None, None];
        let mut sum = 0;
        for candidate in self.candidates.usable(loads) {
            sum += u64::from(candidate.weight);
            for (number, drawn) in numbers.iter().zip(&mut drawn) {
                if drawn.is_none() && *number <= sum {
                    *drawn = Some(candidate);
                }
            }
        }
        drawn
    }
}
