//! No cache line is written by two workers on the way of an established packet.
//!
//! Everything that a worker writes there is named here, with where it lies in an engine of several
//! workers; what all of them read and somebody writes now and then is named beside it. Lines count
//! in pairs of 64 bytes where a pair is possible: a core fetches two at a time.

use super::Worker;
use crate::apart::LINES;
use crate::engine::{Engine, EngineConfig};
use crate::memory::{MemoryPool, MemoryPort};
use crate::port::{Caps, Port};
use crate::stats::WorkerStats;
use crate::steering::Steering;
use core::ops::Range;
use core::sync::atomic::AtomicU64;
use pvs_proto::MacAddr;
use pvs_sched::ServerIndex;

const WORKERS: u16 = 4;

/// A cell is one line of 64 bytes, and its neighbour's line is written by the same worker, but for
/// the first and the last one of a block.
const CELL: usize = 64;

/// Something in memory, with a name and whose it is.
#[derive(Clone, Debug)]
struct Piece {
    name: String,
    owner: usize,
    place: Range<usize>,
    /// The bytes that must be its owner's together.
    unit: usize,
}

impl Piece {
    fn of<T>(name: &str, owner: usize, thing: &T) -> Self {
        Self::at(name, owner, core::slice::from_ref(thing).as_ptr_range())
    }

    fn at<T>(name: &str, owner: usize, range: Range<*const T>) -> Self {
        Self::within(name, owner, range.start.addr()..range.end.addr())
    }

    fn within(name: &str, owner: usize, place: Range<usize>) -> Self {
        let name = name.to_owned();
        Self {
            name,
            owner,
            place,
            unit: LINES,
        }
    }

    /// The whole lines that it touches.
    fn lines(&self) -> Range<usize> {
        self.place.start / self.unit * self.unit..self.place.end.next_multiple_of(self.unit)
    }

    fn shares_a_line_with(&self, other: &Self) -> bool {
        let (a, b) = (self.lines(), other.lines());
        !self.place.is_empty() && !other.place.is_empty() && a.start < b.end && b.start < a.end
    }
}

/// What a worker writes.
fn written<P: Port>(worker: &Worker<P>) -> Vec<Piece> {
    let owner = usize::from(worker.index.0);
    let of = |name: &str, place| Piece::within(name, owner, place);
    let (state, shared) = (&worker.state, &worker.shared);
    let mut all = vec![
        Piece::of("the worker itself", owner, worker),
        Piece::at("its line-ups", owner, worker.ports.as_ptr_range()),
        Piece::of("its counters", owner, &*shared.stats),
    ];
    let [_, seen] = worker.config.places();
    all.push(of("the configuration it has seen", seen));
    let [_, seen] = worker.fib.places();
    all.push(of("the routes it has seen", seen));
    let parts = ["arena", "index", "wheel"];
    all.extend(parts.iter().zip(state.v4.places()).map(|(n, p)| of(n, p)));
    all.extend(parts.iter().zip(state.v6.places()).map(|(n, p)| of(n, p)));
    let parts = ["places of pieces", "pieces"];
    let places = [state.v4_pieces.places(), state.v6_pieces.places()];
    for places in places {
        all.extend(parts.iter().zip(places).map(|(n, p)| of(n, p)));
    }
    let parts = ["next hops", "tunnels", "path MTUs"];
    all.extend(parts.iter().zip(state.hops.places()).map(|(n, p)| of(n, p)));
    let servers = (0u32..).map_while(|n| shared.cells.get(ServerIndex(n)));
    let parts = ["the loads", "the journal"];
    let places = shared.cells.loads_places();
    all.extend(parts.iter().zip(places).map(|(n, p)| of(n, p)));
    all.extend(servers.map(|cell| Piece {
        unit: CELL,
        ..Piece::of("a cell", owner, cell)
    }));
    all
}

/// What a worker reads in every turn and others write: rarely, or its line would not stay with it.
fn read<P: Port>(worker: &Worker<P>) -> Vec<Piece> {
    let nobody = usize::MAX;
    let [configuration, _] = worker.config.places();
    let [routes, _] = worker.fib.places();
    vec![
        Piece::within("the newest configuration", nobody, configuration),
        Piece::within("the newest routes", nobody - 1, routes),
        Piece::of("the mailbox", nobody - 2, &*worker.shared.mailbox),
    ]
}

/// Pairs of pieces of different owners that share a line.
fn shared(pieces: &[Piece]) -> Vec<(&Piece, &Piece)> {
    let mut found = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let later = pieces[at + 1..]
            .iter()
            .filter(|other| other.owner != piece.owner);
        found.extend(
            later
                .filter(|other| piece.shares_a_line_with(other))
                .map(|other| (piece, other)),
        );
    }
    found
}

fn engine() -> Engine<MemoryPort> {
    let pool = MemoryPool::new(8, 256);
    let caps = Caps {
        mac: MacAddr([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        queues: WORKERS,
        rx_ip_checksum: false,
        tx_ip_checksum: false,
        tx_l4_checksum: false,
    };
    let queue = |_| MemoryPort::new(caps.clone(), pool.clone(), 8).0;
    let port = || (0..WORKERS).map(queue).collect();
    // Odd sizes: nothing ends at the end of a line by chance.
    let config = EngineConfig {
        connections_v4: 4 * 1023,
        connections_v6: 4 * 1021,
        servers: 33,
        ..EngineConfig::default()
    };
    Engine::new(&config, Steering::ring(WORKERS), vec![port(), port()]).unwrap()
}

#[test]
fn no_cache_line_is_written_by_two_workers() {
    let engine = engine();
    let mut pieces: Vec<Piece> = engine.workers.iter().flat_map(written).collect();
    // Itself, line-ups, counters; two words of what is seen; two tables; pieces of both families;
    // three arrays; the loads, what is said of them, and the cells.
    assert_eq!(
        pieces.len(),
        usize::from(WORKERS) * (3 + 2 + 3 + 3 + 2 + 2 + 3 + 2 + 33)
    );
    pieces.extend(read(&engine.workers[0]));
    let mailboxes = engine.workers.iter().skip(1).flat_map(read);
    pieces.extend(mailboxes.filter(|piece| piece.name == "the mailbox"));
    assert_eq!(shared(&pieces).len(), 0, "{:#?}", shared(&pieces));
}

#[test]
fn counters_side_by_side_would_be_noticed() {
    // As counters would lie without an alignment of their own: right behind each other.
    const WORDS: usize = size_of::<WorkerStats>() / 8 - 1;
    let stats: [[AtomicU64; WORDS]; 4] =
        core::array::from_fn(|_| [const { AtomicU64::new(0) }; WORDS]);
    let pieces = |stats: &[[AtomicU64; WORDS]]| -> Vec<Piece> {
        let named = stats.iter().enumerate();
        named
            .map(|(owner, stats)| Piece::of("its counters", owner, stats))
            .collect()
    };
    assert!(!shared(&pieces(&stats)).is_empty());
    assert_eq!(align_of::<WorkerStats>(), LINES);
    assert_eq!(size_of::<WorkerStats>() % LINES, 0);
    let aligned: [WorkerStats; 4] = Default::default();
    let named = aligned.iter().enumerate();
    let pieces: Vec<Piece> = named
        .map(|(owner, stats)| Piece::of("its counters", owner, stats))
        .collect();
    assert_eq!(shared(&pieces).len(), 0);
}
