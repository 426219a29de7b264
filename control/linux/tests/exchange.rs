//! The exchange between memory rings and a real tap.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Lab, mac};
use pvs_dataplane::fib::PortIndex;
use pvs_dataplane::memory::{MemoryBuf, MemoryPool};
use pvs_dataplane::port::{Buf, Pool};
use pvs_dataplane::punt::{InjectRing, Injector, PuntClass, PuntRings, Punted};
use pvs_dataplane::steering::Steering;
use pvs_linux::{Error, Exchange, ExchangePort, MirrorTap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// A tap with the address 192.0.2.1 and the rings of one port, no IPv6 noise on it.
struct Bench {
    lab: Lab,
    exchange: Exchange<MemoryPool>,
    punts: Arc<PuntRings<MemoryBuf>>,
    inject: Arc<InjectRing<MemoryBuf>>,
    pool: MemoryPool,
}

impl Bench {
    fn new(buffers: usize, inject_max: usize) -> Self {
        let lab = Lab::new();
        let tap = Arc::new(lab.tap("pvs0"));
        assert!(lab.exec("sysctl -qw net.ipv6.conf.pvs0.disable_ipv6=1"));
        lab.ip("addr add 192.0.2.1/24 dev pvs0");
        while let Ok(Some(_)) = tap.read(&mut [0; 2048]) {}
        let (punts, inject) = (
            Arc::new(PuntRings::new(512)),
            Arc::new(InjectRing::new(inject_max)),
        );
        let pool = MemoryPool::new(buffers, 1600);
        let port = ExchangePort {
            port: PortIndex(0),
            tap,
            inject: Injector::new([Arc::clone(&inject)], Steering::ALONE),
            pool: pool.clone(),
        };
        let exchange = Exchange::new(vec![port], Arc::clone(&punts));
        Self {
            lab,
            exchange,
            punts,
            inject,
            pool,
        }
    }

    fn punt(&self, class: PuntClass, frame: &[u8]) {
        let mut buf = self.pool.alloc().unwrap();
        assert!(buf.fill(frame));
        assert!(self.punts.push(
            class,
            Punted {
                buf,
                port: PortIndex(0)
            }
        ));
    }

    /// Turns until a frame for the wire satisfies the condition, one second at most.
    fn sent(&mut self, what: &str, mut met: impl FnMut(&[u8]) -> bool) -> Vec<u8> {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            self.exchange.turn().unwrap();
            while let Some(injected) = self.inject.pop() {
                assert_eq!(injected.port, PortIndex(0));
                if met(injected.buf.bytes()) {
                    return injected.buf.bytes().to_vec();
                }
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("not sent: {what}");
    }
}

const CLIENT: [u8; 4] = [192, 0, 2, 9];
const TAP: [u8; 4] = [192, 0, 2, 1];

fn ethernet(to: [u8; 6], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &mac(9).0, &ethertype.to_be_bytes(), payload].concat()
}

/// RFC 826: operation 1 asks, 2 answers.
fn arp(operation: u8, to: [u8; 6], target: [u8; 4]) -> Vec<u8> {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, operation];
    arp.extend_from_slice(&mac(9).0);
    arp.extend_from_slice(&CLIENT);
    arp.extend_from_slice(&to);
    arp.extend_from_slice(&target);
    ethernet(if operation == 1 { [0xff; 6] } else { to }, 0x0806, &arp)
}

fn checksum(bytes: &[u8]) -> [u8; 2] {
    let sum: u32 = bytes
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |b| u32::from(*b)))
        .sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    (!(((folded & 0xffff) + (folded >> 16)) as u16)).to_be_bytes()
}

/// An ICMP echo request (RFC 792) to the tap's address.
fn ping(sequence: u8) -> Vec<u8> {
    let mut icmp = vec![8, 0, 0, 0, 0x12, 0x34, 0, sequence];
    icmp.extend_from_slice(b"pvs says hello..");
    let sum = checksum(&icmp);
    icmp[2..4].copy_from_slice(&sum);
    let mut ip = vec![
        0x45,
        0,
        0,
        (20 + icmp.len()) as u8,
        0,
        0,
        0x40,
        0,
        64,
        1,
        0,
        0,
    ];
    ip.extend_from_slice(&CLIENT);
    ip.extend_from_slice(&TAP);
    let sum = checksum(&ip);
    ip[10..12].copy_from_slice(&sum);
    ip.extend_from_slice(&icmp);
    ethernet(mac(1).0, 0x0800, &ip)
}

fn is_arp(frame: &[u8], operation: u8) -> bool {
    frame[12..14] == [0x08, 0x06] && frame[21] == operation
}

#[test]
fn a_ping_is_answered_through_the_rings() {
    let mut bench = Bench::new(64, 32);
    bench.punt(PuntClass::Neighbour, &arp(1, [0; 6], TAP));
    let reply = bench.sent("an ARP reply", |f| is_arp(f, 2));
    assert_eq!(reply[..6], mac(9).0);
    assert_eq!(reply[22..32], [&mac(1).0[..], &TAP].concat());

    bench.punt(PuntClass::Local, &ping(1));
    let reply = bench.sent("an echo reply", |f| f[12..14] == [8, 0] && f[23] == 1);
    assert_eq!(reply[34], 0, "type 0, echo reply");
    assert_eq!(reply[30..34], CLIENT);
    assert_eq!(checksum(&reply[14..34]), [0, 0], "whole checksums");
    assert_eq!(checksum(&reply[34..]), [0, 0], "whole checksums");

    let counters = bench.exchange.counters();
    assert_eq!(counters.to_linux.load(Relaxed), 2);
    assert!(counters.from_linux.load(Relaxed) >= 2);
    assert_eq!(bench.pool.free(), 64, "every buffer is back");
}

#[test]
fn linux_asks_and_sends_through_the_rings() {
    let mut bench = Bench::new(64, 32);
    let name = bench.lab.name().to_owned();
    let pinging = std::thread::spawn(move || {
        let words = ["netns", "exec", &name, "ping", "-c1", "-W3", "192.0.2.9"];
        std::process::Command::new("ip")
            .args(words)
            .output()
            .unwrap()
            .status
            .success()
    });
    bench.sent("an ARP request", |f| is_arp(f, 1) && f[38..42] == CLIENT);
    bench.punt(PuntClass::Neighbour, &arp(2, mac(1).0, TAP));
    let mut request = bench.sent("an echo request", |f| f[12..14] == [8, 0] && f[34] == 8);
    // The client's answer: addresses swapped, type 0, its checksum by RFC 1624.
    request.copy_within(6..12, 0);
    request[6..12].copy_from_slice(&mac(9).0);
    request[26..30].copy_from_slice(&CLIENT);
    request[30..34].copy_from_slice(&TAP);
    request[34] = 0;
    request[36..38].copy_from_slice(&[0, 0]);
    let sum = checksum(&request[34..]);
    request[36..38].copy_from_slice(&sum);
    bench.punt(PuntClass::Local, &request);
    bench.exchange.turn().unwrap();
    assert!(pinging.join().unwrap());
}

#[test]
fn a_flood_in_one_class_does_not_keep_another_waiting() {
    let mut bench = Bench::new(1024, 32);
    for _ in 0..500 {
        bench.punt(PuntClass::Refused, &ping(0));
        bench.punts.pop(PuntClass::Local);
    }
    bench.punt(PuntClass::Neighbour, &arp(1, [0; 6], TAP));
    bench.punt(PuntClass::Local, &ping(1));
    bench.exchange.turn().unwrap();
    assert!(bench.punts.pop(PuntClass::Neighbour).is_none());
    assert!(bench.punts.pop(PuntClass::Local).is_none());
    let mut left = 0;
    while bench.punts.pop(PuntClass::Refused).is_some() {
        left += 1;
    }
    assert_eq!(left, 500 - 16, "a bounded number in a turn");
}

#[test]
fn a_flood_gets_no_more_than_its_part_of_a_second_and_the_others_theirs() {
    let mut bench = Bench::new(2048, 32);
    let local = pvs_linux::PER_SECOND[PuntClass::Local as usize];
    let (noise, began) = (ping(1), Instant::now());
    let (mut asked, mut answered) = (0u64, 0u64);
    for turn in 0u64.. {
        if began.elapsed() > Duration::from_millis(300) {
            break;
        }
        while bench.pool.free() > 1600 {
            bench.punt(PuntClass::Local, &noise);
        }
        if turn % 64 == 0 {
            bench.punt(PuntClass::Neighbour, &arp(1, [0; 6], TAP));
            asked += 1;
        }
        bench.exchange.turn().unwrap();
        assert!(bench.punts.is_empty_of(PuntClass::Neighbour), "at once");
        while let Some(injected) = bench.inject.pop() {
            answered += u64::from(is_arp(injected.buf.bytes(), 2));
        }
    }
    let took = began.elapsed().as_secs_f64();
    let to_linux = bench.exchange.counters().to_linux.load(Relaxed) - asked;
    let most = local as f64 * (took + 0.01) + 1.0;
    println!("{to_linux} of a flood in {took:.2} s, {answered} of {asked} answered");
    assert!(to_linux as f64 <= most, "{to_linux} in {took} s");
    assert!(to_linux > 1000, "a flood is not cut off");
    assert!(answered > 0, "in the midst of it");
}

/// Frames of Linux: broadcast datagrams need no neighbour.
fn shout(lab: &Lab, times: u32) {
    assert!(lab.exec(&format!("ping -q -b -c{times} -i0.002 -W0.001 192.0.2.255")) || times > 0);
}

#[test]
fn full_rings_and_empty_pools_are_counted_and_lose_nothing_else() {
    let mut bench = Bench::new(8, 2);
    shout(&bench.lab, 5);
    bench.exchange.turn().unwrap();
    let counters = bench.exchange.counters();
    assert_eq!(counters.from_linux.load(Relaxed), 2);
    assert_eq!(counters.inject_full.load(Relaxed), 3);
    assert_eq!(bench.pool.free(), 6);

    let held: Vec<_> = std::iter::from_fn(|| bench.pool.alloc()).collect();
    shout(&bench.lab, 1);
    bench.exchange.turn().unwrap();
    assert_eq!(counters.pool_empty.load(Relaxed), 1);
    drop(held);

    bench.lab.ip("link set pvs0 down");
    bench.punt(PuntClass::Local, &ping(1));
    bench.exchange.turn().unwrap();
    assert_eq!(counters.refused_by_linux.load(Relaxed), 1);
}

#[test]
fn a_deleted_tap_is_told_once_and_can_be_replaced() {
    let mut bench = Bench::new(16, 8);
    bench.lab.ip("link del pvs0");
    assert!(matches!(bench.exchange.turn(), Err(Error::TapGone { name }) if name == "pvs0"));
    bench.punt(PuntClass::Local, &ping(1));
    bench.exchange.turn().unwrap();
    assert_eq!(bench.exchange.counters().no_tap.load(Relaxed), 1);

    let tap = MirrorTap::open(&bench.lab.open(), &common::config("pvs0", 1)).unwrap();
    bench.lab.ip("addr add 192.0.2.1/24 dev pvs0");
    bench.exchange.replace_tap(PortIndex(0), Arc::new(tap));
    bench.punt(PuntClass::Neighbour, &arp(1, [0; 6], TAP));
    bench.sent("an ARP reply", |f| is_arp(f, 2));
}

#[test]
fn the_loop_runs_until_it_is_stopped() {
    let bench = Bench::new(64, 32);
    let stop = Arc::new(AtomicBool::new(false));
    bench.punt(PuntClass::Neighbour, &arp(1, [0; 6], TAP));
    let (mut exchange, stopped) = (bench.exchange, Arc::clone(&stop));
    let running = std::thread::spawn(move || exchange.run(&stopped));
    let end = Instant::now() + Duration::from_secs(1);
    let answered = std::iter::from_fn(|| {
        std::thread::sleep(Duration::from_millis(1));
        (Instant::now() < end).then(|| bench.inject.pop())
    })
    .flatten()
    .any(|injected| is_arp(injected.buf.bytes(), 2));
    assert!(answered);
    stop.store(true, Relaxed);
    running.join().unwrap().unwrap();
}
