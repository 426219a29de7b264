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

use etherparse::{
    IpFragOffset, IpHeaders, IpNumber, Ipv4Header, Ipv4Options, Ipv6ExtensionSlice, Ipv6Extensions,
    Ipv6Header, Ipv6RawExtHeader, NetSlice, PacketBuilder, SlicedPacket, TcpHeader, TransportSlice,
};
use invariants::assert_invariants;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use pvs_proto::{Family, Fragment, Link, MacAddr, Malformed, Meta, Packet, Protocol, VlanId};
use smoltcp::wire::{EthernetFrame, IpProtocol, Ipv4Packet, Ipv6FragmentHeader, Ipv6Packet};
use std::net::IpAddr;

/// What goes into a frame.
#[derive(Clone, Debug)]
struct Recipe {
    vlan: Option<u16>,
    network: Net,
    transport: Transport,
    payload: Vec<u8>,
    padding: usize,
}

#[derive(Clone, Debug)]
enum Net {
    V4 {
        src: [u8; 4],
        dst: [u8; 4],
        ttl: u8,
        df: bool,
        option_words: usize,
    },
    V6 {
        src: [u8; 16],
        dst: [u8; 16],
        ttl: u8,
        hop: Option<u8>,
        dest: Option<u8>,
        piece: Option<u32>,
    },
}

#[derive(Clone, Debug)]
enum Transport {
    Tcp { src: u16, dst: u16, flags: u8 },
    Udp { src: u16, dst: u16 },
    Echo,
}

impl Recipe {
    fn build(&self) -> Vec<u8> {
        let link = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 0xc1], [2, 0, 0, 0, 0, 1]);
        let network = self.network.headers();
        let packet = match self.vlan {
            Some(id) => link.single_vlan(id.try_into().unwrap()).ip(network),
            None => link.ip(network),
        };
        let mut frame = Vec::new();
        let payload = &self.payload;
        match self.transport {
            Transport::Tcp { src, dst, flags } => {
                let mut header = TcpHeader::new(src, dst, 1000, 64240);
                (header.fin, header.syn) = (flags & 1 != 0, flags & 2 != 0);
                (header.rst, header.psh) = (flags & 4 != 0, flags & 8 != 0);
                (header.ack, header.urg) = (flags & 16 != 0, flags & 32 != 0);
                (header.ece, header.cwr) = (flags & 64 != 0, flags & 128 != 0);
                packet
                    .tcp_header(header)
                    .write(&mut frame, payload)
                    .unwrap();
            }
            Transport::Udp { src, dst } => packet.udp(src, dst).write(&mut frame, payload).unwrap(),
            Transport::Echo if matches!(self.network, Net::V4 { .. }) => {
                packet
                    .icmpv4_echo_request(1, 2)
                    .write(&mut frame, payload)
                    .unwrap();
            }
            Transport::Echo => packet
                .icmpv6_echo_request(1, 2)
                .write(&mut frame, payload)
                .unwrap(),
        }
        frame.resize(frame.len() + self.padding, 0xa5);
        frame
    }

    /// Protocol, ports and signal.
    fn transport(&self) -> (Protocol, u16, u16, u8) {
        match (&self.transport, &self.network) {
            (Transport::Tcp { src, dst, flags }, _) => (Protocol::TCP, *src, *dst, *flags),
            (Transport::Udp { src, dst }, _) => (Protocol::UDP, *src, *dst, 0),
            (Transport::Echo, Net::V4 { .. }) => (Protocol::ICMP, 0, 0, 8),
            (Transport::Echo, Net::V6 { .. }) => (Protocol::ICMPV6, 0, 0, 128),
        }
    }
}

impl Net {
    fn headers(&self) -> IpHeaders {
        match *self {
            Self::V4 {
                src,
                dst,
                ttl,
                df,
                option_words,
            } => {
                // The builder sets protocol, length and checksum.
                let mut header = Ipv4Header::new(0, ttl, IpNumber(0), src, dst).unwrap();
                header.dont_fragment = df;
                header.options = Ipv4Options::try_from(&vec![1u8; option_words * 4][..]).unwrap();
                IpHeaders::Ipv4(header, Default::default())
            }
            Self::V6 {
                src,
                dst,
                ttl,
                hop,
                dest,
                piece,
            } => {
                let header = Ipv6Header {
                    source: src,
                    destination: dst,
                    hop_limit: ttl,
                    ..Default::default()
                };
                let raw = |units: u8| {
                    let payload = vec![0; 6 + 8 * usize::from(units)];
                    Ipv6RawExtHeader::new_raw(IpNumber(0), &payload).unwrap()
                };
                let atomic = |id| {
                    etherparse::Ipv6FragmentHeader::new(IpNumber(0), IpFragOffset::ZERO, false, id)
                };
                let extensions = Ipv6Extensions {
                    hop_by_hop_options: hop.map(raw),
                    destination_options: dest.map(raw),
                    fragment: piece.map(atomic),
                    ..Default::default()
                };
                IpHeaders::Ipv6(header, extensions)
            }
        }
    }

    /// Length of the header with options or extension headers.
    fn len(&self) -> usize {
        let units = |units: u8| 8 + 8 * usize::from(units);
        match *self {
            Self::V4 { option_words, .. } => 20 + option_words * 4,
            Self::V6 {
                hop, dest, piece, ..
            } => 40 + hop.map_or(0, units) + dest.map_or(0, units) + piece.map_or(0, |_| 8),
        }
    }
}

fn recipes() -> impl Strategy<Value = Recipe> {
    let v4 = (
        any::<[u8; 4]>(),
        any::<[u8; 4]>(),
        any::<u8>(),
        any::<bool>(),
        0usize..=10,
    );
    let v4 = v4.prop_map(|(src, dst, ttl, df, option_words)| Net::V4 {
        src,
        dst,
        ttl,
        df,
        option_words,
    });
    let extensions = (
        option::of(0u8..8),
        option::of(0u8..8),
        option::of(any::<u32>()),
    );
    let v6 = (
        any::<[u8; 16]>(),
        any::<[u8; 16]>(),
        any::<u8>(),
        extensions,
    );
    let v6 = v6.prop_map(|(src, dst, ttl, (hop, dest, piece))| Net::V6 {
        src,
        dst,
        ttl,
        hop,
        dest,
        piece,
    });
    let tcp = any::<(u16, u16, u8)>();
    let tcp = tcp.prop_map(|(src, dst, flags)| Transport::Tcp { src, dst, flags });
    let udp = any::<(u16, u16)>().prop_map(|(src, dst)| Transport::Udp { src, dst });
    let transport = prop_oneof![tcp, udp, Just(Transport::Echo)];
    let vlan = option::of(0u16..4096);
    let payload = vec(any::<u8>(), 0..100);
    (vlan, prop_oneof![v4, v6], transport, payload, 0usize..20).prop_map(
        |(vlan, network, transport, payload, padding)| Recipe {
            vlan,
            network,
            transport,
            payload,
            padding,
        },
    )
}

/// A frame of bytes that have a chance to get past the EtherType.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let head = prop_oneof![
        Just(vec![0x08, 0x00, 0x45]),
        Just(vec![0x08, 0x00, 0x46]),
        Just(vec![0x86, 0xdd, 0x60]),
        Just(vec![0x81, 0x00, 0x00, 0x64, 0x08, 0x00, 0x45]),
        Just(vec![]),
    ];
    (head, vec(any::<u8>(), 0..120)).prop_map(|(head, tail)| [vec![2; 12], head, tail].concat())
}

/// A good frame with a few bytes changed, and perhaps cut: mostly broken in one place only.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let index = any::<prop::sample::Index>;
    let wounds = vec((index(), any::<u8>()), 1..4);
    (recipes(), wounds, option::of(index()), any::<bool>()).prop_map(
        |(recipe, wounds, cut, mend)| {
            let mut frame = recipe.build();
            for (at, value) in wounds {
                // Headers are hit more often than payload.
                let at = at.index(frame.len().min(80));
                frame[at] = value;
            }
            if mend {
                mend_checksum(&mut frame, recipe.vlan.map_or(14, |_| 18));
            }
            if let Some(cut) = cut.filter(|_| !mend) {
                frame.truncate(cut.index(frame.len()));
            }
            frame
        },
    )
}

/// Lets damage to an IPv4 header get past its checksum.
fn mend_checksum(frame: &mut [u8], l3: usize) {
    let mut ip = Ipv4Packet::new_unchecked(&mut frame[l3..]);
    if ip.version() == 4 && ip.header_len() >= 20 && ip.check_len().is_ok() {
        ip.fill_checksum();
    }
}

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
    let is_same = !has_fragment_header && (!F::IS_V4 || meta.protocol != Protocol(51));
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
