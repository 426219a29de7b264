//! twos: the power of two random choices: of two servers drawn by weight, the one with the lesser overhead for its weight.
//!
//! Mirrors `ip_vs_twos.c`: a number is drawn from 0 to the sum of the weights, both included, so that the first
//! server in the list has a share more than its weight; both draws may fall on the same one.

use super::candidates::{Candidate, Candidates, is_less};
use super::{Ask, Copyable, List, Scheduler};
use crate::cells::Loads;
use crate::sync::{AtomicU64, Relaxed};
use pvs_proto::{Address, Ticks};

/// The servers that have a weight.
#[derive(Clone, Debug)]
pub(crate) struct Twos(Candidates);

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
        Self(Candidates::listed(list.servers))
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
        let sum: u64 = self.0.usable(loads).map(|c| u64::from(c.weight)).sum();
        let draw = || below(state.draw(ask.flow.now), sum + 1);
        let (one, other) = self.drawn([draw(), draw()], loads)?;
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
    /// The first servers with which the weights add up to each of two numbers.
    fn drawn<L: Loads>(&self, numbers: [u64; 2], loads: &L) -> Option<(&Candidate, &Candidate)> {
        let [mut one, mut other] = [None, None];
        let mut sum = 0;
        for candidate in self.0.usable(loads) {
            sum += u64::from(candidate.weight);
            for (number, drawn) in numbers.iter().zip([&mut one, &mut other]) {
                if drawn.is_none() && *number <= sum {
                    *drawn = Some(candidate);
                }
            }
        }
        one.zip(other)
    }
}
