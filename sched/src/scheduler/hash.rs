//! The hashes by which dh, sh and mh find a bucket, as the kernel computes them. Not keyed against
//! anybody: which server a client gets has to be the same on every director.

use crate::config::AddressFamily;
use core::net::IpAddr;
use pvs_proto::Address;

/// An address as the schedulers add and multiply it: IPv6 is the exclusive or of its four words.
#[inline]
pub(super) fn folded<A: Address>(addr: A) -> u32 {
    fold(addr.bits())
}

const fn fold(bits: u128) -> u32 {
    (bits >> 96) as u32 ^ (bits >> 64) as u32 ^ (bits >> 32) as u32 ^ bits as u32
}

/// A server's address, read as one of the service's family as the kernel does: of an IPv6 server
/// behind a tunnel an IPv4 service sees the first word.
pub(super) fn folded_server(family: AddressFamily, addr: IpAddr) -> u32 {
    match (addr, family) {
        (IpAddr::V4(a), _) => a.to_bits(),
        (IpAddr::V6(a), AddressFamily::Ipv6) => fold(a.to_bits()),
        (IpAddr::V6(a), AddressFamily::Ipv4) => (a.to_bits() >> 96) as u32,
    }
}

/// Buckets of dh and sh (`IP_VS_DH_TAB_SIZE`, and `CONFIG_IP_VS_SH_TAB_BITS` = 8).
pub(super) const BUCKETS: usize = 256;

/// `hash_32` to one of 256 buckets: multiplication by the golden ratio, the upper bits of it.
#[inline]
pub(super) const fn bucket(word: u32) -> u8 {
    (word.wrapping_mul(0x61c8_8647) >> 24) as u8
}

/// `hsiphash` of one word on 64-bit machines: the lower half of SipHash-1-3 under a key of two
/// words that are both `key`. Of a length that is known, so that nothing is left but arithmetic: mh
/// asks for it up to once a slot for one connection.
#[inline]
pub(super) const fn hsiphash(word: u32, key: u64) -> u32 {
    let mut v = [
        key ^ 0x736f_6d65_7073_6575,
        key ^ 0x646f_7261_6e64_6f6d,
        key ^ 0x6c79_6765_6e65_7261,
        key ^ 0x7465_6462_7974_6573,
    ];
    // The last block: the message's length above its bytes.
    let block = (4 << 56) | word as u64;
    v[3] ^= block;
    v = round(v);
    v[0] ^= block;
    v[2] ^= 0xff;
    v = round(round(round(v)));
    (v[0] ^ v[1] ^ v[2] ^ v[3]) as u32
}

const fn round([mut a, mut b, mut c, mut d]: [u64; 4]) -> [u64; 4] {
    a = a.wrapping_add(b);
    b = b.rotate_left(13) ^ a;
    a = a.rotate_left(32);
    c = c.wrapping_add(d);
    d = d.rotate_left(16) ^ c;
    a = a.wrapping_add(d);
    d = d.rotate_left(21) ^ a;
    c = c.wrapping_add(b);
    b = b.rotate_left(17) ^ c;
    c = c.rotate_left(32);
    [a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_proto::{Addr4, Addr6};
    use std::hash::{DefaultHasher, Hasher};
    use std::net::Ipv6Addr;

    /// The standard library's hasher is SipHash-1-3 under the key 0.
    #[test]
    fn one_word_is_hashed_as_siphash_1_3_does() {
        for word in [0, 1, 0x0a09_0001, 0xdead_beef, u32::MAX] {
            let mut judge = DefaultHasher::new();
            judge.write(&word.to_le_bytes());
            assert_eq!(hsiphash(word, 0), judge.finish() as u32);
        }
    }

    #[test]
    fn addresses_are_folded_to_a_word() {
        assert_eq!(folded(Addr4(0x0a09_0001)), 0x0a09_0001);
        let v6: Ipv6Addr = "1:2:3:4:5:6:7:8".parse().unwrap();
        let word = 0x0001_0002 ^ 0x0003_0004 ^ 0x0005_0006 ^ 0x0007_0008;
        assert_eq!(folded(Addr6::from(v6)), word);
        assert_eq!(folded_server(AddressFamily::Ipv6, v6.into()), word);
        assert_eq!(folded_server(AddressFamily::Ipv4, v6.into()), 0x0001_0002);
    }
}
