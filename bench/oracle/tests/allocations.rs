//! No allocation in the poll loop: the corpus of frames, connections made and ended, packets that
//! wait, a listing, all under an allocator that counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[path = "../../../proto/tests/corpus/mod.rs"]
mod corpus;

use pvs_dataplane::worker::PlaceInTable;
use pvs_oracle::Side;
use pvs_oracle::frames::{from_client, from_server, tcp, udp};
use pvs_oracle::scenario::{self, at};
use pvs_proto::wire::tcp::{ACK, FIN, RST, SYN};
use pvs_sched::Method;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::SocketAddr;

thread_local! {
    static COUNTING: Cell<bool> = const { Cell::new(false) };
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is the callee's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise is the callee's.
        unsafe { System.dealloc(at, layout) }
    }
}

fn note() {
    if COUNTING.get() {
        COUNT.set(COUNT.get() + 1);
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations and frees during `work`.
fn counted(work: impl FnOnce()) -> u64 {
    COUNT.set(0);
    COUNTING.set(true);
    work();
    COUNTING.set(false);
    COUNT.get()
}

#[test]
fn the_counter_counts() {
    let held = std::hint::black_box(vec![1u8]);
    assert_eq!(counted(|| drop(std::hint::black_box(vec![1u8, 2]))), 2);
    drop(held);
}

#[test]
fn the_poll_loop_neither_allocates_nor_frees() {
    let servers = [
        ("192.168.1.1:8080", Method::Masquerade),
        ("192.168.1.2:8080", Method::Masquerade),
    ];
    let mut d = scenario::director(&servers).unwrap();
    let vip = at("10.0.0.100:80");
    let mut polls = 0u32;
    let mut turn = |d: &mut pvs_oracle::Director, side: Side, frame: &[u8]| {
        assert!(d.cable(side).send(frame));
        let nanos = d.nanos();
        let worker = d.worker();
        let n = counted(|| {
            worker.poll(nanos);
            worker.poll(nanos);
        });
        assert_eq!(
            n,
            0,
            "allocations or frees while polling a frame of {} bytes",
            frame.len()
        );
        polls += 2;
        d.drain();
    };
    for case in corpus::cases() {
        for side in [Side::Client, Side::Server] {
            turn(&mut d, side, &case.frame);
        }
    }
    // Tunnels, and a service that has nobody; what is too long or too old is answered.
    for servers in [
        &[("192.168.1.1:80", Method::Tunnel)][..],
        &[("[fd01::1]:80", Method::Tunnel)],
        &[],
    ] {
        let mut d = scenario::director(servers).unwrap();
        for case in corpus::cases() {
            turn(&mut d, Side::Client, &case.frame);
        }
        let client = at("10.9.0.1:4001");
        for len in [1, 1400, 1472] {
            let packet = udp(client, at("10.0.0.100:53"), &vec![b'x'; len]);
            turn(&mut d, Side::Client, &from_client(&packet));
        }
        assert!(d.totals().icmp_sent > 0);
    }
    for port in 1000..1500 {
        let client = SocketAddr::new("10.9.0.1".parse().unwrap(), port);
        for signal in [SYN, ACK, FIN | ACK, RST] {
            turn(
                &mut d,
                Side::Client,
                &from_client(&tcp(client, vip, signal, b"")),
            );
            turn(
                &mut d,
                Side::Server,
                &from_server(1, &tcp(at("192.168.1.1:8080"), client, signal | ACK, b"")),
            );
        }
        turn(
            &mut d,
            Side::Client,
            &from_client(&udp(client, at("10.0.0.100:53"), b"x")),
        );
    }
    d.route(scenario::fib_with(None, 2, true));
    for port in 2000..2600 {
        let client = SocketAddr::new("10.9.0.1".parse().unwrap(), port);
        turn(
            &mut d,
            Side::Client,
            &from_client(&tcp(client, vip, SYN, b"")),
        );
    }
    for _ in 0..300 {
        d.pass_ms(1000);
        let nanos = d.nanos();
        d.ask(PlaceInTable::default());
        let worker = d.worker();
        assert_eq!(
            counted(|| for _ in 0..50 {
                worker.poll(nanos);
            }),
            0,
            "while entries expire"
        );
    }
    assert!(polls > 5000, "{polls}");
}
