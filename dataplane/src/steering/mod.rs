//! Which worker a connection belongs to.
//!
//! A connection has one worker, which alone writes its entry. The owner follows from the
//! client's endpoint (address and port), which a request has as its source and a
//! translated reply as its destination, so both directions meet the same worker. How
//! packets get there is one of three modes:
//!
//! - [`Mode::Nic`]: the NIC hashes the client's endpoint and chooses the queue. The same
//!   hash is computed here for packets without a connection; one that the NIC brought to
//!   another worker is handed over.
//! - [`Mode::Rxq`]: the worker of the queue owns what arrives on it. Both directions meet only if
//!   replies do not pass the director, so there is no masquerading.
//! - [`Mode::Ring`]: a hash of our own; whoever receives a packet hands it over to its owner.

mod toeplitz;

pub use toeplitz::Toeplitz;

use pvs_proto::{Address, Endpoint, Family, Meta};
use std::sync::Arc;

/// A worker's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct WorkerIndex(pub u16);

/// How packets get to the worker that owns their connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mode {
    /// There is one worker.
    Alone,
    /// The NIC brings them.
    Nic,
    /// They are owned where they arrive.
    Rxq,
    /// They are handed over.
    Ring,
}

impl Mode {
    /// The mode's name, as operators write and see it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Alone => "alone",
            Self::Nic => "nic",
            Self::Rxq => "rxq",
            Self::Ring => "ring",
        }
    }
}

/// How the owner of a client's connections is found.
#[derive(Clone, Debug)]
enum Spread {
    Alone,
    Rxq,
    Ring,
    Nic(Arc<Toeplitz>),
}

/// Who owns what: the same value for every worker, and for whoever hands frames to them.
#[derive(Clone, Debug)]
pub struct Steering {
    workers: u16,
    spread: Spread,
}

impl Steering {
    /// One worker, which owns everything.
    pub const ALONE: Self = Self {
        workers: 1,
        spread: Spread::Alone,
    };

    /// Ownership by a hash of our own.
    #[must_use]
    pub fn ring(workers: u16) -> Self {
        Self::among(workers, Spread::Ring)
    }

    /// Ownership by arrival.
    #[must_use]
    pub fn rxq(workers: u16) -> Self {
        Self::among(workers, Spread::Rxq)
    }

    /// Ownership by the NIC's hash; queue `n` is that of worker `n`.
    #[must_use]
    pub fn nic(workers: u16, hash: Toeplitz) -> Self {
        Self::among(workers, Spread::Nic(Arc::new(hash)))
    }

    fn among(workers: u16, spread: Spread) -> Self {
        match workers {
            0 | 1 => Self::ALONE,
            _ => Self { workers, spread },
        }
    }

    /// The mode.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self.spread {
            Spread::Alone => Mode::Alone,
            Spread::Rxq => Mode::Rxq,
            Spread::Ring => Mode::Ring,
            Spread::Nic(_) => Mode::Nic,
        }
    }

    /// How many workers there are.
    #[must_use]
    pub const fn workers(&self) -> u16 {
        self.workers
    }

    /// The owner of a client's connections; `None` if it is whoever receives them.
    #[inline]
    pub fn owner<A: Address>(&self, client: Endpoint<A>) -> Option<WorkerIndex> {
        match &self.spread {
            Spread::Alone | Spread::Rxq => None,
            Spread::Ring => Some(WorkerIndex(ring_owner(client, self.workers))),
            Spread::Nic(hash) => Some(hash.owner(client)).filter(|owner| owner.0 < self.workers),
        }
    }

    /// The worker that collects the pieces of a datagram, which is named by its source, destination
    /// and identification; `None` if it is whoever receives them.
    pub fn collector<A: Address>(&self, src: A, dst: A, id: u32) -> Option<WorkerIndex> {
        if matches!(self.spread, Spread::Alone | Spread::Rxq) {
            return None;
        }
        let word = src.fold().rotate_left(17) ^ dst.fold() ^ u64::from(id) << 32;
        Some(WorkerIndex(share(word, self.workers)))
    }

    /// The owner of a packet's connection; `None` if it is whoever receives it. A packet to a local
    /// address is a request: its client is the source.
    #[inline]
    pub fn owner_of<F: Family>(
        &self,
        meta: &Meta<F>,
        is_local: impl FnOnce(F::Addr) -> bool,
    ) -> Option<WorkerIndex> {
        if matches!(self.spread, Spread::Alone | Spread::Rxq) {
            return None;
        }
        self.owner(if is_local(meta.dst.addr) {
            meta.src
        } else {
            meta.dst
        })
    }
}

/// A multiplicative hash, scaled to the number of workers. It is no secret: whoever chooses his own
/// ports to meet one worker loads that one alone, which a NIC's hash does not prevent either.
#[inline]
fn ring_owner<A: Address>(client: Endpoint<A>, workers: u16) -> u16 {
    share(client.addr.fold() ^ (u64::from(client.port) << 32), workers)
}

#[inline]
fn share(word: u64, workers: u16) -> u16 {
    let mixed = word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (mixed.wrapping_mul(workers.into()) >> 32) as u16
}

#[cfg(test)]
mod tests;
