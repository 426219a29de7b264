//! The hash by which NICs choose a receive queue (Toeplitz), over a client's endpoint.
//!
//! It is computed for packets that have no connection yet, and for those that Linux sends: what
//! the NIC has brought to the right worker is found in its table without it. One table look-up for
//! each byte of the endpoint.

use super::WorkerIndex;
use pvs_proto::{Address, Endpoint};

/// Bytes of the longest endpoint: an IPv6 address and a port.
const ENDPOINT_MAX: usize = 18;

/// A NIC's key and indirection table, made ready.
#[derive(Clone, Debug)]
pub struct Toeplitz {
    /// What each value of each byte adds to the hash.
    bytes: Box<[[u32; 256]; ENDPOINT_MAX]>,
    /// The queue for each value of the hash's low bits; a power of two of them.
    queues: Box<[u16]>,
}

impl Toeplitz {
    /// From a key, of which the first 22 bytes matter, and the NIC's indirection table; `None` if
    /// the key is shorter, or the table's length no power of two.
    #[must_use]
    pub fn new(key: &[u8], queues: Vec<u16>) -> Option<Self> {
        if key.len() < ENDPOINT_MAX + 4 || !queues.len().is_power_of_two() {
            return None;
        }
        let mut bytes = Box::new([[0; 256]; ENDPOINT_MAX]);
        for (at, table) in bytes.iter_mut().enumerate() {
            for (value, hash) in table.iter_mut().enumerate() {
                *hash = contribution(key, at, value as u8);
            }
        }
        Some(Self {
            bytes,
            queues: queues.into_boxed_slice(),
        })
    }

    /// The hash of at most [`ENDPOINT_MAX`] bytes; what is behind them is left out.
    #[inline]
    fn hash(&self, input: impl Iterator<Item = u8>) -> u32 {
        input
            .zip(self.bytes.iter())
            .map(|(value, table)| table.get(usize::from(value)).copied().unwrap_or(0))
            .fold(0, core::ops::BitXor::bitxor)
    }

    /// The worker of the queue that the NIC chooses for a client.
    pub(super) fn owner<A: Address>(&self, client: Endpoint<A>) -> WorkerIndex {
        let bits = client.addr.bits();
        let address = (0..u32::from(A::BITS) / 8).rev();
        let address = address.map(|n| (bits.checked_shr(n * 8).unwrap_or(0) & 0xff) as u8);
        let hash = self.hash(address.chain(client.port.to_be_bytes()));
        let place = hash as usize & self.queues.len().wrapping_sub(1);
        WorkerIndex(self.queues.get(place).copied().unwrap_or(0))
    }
}

/// For each bit that is set, the 32 bits of the key that begin at its place.
fn contribution(key: &[u8], at: usize, value: u8) -> u32 {
    let window = |bit: usize| {
        let from = at * 8 + bit;
        (0..32).fold(0u32, |word, n| {
            let place = from + n;
            let byte = key.get(place / 8).copied().unwrap_or(0);
            (word << 1) | u32::from(byte >> (7 - place % 8) & 1)
        })
    };
    (0..8)
        .filter(|bit| value >> (7 - bit) & 1 == 1)
        .fold(0, |hash, bit| hash ^ window(bit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_proto::{Addr4, Addr6};

    /// The key that NIC makers verify their hash with.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f,
        0xb0, 0xd0, 0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
        0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn toeplitz() -> Toeplitz {
        Toeplitz::new(&KEY, (0..128).collect()).unwrap()
    }

    /// The published values for source, destination, and their ports.
    #[test]
    fn published_hashes_come_out() {
        for (input, expected) in [
            // 66.9.149.187 to 161.142.100.80, ports 2794 and 1766.
            (&[66, 9, 149, 187, 161, 142, 100, 80][..], 0x323e_8fc2),
            (
                &[66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6],
                0x51cc_c178,
            ),
            // 199.92.111.2 to 65.69.140.83, ports 14230 and 4739.
            (&[199, 92, 111, 2, 65, 69, 140, 83], 0xd718_262a),
            (
                &[199, 92, 111, 2, 65, 69, 140, 83, 0x37, 0x96, 0x12, 0x83],
                0xc626_b0ea,
            ),
        ] {
            assert_eq!(toeplitz().hash(input.iter().copied()), expected);
        }
    }

    #[test]
    fn the_queue_is_that_of_the_hashs_low_bits() {
        let hash = toeplitz();
        let client = Endpoint {
            addr: Addr4::from_wire([66, 9, 149, 187]),
            port: 2794,
        };
        let bytes = [66, 9, 149, 187, 0x0a, 0xea];
        assert_eq!(
            u32::from(hash.owner(client).0),
            hash.hash(bytes.into_iter()) & 127
        );
        let wire: [u8; 16] = core::array::from_fn(|n| n as u8 * 7 + 1);
        let client = Endpoint {
            addr: Addr6::from_wire(wire),
            port: 0x1234,
        };
        let bytes = wire.into_iter().chain([0x12, 0x34]);
        assert_eq!(u32::from(hash.owner(client).0), hash.hash(bytes) & 127);
    }

    #[test]
    fn what_is_no_key_or_no_table_is_refused() {
        assert!(Toeplitz::new(&KEY[..21], vec![0]).is_none());
        assert!(Toeplitz::new(&KEY, vec![]).is_none());
        assert!(Toeplitz::new(&KEY, vec![0, 1, 2]).is_none());
        assert!(Toeplitz::new(&KEY[..22], vec![0, 1]).is_some());
    }
}
