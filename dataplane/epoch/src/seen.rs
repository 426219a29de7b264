//! The seen word: how a reader tells the publisher which versions it may still refer to.
//!
//! It has one writer, its reader. It holds the version polled last, [`ARRIVING`] for the moment
//! in which a reader comes online, or [`OFFLINE`].

use crate::sync::{AtomicU64, Ordering, fence};

/// The reader refers to nothing, and comes online before it refers to anything.
const OFFLINE: u64 = u64::MAX;

/// The reader may refer to any version. Lower than every version: they count from 1.
const ARRIVING: u64 = 0;

/// Own pair of cache lines: adjacent lines are prefetched together on x86.
#[repr(align(128))]
pub(crate) struct Seen(AtomicU64);

impl Seen {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(OFFLINE))
    }

    /// The reader refers to no version below this one any more. Release: what it read of older
    /// versions comes before the publisher's free.
    pub(crate) fn advance(&self, version: u64) {
        self.0.store(version, Ordering::Release);
    }

    /// The reader refers to nothing.
    pub(crate) fn go_offline(&self) {
        self.0.store(OFFLINE, Ordering::Release);
    }

    /// The reader is about to load the newest value. The fence pairs with the one of
    /// [`settle`]: a publisher that misses this store has published a value that the reader's
    /// next load cannot miss.
    pub(crate) fn arrive(&self) {
        self.0.store(ARRIVING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The lowest version that the reader may refer to, `u64::MAX` if it refers to none.
    /// Acquire: pairs with the reader's release stores.
    pub(crate) fn floor(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// To be called by the publisher between publishing and reading seen words.
pub(crate) fn settle() {
    fence(Ordering::SeqCst);
}
