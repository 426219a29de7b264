//! The time-stamp counter, and how fast it goes.
#![allow(unsafe_code)]

use std::time::Instant;

/// Cycles of the time-stamp counter since some moment.
#[must_use]
pub fn now() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 has the instruction; it reads a register.
        unsafe { core::arch::x86_64::_rdtsc() }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        0
    }
}

/// The same, once all that comes before has been done: for what is so short that it would
/// overlap with the reading.
#[must_use]
pub fn when_done() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        let mut processor = 0;
        // SAFETY: it reads registers, as above, and all x86-64 of the last fifteen years have it.
        unsafe { core::arch::x86_64::__rdtscp(&mut processor) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        now()
    }
}

/// Relates the counter to nanoseconds over the life of this value.
#[derive(Debug)]
pub struct Calibration {
    wall: Instant,
    cycles: u64,
}

impl Calibration {
    /// Begins.
    #[must_use]
    pub fn start() -> Self {
        Self {
            wall: Instant::now(),
            cycles: now(),
        }
    }

    /// Cycles in a nanosecond, from the start until now.
    #[must_use]
    pub fn cycles_per_nano(&self) -> f64 {
        let nanos = self.wall.elapsed().as_nanos() as f64;
        now().wrapping_sub(self.cycles) as f64 / nanos.max(1.0)
    }
}
