//! From worker to worker: each has one bounded ring, which all others fill.
//!
//! Frames come this way that another worker has received and this one owns, and those that are
//! ready to leave by a port of which the sender has no queue. A full ring frees the frame, which
//! the sender counts; nobody waits. A frame changes hands twice at most, to its owner and to the
//! worker that has the queue; a piece of a datagram once more before, to the worker that collects
//! its pieces until it is known whose they are. Where whoever receives a packet owns its connection
//! (`rxq`), an ICMP error goes once round until somebody knows what it is about.

use crate::fib::PortIndex;
use crate::port::BURST;
use crate::steering::WorkerIndex;
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Frames that wait in a worker's ring at most: 128 bursts.
pub const HANDOVER_RING_MAX: usize = 4096;

/// Frames that a worker takes from its ring in one turn at most, for each port: what one burst of
/// it may bring from others, and what may come back of one that it has given away.
pub const HANDOVER_PER_PORT: usize = 2 * BURST;

/// What is to become of a frame that changes hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// It came in by the port, and its connection belongs to the receiver.
    Decide,
    /// It is ready to leave by the port.
    Transmit,
    /// It came in by the port, is a piece of a datagram, and the receiver
    /// collects the pieces of that one.
    Gather,
    /// It came in by the port, is an ICMP error, and nobody can tell whose connection it is about:
    /// one worker after the other is asked, this one was the first.
    Seek(WorkerIndex),
    /// It is a piece of a datagram of Linux's, shall leave by the port, and its connection
    /// belongs to the receiver.
    Translate,
}

/// A frame that changes hands.
#[derive(Debug)]
pub struct Handed<B> {
    /// The frame.
    pub buf: B,
    /// The port that it came in by, or leaves by.
    pub port: PortIndex,
    /// Which of them.
    pub purpose: Purpose,
}

/// The rings of all workers, by their numbers.
#[derive(Debug)]
pub struct HandOver<B>(Arc<[ArrayQueue<Handed<B>>]>);

impl<B> Clone for HandOver<B> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<B> HandOver<B> {
    /// A ring for each worker.
    #[must_use]
    pub fn new(workers: u16) -> Self {
        // A lone worker needs none, and its ring is never looked at.
        let capacity = if workers > 1 { HANDOVER_RING_MAX } else { 1 };
        Self((0..workers).map(|_| ArrayQueue::new(capacity)).collect())
    }

    /// Gives a frame to a worker; false if its ring is full (or there is no such worker),
    /// and the frame was freed.
    #[inline]
    pub fn give(&self, to: WorkerIndex, frame: Handed<B>) -> bool {
        self.0
            .get(usize::from(to.0))
            .is_some_and(|ring| ring.push(frame).is_ok())
    }

    /// The oldest frame for a worker.
    #[inline]
    pub fn take(&self, worker: WorkerIndex) -> Option<Handed<B>> {
        self.0.get(usize::from(worker.0))?.pop()
    }

    /// Frames that wait for a worker.
    #[must_use]
    pub fn waiting(&self, worker: WorkerIndex) -> usize {
        self.0.get(usize::from(worker.0)).map_or(0, ArrayQueue::len)
    }
}
