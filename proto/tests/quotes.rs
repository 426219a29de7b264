//! Packets within packets: quotes of ICMP errors, and what comes out of a tunnel.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod corpus;

use corpus::{cases, describe_meta};
use pvs_proto::parse::{Parse, Quote};
use pvs_proto::{Checks, Malformed, Packet, Protocol, V4, V6, parse};

const UNCHECKED: Checks = Checks { ip_good: false };

fn frame(name: &str) -> Vec<u8> {
    let case = cases().into_iter().find(|case| case.name == name);
    case.unwrap_or_else(|| panic!("no frame {name}")).frame
}

/// What the network header of a frame and a number of bytes behind it say, as a quote.
fn quote<F: Parse>(name: &str, bytes: usize) -> Result<String, Malformed> {
    let frame = &frame(name)[14..];
    let Quote(meta) = F::quote_at(&frame[..bytes.min(frame.len())], 0)?;
    Ok(describe_meta(&meta))
}

#[test]
fn an_error_quotes_the_translated_connection() {
    let frame = frame("v4-icmp-unreachable-quoting-tcp");
    let (_, Packet::V4(error)) = parse(&frame, UNCHECKED).unwrap() else {
        panic!("an IPv4 packet");
    };
    assert_eq!((error.protocol, error.signal), (Protocol::ICMP, 3));
    let Quote(quote) = V4::quote_at(&frame, error.l4 + 8).unwrap();
    assert_eq!(
        describe_meta(&quote),
        "tcp 10.0.0.100:4001 > 10.9.0.1:80 len 40 ttl 64 signal 00 l4 62 df"
    );
}

#[test]
fn an_ipv6_error_quotes_the_whole_packet() {
    let frame = frame("v6-icmpv6-too-big-quoting-tcp");
    let (_, Packet::V6(error)) = parse(&frame, UNCHECKED).unwrap() else {
        panic!("an IPv6 packet");
    };
    let Quote(quote) = V6::quote_at(&frame, error.l4 + 8).unwrap();
    assert_eq!(
        describe_meta(&quote),
        "tcp [fd77::1]:4001 > [fd00::100]:80 len 60 ttl 64 signal 00 l4 102 df"
    );
}

#[test]
fn a_quote_may_end_behind_the_ports() {
    let whole = "tcp 10.9.0.1:4001 > 10.0.0.100:80 len 40 ttl 64 signal 00 l4 20 df";
    for bytes in [24, 28, 40] {
        assert_eq!(
            quote::<V4>("v4-tcp-syn", bytes).as_deref(),
            Ok(whole),
            "{bytes} bytes"
        );
    }
    assert_eq!(
        quote::<V4>("v4-tcp-syn", 23),
        Err(Malformed::TransportTruncated)
    );
    assert_eq!(quote::<V4>("v4-tcp-syn", 19), Err(Malformed::IpTruncated));
    assert_eq!(
        quote::<V4>("v4-options-record-route", 27),
        Err(Malformed::IpHeaderLength)
    );
    assert_eq!(
        quote::<V4>("v4-icmp-echo", 20),
        Err(Malformed::TransportTruncated)
    );
    assert!(quote::<V4>("v4-icmp-echo", 21).is_ok());
    assert_eq!(
        quote::<V6>("v6-hop-by-hop", 47),
        Err(Malformed::ExtensionHeader)
    );
    assert!(quote::<V6>("v6-hop-by-hop", 52).is_ok());
    assert!(quote::<V4>("v4-sctp-init", 24).is_ok());
}

#[test]
fn a_quote_proves_neither_checksum_nor_length() {
    for name in ["v4-checksum-off-by-1", "v4-length-0", "v4-length-65535"] {
        assert!(quote::<V4>(name, 28).is_ok(), "{name}");
    }
    // A piece that the quote cut is no longer a multiple of 8 bytes.
    assert!(quote::<V4>("v4-fragment-first", 28 + 3).is_ok());
    assert!(quote::<V6>("v6-fragment-first", 48 + 11).is_ok());
}

#[test]
fn a_quoted_later_fragment_has_no_ports() {
    assert_eq!(
        quote::<V4>("v4-fragment-middle", 28).as_deref(),
        Ok("udp 10.9.0.1 > 10.0.0.100 len 28 ttl 64 signal 00 l4 20 later 77")
    );
}

#[test]
fn a_tunnelled_packet_is_parsed_in_place() {
    let frame = frame("v4-ipip");
    let (_, Packet::V4(outer)) = parse(&frame, UNCHECKED).unwrap() else {
        panic!("an IPv4 packet");
    };
    let inner = V4::parse_at(&frame, outer.l4, UNCHECKED).unwrap();
    assert_eq!(
        describe_meta(&inner),
        "udp 10.9.0.1:4001 > 10.0.0.100:53 len 38 ttl 64 signal 00 l4 54 df"
    );
    assert_eq!(
        V6::parse_at(&frame, outer.l4, UNCHECKED),
        Err(Malformed::IpTruncated)
    );
}

#[test]
fn nothing_is_found_past_the_end() {
    let frame = frame("v4-tcp-syn");
    for l3 in [54, 55, u16::MAX] {
        assert_eq!(
            V4::parse_at(&frame, l3, UNCHECKED),
            Err(Malformed::IpTruncated)
        );
        assert_eq!(V6::quote_at(&frame, l3), Err(Malformed::IpTruncated));
    }
}
