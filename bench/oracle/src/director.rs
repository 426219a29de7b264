//! The director of the laboratory.

use crate::{frames, laboratory};
use anyhow::{Context, Result, ensure};
use crossbeam::queue::ArrayQueue;
use pvs_dataplane::engine::{self, Engine, EngineConfig, Handle, Servers};
use pvs_dataplane::fib::{Fib, PortIndex};
use pvs_dataplane::memory::{Cable, MemoryBuf, MemoryPool, MemoryPort};
use pvs_dataplane::port::{Buf, Caps, Pool};
use pvs_dataplane::punt::{Injector, PuntClass, PuntRings};
use pvs_dataplane::reason::Loss;
use pvs_dataplane::stats::Totals;
use pvs_dataplane::steering::Steering;
use pvs_dataplane::table::HashKeys;
use pvs_dataplane::worker::{PlaceInTable, Question, Record, ResolveRequest, Worker};
use pvs_epoch::Publisher;
use pvs_proto::MacAddr;
use pvs_sched::{Counters, Load, ServerIndex, Snapshot};
use std::net::IpAddr;
use std::sync::Arc;

/// Frames that a cable holds.
const DEPTH: usize = 4096;

/// A side of the director: a port, and what is on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The clients' (c0).
    Client,
    /// The servers' (r0).
    Server,
}

impl Side {
    /// The side of a port.
    #[must_use]
    pub fn of(port: u16) -> Option<Self> {
        let all = [Self::Client, Self::Server];
        all.into_iter().find(|side| side.port().0 == port)
    }

    /// The recorder's interface on it.
    #[must_use]
    pub const fn interface(self) -> &'static str {
        match self {
            Self::Client => "c0",
            Self::Server => "r0",
        }
    }

    /// The side's port.
    #[must_use]
    pub const fn port(self) -> PortIndex {
        match self {
            Self::Client => PortIndex(0),
            Self::Server => PortIndex(1),
        }
    }
}

/// An engine on two memory ports, on virtual time; one worker, unless more are asked for.
pub struct Director {
    workers: Vec<Worker<MemoryPort>>,
    handles: Vec<Handle<MemoryBuf>>,
    injector: Injector<MemoryBuf>,
    servers: Servers,
    snapshots: Publisher<Snapshot>,
    fibs: Publisher<Fib>,
    punt: Arc<PuntRings<MemoryBuf>>,
    resolve: Arc<ArrayQueue<ResolveRequest>>,
    /// Of each queue.
    client: Vec<Cable>,
    server: Vec<Cable>,
    pool: MemoryPool,
    nanos: u64,
}

impl Director {
    /// A director with the laboratory's routes and neighbours and no service.
    ///
    /// # Errors
    /// If the engine's memory can't be had.
    pub fn new() -> Result<Self> {
        Self::with(
            EngineConfig {
                keys: HashKeys::seeded(7),
                ..EngineConfig::default()
            },
            &[],
            4096,
        )
    }

    /// The same with other sizes, further local addresses, and room for longer frames.
    ///
    /// # Errors
    /// If the engine's memory can't be had.
    pub fn with(config: EngineConfig, locals: &[IpAddr], frame_len: usize) -> Result<Self> {
        Self::several(config, locals, frame_len, Steering::ALONE, 1)
    }

    /// A director of several workers, whose ports have this number of queues.
    ///
    /// # Errors
    /// If the engine's memory can't be had.
    pub fn several(
        config: EngineConfig,
        locals: &[IpAddr],
        frame_len: usize,
        steering: Steering,
        queues: usize,
    ) -> Result<Self> {
        let pool = MemoryPool::new(2 * DEPTH, frame_len);
        let port = |mac| -> (Vec<MemoryPort>, Vec<Cable>) {
            let queue = |_| MemoryPort::new(caps(mac), pool.clone(), DEPTH);
            (0..queues).map(queue).unzip()
        };
        let (c1, client) = port(frames::DIRECTOR_CLIENT_MAC);
        let (r1, server) = port(frames::DIRECTOR_SERVER_MAC);
        let mut engine = Engine::new(&config, steering, vec![c1, r1])?;
        engine.fibs.publish(laboratory(locals)?);
        Ok(Self {
            workers: engine.workers,
            handles: engine.handles,
            injector: engine.injector,
            servers: engine.servers,
            snapshots: engine.snapshots,
            fibs: engine.fibs,
            punt: engine.punt,
            resolve: engine.resolve,
            client,
            server,
            pool,
            nanos: 1_000_000_000,
        })
    }

    /// Lets the worker see another configuration.
    pub fn configure(&mut self, mut snapshot: Snapshot) {
        snapshot.workers = self.workers.len();
        snapshot.settle();
        self.snapshots.publish(snapshot);
        self.poll();
        self.snapshots.reclaim();
    }

    /// Lets the worker see other forwarding information.
    pub fn route(&mut self, fib: Fib) {
        self.fibs.publish(fib);
        self.poll();
        self.fibs.reclaim();
    }

    /// One turn of each worker.
    pub fn poll(&mut self) -> usize {
        let nanos = self.nanos;
        self.workers
            .iter_mut()
            .map(|worker| worker.poll(nanos))
            .sum()
    }

    /// Turns until nothing moves.
    pub fn settle(&mut self) {
        while self.poll() > 0 {}
    }

    /// Lets time pass, and expiry with it.
    pub fn sleep_ms(&mut self, ms: u64) {
        self.pass_ms(ms);
        // The wheel turns a bounded number of places in each poll.
        for _ in 0..(ms / 64 / 32 + 4) {
            self.settle();
        }
    }

    /// The clock's time.
    #[must_use]
    pub fn nanos(&self) -> u64 {
        self.nanos
    }

    /// Lets time pass, without a poll.
    pub fn pass_ms(&mut self, ms: u64) {
        self.nanos += ms * 1_000_000;
    }

    /// Frees what came out and what went to Linux.
    pub fn drain(&mut self) {
        for cable in self.client.iter().chain(&self.server) {
            while cable.receive().is_some() {}
        }
        while PuntClass::ALL
            .into_iter()
            .any(|class| self.punt.pop(class).is_some())
        {}
    }

    /// Asks for a page of the connection table: the next poll answers.
    pub fn ask(&self, from: PlaceInTable) {
        if let Some(handle) = self.handles.first() {
            handle.mailbox.ask(Question::Page(from));
        }
    }

    /// Sends a frame in by a side and returns what comes out, in order, sides apart.
    ///
    /// # Errors
    /// If the cable or the pool is exhausted.
    pub fn send(&mut self, side: Side, frame: &[u8]) -> Result<Vec<(Side, Vec<u8>)>> {
        self.send_by(side, 0, frame)
    }

    /// The same by a queue of the side's port.
    ///
    /// # Errors
    /// If there is no such queue, or the cable or the pool is exhausted.
    pub fn send_by(
        &mut self,
        side: Side,
        queue: usize,
        frame: &[u8],
    ) -> Result<Vec<(Side, Vec<u8>)>> {
        let cable = self.cables(side).get(queue).context("no such queue")?;
        ensure!(
            cable.send(frame),
            "no room for a frame of {} bytes",
            frame.len()
        );
        Ok(self.collect())
    }

    /// Turns until nothing moves; what comes out, sides apart.
    pub fn collect(&mut self) -> Vec<(Side, Vec<u8>)> {
        self.settle();
        let mut out = Vec::new();
        for side in [Side::Client, Side::Server] {
            for cable in self.cables(side) {
                out.extend(core::iter::from_fn(|| Some((side, cable.receive_bytes()?))));
            }
        }
        out
    }

    /// What went to Linux since the last call.
    pub fn punted(&mut self) -> Vec<(PuntClass, Side, Vec<u8>)> {
        let mut all = Vec::new();
        for class in PuntClass::ALL {
            while let Some(frame) = self.punt.pop(class) {
                let side = if frame.port == Side::Client.port() {
                    Side::Client
                } else {
                    Side::Server
                };
                all.push((class, side, frame.buf.bytes().to_vec()));
            }
        }
        all
    }

    /// Puts a frame of Linux's into its worker's injection ring; false if it is full.
    pub fn inject(&mut self, side: Side, frame: &[u8]) -> bool {
        let Some(mut buf) = self.pool.alloc() else {
            return false;
        };
        let injected = |buf| pvs_dataplane::punt::Injected {
            buf,
            port: side.port(),
        };
        buf.fill(frame) && self.injector.push(injected(buf))
    }

    /// The neighbours that the worker asked Linux for since the last call.
    pub fn wishes(&mut self) -> Vec<IpAddr> {
        core::iter::from_fn(|| self.resolve.pop())
            .map(|wish| wish.address)
            .collect()
    }

    /// How often a packet was lost for a reason.
    #[must_use]
    pub fn lost(&self, loss: Loss) -> u64 {
        self.handles.iter().map(|h| h.stats.lost(loss)).sum()
    }

    /// Every reason for which a packet was lost.
    #[must_use]
    pub fn losses(&self) -> Vec<(&'static str, u64)> {
        Loss::all()
            .map(|loss| (loss.label(), self.lost(loss)))
            .filter(|(_, n)| *n > 0)
            .collect()
    }

    /// The first worker's totals.
    #[must_use]
    pub fn totals(&self) -> Totals {
        self.handles
            .first()
            .map(|handle| handle.stats.totals())
            .unwrap_or_default()
    }

    /// A server's statistics.
    #[must_use]
    pub fn counters(&self, server: ServerIndex) -> Counters {
        engine::counters(&self.handles, server)
    }

    /// A server's connections.
    #[must_use]
    pub fn load(&self, server: ServerIndex) -> Load {
        engine::load(&self.handles, server)
    }

    /// What the workers share of servers.
    #[must_use]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Buffers that are neither in the engine nor on a cable nor in a ring.
    #[must_use]
    pub fn free_buffers(&self) -> usize {
        self.pool.free()
    }

    /// A page of the first worker's connection table, and where the next one begins.
    pub fn page(&mut self, from: PlaceInTable) -> (Vec<Record>, Option<PlaceInTable>) {
        self.page_of(0, from)
    }

    fn page_of(
        &mut self,
        worker: usize,
        from: PlaceInTable,
    ) -> (Vec<Record>, Option<PlaceInTable>) {
        if let Some(handle) = self.handles.get(worker) {
            handle.mailbox.ask(Question::Page(from));
        }
        loop {
            self.poll();
            let answer = self.handles.get(worker).and_then(|h| h.mailbox.answer());
            if let Some(page) = answer {
                return (page.records.to_vec(), page.next);
            }
        }
    }

    /// The connection tables, worker by worker, in the tables' order.
    pub fn connections(&mut self) -> Vec<Record> {
        let mut all = Vec::new();
        for worker in 0..self.workers.len() {
            let mut from = Some(PlaceInTable::default());
            while let Some(place) = from {
                let (records, next) = self.page_of(worker, place);
                all.extend(records);
                from = next;
            }
        }
        all
    }

    /// Frames that the workers took from the ports.
    #[must_use]
    pub fn received(&self) -> u64 {
        let totals = self.handles.iter().map(|handle| handle.stats.totals());
        totals.map(|totals| totals.received).sum()
    }

    /// Configurations and forwarding information that were replaced and are not freed yet.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.snapshots.outstanding() + self.fibs.outstanding()
    }

    /// The first worker itself, for checks that want the shipped poll
    /// function and nothing around it.
    #[allow(clippy::indexing_slicing)] // every director has one
    pub fn worker(&mut self) -> &mut Worker<MemoryPort> {
        &mut self.workers[0]
    }

    /// The cable of a side's first queue.
    #[must_use]
    #[allow(clippy::indexing_slicing)] // every port has one
    pub fn cable(&self, side: Side) -> &Cable {
        &self.cables(side)[0]
    }

    /// The cable of one of a side's queues, if there is one.
    #[must_use]
    pub fn cable_of(&self, side: Side, queue: usize) -> Option<&Cable> {
        self.cables(side).get(queue)
    }

    fn cables(&self, side: Side) -> &[Cable] {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    /// One turn of one worker, as if the others were asleep.
    pub fn poll_one(&mut self, worker: usize) -> usize {
        let nanos = self.nanos;
        self.workers
            .get_mut(worker)
            .map_or(0, |worker| worker.poll(nanos))
    }

    /// What others see of the workers.
    #[must_use]
    pub fn handles(&self) -> &[Handle<MemoryBuf>] {
        &self.handles
    }
}

fn caps(mac: MacAddr) -> Caps {
    Caps {
        mac,
        mtu: 1500,
        queues: 1,
        rx_ip_checksum: false,
        tx_ip_checksum: false,
        tx_l4_checksum: false,
    }
}
