//! Words that one worker writes and others may read.

use crate::sync::AtomicU64;
use core::ops::{Deref, Range};

/// Words before and behind, which are never touched: x86 fetches lines in pairs of 128 bytes, and
/// what lies beside these on the heap may be another worker's.
const MARGIN: usize = 16;

/// A row of words, 0 at first, on cache lines of its own.
#[derive(Debug)]
pub(crate) struct Words(Box<[AtomicU64]>);

impl Words {
    /// This many.
    pub(crate) fn new(count: usize) -> Self {
        let all = count.saturating_add(2 * MARGIN);
        Self((0..all).map(|_| AtomicU64::new(0)).collect())
    }

    /// Where in memory they are.
    pub(crate) fn place(&self) -> Range<usize> {
        let words = self.as_ptr_range();
        words.start.addr()..words.end.addr()
    }
}

impl Deref for Words {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        let end = self.0.len().saturating_sub(MARGIN);
        self.0.get(MARGIN..end).unwrap_or_default()
    }
}
