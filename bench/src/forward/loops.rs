//! The loops that the poll function is measured beside: a MAC swap, and the floor.

use super::flows::{DIRECTOR_MAC, server_mac};
use super::port::{BenchBuf, BenchPort};
use pvs_dataplane::port::{BURST, Batch, Buf, Port};
use pvs_dataplane::table::{Entry, Slot, Table, Tuple};
use pvs_proto::wire::{IpHeader, Network, Ports, ethernet};
use pvs_proto::{Addr4, Endpoint, Protocol, Ticks, V4};
use zerocopy::FromBytes;

/// Turns `bursts` bursts round, changing nothing but the hardware addresses.
pub fn mac_swap(port: &mut BenchPort, bursts: u32) {
    for _ in 0..bursts {
        let mut batch = Batch::new();
        port.rx(&mut batch);
        for buf in &mut batch {
            if let Ok((link, _)) = ethernet::Header::mut_from_prefix(buf.bytes_mut()) {
                core::mem::swap(&mut link.dst, &mut link.src);
            }
        }
        port.tx(&mut batch);
    }
}

/// The least that any director with a connection table does: a bucket, an
/// entry, a rewrite. No checks.
pub struct Floor {
    table: Table<V4>,
    protocol: Protocol,
}

impl Floor {
    /// Over a table that holds the flows already.
    pub fn new(table: Table<V4>, protocol: Protocol) -> Self {
        Self { table, protocol }
    }

    /// Turns `bursts` bursts round.
    pub fn run(&mut self, port: &mut BenchPort, bursts: u32, now: Ticks) {
        for _ in 0..bursts {
            let mut batch = Batch::new();
            port.rx(&mut batch);
            let nothing = (0, Slot::NONE, tuple(self.protocol, None));
            let mut items = [nothing; BURST];
            for (item, buf) in items.iter_mut().zip(&batch) {
                let tuple = tuple(self.protocol, Some(buf));
                let hash = self.table.hash(&tuple);
                self.table.prefetch(hash);
                *item = (hash, Slot::NONE, tuple);
            }
            for item in &mut items {
                item.1 = self.table.candidate(item.0);
            }
            for (item, buf) in items.iter().zip(&mut batch) {
                let Some((at, _)) = self.table.find(item.0, item.1, &item.2) else {
                    continue;
                };
                let Some(entry) = self.table.get_mut(at) else {
                    continue;
                };
                entry.packets = entry.packets.wrapping_add(1);
                entry.deadline = now.after(entry.timeout);
                rewrite(entry, buf);
            }
            port.tx(&mut batch);
        }
    }
}

#[inline]
fn tuple(protocol: Protocol, buf: Option<&BenchBuf>) -> Tuple<V4> {
    let mut tuple = Tuple {
        protocol,
        src: Endpoint::default(),
        dst: Endpoint::default(),
    };
    let Some(frame) = buf.map(Buf::bytes) else {
        return tuple;
    };
    if let Some(ip) = V4::header(frame, 14) {
        tuple.src.addr = ip.src();
        tuple.dst.addr = ip.dst();
    }
    if let Some(Ok((ports, _))) = frame.get(34..).map(Ports::ref_from_prefix) {
        tuple.src.port = ports.src.get();
        tuple.dst.port = ports.dst.get();
    }
    tuple
}

#[inline]
fn rewrite(entry: &Entry<V4>, buf: &mut BenchBuf) {
    let frame = buf.bytes_mut();
    if let Some(ip) = V4::header_mut(frame, 14) {
        ip.set_ttl(63);
    }
    if let Ok((link, _)) = ethernet::Header::mut_from_prefix(frame) {
        link.dst = server_mac(low_byte(entry.server));
        link.src = DIRECTOR_MAC;
    }
}

fn low_byte(addr: Addr4) -> u8 {
    let [.., low] = addr.to_wire();
    low
}
