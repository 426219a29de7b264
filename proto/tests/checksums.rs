//! Checksums: what we compute others accept, and following a change equals computing anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use proptest::collection::vec;
use proptest::prelude::*;
use pvs_proto::checksum::{Delta, Offload, Sum, Update, fill, fill_pieces, is_right, is_right_sum};
use pvs_proto::checksum::{pseudo_header, update};
use pvs_proto::wire::{IpHeader, Network, Ports, ipv4};
use pvs_proto::{Addr4, Addr6, Address, Malformed, Protocol, V4, V6};
use smoltcp::wire::{Icmpv4Packet, Icmpv6Packet, IpAddress, Ipv4Packet, TcpPacket, UdpPacket};
use std::net::IpAddr;
use zerocopy::network_endian::U16;
use zerocopy::{FromBytes, IntoBytes};

const WITH_PORTS: [Protocol; 2] = [Protocol::TCP, Protocol::UDP];

/// A segment whose fields are sane enough for smoltcp to look at its checksum.
fn segment(protocol: Protocol, bytes: &[u8]) -> Vec<u8> {
    let mut segment = [&[0; 20], bytes].concat();
    segment[..4].copy_from_slice(&[0x0f, 0xa1, 0, 80]);
    match protocol {
        Protocol::TCP => segment[12] = 5 << 4,
        Protocol::UDP => {
            let len = u16::try_from(segment.len()).unwrap();
            segment[4..6].copy_from_slice(&len.to_be_bytes());
        }
        Protocol::ICMP => segment[0] = 8,
        _ => segment[0] = 128,
    }
    segment
}

fn accepted_by_smoltcp<A: Address>(src: A, dst: A, protocol: Protocol, segment: &[u8]) -> bool {
    let (src, dst): (IpAddr, IpAddr) = (src.into(), dst.into());
    let ends = (&IpAddress::from(src), &IpAddress::from(dst));
    match (protocol, src, dst) {
        (Protocol::TCP, ..) => TcpPacket::new_checked(segment)
            .unwrap()
            .verify_checksum(ends.0, ends.1),
        (Protocol::UDP, ..) => UdpPacket::new_checked(segment)
            .unwrap()
            .verify_checksum(ends.0, ends.1),
        (Protocol::ICMPV6, IpAddr::V6(src), IpAddr::V6(dst)) => Icmpv6Packet::new_checked(segment)
            .unwrap()
            .verify_checksum(&src, &dst),
        _ => Icmpv4Packet::new_checked(segment)
            .unwrap()
            .verify_checksum(),
    }
}

fn check_fill<A: Address>(src: A, dst: A, protocol: Protocol, bytes: &[u8]) {
    let mut packet = segment(protocol, bytes);
    fill(src, dst, protocol, &mut packet, Offload::Software).unwrap();
    assert!(
        accepted_by_smoltcp(src, dst, protocol, &packet),
        "{protocol:?}"
    );
    assert_eq!(is_right(src, dst, protocol, &packet), Ok(true));
    let last = packet.len() - 1;
    packet[last] ^= 0x40;
    assert_eq!(is_right(src, dst, protocol, &packet), Ok(false));
}

/// A translation of both ends: the checksum that follows is the one computed anew.
fn check_update<A: Address>(old: (A, A), new: (A, A), ports: (u16, u16), bytes: &[u8]) {
    for protocol in WITH_PORTS {
        let mut packet = segment(protocol, bytes);
        fill(old.0, old.1, protocol, &mut packet, Offload::Software).unwrap();
        let mut delta = Delta::NONE.address(old.0, new.0).address(old.1, new.1);
        let (now, _) = Ports::mut_from_prefix(&mut packet).unwrap();
        for (field, port) in [(&mut now.src, ports.0), (&mut now.dst, ports.1)] {
            delta = delta.word(field.get(), port);
            field.set(port);
        }
        let mut anew = packet.clone();
        assert_eq!(update(protocol, &mut packet, delta), Ok(Update::Done));
        fill(new.0, new.1, protocol, &mut anew, Offload::Software).unwrap();
        assert_eq!(packet, anew, "{protocol:?}");
        assert!(accepted_by_smoltcp(new.0, new.1, protocol, &packet));
    }
}

fn addr4() -> impl Strategy<Value = Addr4> {
    any::<u32>().prop_map(Addr4)
}

fn addr6() -> impl Strategy<Value = Addr6> {
    any::<(u64, u64)>().prop_map(|(hi, lo)| Addr6 { hi, lo })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn smoltcp_accepts_what_we_fill_in(
        src in addr4(), dst in addr4(), src6 in addr6(), dst6 in addr6(), bytes in vec(any::<u8>(), 1..200),
    ) {
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMP] {
            check_fill(src, dst, protocol, &bytes);
        }
        for protocol in [Protocol::TCP, Protocol::UDP, Protocol::ICMPV6] {
            check_fill(src6, dst6, protocol, &bytes);
        }
    }

    #[test]
    fn following_a_change_equals_computing_anew(
        old in (addr4(), addr4()), new in (addr4(), addr4()),
        old6 in (addr6(), addr6()), new6 in (addr6(), addr6()),
        ports in any::<(u16, u16)>(), bytes in vec(any::<u8>(), 0..200),
    ) {
        check_update(old, new, ports, &bytes);
        check_update(old6, new6, ports, &bytes);
    }

    #[test]
    fn an_ipv4_header_stays_right_under_its_setters(
        bytes in any::<[u8; 20]>(), src in addr4(), dst in addr4(), ttl in any::<u8>(),
    ) {
        let mut frame = bytes;
        frame[0] = 0x45;
        frame[2..4].copy_from_slice(&20u16.to_be_bytes());
        V4::header_mut(&mut frame, 0).unwrap().fill_checksum();
        prop_assert!(Ipv4Packet::new_checked(&frame).unwrap().verify_checksum());
        let header = V4::header_mut(&mut frame, 0).unwrap();
        let delta = header.set_src(src).and(header.set_dst(dst));
        header.set_ttl(ttl);
        prop_assert_eq!((header.src(), header.dst(), header.ttl()), (src, dst, ttl));
        let old = ipv4::Header::read_from_bytes(&bytes).unwrap();
        prop_assert_eq!(delta, Delta::NONE.address(old.src(), src).address(old.dst(), dst));
        prop_assert!(Ipv4Packet::new_checked(&frame).unwrap().verify_checksum());
    }

    #[test]
    fn a_wrong_checksum_stays_wrong_by_as_much(
        old in addr4(), new in addr4(), wrong in 1u16..0xffff, bytes in vec(any::<u8>(), 0..50),
    ) {
        let mut packet = segment(Protocol::TCP, &bytes);
        fill(old, old, Protocol::TCP, &mut packet, Offload::Software).unwrap();
        let (head, _) = <[U16; 9]>::mut_from_prefix(&mut packet).unwrap();
        head[8] = U16::new(Delta::NONE.word(0, wrong).apply(head[8].get()));
        update(Protocol::TCP, &mut packet, Delta::NONE.address(old, new)).unwrap();
        prop_assert_eq!(is_right(new, old, Protocol::TCP, &packet), Ok(false));
        update(Protocol::TCP, &mut packet, Delta::NONE.word(wrong, 0)).unwrap();
        prop_assert_eq!(is_right(new, old, Protocol::TCP, &packet), Ok(true));
    }
}

const CLIENT: Addr4 = Addr4(0x0a09_0001);
const VIP: Addr4 = Addr4(0x0a00_0064);

#[test]
fn an_absent_udp_checksum_is_left_to_the_caller() {
    let mut packet = segment(Protocol::UDP, b"x");
    let before = packet.clone();
    assert_eq!(is_right(CLIENT, VIP, Protocol::UDP, &packet), Ok(true));
    let delta = Delta::NONE.word(1, 2);
    assert_eq!(update(Protocol::UDP, &mut packet, delta), Ok(Update::Fill));
    assert_eq!(packet, before);
}

#[test]
fn a_udp_checksum_of_0_is_sent_as_ffff() {
    let mut packet = segment(Protocol::UDP, &[0; 2]);
    fill(CLIENT, VIP, Protocol::UDP, &mut packet, Offload::Software).unwrap();
    // The data word that makes the sum complete is the checksum itself.
    let checksum: [u8; 2] = packet[6..8].try_into().unwrap();
    packet[20..22].copy_from_slice(&checksum);
    fill(CLIENT, VIP, Protocol::UDP, &mut packet, Offload::Software).unwrap();
    assert_eq!(packet[6..8], [0xff, 0xff]);
    assert_eq!(is_right(CLIENT, VIP, Protocol::UDP, &packet), Ok(true));
}

#[test]
fn a_device_gets_the_sum_of_the_pseudo_header() {
    for protocol in WITH_PORTS {
        let mut packet = segment(protocol, b"data");
        fill(CLIENT, VIP, protocol, &mut packet, Offload::Device).unwrap();
        let sum = pseudo_header(CLIENT, VIP, protocol, 24)
            .folded()
            .to_be_bytes();
        let at = if protocol == Protocol::TCP { 16 } else { 6 };
        assert_eq!(packet[at..at + 2], sum);
    }
    // No device is asked for ICMP; for SCTP the field is cleared.
    let mut packet = segment(Protocol::ICMP, b"data");
    fill(CLIENT, VIP, Protocol::ICMP, &mut packet, Offload::Device).unwrap();
    assert_eq!(is_right(CLIENT, VIP, Protocol::ICMP, &packet), Ok(true));
    let mut packet = segment(Protocol::SCTP, b"data");
    packet[8..12].fill(0xee);
    fill(CLIENT, VIP, Protocol::SCTP, &mut packet, Offload::Device).unwrap();
    assert_eq!(packet[8..12], [0; 4]);
}

#[test]
fn sctp_is_computed_anew() {
    let mut packet = segment(Protocol::SCTP, b"chunk");
    assert_eq!(
        update(Protocol::SCTP, &mut packet, Delta::NONE.word(1, 2)),
        Ok(Update::Fill)
    );
    fill(CLIENT, VIP, Protocol::SCTP, &mut packet, Offload::Software).unwrap();
    assert_eq!(is_right(CLIENT, VIP, Protocol::SCTP, &packet), Ok(true));
    packet[20] ^= 1;
    assert_eq!(is_right(CLIENT, VIP, Protocol::SCTP, &packet), Ok(false));
}

#[test]
fn a_segment_in_pieces_has_the_checksum_of_the_whole() {
    let data: Vec<u8> = (0..201u8).collect();
    let protocols = [Protocol::TCP, Protocol::UDP, Protocol::SCTP];
    for protocol in protocols
        .into_iter()
        .chain([Protocol::ICMP, Protocol::ICMPV6])
    {
        let mut whole = segment(protocol, &data);
        fill(CLIENT, VIP, protocol, &mut whole, Offload::Software).unwrap();
        let (head, rest) = whole.split_at(24);
        let mut cut = segment(protocol, &data)[..24].to_vec();
        fill_pieces(CLIENT, VIP, protocol, &mut cut, rest.chunks(48)).unwrap();
        assert_eq!(cut, head, "{protocol:?}");
        if protocol != Protocol::SCTP {
            let sum = Sum::of(head).and(Sum::of(rest));
            let is_right = |sum| is_right_sum(CLIENT, VIP, protocol, whole.len() as u32, sum);
            assert!(is_right(sum) && !is_right(sum.word(1)), "{protocol:?}");
        }
    }
}

#[test]
fn df_comes_off_and_the_header_s_checksum_follows() {
    let mut header = ipv4::Header {
        version_ihl: ipv4::Header::PLAIN,
        tos: 0,
        total_len: 20.into(),
        id: 7.into(),
        fragment: ipv4::DONT_FRAGMENT.into(),
        ttl: 64,
        protocol: 1,
        checksum: 0.into(),
        src: CLIENT.to_wire(),
        dst: VIP.to_wire(),
    };
    header.fill_checksum();
    for _ in 0..2 {
        header.allow_fragments();
        assert_eq!(header.fragment.get(), 0);
        assert_eq!(Sum::of(header.as_bytes()).finish(), 0);
    }
}

#[test]
fn a_segment_without_its_checksum_is_refused() {
    for (protocol, len) in [
        (Protocol::TCP, 19),
        (Protocol::UDP, 7),
        (Protocol::ICMPV6, 7),
        (Protocol::SCTP, 11),
    ] {
        let mut packet = vec![0; len];
        let short = Malformed::TransportTruncated;
        assert_eq!(
            fill(CLIENT, VIP, protocol, &mut packet, Offload::Software),
            Err(short)
        );
        if protocol != Protocol::SCTP {
            assert_eq!(update(protocol, &mut packet, Delta::NONE), Err(short));
        }
    }
}

#[test]
fn ipv6_setters_return_what_changed() {
    let mut frame = [0u8; 40];
    let header = V6::header_mut(&mut frame, 0).unwrap();
    let addr = Addr6 { hi: 1, lo: 2 };
    assert_eq!(
        header.set_dst(addr),
        Delta::NONE.address(Addr6::default(), addr)
    );
    header.set_ttl(7);
    assert_eq!((header.dst(), header.ttl()), (addr, 7));
    assert_eq!(header.as_bytes()[7], 7);
}
