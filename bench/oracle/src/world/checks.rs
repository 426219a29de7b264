//! What must hold of the director once all is calm.

use super::{FOR_EVER_MS, SERVERS, SERVICES, World, cell, choices::Choices};
use crate::director::Side;
use crate::frames::{self, from_client, server_mac};
use pvs_proto::wire::icmp;
use pvs_proto::wire::tcp::ACK;
use pvs_proto::{Checks, Meta, Packet, Protocol, V4, parse};
use pvs_sched::ServerIndex;
use std::collections::HashSet;

/// A little more than that.
const A_MINUTE_MS: u64 = 61_000;

impl<C: Choices> World<C> {
    /// No connection is there twice, none is uncounted, and each still leads to its server.
    pub(super) fn check_connections(&mut self) -> usize {
        let mut all = self.director.connections();
        // A template is no connection.
        all.retain(|record| record.client.port() != 0);
        let mut names = HashSet::new();
        for record in &all {
            let is_new = names.insert((record.protocol, record.client, record.virtual_));
            assert!(is_new, "twice: {record:?}");
        }
        assert_eq!(self.counted(), all.len() as u64, "loads and connections");
        let count = all.len();
        for record in all {
            let (client, vip) = (record.client, record.virtual_);
            let packet = match record.protocol {
                Protocol::TCP => frames::tcp(client, vip, ACK, b""),
                Protocol::UDP => frames::udp(client, vip, b"still there"),
                _ => continue,
            };
            let mut out = self.put(Side::Client, &from_client(&packet));
            out.retain(|(_, frame)| !tells_of_missing_pieces(frame));
            let [(Side::Server, frame)] = out.as_slice() else {
                panic_with(&format!("lost: {record:?}: {out:?}"));
            };
            let std::net::IpAddr::V4(server) = record.server.ip() else {
                continue;
            };
            let [.., n] = server.octets();
            assert!(frame.starts_with(&server_mac(n).0), "elsewhere: {record:?}");
        }
        count
    }

    fn cells() -> impl Iterator<Item = ServerIndex> {
        (0..SERVICES.len() as u32).flat_map(|index| (1..=SERVERS).map(move |n| cell(index, n)))
    }

    fn counted(&self) -> u64 {
        let loads = Self::cells().map(|cell| self.director.load(cell));
        loads
            .map(|load| u64::from(load.active + load.inactive))
            .sum()
    }

    /// When all timers are over nothing is left, and every frame has had its end.
    pub(super) fn check_end(&mut self) {
        self.director.sleep_ms(FOR_EVER_MS);
        // A template that was due before its connections were goes on for a minute.
        self.director.sleep_ms(A_MINUTE_MS);
        let left = self.director.connections();
        assert!(left.is_empty(), "for ever: {left:?}");
        assert_eq!(self.counted(), 0, "loads without connections");
        let _ = self.director.collect();
        let _ = self.director.punted();
        assert_eq!(
            self.director.free_buffers(),
            self.buffers,
            "a buffer is lost"
        );
        assert_eq!(self.director.outstanding(), 0, "a snapshot is not freed");
        assert_eq!(self.director.received(), self.sent, "frames received");
    }
}

#[allow(clippy::panic)] // as above
fn panic_with(text: &str) -> ! {
    panic!("{text}")
}

/// The director tells a client in its own time that pieces of a datagram did not come.
fn tells_of_missing_pieces(frame: &[u8]) -> bool {
    let about = |meta: &Meta<V4>| {
        let said = frame.get(usize::from(meta.l4)..)?;
        Some(said.starts_with(&[icmp::TIME_EXCEEDED, icmp::REASSEMBLY_TIME]))
    };
    match parse(frame, Checks { ip_good: false }) {
        Ok((_, Packet::V4(meta))) if meta.protocol == Protocol::ICMP => about(&meta) == Some(true),
        _ => false,
    }
}
