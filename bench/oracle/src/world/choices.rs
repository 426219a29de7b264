//! Rows of choices.

/// Decides what happens next.
pub trait Choices {
    /// A number below `n`; 0 if there is none.
    fn below(&mut self, n: usize) -> usize;
    /// Nothing more is to happen.
    fn is_over(&self) -> bool;
}

/// Choices of a seed (Steele, Lea and Flood's SplitMix64).
pub struct Seeded {
    state: u64,
    left: usize,
}

impl Seeded {
    /// So many choices of this seed; those behind them are made too.
    #[must_use]
    pub const fn new(seed: u64, count: usize) -> Self {
        Self {
            state: seed,
            left: count,
        }
    }
}

impl Choices for Seeded {
    fn below(&mut self, n: usize) -> usize {
        self.left = self.left.saturating_sub(1);
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }

    fn is_over(&self) -> bool {
        self.left == 0
    }
}

/// Choices of a fuzzer: a byte each, and 0 behind the last.
pub struct Bytes<'a>(pub &'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, n: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first) % n.max(1)
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
