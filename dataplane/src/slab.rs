//! Memory of the tables: one mapping, taken at start, never moved; and the two machine instructions
//! that the tables want by name, prefetch and the SIMD comparison.
//!
//! With [`Backing::Huge`] the mapping is a memfd on hugetlbfs pages; where these can't be had it
//! falls back to ordinary pages and says so in [`Slab::backing`]. The file begins with a header
//! that names its layout, so that a later process can adopt it.
#![allow(unsafe_code)]

use core::ffi::c_void;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use zerocopy::{FromZeros, IntoBytes};

/// Says that a mapping is a table of pvs.
const MAGIC: u64 = u64::from_be_bytes(*b"pvs-slab");

/// Counts up with every change of an element's layout.
const LAYOUT: u32 = 1;

/// Bytes before the first element: a page.
const HEADER_LEN: usize = 4096;

/// Bytes of a huge page.
const HUGE_LEN: usize = 2 << 20;

/// What memory a slab shall be of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backing {
    /// Huge pages of 2 MiB, or ordinary ones if there are not enough.
    Huge,
    /// Ordinary pages.
    Ordinary,
}

/// The memory can't be had.
#[derive(Debug, thiserror::Error)]
#[error("no memory for a table of {bytes} bytes: {source}; make the tables smaller")]
pub struct SlabError {
    bytes: usize,
    source: io::Error,
}

#[derive(IntoBytes, zerocopy::Immutable)]
#[repr(C)]
struct Header {
    magic: u64,
    layout: u32,
    element_len: u32,
    elements: u64,
}

/// Elements in one mapping, zeroed at first.
#[derive(Debug)]
pub struct Slab<T> {
    base: NonNull<T>,
    len: usize,
    mapped: usize,
    /// Kept open: what a later process would adopt.
    _file: OwnedFd,
    backing: Backing,
}

// SAFETY: a Slab owns its mapping alone, as a Box<[T]> does.
unsafe impl<T: Send> Send for Slab<T> {}
// SAFETY: shared access to a Slab is shared access to its elements.
unsafe impl<T: Sync> Sync for Slab<T> {}

impl<T: FromZeros + Copy> Slab<T> {
    /// `len` zeroed elements.
    ///
    /// # Errors
    /// If neither kind of page can be had.
    pub fn new(len: usize, backing: Backing) -> Result<Self, SlabError> {
        const { assert!(align_of::<T>() <= HEADER_LEN) };
        let bytes = len
            .saturating_mul(size_of::<T>())
            .saturating_add(HEADER_LEN);
        let huge = match backing {
            Backing::Huge => map(bytes.next_multiple_of(HUGE_LEN), libc::MFD_HUGETLB).ok(),
            Backing::Ordinary => None,
        };
        let (backing, mapped, (start, file)) = match huge {
            Some(mapping) => (Backing::Huge, bytes.next_multiple_of(HUGE_LEN), mapping),
            None => {
                let mapping = map(bytes, 0).map_err(|source| SlabError { bytes, source })?;
                (Backing::Ordinary, bytes, mapping)
            }
        };
        let header = Header {
            magic: MAGIC,
            layout: LAYOUT,
            element_len: u32::try_from(size_of::<T>()).unwrap_or(u32::MAX),
            elements: len as u64,
        };
        let header = header.as_bytes();
        // SAFETY: the mapping is at least HEADER_LEN bytes, writable, and nobody else's.
        unsafe {
            core::ptr::copy_nonoverlapping(header.as_ptr(), start.as_ptr().cast(), header.len())
        };
        // SAFETY: HEADER_LEN lies within the mapping.
        let base = unsafe { start.byte_add(HEADER_LEN) }.cast();
        Ok(Self {
            base,
            len,
            mapped,
            _file: file,
            backing,
        })
    }

    /// Bytes of the mapping for `len` elements, in whole huge pages.
    #[must_use]
    pub fn bytes(len: usize) -> usize {
        let bytes = len
            .saturating_mul(size_of::<T>())
            .saturating_add(HEADER_LEN);
        bytes.checked_next_multiple_of(HUGE_LEN).unwrap_or(bytes)
    }

    /// What the memory really is of.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.backing
    }
}

fn map(bytes: usize, flags: u32) -> io::Result<(NonNull<c_void>, OwnedFd)> {
    // SAFETY: the name is a C string; the call touches no memory of ours.
    let fd = unsafe { libc::memfd_create(c"pvs-table".as_ptr(), libc::MFD_CLOEXEC | flags) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { OwnedFd::from_raw_fd(fd) };
    let size = libc::off_t::try_from(bytes).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // SAFETY: a plain call on a descriptor that we own.
    if unsafe { libc::ftruncate(file.as_raw_fd(), size) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let how = libc::MAP_SHARED | libc::MAP_POPULATE;
    // SAFETY: a new mapping at an address of the kernel's choice.
    let start = unsafe {
        libc::mmap(
            core::ptr::null_mut(),
            bytes,
            protection,
            how,
            file.as_raw_fd(),
            0,
        )
    };
    match NonNull::new(start) {
        Some(start) if start.as_ptr() != libc::MAP_FAILED => Ok((start, file)),
        _ => Err(io::Error::last_os_error()),
    }
}

impl<T> Deref for Slab<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping holds `len` elements behind its header; zeros are a valid T
        // (FromZeros, in `new`), and so is whatever was written since.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl<T> DerefMut for Slab<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and the borrow is exclusive.
        unsafe { core::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}

impl<T> Drop for Slab<T> {
    fn drop(&mut self) {
        // SAFETY: the header lies right before the first element, in the same mapping.
        let start = unsafe { self.base.byte_sub(HEADER_LEN) };
        // SAFETY: the mapping that `map` made, whole, and never used again. A
        // failure leaves it mapped.
        let _ = unsafe { libc::munmap(start.as_ptr().cast(), self.mapped) };
    }
}

/// Brings a cache line near. Never faults, whatever it points at.
#[inline]
pub fn prefetch<T>(at: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a prefetch has no effect but on the cache.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(at).cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = at;
}

/// Which of the first sixteen 16-bit lanes of a cache line equal `wanted`: a bit each.
#[inline]
pub fn equal_lanes<T: IntoBytes + zerocopy::Immutable>(line: &T, wanted: u16) -> u32 {
    const { assert!(size_of::<T>() >= 32 && align_of::<T>() >= 16) };
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{
            __m128i, _mm_cmpeq_epi16, _mm_load_si128, _mm_movemask_epi8, _mm_packs_epi16,
            _mm_set1_epi16,
        };
        let at: *const __m128i = core::ptr::from_ref(line).cast();
        // SAFETY: T has at least 32 bytes, aligned to 16 (checked above), all of them initialised
        // (IntoBytes: T has no padding).
        let low = unsafe { _mm_load_si128(at) };
        // SAFETY: the second half of the same 32 bytes.
        let next = unsafe { at.add(1) };
        // SAFETY: as for `low`.
        let high = unsafe { _mm_load_si128(next) };
        #[allow(clippy::multiple_unsafe_ops_per_block)] // one precondition for all four
        // SAFETY: SSE2 is part of x86-64.
        unsafe {
            let wanted = _mm_set1_epi16(wanted as i16);
            let equal =
                _mm_packs_epi16(_mm_cmpeq_epi16(low, wanted), _mm_cmpeq_epi16(high, wanted));
            _mm_movemask_epi8(equal) as u32
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let at: *const [u16; 16] = core::ptr::from_ref(line).cast();
        // SAFETY: T has at least 32 bytes, aligned to 16, all of them initialised.
        let lanes = unsafe { &*at };
        lanes
            .iter()
            .enumerate()
            .map(|(i, lane)| u32::from(*lane == wanted) << i)
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slab_is_zeroed_and_keeps_what_is_written() {
        for backing in [Backing::Ordinary, Backing::Huge] {
            let mut slab = Slab::<u64>::new(1000, backing).unwrap();
            assert!(slab.iter().all(|n| *n == 0));
            slab[999] = 7;
            assert_eq!((slab.len(), slab[999]), (1000, 7));
        }
    }

    #[test]
    fn lanes_are_compared_all_at_once() {
        #[derive(IntoBytes, zerocopy::Immutable)]
        #[repr(C, align(64))]
        struct Line([u16; 32]);
        let mut lanes = [9; 32];
        for at in [0, 7, 8, 15, 16] {
            lanes[at] = 0xffff;
        }
        assert_eq!(
            equal_lanes(&Line(lanes), 0xffff),
            1 | 1 << 7 | 1 << 8 | 1 << 15
        );
        assert_eq!(equal_lanes(&Line(lanes), 5), 0);
    }
}
