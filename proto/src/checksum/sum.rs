//! The one's complement sum of 16-bit words (RFC 1071), eight bytes at a time.
//!
//! Words are added in the machine's own byte order and swapped once at the end: the sum does not
//! care (RFC 1071 section 2 (B)).

/// A sum that is still being added to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum(u64);

impl Sum {
    /// Nothing added yet.
    pub const ZERO: Self = Self(0);

    /// The sum of a run of bytes; an odd last byte is padded with zero.
    #[must_use]
    #[inline]
    pub fn of(bytes: &[u8]) -> Self {
        let mut chunks = bytes.chunks_exact(8);
        let mut total = 0u64;
        for chunk in &mut chunks {
            // Two halves of 32 bits leave room for 2^31 chunks.
            let word = u64::from_ne_bytes(chunk.try_into().unwrap_or_default());
            total = total.wrapping_add((word >> 32) + (word & 0xffff_ffff));
        }
        let mut rest = chunks.remainder();
        if let Some((word, behind)) = rest.split_first_chunk::<4>() {
            total = total.wrapping_add(u32::from_ne_bytes(*word).into());
            rest = behind;
        }
        if let Some((word, behind)) = rest.split_first_chunk::<2>() {
            total = total.wrapping_add(u16::from_ne_bytes(*word).into());
            rest = behind;
        }
        if let [last] = rest {
            total = total.wrapping_add(u16::from_ne_bytes([*last, 0]).into());
        }
        Self(u16::from_be(fold(total)).into())
    }

    /// Adds another sum. If the bytes follow each other, the first run must have an even length.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    /// Adds a 16-bit word.
    #[must_use]
    pub const fn word(self, word: u16) -> Self {
        Self(self.0.wrapping_add(word as u64))
    }

    /// Adds a 32-bit word, which is the sum of its halves.
    #[must_use]
    pub const fn long(self, long: u32) -> Self {
        Self(self.0.wrapping_add(long as u64))
    }

    /// The sum in 16 bits: what a device wants to find in the checksum field.
    #[must_use]
    pub const fn folded(self) -> u16 {
        fold(self.0)
    }

    /// The checksum: the complement of the folded sum.
    #[must_use]
    pub const fn finish(self) -> u16 {
        !self.folded()
    }
}

/// Folds carries until 16 bits remain. Zero comes out only if zero goes in.
pub(super) const fn fold(sum: u64) -> u16 {
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::of(&bytes).folded(), 0xddf2);
    }

    #[test]
    fn pads_an_odd_byte_with_zero() {
        assert_eq!(Sum::of(&[0x12, 0x34, 0x56]).folded(), 0x1234 + 0x5600);
        assert_eq!(Sum::of(&[]).finish(), 0xffff);
    }

    #[test]
    fn folds_the_largest_sum() {
        assert_eq!(fold(u64::MAX), 0xffff);
        assert_eq!(fold(0), 0);
        assert_eq!(fold(0x1_ffff), 1);
        assert_eq!(Sum::of(&[0xff; 9001]).folded(), 0xff00);
    }

    #[test]
    fn agrees_with_a_naive_sum_at_every_length() {
        let bytes: Vec<u8> = (0..200u32).map(|i| (i * 167 % 251) as u8).collect();
        for end in 0..bytes.len() {
            let mut naive = 0u32;
            for pair in bytes[..end].chunks(2) {
                let low = pair.get(1).copied().unwrap_or(0);
                naive += u32::from(u16::from_be_bytes([pair[0], low]));
                naive = (naive >> 16) + (naive & 0xffff);
            }
            assert_eq!(
                u32::from(Sum::of(&bytes[..end]).folded()),
                naive,
                "{end} bytes"
            );
        }
    }
}
