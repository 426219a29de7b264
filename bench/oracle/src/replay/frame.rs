//! Recorded frames: what they are made of, and which of their bytes may be compared.

use super::ledger::Ledger;
use super::masks::Mask;
use super::packets::Seen;
use super::tunnel::{self, Ports};
use pvs_proto::Protocol;
use pvs_proto::checksum::Sum;
use pvs_proto::wire::{ethernet, ipv4, ipv6};
use zerocopy::FromBytes;

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
    masked: Vec<(Mask, &'static [usize])>,
    is_tunnel: bool,
}

impl Bytes {
    pub(super) fn of(mut recorded: Vec<u8>, seen: &Seen) -> Self {
        const ID_AND_CHECKSUM: (Mask, &[usize]) = (Mask::Identification, &[18, 19, 24, 25]);
        const NEXT_HEADER: usize = 20;
        const FRAGMENT_ID: (Mask, &[usize]) = (Mask::FragmentIdentification, &[58, 59, 60, 61]);
        const FLOW_LABEL: (Mask, &[usize]) = (Mask::FlowLabel, &[15, 16, 17]);
        const TIMES: (Mask, &[usize]) = (Mask::Times, &[36, 37, 46, 47, 48, 49, 50, 51, 52, 53]);
        const TIMESTAMP_REPLY: u8 = 14;
        let (mut masked, is_tunnel) = (Vec::new(), seen.is_tunnel());
        if is_tunnel && tunnel::finish(&mut recorded) {
            masked.push((Mask::Unfinished, &[][..]));
        }
        match header(&recorded) {
            Some((ip, behind)) => {
                let is_icmp = ip.next() == Protocol::ICMP;
                let is_outer = is_tunnel || matches!(ip.next(), Protocol::IPIP | Protocol::IPV6);
                let can_be_cut = ip.fragment.get() & ipv4::DONT_FRAGMENT == 0;
                if seen.is_error() || (can_be_cut && (is_outer || (is_icmp && seen.is_stacks()))) {
                    masked.push(ID_AND_CHECKSUM);
                }
                if is_icmp && seen.is_stacks() && behind.first() == Some(&TIMESTAMP_REPLY) {
                    masked.push(TIMES);
                }
            }
            None if seen.is_error() => masked.push(FLOW_LABEL),
            None if recorded.get(NEXT_HEADER) == Some(&ipv6::FRAGMENT) => masked.push(FRAGMENT_ID),
            None => {}
        }
        Self {
            recorded,
            masked,
            is_tunnel,
        }
    }

    /// Compares a frame that should be this one.
    pub(super) fn compare(
        mut self,
        ledger: &mut Ledger,
        ports: &mut Ports,
        field: String,
        here: &[u8],
    ) {
        let (mut wrong, mut digits) = (None, Vec::new());
        if self.is_tunnel
            && let Some((port, said)) = tunnel::follow_port(&mut self.recorded, here, ports)
        {
            ledger.mask(Mask::GueSourcePort);
            digits.push(2 * port.start..2 * port.end);
            wrong = said;
        }
        for (mask, _) in &self.masked {
            ledger.mask(*mask);
        }
        // Two digits a byte.
        let masked = self.masked.iter().flat_map(|(_, bytes)| *bytes);
        digits.extend(masked.map(|at| 2 * at..2 * at + 2));
        ledger.note_masked(field, digits, wrong.or_else(|| self.wrong(here)));
    }

    fn is_masked(&self, at: usize) -> bool {
        self.masked.iter().any(|(_, bytes)| bytes.contains(&at))
    }

    /// What is wrong about a frame that should be this one.
    fn wrong(&self, here: &[u8]) -> Option<String> {
        if here.len() != self.recorded.len() {
            let recorded = self.recorded.len();
            return Some(format!("recorded {recorded} bytes, here {}", here.len()));
        }
        if !self.masked.is_empty()
            && header(here).is_some_and(|(ip, _)| Sum::of(with_options(here, ip)).finish() != 0)
        {
            return Some("the checksum of the IPv4 header is wrong".to_owned());
        }
        let pairs = self.recorded.iter().zip(here).enumerate();
        let wrong: Vec<String> = pairs
            .filter(|(at, (recorded, here))| recorded != here && !self.is_masked(*at))
            .map(|(at, (recorded, here))| format!("{at}: {recorded:02x} {here:02x}"))
            .collect();
        (!wrong.is_empty()).then(|| format!("byte, recorded, here: {}", wrong.join(", ")))
    }
}

/// The header of a frame's IPv4 packet with its options.
fn with_options<'a>(frame: &'a [u8], ip: &ipv4::Header) -> &'a [u8] {
    let end = ethernet::Header::LEN + ip.header_len();
    frame.get(ethernet::Header::LEN..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{from_client, udp};
    use crate::scenario::at;

    #[test]
    fn every_byte_is_compared_but_those_under_the_mask() {
        let frame = from_client(&udp(at("10.9.0.1:4001"), at("10.0.0.100:53"), b"query"));
        for masked in [vec![], vec![(Mask::Identification, &[18, 19, 24, 25][..])]] {
            let is_masked = !masked.is_empty();
            let recorded = Bytes {
                recorded: frame.clone(),
                masked,
                is_tunnel: false,
            };
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
            assert_eq!(recorded.wrong(&here).is_none(), is_masked);
            assert!(recorded.wrong(&frame[1..]).is_some());
        }
    }
}
