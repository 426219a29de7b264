//! Datagrams in pieces: cut naively, and put together by another decoder.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use etherparse::SlicedPacket;
use etherparse::defrag::IpDefragPool;
use pvs_oracle::Side;
use pvs_proto::checksum::Sum;

/// Numbers that look random: Steele, Lea and Flood's SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// Where a datagram of so many bytes is cut, at multiples of 8: anywhere, and so that no piece
    /// is longer than 1,400 bytes.
    pub fn cuts(&mut self, len: usize, pieces: usize) -> Vec<usize> {
        let anywhere = (1..pieces).map(|_| 8 * self.below(len.div_ceil(8)));
        let mut cuts: Vec<usize> = anywhere.collect();
        cuts.extend((1400..len).step_by(1400));
        cuts.retain(|at| *at > 0);
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }
}

pub const ID: u32 = 0x1234;

/// Sets the IPv4 header checksum right.
pub fn fix(mut packet: Vec<u8>) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        let len = usize::from(packet[0] & 15) * 4;
        packet[10..12].fill(0);
        let sum = Sum::of(&packet[..len]).finish();
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
    }
    packet
}

/// The same packet without DF, with an identification.
pub fn without_df(mut packet: Vec<u8>, id: u32) -> Vec<u8> {
    if packet[0] >> 4 == 4 {
        packet[4..8].copy_from_slice(&[(id >> 8) as u8, id as u8, 0, 0]);
    }
    fix(packet)
}

/// One piece of a packet without options or extension headers: the bytes of its
/// data from `start` to `end`.
pub fn piece(packet: &[u8], id: u32, start: usize, end: usize) -> Vec<u8> {
    let v4 = packet[0] >> 4 == 4;
    let header = if v4 { 20 } else { 40 };
    let more = end < packet.len() - header;
    let data = &packet[header + start..header + end];
    let mut piece = packet[..header].to_vec();
    if v4 {
        piece[2..4].copy_from_slice(&((20 + data.len()) as u16).to_be_bytes());
        piece[4..6].copy_from_slice(&(id as u16).to_be_bytes());
        let field = (start / 8) as u16 | if more { 0x2000 } else { 0 };
        let df = u16::from(packet[6] & 0x40) << 8;
        piece[6..8].copy_from_slice(&(field | df).to_be_bytes());
        piece.extend(data);
        return fix(piece);
    }
    piece[4..6].copy_from_slice(&((8 + data.len()) as u16).to_be_bytes());
    piece[6] = 44;
    piece.extend([packet[6], 0]);
    piece.extend((start as u16 | u16::from(more)).to_be_bytes());
    piece.extend(id.to_be_bytes());
    piece.extend(data);
    piece
}

/// The pieces of a packet, cut at these places of its data.
pub fn pieces(packet: &[u8], id: u32, cuts: &[usize]) -> Vec<Vec<u8>> {
    let header = if packet[0] >> 4 == 4 { 20 } else { 40 };
    let ends = cuts.iter().copied().chain([packet.len() - header]);
    let starts = [0].into_iter().chain(cuts.iter().copied());
    starts
        .zip(ends)
        .map(|(start, end)| piece(packet, id, start, end))
        .collect()
}

/// What another decoder makes of frames that are the pieces of one datagram:
/// its protocol and its data.
pub fn joined(frames: &[Vec<u8>]) -> (u8, Vec<u8>) {
    if frames
        .first()
        .is_some_and(|frame| frame[12..14] == [0x86, 0xdd])
    {
        return joined_v6(frames);
    }
    let mut pool: IpDefragPool = IpDefragPool::new();
    let mut whole = None;
    for frame in frames {
        assert!(whole.is_none(), "a frame behind the last piece");
        let sliced = SlicedPacket::from_ethernet(frame).unwrap();
        whole = pool.process_sliced_packet(&sliced, (), ()).unwrap();
    }
    let whole = whole.expect("all pieces are there");
    (whole.ip_number.0, whole.payload)
}

/// The same for IPv6, in order, by RFC 8200 section 4.5: etherparse takes bits of the
/// offset for the reserved ones.
fn joined_v6(frames: &[Vec<u8>]) -> (u8, Vec<u8>) {
    let (mut data, mut named) = (Vec::new(), None);
    for (at, frame) in frames.iter().enumerate() {
        let (header, fragment) = frame[14..].split_at(40);
        let (fragment, piece) = fragment.split_at(8);
        assert_eq!((header[0] >> 4, header[6]), (6, 44));
        assert_eq!(header[4..6], (8 + piece.len() as u16).to_be_bytes());
        let field = u16::from_be_bytes([fragment[2], fragment[3]]);
        assert_eq!(usize::from(field & 0xfff8), data.len(), "no gap");
        assert_eq!(
            (field & 7, fragment[1]),
            (u16::from(at + 1 < frames.len()), 0)
        );
        let name = (header[8..].to_vec(), fragment[0], fragment[4..].to_vec());
        assert_eq!(named.get_or_insert_with(|| name.clone()), &name);
        data.extend(piece);
    }
    (named.expect("there are pieces").1, data)
}

/// The frames that came out by a side, in order; there are no others.
pub fn by(side: Side, out: Vec<(Side, Vec<u8>)>) -> Vec<Vec<u8>> {
    assert!(out.iter().all(|(left, _)| *left == side), "{out:?}");
    out.into_iter().map(|(_, frame)| frame).collect()
}

/// The lengths of the packets in frames.
pub fn lengths(frames: &[Vec<u8>]) -> Vec<usize> {
    frames.iter().map(|frame| frame.len() - 14).collect()
}

/// The packet that frames carry which are the pieces of one, in order, without options or
/// other extension headers.
pub fn whole(frames: &[Vec<u8>]) -> Vec<u8> {
    let (protocol, data) = joined(frames);
    let first = &frames[0][14..];
    if first[0] >> 4 == 6 {
        let mut packet = [&first[..40], &data].concat();
        packet[4..6].copy_from_slice(&(data.len() as u16).to_be_bytes());
        packet[6] = protocol;
        return packet;
    }
    let mut packet = [&first[..20], &data].concat();
    packet[2..4].copy_from_slice(&(20 + data.len() as u16).to_be_bytes());
    packet[6..8].fill(0);
    fix(packet)
}
