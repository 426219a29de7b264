//! Time as the connection table keeps it: ticks of 4 ms, like a kernel with HZ=250, in 32 bits.
//!
//! The counter wraps after 198 days, so two instants are compared by their signed distance, which
//! holds for anything less than 99 days apart; ipvsadm's longest timeout is 31 days (2,678,400 s).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// An instant, or a span, in ticks of 4 ms.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, Default, FromBytes, IntoBytes, Immutable, KnownLayout,
)]
#[repr(transparent)]
pub struct Ticks(pub u32);

impl Ticks {
    /// Ticks in a second.
    pub const PER_SECOND: u32 = 250;
    /// Nanoseconds in a tick.
    pub const NANOS: u64 = 4_000_000;

    /// A span of whole seconds; longer than the counter's range is cut to the range.
    #[must_use]
    pub const fn from_secs(secs: u32) -> Self {
        Self(secs.saturating_mul(Self::PER_SECOND))
    }

    /// The instant at `nanos` of a monotonic clock.
    #[must_use]
    pub const fn at_nanos(nanos: u64) -> Self {
        Self((nanos / Self::NANOS) as u32)
    }

    /// This instant plus a span.
    #[must_use]
    pub const fn after(self, span: Self) -> Self {
        Self(self.0.wrapping_add(span.0))
    }

    /// Ticks from `now` until this instant; 0 if it has passed.
    #[must_use]
    pub const fn left(self, now: Self) -> Self {
        let distance = self.0.wrapping_sub(now.0) as i32;
        if distance > 0 {
            Self(distance as u32)
        } else {
            Self(0)
        }
    }

    /// True once `now` has reached this instant.
    #[must_use]
    pub const fn is_due(self, now: Self) -> bool {
        self.left(now).0 == 0
    }

    /// Whole seconds of a span, rounded down.
    #[must_use]
    pub const fn secs(self) -> u32 {
        self.0 / Self::PER_SECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_survives_the_wrap() {
        let now = Ticks(u32::MAX - 10);
        let later = now.after(Ticks::from_secs(2_678_400));
        assert_eq!(later.left(now).secs(), 2_678_400);
        assert!(!later.is_due(now));
        assert!(now.is_due(later));
        assert_eq!(now.left(later), Ticks(0));
    }
}
