//! Rates per second, as `ip_vs_est.c` estimates them: every two seconds a quarter of the way from
//! the old average to the newest rate. Packet rates are kept times 2^10, byte rates times 2^5.

use crate::reply::Figures;
use pvs_sched::Counters;

/// The estimator of one server or service.
#[derive(Clone, Copy, Debug)]
pub(super) struct Estimator {
    last: Counters,
    connections: u64,
    in_packets: u64,
    out_packets: u64,
    in_bytes: u64,
    out_bytes: u64,
}

impl Estimator {
    /// Nothing counted, all rates zero.
    pub(super) const ZERO: Self = Self {
        last: super::cells::ZERO,
        connections: 0,
        in_packets: 0,
        out_packets: 0,
        in_bytes: 0,
        out_bytes: 0,
    };

    /// Two seconds have passed.
    pub(super) fn tick(&mut self, now: Counters) {
        let since = now.since(self.last);
        self.last = now;
        for (average, delta, shift) in [
            (&mut self.connections, since.connections, 9),
            (&mut self.in_packets, since.in_packets, 9),
            (&mut self.out_packets, since.out_packets, 9),
            (&mut self.in_bytes, since.in_bytes, 4),
            (&mut self.out_bytes, since.out_bytes, 4),
        ] {
            let rate = delta.wrapping_shl(shift) as i64;
            let step = rate.wrapping_sub(*average as i64) >> 2;
            *average = average.wrapping_add_signed(step);
        }
    }

    /// The rates, rounded as the kernel rounds them.
    pub(super) fn rates(&self) -> Figures {
        let packets = |average: u64| (average + 0x1ff) >> 10;
        let bytes = |average: u64| (average + 0xf) >> 5;
        Figures {
            connections: packets(self.connections),
            in_packets: packets(self.in_packets),
            out_packets: packets(self.out_packets),
            in_bytes: bytes(self.in_bytes),
            out_bytes: bytes(self.out_bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_shows_a_quarter_of_its_rate_and_decays() {
        let mut now = Counters::default();
        let mut estimator = Estimator::ZERO;
        now.in_packets = 1000;
        now.in_bytes = 128_000;
        estimator.tick(now);
        assert_eq!(estimator.rates().in_packets, 125);
        assert_eq!(estimator.rates().in_bytes, 16_000);
        estimator.tick(now);
        assert_eq!(estimator.rates().in_packets, 94);
        for _ in 0..100 {
            estimator.tick(now);
        }
        assert_eq!(estimator.rates(), Figures::default());
    }
}
