//! Four workers on four threads, random clients, and edits of configuration and routes meanwhile:
//! afterwards everything adds up. Bounded in packets and in time; a failure prints its seed
//! (PVS_SEED repeats it, as far as threads repeat anything).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;
#[path = "common/crowd.rs"]
mod crowd;

use common::VIP;
use crowd::{BUFFERS, Editor, SERVERS, Seed, WORKERS, Wires, director};
use pvs_dataplane::engine::{self, Handle};
use pvs_dataplane::memory::{MemoryBuf, MemoryPort};
use pvs_dataplane::punt::{PuntClass, PuntRings};
use pvs_dataplane::stats::Totals;
use pvs_dataplane::steering::Steering;
use pvs_dataplane::worker::{Clock, MonotonicClock, PlaceInTable, Question, Worker};
use pvs_oracle::frames::{from_client, server_mac, tcp};
use pvs_oracle::scenario::at;
use pvs_proto::wire::tcp::ACK;
use pvs_sched::{Load, ServerIndex};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// All of a run, whatever the machine.
const TIME_MAX: Duration = Duration::from_secs(8);

fn sum(handles: &[Handle<MemoryBuf>], figure: fn(&Totals) -> u64) -> u64 {
    handles.iter().map(|h| figure(&h.stats.totals())).sum()
}

/// Frames whose end is known: out by a port, to Linux, or lost.
fn ended(handles: &[Handle<MemoryBuf>], punt: &PuntRings<MemoryBuf>) -> u64 {
    let to_linux = PuntClass::ALL.map(|class| punt.counts(class));
    let lost = handles
        .iter()
        .flat_map(|h| h.stats.losses())
        .map(|(_, n)| n);
    // An error was made of a packet that is counted as lost.
    let out = sum(handles, |t| t.sent) - sum(handles, |t| t.icmp_sent);
    out + lost.sum::<u64>()
        + to_linux
            .iter()
            .map(|(passed, full)| passed + full)
            .sum::<u64>()
}

/// The clients of all connections, with how many each has.
fn connections(
    workers: &mut [Worker<MemoryPort>],
    handles: &[Handle<MemoryBuf>],
) -> HashMap<SocketAddr, u32> {
    let mut all = HashMap::new();
    for (worker, handle) in workers.iter_mut().zip(handles) {
        let mut from = Some(PlaceInTable::default());
        while let Some(place) = from {
            handle.mailbox.ask(Question::Page(place));
            worker.poll(MonotonicClock.nanos());
            let page = handle.mailbox.answer().unwrap();
            for record in &page.records {
                *all.entry(record.client).or_default() += 1;
            }
            from = page.next;
        }
    }
    all
}

/// Turns of all workers until nothing moves on any wire.
fn settle(workers: &mut [Worker<MemoryPort>], wires: &mut Wires) {
    loop {
        let nanos = MonotonicClock.nanos();
        let moved: usize = workers.iter_mut().map(|worker| worker.poll(nanos)).sum();
        let sent = wires.sent;
        wires.receive();
        if moved == 0 && wires.sent == sent {
            return;
        }
    }
}

/// Traffic and edits at once; returns when all packets have come to their end.
fn run(
    workers: &mut [Worker<MemoryPort>],
    handles: &[Handle<MemoryBuf>],
    editor: &mut Editor,
    wires: &mut Wires,
) {
    let until = Instant::now() + TIME_MAX;
    let (stop, calm) = (AtomicBool::new(false), AtomicBool::new(false));
    thread::scope(|scope| {
        for worker in workers.iter_mut() {
            let stop = &stop;
            scope.spawn(move || {
                while !stop.load(Relaxed) {
                    if worker.poll(MonotonicClock.nanos()) == 0 {
                        thread::yield_now();
                    }
                }
                worker.offline();
            });
        }
        let editing = scope.spawn(|| editor.edit_until(&calm));
        wires.generate(until - TIME_MAX / 3);
        calm.store(true, Relaxed);
        while Instant::now() < until && ended(handles, &wires.punt) < wires.sent {
            wires.receive();
            thread::yield_now();
        }
        stop.store(true, Relaxed);
        editing.join().unwrap();
    });
}

fn everything_adds_up(steering: Steering) {
    let seed = Seed::new();
    let (mut workers, handles, mut editor, mut wires) = director(steering, seed.0);
    run(&mut workers, &handles, &mut editor, &mut wires);
    settle(&mut workers, &mut wires);
    // Every packet has one end.
    assert_eq!(sum(&handles, |t| t.received), wires.sent);
    assert_eq!(ended(&handles, &wires.punt), sum(&handles, |t| t.received));
    assert_eq!(
        sum(&handles, |t| t.handed_over),
        sum(&handles, |t| t.taken_over)
    );
    assert!(
        sum(&handles, |t| t.handed_over) > 1000,
        "workers did not meet"
    );
    assert!(
        wires.requests > 1000 && wires.answers > 500,
        "nothing got through"
    );
    assert!(editor.current.version > 20, "nothing was edited");
    // Connections are those of the cells, and none is there twice.
    let loads = (1..=SERVERS).map(|n| engine::load(&handles, ServerIndex(n)));
    let Load { active, inactive } = loads.fold(Load::default(), Load::plus);
    let begun: u64 = (1..=SERVERS)
        .map(|n| engine::counters(&handles, ServerIndex(n)).connections)
        .sum();
    let in_tables = sum(&handles, |t| t.connections);
    assert_eq!(
        (u64::from(active + inactive), begun),
        (in_tables, in_tables)
    );
    let all = connections(&mut workers, &handles);
    assert_eq!(all.len() as u64, in_tables, "a client has two connections");
    assert!(wires.led.keys().all(|client| all.contains_key(client)));
    // Each is still there and leads where it led.
    editor.make_whole();
    for client in all.keys() {
        wires.requests = 0;
        wires.send(false, &from_client(&tcp(*client, at(VIP), ACK, b"")));
        settle(&mut workers, &mut wires);
        assert_eq!(wires.requests, 1, "{client} has lost its connection");
    }
    // Nothing is held back.
    for worker in &mut workers {
        worker.offline();
    }
    editor.snapshots.reclaim();
    editor.fibs.reclaim();
    assert_eq!(
        (editor.snapshots.outstanding(), editor.fibs.outstanding()),
        (0, 0)
    );
    assert_eq!(wires.pool.free(), BUFFERS, "a buffer is lost");
    assert!(
        wires
            .led
            .values()
            .all(|mac| (1..=6).any(|n| *mac == server_mac(n)))
    );
}

#[test]
fn everything_adds_up_under_ring() {
    everything_adds_up(Steering::ring(WORKERS as u16));
}

#[test]
fn everything_adds_up_under_a_nic_that_brings_packets_anywhere() {
    everything_adds_up(common::nic(WORKERS as u16));
}
