//! The parser against two decoders that others wrote: etherparse and smoltcp.
//!
//! Frames that etherparse builds must parse to what went into them; whatever parses, be it made of
//! random bytes, both decoders must read the same way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod corpus;
mod invariants;
mod recipes;

use etherparse::{Ipv6ExtensionSlice, NetSlice, SlicedPacket, TransportSlice};
use invariants::assert_invariants;
use proptest::prelude::*;
use pvs_proto::{Family, Fragment, Link, MacAddr, Malformed, Meta, Packet, Protocol, VlanId};
use recipes::{Net, Recipe, damaged, recipes, rubbish};
use smoltcp::wire::{EthernetFrame, IpProtocol, Ipv4Packet, Ipv6FragmentHeader, Ipv6Packet};
use std::net::IpAddr;

proptest! {
    #![proptest_config(ProptestConfig { cases: 5000, ..ProptestConfig::default() })]

    #[test]
    fn a_built_frame_parses_to_what_went_into_it(recipe in recipes()) {
        let frame = recipe.build();
        let (link, packet) = assert_invariants(&frame).expect("a good frame");
        let l3 = if recipe.vlan.is_some() { 18 } else { 14 };
        prop_assert_eq!(link, Link {
            dst: MacAddr([2, 0, 0, 0, 0, 1]),
            src: MacAddr([2, 0, 0, 0, 0, 0xc1]),
            vlan: VlanId(recipe.vlan.unwrap_or(0)),
            l3,
        });
        let l4 = usize::from(l3) + recipe.network.len();
        let ip_len = frame.len() - recipe.padding - usize::from(l3);
        match packet {
            Packet::V4(meta) => compare_recipe(&recipe, &meta, l4, ip_len),
            Packet::V6(meta) => compare_recipe(&recipe, &meta, l4, ip_len),
            Packet::Other(other) => panic!("{other:?}"),
        }
        compare_decoders(&frame);
    }

    #[test]
    fn rubbish_is_read_as_others_read_it(frame in rubbish()) {
        compare_decoders(&frame);
    }

    #[test]
    fn a_damaged_frame_is_read_as_others_read_it(frame in damaged()) {
        compare_decoders(&frame);
    }
}

#[test]
fn what_is_behind_an_ipv6_packet_without_payload_is_not_its() {
    let mut frame = [0; 14 + 40 + 1];
    frame[12..15].copy_from_slice(&[0x86, 0xdd, 0x60]);
    frame[20] = 7;
    compare_decoders(&frame);
    match assert_invariants(&frame) {
        Ok((_, Packet::V6(meta))) => assert_eq!((meta.ip_len, meta.l4), (40, 54)),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_corpus_is_read_as_others_read_it() {
    for case in corpus::cases() {
        compare_decoders(&case.frame);
        assert_eq!(
            corpus::describe(&assert_invariants(&case.frame)),
            case.verdict,
            "{}",
            case.name
        );
    }
}

fn compare_recipe<F: Family>(recipe: &Recipe, meta: &Meta<F>, l4: usize, ip_len: usize) {
    let (src, dst): (IpAddr, IpAddr) = match recipe.network {
        Net::V4 { src, dst, .. } => (src.into(), dst.into()),
        Net::V6 { src, dst, .. } => (src.into(), dst.into()),
    };
    assert_eq!((meta.src.addr.into(), meta.dst.addr.into()), (src, dst));
    let transport = (meta.protocol, meta.src.port, meta.dst.port, meta.signal);
    assert_eq!(transport, recipe.transport());
    assert_eq!((usize::from(meta.l4), meta.ip_len as usize), (l4, ip_len));
    let (ttl, df) = match recipe.network {
        Net::V4 { ttl, df, .. } => (ttl, df),
        Net::V6 { ttl, .. } => (ttl, true),
    };
    assert_eq!((meta.ttl, meta.dont_fragment), (ttl, df));
    assert_eq!(
        meta.fragment,
        Fragment::None,
        "an atomic fragment is a whole packet"
    );
}

/// Whatever we accept, smoltcp reads the same way. Whatever etherparse accepts, we accept but for
/// the reasons that it does not check, and read the same way.
fn compare_decoders(frame: &[u8]) {
    let parsed = assert_invariants(frame);
    if let Ok((link, packet)) = &parsed {
        compare_smoltcp(frame, link, packet);
    }
    let Ok(sliced) = SlicedPacket::from_ethernet(frame) else {
        return;
    };
    match (&parsed, &sliced.net) {
        (Ok((_, Packet::V4(meta))), Some(NetSlice::Ipv4(_))) => compare_etherparse(&sliced, meta),
        (Ok((_, Packet::V6(meta))), Some(NetSlice::Ipv6(_))) => compare_etherparse(&sliced, meta),
        (Ok((_, Packet::Other(_))), _) => {}
        (Ok(parsed), net) => panic!("{parsed:?} is {net:?}"),
        (Err(reason), _) => assert!(
            matches!(
                reason,
                Malformed::IpChecksum
                    | Malformed::FragmentOffset
                    | Malformed::ExtensionHeader
                    | Malformed::TransportTruncated
            ),
            "{reason:?}: {sliced:?}"
        ),
    }
}

fn compare_smoltcp(frame: &[u8], link: &Link, packet: &Packet) {
    let ethernet = EthernetFrame::new_checked(frame).unwrap();
    assert_eq!(ethernet.dst_addr().0, link.dst.0);
    assert_eq!(ethernet.src_addr().0, link.src.0);
    let network = &frame[usize::from(link.l3)..];
    match packet {
        Packet::V4(meta) => {
            let ip = Ipv4Packet::new_checked(network).unwrap();
            assert!(ip.verify_checksum());
            assert_eq!(
                (ip.src_addr().into(), ip.dst_addr().into()),
                addresses(meta)
            );
            assert_eq!(u32::from(ip.total_len()), meta.ip_len);
            assert_eq!(u8::from(ip.next_header()), meta.protocol.0);
            assert_eq!(
                (ip.hop_limit(), ip.dont_frag()),
                (meta.ttl, meta.dont_fragment)
            );
            assert_eq!(fragment(ip.frag_offset(), ip.more_frags()), meta.fragment);
            assert_eq!(
                usize::from(meta.l3) + usize::from(ip.header_len()),
                usize::from(meta.l4)
            );
        }
        Packet::V6(meta) => {
            let ip = Ipv6Packet::new_checked(network).unwrap();
            assert_eq!(
                (ip.src_addr().into(), ip.dst_addr().into()),
                addresses(meta)
            );
            assert_eq!(40 + u32::from(ip.payload_len()), meta.ip_len);
            assert_eq!(ip.hop_limit(), meta.ttl);
            if ip.next_header() == IpProtocol::Ipv6Frag {
                let header = Ipv6FragmentHeader::new_checked(&ip.payload()[2..]).unwrap();
                let fragment = fragment(header.frag_offset(), header.more_frags());
                assert_eq!(fragment, meta.fragment);
                if fragment != Fragment::None {
                    assert_eq!(header.ident(), meta.fragment_id);
                }
            }
        }
        Packet::Other(_) => {}
    }
}

fn fragment(offset: u16, more: bool) -> Fragment {
    match (offset, more) {
        (0, false) => Fragment::None,
        (0, true) => Fragment::First,
        _ => Fragment::Later,
    }
}

fn addresses<F: Family>(meta: &Meta<F>) -> (IpAddr, IpAddr) {
    (meta.src.addr.into(), meta.dst.addr.into())
}

fn compare_etherparse<F: Family>(sliced: &SlicedPacket<'_>, meta: &Meta<F>) {
    let payload = sliced.ip_payload().unwrap();
    // Etherparse steps over an AH in IPv4, too. Of the IPv6 fragment header it takes bits of the
    // offset for the reserved ones (RFC 8200 section 4.5): smoltcp judges that one.
    let has_fragment_header = sliced
        .net
        .as_ref()
        .and_then(NetSlice::ipv6_ref)
        .is_some_and(|ip| {
            let mut kinds = ip.extensions().clone().into_iter();
            kinds.any(|header| matches!(header, Ipv6ExtensionSlice::Fragment(_)))
        });
    // An IPv6 packet that says it has no payload has the rest of the frame for one, to etherparse.
    let has_no_payload = !F::IS_V4 && meta.ip_len == 40;
    let is_same =
        !has_fragment_header && !has_no_payload && (!F::IS_V4 || meta.protocol != Protocol(51));
    if is_same {
        assert_eq!(payload.ip_number.0, meta.protocol.0);
        let in_packet = usize::from(meta.l4 - meta.l3);
        assert_eq!(payload.payload.len(), meta.ip_len as usize - in_packet);
        assert_eq!(payload.fragmented, meta.fragment != Fragment::None);
    }
    let (src, dst, signal) = match sliced.transport.as_ref().filter(|_| is_same) {
        Some(TransportSlice::Tcp(tcp)) => {
            let flags = tcp.slice()[13];
            (tcp.source_port(), tcp.destination_port(), flags)
        }
        Some(TransportSlice::Udp(udp)) => (udp.source_port(), udp.destination_port(), 0),
        Some(TransportSlice::Icmpv4(icmp)) => (0, 0, icmp.slice()[0]),
        Some(TransportSlice::Icmpv6(icmp)) => (0, 0, icmp.slice()[0]),
        None => return,
    };
    assert_eq!(
        (src, dst, signal),
        (meta.src.port, meta.dst.port, meta.signal)
    );
}
