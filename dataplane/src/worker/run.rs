//! The loop around [`Worker::poll`]: the only place of the dataplane that reads a clock or sleeps.

use super::Worker;
use crate::port::Port;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

/// Where the time comes from.
pub trait Clock {
    /// Nanoseconds of a clock that never goes back.
    fn nanos(&self) -> u64;
}

/// Linux's coarse monotonic clock: as fine as the kernel's tick, which is fine enough for
/// connections, and read without a system call or the time-stamp counter.
#[derive(Clone, Copy, Debug, Default)]
pub struct MonotonicClock;

impl Clock for MonotonicClock {
    #[inline]
    fn nanos(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
        (now.tv_sec as u64)
            .wrapping_mul(1_000_000_000)
            .wrapping_add(now.tv_nsec as u64)
    }
}

/// What a worker does when nothing comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Poll on: the lowest latency, a whole core.
    Poll,
    /// After `after` empty turns sleep for `nap`, offline for the epoch, until something comes.
    Nap {
        /// Empty turns in a row before the first nap.
        after: u32,
        /// How long a nap is.
        nap: Duration,
    },
}

/// Polls until `stop` is set.
pub fn run<P: Port>(worker: &mut Worker<P>, clock: &impl Clock, idle: Idle, stop: &AtomicBool) {
    let mut empty = 0u32;
    while !stop.load(Ordering::Relaxed) {
        if worker.poll(clock.nanos()) > 0 {
            empty = 0;
            continue;
        }
        if let Idle::Nap { after, nap } = idle {
            empty = empty.saturating_add(1);
            if empty >= after {
                worker.offline();
                std::thread::sleep(nap);
            }
        }
    }
    worker.offline();
}
