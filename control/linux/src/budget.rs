//! How many frames of each class Linux is given in a second.
//!
//! Writing a frame to a tap costs Linux's whole receive path, some microseconds of a core. Without
//! a limit, a flood of packets that are not balanced takes the exchange's core and what Linux has
//! beside it. What is over the limit stays in the ring of its class, and what finds that full is
//! dropped and counted by the worker, where it is cheapest.

use pvs_dataplane::punt::PuntClass;
use std::time::Instant;

const CLASSES: usize = PuntClass::ALL.len();

/// Frames of a class in a second at most, in the order of [`PuntClass::ALL`]. What is refused is
/// answered with an RST or an ICMP error each, which nobody misses in a flood.
pub const PER_SECOND: [u64; CLASSES] = [50_000, 50_000, 50_000, 100_000, 200_000, 10_000];

/// A class that was quiet may have this part of a second at once.
const BURST: u64 = 100;

/// A frame, in parts small enough for the time between two turns.
const FRAME: u64 = 1_000_000_000;

/// What each class has left.
#[derive(Debug)]
pub(crate) struct Budget {
    left: [u64; CLASSES],
    filled: Instant,
}

impl Budget {
    /// Full.
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            left: PER_SECOND.map(|rate| rate / BURST * FRAME),
            filled: now,
        }
    }

    /// What has come since the last time.
    pub(crate) fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        self.filled = now;
        for (left, rate) in self.left.iter_mut().zip(PER_SECOND) {
            let gained = nanos.min(FRAME).saturating_mul(rate);
            *left = left.saturating_add(gained).min(rate / BURST * FRAME);
        }
    }

    /// Takes a frame's part out of a class; false if there is none.
    pub(crate) fn take(&mut self, class: PuntClass) -> bool {
        let Some(left) = self.left.get_mut(class as usize) else {
            return false;
        };
        let rest = left.checked_sub(FRAME);
        *left = rest.unwrap_or(*left);
        rest.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Takes as many as there are.
    fn drain(budget: &mut Budget, class: PuntClass) -> u64 {
        (0..).take_while(|_| budget.take(class)).count() as u64
    }

    #[test]
    fn a_class_has_its_rate_and_no_other_s() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        for (class, rate) in PuntClass::ALL.into_iter().zip(PER_SECOND) {
            assert_eq!(drain(&mut budget, class), rate / BURST, "at once");
            assert_eq!(drain(&mut budget, class), 0);
        }
        let mut taken = 0;
        for turn in 1..=20_000 {
            budget.fill(start + Duration::from_micros(50) * turn);
            taken += drain(&mut budget, PuntClass::Refused);
        }
        assert_eq!(taken, 10_000, "in a second, turn by turn");
        // The others have saved no more than what they may have at once.
        for (class, rate) in PuntClass::ALL.into_iter().zip(PER_SECOND).take(3) {
            assert_eq!(drain(&mut budget, class), rate / BURST);
        }
        budget.fill(start + Duration::from_secs(3600));
        assert_eq!(drain(&mut budget, PuntClass::Local), 1000);
    }
}
