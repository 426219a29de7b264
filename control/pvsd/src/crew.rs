//! What the threads own, put together: each part for one of them, and the ways between them.

use crate::board::Board;
use crate::config::Config;
use crate::linux::MirrorThread;
use crate::plane::Dataplane;
use crate::ports::Ports;
use crate::recovery::Mirrors;
use crate::report::Reporter;
use crate::sampler::Sampler;
use crate::status::{Facts, Inspector};
use crate::watch::Watchman;
use anyhow::Result;
use crossbeam::channel;
use pvs_control::{Plane, Server, Store};
use pvs_dataplane::engine::Engine;
use pvs_dataplane::punt::Injector;
use pvs_dataplane::slab::Backing;
use pvs_dataplane::worker::Worker;
use pvs_dpdk::{DpdkPort, Mbuf, Mempool};
use pvs_linux::{Exchange, ExchangePort, Namespace, NeighbourKeeper, Watcher};
use std::sync::Arc;
use std::time::Instant;

/// What the threads are given.
pub struct Parts<'a> {
    /// The bound control socket.
    pub server: Server,
    /// The store, with the rules of the configuration.
    pub store: Store,
    /// The open ports.
    pub ports: &'a Ports,
    /// The mirrors' namespace.
    pub namespace: Namespace,
    /// The engine.
    pub engine: Engine<DpdkPort>,
    /// A core for each worker.
    pub cores: Vec<usize>,
}

/// What each thread works with.
pub struct Crew<'a> {
    /// The control socket.
    pub server: Server,
    /// The configuration.
    pub store: Store,
    /// The workers with their cores.
    pub workers: Vec<(Worker<DpdkPort>, usize)>,
    /// Control's view of them.
    pub plane: Dataplane,
    /// Frames between rings and taps.
    pub exchange: Exchange<Mempool>,
    /// What Linux knows.
    pub mirror: MirrorThread,
    /// Main looks after links and losses,
    pub watchman: Watchman<'a>,
    /// and at the devices.
    pub sampler: Sampler<'a>,
}

impl<'a> Crew<'a> {
    /// Everything but the threads. The rules of the configuration are published: they are there
    /// from the workers' first turn.
    ///
    /// # Errors
    /// The kernel refuses netlink's sockets.
    pub fn assemble(config: &Config, parts: Parts<'a>) -> Result<Self> {
        let Parts {
            server,
            mut store,
            ports,
            namespace,
            engine,
            cores,
        } = parts;
        let facts = facts(config, ports, &engine, &cores);
        let board = Arc::<Board>::default();
        let (tell_servers, servers) = channel::unbounded();
        let (news, heard) = channel::unbounded();
        let lanes = exchange_ports(ports, &engine.injector);
        let mut exchange = Exchange::new(lanes, Arc::clone(&engine.punt));
        let reporter = Reporter::new(Arc::clone(&board), namespace.name());
        let netdevs = config.port.iter().map(|p| p.netdev().map(str::to_owned));
        let mirrors = Mirrors::new(namespace, &ports.open, netdevs.collect());
        let mirror = MirrorThread {
            watcher: Watcher::new(mirrors.namespace(), mirrors.bindings())?,
            keeper: NeighbourKeeper::new(mirrors.namespace())?,
            mirrors,
            taps: exchange.new_taps(),
            fibs: engine.fibs,
            store: server.handle(),
            news,
            servers,
            resolve: Arc::clone(&engine.resolve),
            reporter,
        };
        let handles = engine.handles;
        let watchman = Watchman::new(&ports.open, &handles, &cores, heard);
        let sampler = Sampler::new(&ports.open, &config.port, &handles, Arc::clone(&board));
        let inspector = Inspector {
            facts,
            handles: handles.clone(),
            punt: engine.punt,
            exchange: exchange.counters(),
            board,
        };
        let size = u64::from(config.table.connections);
        let shared = engine.servers;
        let mut plane = Dataplane::new(
            handles,
            shared,
            engine.snapshots,
            tell_servers,
            size,
            inspector,
        );
        if let Some(snapshot) = store.take_snapshot() {
            plane.publish(snapshot);
        }
        Ok(Self {
            server,
            store,
            workers: engine.workers.into_iter().zip(cores).collect(),
            plane,
            exchange,
            mirror,
            watchman,
            sampler,
        })
    }
}

/// What stays as it is.
fn facts(config: &Config, ports: &Ports, engine: &Engine<DpdkPort>, cores: &[usize]) -> Facts {
    let workers = engine.workers.iter();
    let fits = workers
        .clone()
        .map(|worker| worker.capacity().map(u64::from));
    Facts {
        started: Instant::now(),
        dpdk: ports.eal.version(),
        steering: ports.steering.mode(),
        cores: cores.to_vec(),
        idle: config.workers.idle,
        capacity: fits.fold([0; 2], |[v4, v6], [more_v4, more_v6]| {
            [v4 + more_v4, v6 + more_v6]
        }),
        table_huge_pages: workers
            .clone()
            .all(|worker| worker.backing() == Backing::Huge),
        buffer_huge_pages: ports.eal.has_hugepages(),
    }
}

fn exchange_ports(ports: &Ports, injector: &Injector<Mbuf>) -> Vec<ExchangePort<Mempool>> {
    let lanes = ports
        .open
        .iter()
        .zip(ports.bindings())
        .map(|(open, binding)| ExchangePort {
            port: binding.port,
            tap: open.tap(),
            inject: injector.clone(),
            pool: ports.pool,
        });
    lanes.collect()
}
