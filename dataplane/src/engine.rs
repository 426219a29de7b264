//! The engine put together: workers on one side, on the other the handles that
//! control and pvs-linux keep.
//!
//! Used by pvsd, the replayer, the benchmarks and the tests alike, so that
//! all drive the same thing.

mod config;

pub use config::EngineConfig;

use crate::fib::Fib;
use crate::handover::HandOver;
use crate::port::Port;
use crate::punt::{INJECT_RING_MAX, InjectRing, Injector, PUNT_RING_MAX, PuntRings};
use crate::slab::SlabError;
use crate::stats::WorkerStats;
use crate::steering::{Steering, WorkerIndex};
use crate::table::{HashKeys, Tuple};
use crate::worker::{Access, Mailbox, ResolveRequest, Shared, Worker, WorkerConfig};
use crossbeam::queue::ArrayQueue;
use pvs_epoch::{Publisher, Reader};
use pvs_proto::{Addr4, Addr6, Endpoint, Family, Protocol, Ticks, V4, V6};
use pvs_sched::persistence::TemplateKey;
use pvs_sched::templates::{EngineData, Templates};
use pvs_sched::{AllCells, Cells, Counters, Flow, Load, Loads, ServerIndex, Service, Snapshot};
use std::net::SocketAddr;
use std::sync::Arc;

/// Neighbours that workers may ask for at a time; more are asked for again.
const RESOLVE_RING_MAX: usize = 1024;

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
    /// The way from Linux.
    pub injector: Injector<P::Buf>,
    /// The workers' rings.
    pub handover: HandOver<P::Buf>,
    /// What all workers know of servers.
    pub servers: Servers,
}

/// What workers share of servers beside the configuration; touched only when a
/// connection begins or ends.
#[derive(Clone, Debug)]
pub struct Servers {
    /// Their connections over all workers, and which are at their threshold.
    pub loads: AllCells,
    /// The templates of persistent services.
    pub templates: Arc<TemplateTables>,
}

impl Servers {
    /// Of the workers that have these cells. All memory is taken here.
    pub fn new(config: &EngineConfig, cells: impl IntoIterator<Item = Arc<Cells>>) -> Self {
        Self {
            loads: AllCells::new(cells),
            templates: Arc::new(TemplateTables::new(config)),
        }
    }
}

/// Templates of both families.
#[derive(Debug)]
pub struct TemplateTables {
    /// Of IPv4.
    pub v4: Templates<Addr4>,
    /// Of IPv6.
    pub v6: Templates<Addr6>,
    /// Their secret.
    pub keys: HashKeys,
}

impl TemplateTables {
    fn new(config: &EngineConfig) -> Self {
        Self {
            v4: Templates::new(config.templates, config.servers),
            v6: Templates::new(config.templates.div_ceil(4), config.servers),
            keys: config.keys,
        }
    }

    /// The hash of a template's key, which is like a packet's tuple but for the client's port.
    /// Where an engine goes by something else than the client, this takes its place.
    pub(crate) fn hash<F: Family>(&self, key: &TemplateKey<F::Addr>, data: &[u8]) -> u64 {
        let end = |addr, port| Endpoint { addr, port };
        let client = if data.is_empty() {
            key.client
        } else {
            F::Addr::default()
        };
        let hash = self.keys.hash::<F>(&Tuple {
            protocol: key.protocol,
            src: end(client, 0),
            dst: end(key.virtual_, key.port),
        });
        self.keys.hash_bytes(hash, data)
    }

    /// The template that a service has for a client: its server, seconds left, and whether it
    /// is assured. For control: it waits for others that hold the stripe. None where an
    /// engine tells clients apart.
    #[must_use]
    pub fn look_up(
        &self,
        service: &Service,
        protocol: Protocol,
        (client, virtual_): (SocketAddr, SocketAddr),
        now: Ticks,
    ) -> Option<(ServerIndex, u32, bool)> {
        let ends = (client, virtual_);
        match client {
            SocketAddr::V4(_) => self.seen::<V4>(&self.v4, service, protocol, ends, now),
            SocketAddr::V6(_) => self.seen::<V6>(&self.v6, service, protocol, ends, now),
        }
    }

    fn seen<F: Family>(
        &self,
        table: &Templates<F::Addr>,
        service: &Service,
        protocol: Protocol,
        (client, virtual_): (SocketAddr, SocketAddr),
        now: Ticks,
    ) -> Option<(ServerIndex, u32, bool)> {
        let end = |end: SocketAddr| {
            let port = end.port();
            Some(Endpoint {
                addr: F::addr(end.ip())?,
                port,
            })
        };
        let flow = Flow {
            client: end(client)?,
            virtual_: end(virtual_)?,
            now,
        };
        let persistence = service
            .config
            .persistence
            .filter(|_| service.config.engine.is_none())?;
        let key = TemplateKey::of(service, persistence, protocol, &flow);
        let mut held = table.hold(self.hash::<F>(&key, &[]))?;
        let (place, _) = held.find(&key, &EngineData::NONE, now)?;
        let seen = held.show(place, now)?;
        Some((seen.server, seen.expires_secs, seen.is_assured))
    }

    /// Templates of a server.
    #[must_use]
    pub fn of_server(&self, server: ServerIndex) -> u32 {
        self.v4
            .of_server(server)
            .saturating_add(self.v6.of_server(server))
    }
}

impl<P: Port> Engine<P> {
    /// An engine over ports, in the order of their indices, each with its queue pairs in the
    /// order of the workers. There may be fewer of them than workers: the others reach the
    /// port by those who have one.
    ///
    /// # Errors
    /// If the tables' memory can't be had.
    pub fn new(
        config: &EngineConfig,
        steering: Steering,
        ports: Vec<Vec<P>>,
    ) -> Result<Self, SlabError> {
        Self::new_by(config, steering, ports, |_| ())
    }

    /// The same, each worker made by a thread of its own that calls `settle` first: to pin itself,
    /// so that the worker's memory is of its core's NUMA node.
    ///
    /// # Errors
    /// If the tables' memory can't be had.
    pub fn new_by(
        config: &EngineConfig,
        steering: Steering,
        ports: Vec<Vec<P>>,
        settle: impl Fn(WorkerIndex) + Sync,
    ) -> Result<Self, SlabError> {
        let workers = usize::from(steering.workers());
        let (snapshots, readers) = pvs_epoch::channel(Snapshot::default(), workers);
        let (fibs, fib_readers) = pvs_epoch::channel(Fib::default(), workers);
        let handles: Vec<Handle<P::Buf>> = (0..workers).map(|_| Handle::new(config)).collect();
        let engine = Self {
            servers: Servers::new(config, handles.iter().map(|h| Arc::clone(&h.cells))),
            workers: vec![],
            snapshots,
            fibs,
            punt: Arc::new(PuntRings::new(PUNT_RING_MAX)),
            resolve: Arc::new(ArrayQueue::new(RESOLVE_RING_MAX)),
            injector: Injector::new(
                handles.iter().map(|handle| Arc::clone(&handle.inject)),
                steering.clone(),
            ),
            handover: HandOver::new(steering.workers()),
            handles,
        };
        engine.with_workers(config, &steering, (readers, fib_readers), ports, &settle)
    }

    fn with_workers(
        mut self,
        config: &EngineConfig,
        steering: &Steering,
        (readers, fib_readers): (Vec<Reader<Snapshot>>, Vec<Reader<Fib>>),
        ports: Vec<Vec<P>>,
        settle: &(impl Fn(WorkerIndex) + Sync),
    ) -> Result<Self, SlabError> {
        let count = u32::from(steering.workers()).max(1);
        let seats = seats(ports, steering.workers());
        let parts = self.handles.iter().zip(seats).zip(readers).zip(fib_readers);
        for (index, (((handle, ports), snapshots), fibs)) in (0u16..).zip(parts) {
            let shared = Shared {
                cells: Arc::clone(&handle.cells),
                servers: self.servers.clone(),
                handover: self.handover.clone(),
                stats: Arc::clone(&handle.stats),
                punt: Arc::clone(&self.punt),
                inject: Arc::clone(&handle.inject),
                resolve: Arc::clone(&self.resolve),
                mailbox: Arc::clone(&handle.mailbox),
            };
            let worker = WorkerConfig {
                index: WorkerIndex(index),
                connections_v4: config.connections_v4.div_ceil(count),
                connections_v6: config.connections_v6.div_ceil(count),
                backing: config.backing,
                keys: config.keys,
                servers: config.servers,
                steering: steering.clone(),
                rehearse_failure: config.rehearse_failure,
            };
            let make = || {
                settle(WorkerIndex(index));
                Worker::new(worker, snapshots, fibs, ports, shared)
            };
            let made = std::thread::scope(|scope| scope.spawn(make).join());
            self.workers
                .push(made.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(self)
    }
}

/// For each worker its access to each port.
fn seats<P: Port>(ports: Vec<Vec<P>>, workers: u16) -> Vec<Vec<Access<P>>> {
    let mut seats: Vec<Vec<Access<P>>> = (0..workers).map(|_| Vec::new()).collect();
    for queues in ports {
        let owners = u16::try_from(queues.len()).unwrap_or(u16::MAX);
        let pool = queues.first().map(Port::pool);
        let mut queues = queues.into_iter();
        for (worker, seat) in (0u16..).zip(&mut seats) {
            let by = || {
                let owner = WorkerIndex(worker.checked_rem(owners)?);
                Some(Access::By(owner, pool.clone()?))
            };
            seat.extend(queues.next().map(Access::Own).or_else(by));
        }
    }
    seats
}

impl<B> Handle<B> {
    fn new(config: &EngineConfig) -> Self {
        Self {
            cells: Arc::new(Cells::new(config.servers)),
            stats: Arc::default(),
            inject: Arc::new(ArrayQueue::new(INJECT_RING_MAX)),
            mailbox: Arc::default(),
        }
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
    let loads = handles.iter().map(|h| h.cells.load(server));
    loads.fold(Load::default(), Load::plus)
}
