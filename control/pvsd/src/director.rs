//! The director put together: what is opened in which order.
//!
//! The control socket comes first: a second pvsd is told so before it touches a port or a tap.

use crate::args::Args;
use crate::config::{Config, Hugepages, SteeringConfig};
use crate::crew::Parts;
use crate::logging::Log;
use crate::signals::Watch;
use crate::threads;
use crate::{ports, rules, worker};
use anyhow::{Context, Result, ensure};
use pvs_control::{Capabilities, Server, SocketConfig, Store};
use pvs_dataplane::engine::{Engine, EngineConfig};
use pvs_dataplane::slab::Backing;
use pvs_dataplane::steering::{Steering, WorkerIndex};
use pvs_dataplane::table::HashKeys;
use pvs_dpdk::DpdkPort;
use pvs_dpdk::hugepages::{self, Reservation, Reserved};

/// What can be asked of this director.
fn capabilities(config: &Config) -> Capabilities {
    let rxq = config.workers.steering == SteeringConfig::Rxq && config.workers.count > 1;
    match rxq {
        true => Capabilities::WITHOUT_MASQUERADING,
        false => Capabilities::ALL,
    }
}

/// Runs the director until it is told to end.
///
/// # Errors
/// One line that says what is missing and how to get it.
pub fn run(args: &Args, config: &Config, log: &Log) -> Result<()> {
    let mut signals = Watch::new()?;
    let ended = direct(args, config, log, &mut signals);
    match &ended {
        // No start anew for whoever was told to end.
        Err(error) if crate::lost_hugepages(error) && signals.end(args, config, log) => Ok(()),
        _ => ended,
    }
}

fn direct(args: &Args, config: &Config, log: &Log, signals: &mut Watch) -> Result<()> {
    let control = &config.control;
    let socket = SocketConfig {
        path: control.socket.clone(),
        mode: control.mode()?,
        group: control.group.clone(),
    };
    let server = Server::bind(&socket)?;
    let cores = worker::cores(&config.workers.cores, config.workers.count.into())?;
    let cells = config.table.servers as usize;
    let mut store = Store::with_room(capabilities(config), cells, cores.len());
    rules::tune(&config.sysctl.tunings(), &mut store)?;
    rules::remember_slots(&config.rules, &mut store)?;
    if let Some(file) = &config.rules.marks {
        rules::load_marks(file, &mut store)?;
    }
    if let Some(file) = &config.rules.file {
        rules::load(file, &mut store)?;
    }
    // All threads but the workers' inherit this.
    let others = worker::other_cores(&cores);
    worker::stay_on(&others)?;
    let mut ports = ports::open(config, &others)?;
    let queues = std::mem::take(&mut ports.queues);
    let (engine, mut table_pages) = engine(config, &cores, ports.steering.clone(), queues)?;
    let namespace = ports.namespace.take().context("no port is configured")?;
    let parts = Parts {
        namespace,
        server,
        store,
        ports: &ports,
        engine,
        cores,
    };
    let give_up = || {
        ports.let_go();
        drop(table_pages.take());
    };
    let ended = threads::run(args, config, log, signals, parts, give_up);
    drop((ports, table_pages));
    ended
}

/// The engine, its tables on huge pages where they can be had; these are given
/// back with the second value.
fn engine(
    config: &Config,
    cores: &[usize],
    steering: Steering,
    queues: Vec<Vec<DpdkPort>>,
) -> Result<(Engine<DpdkPort>, Option<Reservation>)> {
    let table = &config.table;
    let connections_v6 = table
        .connections6
        .unwrap_or(table.connections / 4)
        .max(1024);
    let mut sizes = EngineConfig {
        connections_v4: table.connections,
        connections_v6,
        servers: table.servers as usize,
        templates: table.templates as usize,
        backing: Backing::Ordinary,
        keys: HashKeys::random(),
        rehearse_failure: config.debug.drop_service_traffic,
    };
    let wanted = mebibytes(sizes.table_bytes(steering.workers()));
    let reserved = match config.memory.hugepages {
        Hugepages::Off => None,
        Hugepages::Auto => hugepages::reserve(wanted)
            .inspect_err(|shortage| {
                tracing::warn!("the connection table: {shortage}; it is on 4 KiB pages")
            })
            .ok(),
        Hugepages::Require => Some(hugepages::reserve(wanted).context("the connection table")?),
    };
    if reserved.is_some() {
        sizes.backing = Backing::Huge;
    }
    // A worker's memory is taken from its own core, and so of that core's NUMA node.
    let settle = |worker: WorkerIndex| match cores.get(usize::from(worker.0)) {
        Some(core) => worker::stay_on(&[*core]),
        None => Ok(()),
    };
    let engine = Engine::new_by(&sizes, steering, queues, |worker| {
        if let Err(error) = settle(worker) {
            tracing::warn!(
                "worker {}: its memory may be far from it: {error:#}",
                worker.0
            );
        }
    })?;
    let huge = engine
        .workers
        .iter()
        .all(|worker| worker.backing() == Backing::Huge);
    if reserved.is_some() && !huge {
        let sentence = "the connection table did not get the huge pages that were reserved for it";
        ensure!(config.memory.hugepages != Hugepages::Require, "{sentence}");
        tracing::warn!("{sentence}; it is on 4 KiB pages");
    }
    Ok((engine, reserved.map(Reserved::taken)))
}

fn mebibytes(bytes: usize) -> u32 {
    u32::try_from(bytes >> 20).unwrap_or(u32::MAX)
}
