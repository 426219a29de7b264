//! The engine put together: workers on one side, on the other the handles that control and pvs-linux keep.
//!
//! Used by pvsd, the replayer, the benchmarks and the tests alike, so that all drive the same thing.

use crate::fib::Fib;
use crate::port::Port;
use crate::punt::{INJECT_RING_MAX, InjectRing, PUNT_RING_MAX, PuntRings};
use crate::slab::{Backing, SlabError};
use crate::stats::WorkerStats;
use crate::table::HashKeys;
use crate::worker::{Mailbox, ResolveRequest, Shared, Steering, Worker, WorkerConfig};
use crossbeam::queue::ArrayQueue;
use pvs_epoch::Publisher;
use pvs_sched::{Cells, Counters, Load, ServerIndex, Snapshot};
use std::sync::Arc;

/// Neighbours that workers may ask for at a time; more are asked for again.
const RESOLVE_RING_MAX: usize = 1024;

/// The sizes of an engine.
#[derive(Clone, Copy, Debug)]
pub struct EngineConfig {
    /// IPv4 connections over all workers.
    pub connections_v4: u32,
    /// IPv6 connections over all workers.
    pub connections_v6: u32,
    /// Real servers.
    pub servers: usize,
    /// What memory the tables shall be of.
    pub backing: Backing,
    /// The tables' secret.
    pub keys: HashKeys,
    /// Drops what would be forwarded: to see what a failure looks like.
    pub rehearse_failure: bool,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            connections_v4: 65_536,
            connections_v6: 16_384,
            servers: 4096,
            backing: Backing::Ordinary,
            keys: HashKeys::random(),
            rehearse_failure: false,
        }
    }
}

/// What others than the workers hold of one worker.
#[derive(Debug)]
pub struct Handle<B> {
    /// Its servers' cells.
    pub cells: Arc<Cells>,
    /// Its counters.
    pub stats: Arc<WorkerStats>,
    /// Its way from Linux.
    pub inject: Arc<InjectRing<B>>,
    /// Its answers.
    pub mailbox: Arc<Mailbox>,
}

impl<B> Clone for Handle<B> {
    fn clone(&self) -> Self {
        Self {
            cells: Arc::clone(&self.cells),
            stats: Arc::clone(&self.stats),
            inject: Arc::clone(&self.inject),
            mailbox: Arc::clone(&self.mailbox),
        }
    }
}

/// An engine that is not running yet.
pub struct Engine<P: Port> {
    /// The workers, each for a thread of its own.
    pub workers: Vec<Worker<P>>,
    /// One for each worker.
    pub handles: Vec<Handle<P::Buf>>,
    /// Publishes the configuration.
    pub snapshots: Publisher<Snapshot>,
    /// Publishes forwarding information.
    pub fibs: Publisher<Fib>,
    /// The way to Linux.
    pub punt: Arc<PuntRings<P::Buf>>,
    /// The neighbours that workers ask for.
    pub resolve: Arc<ArrayQueue<ResolveRequest>>,
}

impl<P: Port> Engine<P> {
    /// An engine over `ports`, in the order of their indices, driven by one worker.
    ///
    /// # Errors
    /// If the tables' memory can't be had.
    pub fn new(config: EngineConfig, ports: Vec<P>) -> Result<Self, SlabError> {
        let (snapshots, readers) = pvs_epoch::channel(Snapshot::default(), 1);
        let (fibs, fib_readers) = pvs_epoch::channel(Fib::default(), 1);
        let punt = Arc::new(PuntRings::new(PUNT_RING_MAX));
        let resolve = Arc::new(ArrayQueue::new(RESOLVE_RING_MAX));
        let mut engine = Self {
            workers: vec![],
            handles: vec![],
            snapshots,
            fibs,
            punt,
            resolve,
        };
        let mut ports = Some(ports);
        for (snapshots, fibs) in readers.into_iter().zip(fib_readers) {
            let handle = Handle {
                cells: Arc::new(Cells::new(config.servers)),
                stats: Arc::default(),
                inject: Arc::new(ArrayQueue::new(INJECT_RING_MAX)),
                mailbox: Arc::default(),
            };
            let shared = Shared {
                cells: Arc::clone(&handle.cells),
                stats: Arc::clone(&handle.stats),
                punt: Arc::clone(&engine.punt),
                inject: Arc::clone(&handle.inject),
                resolve: Arc::clone(&engine.resolve),
                mailbox: Arc::clone(&handle.mailbox),
            };
            let worker = WorkerConfig {
                connections_v4: config.connections_v4,
                connections_v6: config.connections_v6,
                backing: config.backing,
                keys: config.keys,
                servers: config.servers,
                steering: Steering::ALONE,
                rehearse_failure: config.rehearse_failure,
            };
            let ports = ports.take().unwrap_or_default();
            engine
                .workers
                .push(Worker::new(worker, snapshots, fibs, ports, shared)?);
            engine.handles.push(handle);
        }
        Ok(engine)
    }
}

/// A server's statistics over all workers.
#[must_use]
pub fn counters<B>(handles: &[Handle<B>], server: ServerIndex) -> Counters {
    let cells = handles.iter().filter_map(|h| h.cells.get(server));
    cells
        .map(|cell| cell.counters())
        .fold(Counters::default(), Counters::plus)
}

/// A server's connections over all workers.
#[must_use]
pub fn load<B>(handles: &[Handle<B>], server: ServerIndex) -> Load {
    let cells = handles.iter().filter_map(|h| h.cells.get(server));
    cells
        .map(|cell| cell.load())
        .fold(Load::default(), Load::plus)
}
