//! What holds for every frame that the parser accepts; the fuzz target asserts the same.

use pvs_proto::parse::Parse;
use pvs_proto::wire::IpHeader;
use pvs_proto::{Checks, Fragment, Link, Malformed, Meta, Packet, Protocol, parse};

/// Parses a frame both with and without a verified checksum, and asserts all that `Meta` promises.
pub fn assert_invariants(frame: &[u8]) -> Result<(Link, Packet), Malformed> {
    let unchecked = parse(frame, Checks { ip_good: false });
    let checked = parse(frame, Checks { ip_good: true });
    if unchecked != Err(Malformed::IpChecksum) {
        assert_eq!(
            unchecked, checked,
            "only the checksum depends on who has verified it"
        );
    }
    if let Ok((link, packet)) = &checked {
        assert!(matches!((link.l3, link.vlan.0), (14, 0) | (18, 0..=4095)));
        match packet {
            Packet::V4(meta) => assert_meta(frame, link, meta),
            Packet::V6(meta) => {
                assert_meta(frame, link, meta);
                assert!(meta.dont_fragment);
            }
            Packet::Other(_) => {}
        }
    }
    unchecked
}

fn assert_meta<F: Parse>(frame: &[u8], link: &Link, meta: &Meta<F>) {
    let (l3, l4) = (usize::from(meta.l3), usize::from(meta.l4));
    let end = l3 + usize::try_from(meta.ip_len).unwrap();
    assert_eq!(l3, usize::from(link.l3));
    assert!(end <= frame.len(), "the packet lies in the frame");
    assert!(
        l3 + F::HEADER_LEN <= l4 && l4 <= end,
        "the payload lies in the packet"
    );

    let is_later = meta.fragment == Fragment::Later;
    let is_first = meta.fragment == Fragment::First;
    let proven = match meta.protocol {
        _ if is_later => 0,
        Protocol::TCP | Protocol::SCTP if is_first => 4,
        Protocol::ICMP | Protocol::ICMPV6 if is_first => 1,
        Protocol::TCP => 20,
        Protocol::SCTP => 12,
        Protocol::ICMP | Protocol::ICMPV6 => 8,
        Protocol::UDP => 4,
        _ => 0,
    };
    assert!(end - l4 >= proven, "{proven} bytes of transport");
    if is_later || !meta.protocol.has_ports() {
        assert_eq!((meta.src.port, meta.dst.port), (0, 0), "no ports");
    } else {
        let ports = &frame[l4..l4 + 4];
        assert_eq!(ports[..2], meta.src.port.to_be_bytes());
        assert_eq!(ports[2..], meta.dst.port.to_be_bytes());
    }
    if is_later || proven == 0 || meta.protocol == Protocol::UDP {
        assert_eq!(meta.signal, 0, "no signal");
    }
    if meta.fragment == Fragment::None {
        assert_eq!(meta.fragment_id, 0, "no fragment, no identification");
    }

    let header = F::header(frame, meta.l3).expect("the header lies in the frame");
    assert_eq!((header.src(), header.dst()), (meta.src.addr, meta.dst.addr));
    assert_eq!(header.ttl(), meta.ttl);
    let trusted = Checks { ip_good: true };
    assert_eq!(
        F::parse_at(frame, meta.l3, trusted).as_ref(),
        Ok(meta),
        "parsed in place"
    );
    let quote = F::quote_at(frame, meta.l3)
        .expect("a packet is a quote of itself")
        .0;
    assert_eq!((quote.src, quote.dst), (meta.src, meta.dst));
    assert_eq!((quote.protocol, quote.l4), (meta.protocol, meta.l4));
    assert_eq!((quote.fragment, quote.ip_len), (meta.fragment, meta.ip_len));
}
