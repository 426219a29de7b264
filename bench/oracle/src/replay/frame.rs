//! Recorded frames: what they are made of, and which of their bytes may be compared.

use super::ledger::Ledger;
use super::masks::Mask;
use pvs_proto::Protocol;
use pvs_proto::checksum::Sum;
use pvs_proto::wire::{ethernet, ipv4};
use zerocopy::{FromBytes, IntoBytes};

/// The bytes of a text of hexadecimal digits; `None` if it is none.
pub(super) fn bytes(hex: &str) -> Option<Vec<u8>> {
    let digits = hex.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// The IPv4 header of a frame, and what is behind it.
fn header(frame: &[u8]) -> Option<(&ipv4::Header, &[u8])> {
    let (link, packet) = ethernet::Header::ref_from_prefix(frame).ok()?;
    (link.ethertype.get() == ethernet::IPV4).then_some(())?;
    ipv4::Header::ref_from_prefix(packet).ok()
}

/// A recorded frame with the bytes that are not the same at each start.
pub(super) struct Bytes {
    recorded: Vec<u8>,
    masked: Option<(Mask, &'static [usize])>,
}

impl Bytes {
    /// As `data/packets/README.md` has it: the identification of what the director makes without DF (an
    /// error, an outer header), and with it the header's checksum; the flow label of its ICMPv6 errors.
    pub(super) fn of(recorded: Vec<u8>, is_error: bool) -> Self {
        const ID_AND_CHECKSUM: (Mask, &[usize]) = (Mask::Identification, &[18, 19, 24, 25]);
        const FLOW_LABEL: (Mask, &[usize]) = (Mask::FlowLabel, &[15, 16, 17]);
        let masked = match header(&recorded) {
            Some((ip, _)) => {
                let outer = matches!(ip.next(), Protocol::IPIP | Protocol::IPV6);
                let cuttable = ip.fragment.get() & ipv4::DONT_FRAGMENT == 0;
                (is_error || (outer && cuttable)).then_some(ID_AND_CHECKSUM)
            }
            None => is_error.then_some(FLOW_LABEL),
        };
        Self { recorded, masked }
    }

    /// Compares a frame that should be this one.
    pub(super) fn compare(&self, ledger: &mut Ledger, field: String, here: &[u8]) {
        if let Some((mask, _)) = self.masked {
            ledger.mask(mask);
        }
        // Two digits a byte.
        let digits = self.masked_bytes().iter().map(|at| 2 * at..2 * at + 2);
        ledger.note_masked(field, digits.collect(), self.wrong(here));
    }

    fn masked_bytes(&self) -> &'static [usize] {
        self.masked.map_or(&[], |(_, bytes)| bytes)
    }

    /// What is wrong about a frame that should be this one.
    fn wrong(&self, here: &[u8]) -> Option<String> {
        if here.len() != self.recorded.len() {
            let recorded = self.recorded.len();
            return Some(format!("recorded {recorded} bytes, here {}", here.len()));
        }
        if self.masked.is_some()
            && header(here).is_some_and(|(ip, _)| Sum::of(ip.as_bytes()).finish() != 0)
        {
            return Some("the checksum of the IPv4 header is wrong".to_owned());
        }
        let pairs = self.recorded.iter().zip(here).enumerate();
        let wrong: Vec<String> = pairs
            .filter(|(at, (recorded, here))| recorded != here && !self.masked_bytes().contains(at))
            .map(|(at, (recorded, here))| format!("{at}: {recorded:02x} {here:02x}"))
            .collect();
        (!wrong.is_empty()).then(|| format!("byte, recorded, here: {}", wrong.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{from_client, udp};
    use crate::scenario::at;

    #[test]
    fn every_byte_is_compared_but_those_under_the_mask() {
        let frame = from_client(&udp(at("10.9.0.1:4001"), at("10.0.0.100:53"), b"query"));
        for is_error in [false, true] {
            let recorded = Bytes::of(frame.clone(), is_error);
            assert_eq!(recorded.wrong(&frame), None);
            for at in 0..frame.len() {
                let mut here = frame.clone();
                here[at] ^= 1;
                // Under the mask a header with a wrong checksum is told all the same.
                assert!(recorded.wrong(&here).is_some(), "byte {at}");
            }
            let mut here = frame.clone();
            here[18..20].copy_from_slice(&[0x12, 0x34]);
            here[24..26].fill(0);
            let sum = Sum::of(&here[14..34]).finish().to_be_bytes();
            here[24..26].copy_from_slice(&sum);
            assert_eq!(recorded.wrong(&here).is_none(), is_error);
            assert!(recorded.wrong(&frame[1..]).is_some());
        }
    }
}
