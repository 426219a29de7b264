//! One worker: a poll loop that carries a burst of packets through the
//! stages, on one core, in place.
//!
//! What waits for a neighbour leaves first. Then, for what other workers hand over and for what
//! each port receives, `admit (parse, interface, hash, prefetch) -> steer -> look up -> decide
//! (state, counters, rewrite) -> dispatch (tx, punt, hand over, drop)`; then, bounded, what
//! Linux sends, expiry, and a question of control's. A worker owns all it writes: its shard of
//! the connection table, its counters, its queues. It allocates nothing after start, logs
//! nothing, waits for no lock, and can't panic. The rings to and from other threads take no
//! lock either, but a worker may have to give way to one that was stopped within a push into the
//! ring that it empties, or a pop from a full one that it fills: not where it punts.

mod admit;
mod connect;
mod cut;
mod datagram;
mod decide;
mod defence;
mod dispatch;
mod encapsulation;
mod expiry;
mod forward;
mod gather;
mod handed;
mod hops;
mod icmp;
mod lane;
#[cfg(test)]
mod layout;
mod learned;
mod listing;
mod local;
mod mailbox;
mod marks;
mod options;
mod outgoing;
mod overdue;
mod pieces;
mod plan;
mod purge;
mod quote;
mod quoted;
mod related;
mod rewrite;
mod run;
mod schedule;
mod tunnel;
mod tunnel_errors;
mod unclaimed;
mod view;
mod waiting;
mod whole;

pub use gather::{FRAGMENTED_MAX, FRAGMENTS_MAX};
pub use icmp::{ICMP_TOO_BIG_BURST, ICMP_TOO_BIG_PER_SECOND};
pub use learned::{PATH_MTU_LIFETIME, PATH_MTU_MIN};
pub use mailbox::{MailGuard, Mailbox, Page, Part, PlaceInTable, Question, Record, WayTo};
pub use pieces::FRAGMENTS_OF_ONE_MAX;
pub use plan::PIECES_MAX;
pub use run::{Clock, Idle, MonotonicClock, run};
pub use waiting::ResolveRequest;

use crate::engine::Servers;
use crate::fib::{Fib, PortIndex};
use crate::handover::HandOver;
use crate::port::{Batch, Buf, Port};
use crate::punt::{InjectRing, PuntRings};
use crate::slab::{Backing, SlabError};
use crate::stats::WorkerStats;
use crate::steering::{Steering, WorkerIndex};
use crate::table::{HashKeys, Table};
use crossbeam::queue::ArrayQueue;
use defence::{Defence, Hands, Room};
use gather::Gathering;
use hops::ServerHops;
use lane::{Lanes, Verdicts};
use purge::Purge;
use pvs_epoch::Reader;
use pvs_proto::{Family, Ticks, V4, V6};
use pvs_sched::templates::Hand;
use pvs_sched::{Cells, Snapshot};
use std::sync::Arc;
use view::{Arrived, Gathered, View};
use waiting::WaitingRoom;

/// What a worker shares with the rest of the process.
#[derive(Debug)]
pub struct Shared<B> {
    /// Its servers' cells.
    pub cells: Arc<Cells>,
    /// What all workers know of servers.
    pub servers: Servers,
    /// The workers' rings.
    pub handover: HandOver<B>,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    /// The way to Linux.
    pub punt: Arc<PuntRings<B>>,
    /// The way from Linux.
    pub inject: Arc<InjectRing<B>>,
    /// Asks pvs-linux for neighbours.
    pub resolve: Arc<ArrayQueue<ResolveRequest>>,
    /// Control's questions.
    pub mailbox: Arc<Mailbox>,
}

/// A worker's sizes and habits.
#[derive(Clone, Debug)]
pub struct WorkerConfig {
    /// Its number.
    pub index: WorkerIndex,
    /// IPv4 connections that its shard holds.
    pub connections_v4: u32,
    /// IPv6 connections that its shard holds.
    pub connections_v6: u32,
    /// What memory its tables shall be of.
    pub backing: Backing,
    /// The tables' secret.
    pub keys: HashKeys,
    /// Servers that its cells are for.
    pub servers: usize,
    /// Which packets are whose.
    pub steering: Steering,
    /// Drops what it would forward, counted as
    /// [`DropReason::Rehearsal`](crate::reason::DropReason::Rehearsal).
    pub rehearse_failure: bool,
}

/// How a worker reaches a port.
#[derive(Debug)]
pub enum Access<P: Port> {
    /// By a queue pair of its own.
    Own(P),
    /// By another worker, who has one; and where buffers for the port come from.
    By(WorkerIndex, P::Pool),
}

/// A port with the frames that are to leave by it. Written with every packet,
/// hence on lines of its own.
#[repr(align(128))]
struct Lineup<P: Port> {
    access: Access<P>,
    out: Batch<P::Buf>,
    /// What others have received by it for this worker.
    handed: Batch<P::Buf>,
}

/// The tables and what belongs to them.
struct State<B> {
    v4: Table<V4>,
    v6: Table<V6>,
    v4_pieces: Gathering<V4, B>,
    v6_pieces: Gathering<V6, B>,
    hops: ServerHops,
    waiting: WaitingRoom<B>,
    hands: Hands,
    purge: Purge,
    /// The tick in which templates were looked at last, and where that stands in either table.
    swept: Ticks,
    sweeps: [Hand; 2],
}

/// A worker. [`poll`](Self::poll) is its whole life. It shares no cache line
/// with another one beside it.
#[repr(align(128))]
pub struct Worker<P: Port> {
    config: Reader<Snapshot>,
    fib: Reader<Fib>,
    ports: Vec<Lineup<P>>,
    state: State<P::Buf>,
    shared: Shared<P::Buf>,
    index: WorkerIndex,
    steering: Steering,
    defence: Defence,
    rehearse_failure: bool,
}

impl<P: Port> Worker<P> {
    /// A worker over the ports, in the order of [`PortIndex`]. All memory is taken here.
    ///
    /// # Errors
    /// If the tables' memory can't be had.
    pub fn new(
        config: WorkerConfig,
        snapshots: Reader<Snapshot>,
        fibs: Reader<Fib>,
        ports: Vec<Access<P>>,
        shared: Shared<P::Buf>,
    ) -> Result<Self, SlabError> {
        let hand = || Hand::of(config.index.0.into(), config.steering.workers().into());
        let state = State {
            v4: Table::new(config.connections_v4, config.keys, config.backing)?,
            v6: Table::new(config.connections_v6, config.keys, config.backing)?,
            v4_pieces: Gathering::new(),
            v6_pieces: Gathering::new(),
            hops: ServerHops::new(config.servers),
            waiting: WaitingRoom::new(),
            hands: Hands::default(),
            purge: Purge::default(),
            swept: Ticks(0),
            sweeps: [(); 2].map(|()| hand()),
        };
        let ports = ports
            .into_iter()
            .map(|access| Lineup {
                access,
                out: Batch::new(),
                handed: Batch::new(),
            })
            .collect();
        Ok(Self {
            config: snapshots,
            fib: fibs,
            ports,
            state,
            shared,
            index: config.index,
            steering: config.steering,
            defence: Defence::default(),
            rehearse_failure: config.rehearse_failure,
        })
    }

    /// One turn: at most a burst from each port, and a bounded amount of everything else. `nanos`
    /// is the time of a monotonic clock. Returns how many frames were moved; 0 is an idle turn.
    #[inline(never)]
    pub fn poll(&mut self, nanos: u64) -> usize {
        let Self {
            config,
            fib,
            ports,
            state,
            shared,
            index,
            steering,
            defence,
            rehearse_failure,
        } = self;
        let now = Ticks::at_nanos(nanos);
        let configuration = config.poll();
        defence.keep_up(&mut state.hands, configuration, now, || {
            [room(&state.v4), room(&state.v6)]
        });
        let mut view = View {
            arrived: Arrived::FromPort,
            port: PortIndex(0),
            config: configuration,
            fib: fib.poll(),
            now,
            cells: &shared.cells,
            servers: &shared.servers,
            variant: defence.variant(&configuration.tunables),
            marks_drop: configuration.marks.drops(),
            defence,
            stats: &shared.stats,
            resolve: &shared.resolve,
            index: *index,
            steering,
            rehearse_failure: *rehearse_failure,
            gathered: Gathered::default(),
        };
        // Before new frames: what waited for the same neighbour came first.
        let settled = waiting::serve(&view, state, ports, shared);
        let relayed = handed::collect(&view, state, ports, shared);
        let (mut received, mut handed) = (0, 0);
        for at in 0..ports.len() {
            // What others have handed over, and then what has arrived.
            loop {
                let mut batch = Batch::new();
                view.arrived = fetch(ports, at, &mut batch);
                view.port = PortIndex(at as u16);
                let moved = batch.len();
                if moved > 0 {
                    carry(&view, state, ports, shared, batch);
                }
                if view.arrived == Arrived::FromPort {
                    received += moved;
                    break;
                }
                handed += moved;
            }
        }
        let injected = dispatch::inject(&view, state, ports, shared);
        overdue::expire(&view, state, ports, shared);
        expiry::expire(&view, state);
        listing::serve(&view, state, &shared.mailbox);
        dispatch::flush(&view, ports, &shared.handover);
        view.stats
            .count_poll(received as u64, state.v4.len(), state.v6.len());
        received + handed + relayed + injected + settled
    }

    /// What memory the tables really are of.
    #[must_use]
    pub fn backing(&self) -> Backing {
        self.state.v4.backing()
    }

    /// Connections that fit into its tables, of IPv4 and of IPv6.
    #[must_use]
    pub fn capacity(&self) -> [u32; 2] {
        [self.state.v4.capacity(), self.state.v6.capacity()]
    }

    /// Says that no snapshot is in use until the next poll: before a nap, so
    /// that control need not wait.
    pub fn offline(&mut self) {
        self.config.offline();
        self.fib.offline();
    }
}

/// The next burst of one port: what others have handed over of it, else what its queue has.
#[inline]
fn fetch<P: Port>(ports: &mut [Lineup<P>], at: usize, batch: &mut Batch<P::Buf>) -> Arrived {
    let Some(lineup) = ports.get_mut(at) else {
        return Arrived::FromPort;
    };
    if !lineup.handed.is_empty() {
        core::mem::swap(batch, &mut lineup.handed);
        return Arrived::FromWorker;
    }
    if let Access::Own(queue) = &mut lineup.access {
        queue.rx(batch);
    }
    Arrived::FromPort
}

/// Carries a burst of one port through all stages. It has one caller, and so has each stage: a
/// second one would make calls of them, which costs 7 ns for each packet.
#[inline]
fn carry<P: Port>(
    view: &View<'_>,
    state: &mut State<P::Buf>,
    ports: &mut [Lineup<P>],
    shared: &Shared<P::Buf>,
    mut batch: Batch<P::Buf>,
) {
    let port = view.port;
    let mut lanes = Lanes::new();
    let mut verdicts = Verdicts::new();
    for buf in &batch {
        if let Some(first) = buf.bytes().first() {
            crate::slab::prefetch(first);
        }
    }
    admit::admit(view, state, port, &batch, &mut lanes, &mut verdicts);
    lane::carry(
        view,
        &mut state.v4,
        &mut state.hops,
        &mut lanes.v4,
        &mut batch,
        &mut verdicts,
    );
    lane::carry(
        view,
        &mut state.v6,
        &mut state.hops,
        &mut lanes.v6,
        &mut batch,
        &mut verdicts,
    );
    dispatch::dispatch(view, state, ports, shared, port, batch, &verdicts);
}

fn room<F: Family>(table: &Table<F>) -> Room {
    let all = table.capacity();
    Room {
        free: all.saturating_sub(table.len()),
        all,
        extent: table.extent(),
    }
}
