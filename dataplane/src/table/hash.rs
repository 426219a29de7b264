//! The table's own hash: keyed, and not linear, unlike Toeplitz, so that nobody who lacks the keys
//! can make up tuples that meet in one bucket.
//!
//! Each step multiplies two keyed words to 128 bits and folds the halves together.

use super::Tuple;
use pvs_proto::{Address, Family};

/// The secret of a table; random at every start.
#[derive(Clone, Copy, Debug)]
pub struct HashKeys([u64; 4]);

#[inline]
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    product as u64 ^ (product >> 64) as u64
}

impl HashKeys {
    /// Keys out of a seed that the caller chose: tests, and runs that shall repeat.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        // Weyl steps, each mixed to full width: a small seed must not make small keys.
        Self([1, 2, 3, 4].map(|n: u64| {
            let step = seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            fold(
                step ^ 0xa076_1d64_78bd_642f,
                step.rotate_left(32) ^ 0xe703_7ed1_a0b4_28db,
            )
        }))
    }

    /// Keys that nobody knows, from the standard library's random state.
    #[must_use]
    pub fn random() -> Self {
        use std::hash::{BuildHasher, RandomState};
        Self([1, 2, 3, 4].map(|n: u64| RandomState::new().hash_one(n)))
    }

    /// Adds bytes to a hash.
    pub(crate) fn hash_bytes(&self, hash: u64, bytes: &[u8]) -> u64 {
        let [k0, k1, ..] = self.0;
        bytes.chunks(8).fold(hash, |hash, chunk| {
            let word = chunk.iter().fold(chunk.len() as u64, |word, byte| {
                word << 8 | u64::from(*byte)
            });
            fold(hash ^ k0, word ^ k1)
        })
    }

    /// The hash of a tuple.
    #[inline]
    #[must_use]
    pub fn hash<F: Family>(&self, tuple: &Tuple<F>) -> u64 {
        let [k0, k1, k2, k3] = self.0;
        let ports = u64::from(tuple.protocol.0) << 32
            | u64::from(tuple.src.port) << 16
            | u64::from(tuple.dst.port);
        let (src, dst) = (tuple.src.addr.bits(), tuple.dst.addr.bits());
        if F::IS_V4 {
            let addresses = (src as u64) << 32 | dst as u64;
            return fold(fold(addresses ^ k0, ports ^ k1) ^ k2, k3 | 1);
        }
        let first = fold(src as u64 ^ k0, dst as u64 ^ k1);
        let second = fold((src >> 64) as u64 ^ k2, (dst >> 64) as u64 ^ k3);
        fold(first.rotate_left(32) ^ second ^ k1, ports ^ k0)
    }
}
