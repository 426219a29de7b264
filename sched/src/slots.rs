//! How many slots the table of a service with the scheduler mh has.
//!
//! The kernel fixes the number when it is built (`CONFIG_IP_VS_MH_TAB_INDEX`, 8 to 17); here each
//! service has its own, and the kernel's default unless told otherwise. Not the table itself:
//! that is the scheduler's.

use core::fmt;
use core::num::NonZeroU32;
use serde::{Deserialize, Serialize};

/// A number of slots: a prime, so that every step through the table reaches all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct MhSlots(NonZeroU32);

/// The kernel's default: `CONFIG_IP_VS_MH_TAB_INDEX` = 12.
const DEFAULT: NonZeroU32 = NonZeroU32::MIN.saturating_add(4092);

/// A number of slots that no table can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotsError;

impl fmt::Display for SlotsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("slots are one of these primes: ")?;
        for (n, slots) in MhSlots::ALL.iter().enumerate() {
            let between = if n == 0 { "" } else { ", " };
            write!(f, "{between}{slots}")?;
        }
        Ok(())
    }
}

impl core::error::Error for SlotsError {}

impl MhSlots {
    /// The numbers there are: those that the kernel can be built with (`primes` in
    /// `ip_vs_mh.c`), and the one of the paper on Maglev, 65,537. A table has 4 bytes for each,
    /// so it costs 0.5 MB at most, and the control thread fills the greatest for a thousand
    /// servers in some milliseconds.
    pub const ALL: &[u32] = &[
        251, 509, 1021, 2039, 4093, 8191, 16_381, 32_749, 65_521, 65_537, 131_071,
    ];

    /// This number of slots.
    ///
    /// # Errors
    /// [`SlotsError`]: it is none of [`ALL`](Self::ALL).
    pub fn new(slots: u32) -> Result<Self, SlotsError> {
        let known = Self::ALL.contains(&slots);
        let slots = NonZeroU32::new(slots).filter(|_| known);
        slots.map(Self).ok_or(SlotsError)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }

    /// The number, by which anything may be divided.
    pub(crate) const fn divisor(self) -> NonZeroU32 {
        self.0
    }

    /// Bits of the greatest number of turns that a server has in a round of filling: half of those
    /// of the number (`IP_VS_MH_TAB_BITS`).
    pub(crate) const fn turn_bits(self) -> u32 {
        (u32::BITS - self.0.leading_zeros()) / 2
    }
}

impl Default for MhSlots {
    fn default() -> Self {
        Self(DEFAULT)
    }
}

impl TryFrom<u32> for MhSlots {
    type Error = SlotsError;

    fn try_from(slots: u32) -> Result<Self, SlotsError> {
        Self::new(slots)
    }
}

impl From<MhSlots> for u32 {
    fn from(slots: MhSlots) -> Self {
        slots.get()
    }
}

impl fmt::Display for MhSlots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_a_prime_and_the_kernels_is_the_default() {
        for slots in MhSlots::ALL {
            let divides = |n: &u32| slots % n == 0;
            assert!((2..=360).filter(|n| n * n <= *slots).all(|n| !divides(&n)));
            assert_eq!(MhSlots::new(*slots).map(MhSlots::get), Ok(*slots));
        }
        let default = MhSlots::default();
        assert_eq!((default.get(), default.turn_bits()), (4093, 6));
        assert_eq!(MhSlots::new(131_071).map(MhSlots::turn_bits), Ok(8));
    }

    #[test]
    fn any_other_number_is_refused_in_words() {
        for slots in [0, 1, 4092, 4096, 65_536, 65_539, 131_072, u32::MAX] {
            let told = MhSlots::new(slots).unwrap_err().to_string();
            assert!(told.contains("4093") && told.contains("65537"), "{told}");
        }
    }
}
