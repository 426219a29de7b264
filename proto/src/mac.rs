//! Ethernet hardware addresses: their bytes as they are on the wire, and as text.

use core::fmt;
use core::str::FromStr;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// An Ethernet hardware address, in wire order.
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    FromBytes,
    IntoBytes,
    Immutable,
    KnownLayout,
    Unaligned,
)]
#[repr(transparent)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// ff:ff:ff:ff:ff:ff.
    pub const BROADCAST: Self = Self([0xff; 6]);

    /// The group bit: multicast, or broadcast.
    #[must_use]
    pub const fn is_multicast(self) -> bool {
        self.0[0] & 1 == 1
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for MacAddr {
    type Err = MacParseError;
    fn from_str(text: &str) -> Result<Self, MacParseError> {
        let mut bytes = [0u8; 6];
        let mut parts = text.split(':');
        for byte in &mut bytes {
            let part = parts.next().ok_or(MacParseError)?;
            // `from_str_radix` would take a sign.
            if !part.starts_with(|c: char| c.is_ascii_hexdigit()) || part.len() > 2 {
                return Err(MacParseError);
            }
            *byte = u8::from_str_radix(part, 16).map_err(|_| MacParseError)?;
        }
        if parts.next().is_some() {
            Err(MacParseError)
        } else {
            Ok(Self(bytes))
        }
    }
}

/// A text that is no hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a hardware address: six hexadecimal bytes with colons between them are expected")]
pub struct MacParseError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_in_text() {
        let mac: MacAddr = "02:00:00:00:00:c1".parse().unwrap();
        assert_eq!(mac.to_string(), "02:00:00:00:00:c1");
        for bad in [
            "",
            "02:00:00:00:00",
            "02:00:00:00:00:c1:00",
            "02:00:00:00:00:xx",
            "02:00:00:00:00:",
            "02:00:00:00:00:001",
            "02:00:00:00:00:+1",
            "2:0:0:0:0:é",
        ] {
            assert_eq!(bad.parse::<MacAddr>(), Err(MacParseError), "{bad}");
        }
    }
}
