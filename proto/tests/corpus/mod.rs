//! The corpus of frames: reads frames.txt, and says of a parsed frame what its verdicts say.
//!
//! Shared by the tests of several crates, which name it by path; not every one needs all of it.
#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_proto::{
    Endpoint, Family, Fragment, Link, Malformed, Meta, Other, Packet, Protocol, VlanId,
};
use std::fmt::Write;

/// A frame, and what the parser has to say of it.
pub struct Case {
    pub name: &'static str,
    pub frame: Vec<u8>,
    pub verdict: &'static str,
}

/// Every frame of the corpus.
pub fn cases() -> Vec<Case> {
    let lines = include_str!("frames.txt").lines();
    let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let mut fields = line.split(';').map(str::trim);
            let mut field = || fields.next().unwrap_or_else(|| panic!("{line}"));
            let (name, bytes, verdict) = (field(), field(), field());
            let frame = bytes
                .split(' ')
                .filter(|part| *part != "/")
                .flat_map(part)
                .collect();
            Case {
                name,
                frame,
                verdict,
            }
        })
        .collect()
}

/// `0a0b` or `00*40`.
fn part(text: &str) -> Vec<u8> {
    let (digits, count) = text.split_once('*').unwrap_or((text, "1"));
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
    let bytes: Vec<u8> = (0..digits.len()).step_by(2).map(byte).collect();
    bytes.repeat(count.parse().unwrap())
}

/// The verdict in words.
pub fn describe(parsed: &Result<(Link, Packet), Malformed>) -> String {
    let (link, packet) = match parsed {
        Ok(parsed) => parsed,
        Err(reason) => return format!("malformed {}", reason.label()),
    };
    let vlan = match link.vlan {
        VlanId::NONE => String::new(),
        VlanId(id) => format!("vlan {id} "),
    };
    match packet {
        Packet::V4(meta) => format!("ok {vlan}v4 {}", describe_meta(meta)),
        Packet::V6(meta) => format!("ok {vlan}v6 {}", describe_meta(meta)),
        Packet::Other(Other::Arp) => format!("other {vlan}arp"),
        Packet::Other(Other::EtherType(ethertype)) => {
            format!("other {vlan}ethertype {ethertype:04x}")
        }
    }
}

/// A packet in words.
pub fn describe_meta<F: Family>(meta: &Meta<F>) -> String {
    let has_ports = meta.protocol.has_ports() && meta.fragment != Fragment::Later;
    let end = |end: Endpoint<F::Addr>| match (has_ports, F::IS_V4) {
        (false, _) => end.addr.to_string(),
        (true, true) => format!("{}:{}", end.addr, end.port),
        (true, false) => format!("[{}]:{}", end.addr, end.port),
    };
    let mut text = format!(
        "{} {} > {}",
        protocol(meta.protocol),
        end(meta.src),
        end(meta.dst)
    );
    let Meta {
        ip_len,
        ttl,
        signal,
        l4,
        ..
    } = meta;
    write!(text, " len {ip_len} ttl {ttl} signal {signal:02x} l4 {l4}").unwrap();
    if meta.dont_fragment {
        text.push_str(" df");
    }
    match meta.fragment {
        Fragment::None => {}
        Fragment::First => write!(text, " first {}", meta.fragment_id).unwrap(),
        Fragment::Later => write!(text, " later {}", meta.fragment_id).unwrap(),
    }
    text
}

fn protocol(protocol: Protocol) -> String {
    match protocol {
        Protocol::ICMP => "icmp".into(),
        Protocol::IPIP => "ipip".into(),
        Protocol::TCP => "tcp".into(),
        Protocol::UDP => "udp".into(),
        Protocol::IPV6 => "ipv6".into(),
        Protocol::GRE => "gre".into(),
        Protocol::ICMPV6 => "icmpv6".into(),
        Protocol::VRRP => "vrrp".into(),
        Protocol::SCTP => "sctp".into(),
        Protocol(number) => format!("proto {number}"),
    }
}
