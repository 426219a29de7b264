//! What fuzzers send to a director that has a connection of each method: messages that
//! quote packets, and pieces.
//!
//! Every frame that comes out is read again, and every buffer must come back.

use super::SERVERS;
use crate::director::{Director, Side};
use crate::frames::{self, from_client, from_server};
use crate::scenario::{self, at};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::table::HashKeys;
use pvs_proto::wire::tcp::SYN;
use pvs_proto::{Checks, Protocol, parse};
use pvs_sched::{Snapshot, Transport};

/// Longer than any piece waits.
const PIECES_MS: u64 = 120_000;

/// A director with a TCP and a UDP service and a connection of each to each server, and
/// how many buffers are free.
fn director() -> (Director, usize) {
    let config = EngineConfig {
        connections_v4: 256,
        connections_v6: 64,
        servers: 64,
        templates: 64,
        keys: HashKeys::seeded(7),
        ..EngineConfig::default()
    };
    let mut director = Director::with(config, &[], 2048).expect("the engine's memory");
    let free = director.free_buffers();
    let mut snapshot = Snapshot::default();
    for (index, transport, vip) in [
        (0, Transport::Tcp, "10.0.0.100:80"),
        (1, Transport::Udp, "10.0.0.100:53"),
    ] {
        let service = scenario::service(index, transport, at(vip), true);
        snapshot.put(super::with_all(service, index));
    }
    director.configure(snapshot);
    for n in 0..SERVERS {
        let (tcp, udp) = (at("10.0.0.100:80"), at("10.0.0.100:53"));
        let (syn, query) = (
            frames::tcp(super::client(n), tcp, SYN, b""),
            frames::udp(super::client(n), udp, b"query"),
        );
        for packet in [syn, query] {
            let _ = director.send(Side::Client, &from_client(&packet));
        }
    }
    (director, free)
}

/// Sends a packet by a side; what comes out is well formed, unless what came in was not.
fn send(director: &mut Director, side: Side, packet: &[u8]) {
    let frame = match side {
        Side::Client => from_client(packet),
        Side::Server => from_server(1, packet),
    };
    for (_, out) in director.send(side, &frame).unwrap_or_default() {
        assert!(parse(&out, Checks::default()).is_ok(), "{out:02x?}");
    }
    let _ = director.punted();
}

/// The first byte says from where, all others are an ICMP message, whose checksum is made right.
///
/// # Panics
/// If what must hold does not.
pub fn quoted(data: &[u8]) {
    let Some((from, message)) = data.split_first() else {
        return;
    };
    let Some(message) = message.get(..message.len().min(1400)) else {
        return;
    };
    let (mut director, free) = director();
    let (vip, client, server) = (at("10.0.0.100:0"), super::client(0), at("192.168.1.1:0"));
    let (side, src, dst) = match from % 4 {
        0 => (Side::Server, server, client),
        1 => (Side::Server, server, at("192.168.1.254:0")),
        2 => (Side::Client, client, vip),
        _ => (Side::Client, client, server),
    };
    let mut message = message.to_vec();
    if let Some(place) = message.get_mut(2..4) {
        place.fill(0);
    }
    let sum = pvs_proto::checksum::Sum::of(&message)
        .finish()
        .to_be_bytes();
    if let Some(place) = message.get_mut(2..4) {
        place.copy_from_slice(&sum);
    }
    let packet = frames::ip(src.ip(), dst.ip(), Protocol::ICMP, message);
    send(&mut director, side, &packet);
    assert_eq!(director.free_buffers(), free, "a buffer is lost");
}

/// Pieces of three bytes each: where in the datagram, how long, and which datagram, whether more
/// follow, and how long after the one before.
///
/// # Panics
/// If what must hold does not.
pub fn pieces(data: &[u8]) {
    let (mut director, free) = director();
    let vip = at("10.0.0.100:53");
    for piece in data.chunks_exact(3).take(256) {
        let [offset, len, bits] = piece else { continue };
        let client = super::client(usize::from(bits & 3));
        let mut packet = frames::udp(client, vip, &vec![*len; usize::from(*len) * 4]);
        let more = if bits & 4 == 0 { 0 } else { 0x2000 };
        let fragment: u16 = more | u16::from(*offset);
        let fields = [
            (4, [0, bits & 7]),
            (6, fragment.to_be_bytes()),
            (10, [0, 0]),
        ];
        for (at, bytes) in fields {
            frames::set(&mut packet, at, bytes);
        }
        let sum = packet.get(..20).map(pvs_proto::checksum::Sum::of);
        frames::set(
            &mut packet,
            10,
            sum.unwrap_or_default().finish().to_be_bytes(),
        );
        if bits & 0xc0 == 0xc0 {
            director.pass_ms(u64::from(bits & 0x38) * 100);
        }
        send(&mut director, Side::Client, &packet);
    }
    director.sleep_ms(PIECES_MS);
    let _ = (director.collect(), director.punted());
    assert_eq!(director.free_buffers(), free, "a buffer is lost");
}
