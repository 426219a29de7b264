//! The director put together: what is opened in which order, which threads run, how all of it ends.
//!
//! The control socket comes first: a second pvsd is told so before it touches a port or a tap.

use crate::args::Args;
use crate::config::{Config, Hugepages};
use crate::linux::{MirrorThread, carry};
use crate::logging::Log;
use crate::plane::Dataplane;
use crate::ports::{self, Ports};
use crate::signals::Watch;
use crate::{rules, worker};
use anyhow::{Context, Result, ensure};
use crossbeam::channel;
use pvs_control::reply::Feature;
use pvs_control::{Capabilities, Server, SocketConfig, Store};
use pvs_dataplane::engine::{Engine, EngineConfig, Handle};
use pvs_dataplane::slab::Backing;
use pvs_dataplane::table::{HashKeys, Table};
use pvs_dpdk::hugepages::{self, Reservation};
use pvs_dpdk::{DpdkPort, Mbuf};
use pvs_linux::{Exchange, ExchangePort};
use pvs_proto::{V4, V6};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// How long the first listing of addresses and routes may take.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// What this dataplane can do.
const CAPABILITIES: Capabilities = Capabilities::BASIC.with(Feature::Ipv6);

/// Runs the director until it is told to end.
///
/// # Errors
/// One line that says what is missing and how to get it.
pub fn run(args: &Args, config: &Config, log: &Log) -> Result<()> {
    let mut signals = Watch::new()?;
    let control = &config.control;
    let socket = SocketConfig {
        path: control.socket.clone(),
        mode: control.mode()?,
        group: control.group.clone(),
    };
    let server = Server::bind(&socket)?;
    let store = Store::with_room(CAPABILITIES, config.table.servers as usize);
    let cores = worker::cores(&config.workers.cores, config.workers.count)?;
    let mut ports = ports::open(config, &worker::other_cores(&cores))?;
    let (engine, table_pages) = engine(config, std::mem::take(&mut ports.queues))?;
    let stop = AtomicBool::new(false);
    let failure = serve(
        args,
        config,
        log,
        &mut signals,
        Parts {
            server,
            store,
            ports: &ports,
            engine,
            cores,
        },
        &stop,
    );
    drop((ports, table_pages));
    failure
}

/// The engine, its tables on huge pages where they can be had; these are given back with the second value.
fn engine(
    config: &Config,
    queues: Vec<DpdkPort>,
) -> Result<(Engine<DpdkPort>, Option<Reservation>)> {
    let table = &config.table;
    let connections_v6 = table
        .connections6
        .unwrap_or(table.connections / 4)
        .max(1024);
    let bytes = Table::<V4>::bytes(table.connections) + Table::<V6>::bytes(connections_v6);
    let reserved = match config.memory.hugepages {
        Hugepages::Off => None,
        Hugepages::Auto => hugepages::reserve(mebibytes(bytes))
            .inspect_err(|shortage| {
                tracing::warn!("the connection table: {shortage}; it is on 4 KiB pages")
            })
            .ok(),
        Hugepages::Require => {
            Some(hugepages::reserve(mebibytes(bytes)).context("the connection table")?)
        }
    };
    let sizes = EngineConfig {
        connections_v4: table.connections,
        connections_v6,
        servers: table.servers as usize,
        backing: if reserved.is_some() {
            Backing::Huge
        } else {
            Backing::Ordinary
        },
        keys: HashKeys::random(),
        rehearse_failure: config.debug.drop_service_traffic,
    };
    let engine = Engine::new(sizes, queues)?;
    let (pages, _counted) = reserved.unzip();
    Ok((engine, pages))
}

fn mebibytes(bytes: usize) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}

/// What the threads are given.
struct Parts<'a> {
    server: Server,
    store: Store,
    ports: &'a Ports,
    engine: Engine<DpdkPort>,
    cores: Vec<usize>,
}

/// Starts the threads, waits for the end, and ends them.
fn serve(
    args: &Args,
    config: &Config,
    log: &Log,
    signals: &mut Watch,
    parts: Parts<'_>,
    stop: &AtomicBool,
) -> Result<()> {
    let Parts {
        server,
        mut store,
        ports,
        mut engine,
        cores,
    } = parts;
    let (tell_servers, servers) = channel::unbounded();
    let handles = engine.handles;
    let mut exchange = Exchange::new(exchange_ports(ports, &handles)?, engine.punt);
    let table_size = u64::from(config.table.connections);
    let mut plane = Dataplane::new(handles, engine.snapshots, tell_servers, table_size);
    if let Some(file) = &config.rules.file {
        rules::load(file, &mut store, &plane)?;
    }
    let first = ports.open.first().context("no port is open")?;
    let same = ports
        .open
        .iter()
        .all(|p| p.namespace.is_same(&first.namespace));
    ensure!(
        same,
        "the mirrors are in several namespaces: put all of them into one"
    );
    let (bindings, store_handle) = (ports.bindings(), server.handle());
    let resolve = Arc::clone(&engine.resolve);
    let mut mirror = MirrorThread::new(
        &first.namespace,
        bindings,
        engine.fibs,
        store_handle,
        servers,
        resolve,
    )?;
    let ready = AtomicBool::new(false);
    let idle = config.workers.idle.into();
    thread::scope(|scope| {
        let workers: Vec<_> = engine
            .workers
            .drain(..)
            .zip(cores)
            .map(|(mut worker, core)| {
                scope.spawn(move || {
                    let ended = worker::drive(&mut worker, core, idle, stop);
                    stop.store(true, Relaxed);
                    ended
                })
            })
            .collect();
        scope.spawn(|| carry(&mut exchange, stop));
        scope.spawn(|| mirror.run(&ready, stop));
        scope.spawn(|| server.run(store, &mut plane, stop));
        let begun = wait_ready(&ready, stop);
        if begun.is_ok() {
            announce();
            signals.wait(args, config, log, stop);
        }
        // A notification is a courtesy: there may be nobody who wants it.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        stop.store(true, Relaxed);
        let ended = workers.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(_) => Err(anyhow::anyhow!("a worker has crashed")),
        });
        begun.and(ended.collect())
    })
}

fn exchange_ports(
    ports: &Ports,
    handles: &[Handle<Mbuf>],
) -> Result<Vec<ExchangePort<pvs_dpdk::Mempool>>> {
    let handle = handles.first().context("there is no worker")?;
    let lanes = ports
        .open
        .iter()
        .zip(ports.bindings())
        .map(|(open, binding)| ExchangePort {
            port: binding.port,
            tap: Arc::clone(&open.tap),
            inject: Arc::clone(&handle.inject),
            pool: ports.pool,
        });
    Ok(lanes.collect())
}

fn wait_ready(ready: &AtomicBool, stop: &AtomicBool) -> Result<()> {
    let until = Instant::now() + READY_TIME_MAX;
    while !ready.load(Relaxed) && !stop.load(Relaxed) {
        ensure!(
            Instant::now() < until,
            "Linux did not list its addresses and routes in {READY_TIME_MAX:?}"
        );
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

fn announce() {
    let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
    println!("pvsd: ready");
}
