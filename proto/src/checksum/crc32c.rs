//! CRC32c (RFC 9260 appendix A), eight bytes at a time over tables that the compiler builds.
//!
//! IPVS computes it anew when NAT changes an SCTP port: a CRC has no cheap incremental update.

/// The reflected Castagnoli polynomial.
const POLYNOMIAL: u32 = 0x82f6_3b78;

/// `TABLES[n][b]`: the contribution of byte b with n bytes behind it.
static TABLES: [[u32; 256]; 8] = tables();

/// A CRC that is still being added to.
#[derive(Clone, Copy, Debug)]
pub struct Crc32c(u32);

impl Default for Crc32c {
    fn default() -> Self {
        Self(!0)
    }
}

impl Crc32c {
    /// Adds bytes.
    #[must_use]
    pub fn and(self, bytes: &[u8]) -> Self {
        let mut crc = self.0;
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let word = u64::from_le_bytes(chunk.try_into().unwrap_or_default());
            crc = step(word ^ u64::from(crc));
        }
        for byte in chunks.remainder() {
            crc = (crc >> 8) ^ entry(0, (crc as u8) ^ byte);
        }
        Self(crc)
    }

    /// The CRC; on the wire its least significant byte comes first.
    #[must_use]
    pub const fn finish(self) -> u32 {
        !self.0
    }
}

#[inline]
fn step(word: u64) -> u32 {
    let [a, b, c, d, e, f, g, h] = word.to_le_bytes();
    entry(7, a)
        ^ entry(6, b)
        ^ entry(5, c)
        ^ entry(4, d)
        ^ entry(3, e)
        ^ entry(2, f)
        ^ entry(1, g)
        ^ entry(0, h)
}

#[inline]
fn entry(table: usize, byte: u8) -> u32 {
    let row = TABLES.get(table).and_then(|row| row.get(usize::from(byte)));
    row.copied().unwrap_or(0)
}

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler only")]
const fn tables() -> [[u32; 256]; 8] {
    let mut tables = [[0u32; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
            bit += 1;
        }
        tables[0][byte] = crc;
        byte += 1;
    }
    let mut table = 1;
    while table < 8 {
        let mut byte = 0;
        while byte < 256 {
            let before = tables[table - 1][byte];
            tables[table][byte] = (before >> 8) ^ tables[0][(before & 0xff) as usize];
            byte += 1;
        }
        table += 1;
    }
    tables
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crc(bytes: &[u8]) -> u32 {
        Crc32c::default().and(bytes).finish()
    }

    #[test]
    fn known_answers() {
        // The check value of the CRC catalogues, and RFC 3720 appendix B.4.
        assert_eq!(crc(b"123456789"), 0xe306_9283);
        assert_eq!(crc(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc(&[0xff; 32]), 0x62a8_ab43);
        let rising: Vec<u8> = (0..32).collect();
        assert_eq!(crc(&rising), 0x46dd_794e);
        assert_eq!(crc(&[]), 0);
    }

    #[test]
    fn pieces_add_up_wherever_they_are_cut() {
        let bytes: Vec<u8> = (0..100u8).map(|i| i.wrapping_mul(37)).collect();
        for cut in 0..bytes.len() {
            let (a, b) = bytes.split_at(cut);
            assert_eq!(
                Crc32c::default().and(a).and(b).finish(),
                crc(&bytes),
                "cut at {cut}"
            );
        }
    }
}
