//! Elements that share no cache line with anything else, whatever the allocator puts beside them.
//!
//! A worker's arrays are written by it alone, and lie in the same heap as other workers'. Were the
//! last elements of one and the first of another in one line, two cores would take it from each
//! other with every store. So each array has a margin, which is never touched.

use core::ops::{Deref, DerefMut};

/// Bytes that a core may take from another at a time: x86 fetches lines of 64 bytes in pairs.
pub(crate) const LINES: usize = 128;

/// A fixed number of elements, with a margin on either side.
#[derive(Debug)]
pub(crate) struct Apart<T>(Box<[T]>);

impl<T: Clone> Apart<T> {
    const MARGIN: usize = LINES.div_ceil(size_of::<T>());

    /// `len` elements.
    pub(crate) fn new(first: T, len: usize) -> Self {
        let margins = 2 * Self::MARGIN;
        Self(vec![first; len.saturating_add(margins)].into_boxed_slice())
    }
}

impl<T: Clone> Deref for Apart<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        let end = self.0.len().saturating_sub(Self::MARGIN);
        self.0.get(Self::MARGIN..end).unwrap_or_default()
    }
}

impl<T: Clone> DerefMut for Apart<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        let end = self.0.len().saturating_sub(Self::MARGIN);
        self.0.get_mut(Self::MARGIN..end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_elements_are_all_there_and_nothing_lies_beside_them() {
        let mut apart = Apart::new([0u32; 3], 5);
        assert_eq!(apart.len(), 5);
        apart[4] = [7; 3];
        assert_eq!((apart[0], apart[4]), ([0; 3], [7; 3]));
        let (whole, mine) = (apart.0.as_ptr_range(), apart.as_ptr_range());
        assert!(mine.start.addr() - whole.start.addr() >= LINES);
        assert!(whole.end.addr() - mine.end.addr() >= LINES);
        assert!(Apart::new(0u8, 0).is_empty());
    }
}
