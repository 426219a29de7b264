//! The threads: which there are, when pvsd is ready, how all of them end.
//!
//! The workers poll, one thread carries frames to and from Linux, one mirrors what Linux knows, one owns the
//! store; main keeps watch. Any of them that ends early ends all.

use crate::args::Args;
use crate::board::Board;
use crate::config::Config;
use crate::linux::{MirrorThread, carry};
use crate::logging::Log;
use crate::plane::Dataplane;
use crate::ports::Ports;
use crate::recovery::Mirrors;
use crate::report::Reporter;
use crate::sampler::Sampler;
use crate::signals::Watch;
use crate::status::{Facts, Inspector};
use crate::watch::Watchman;
use crate::worker;
use anyhow::{Context, Result, bail};
use crossbeam::channel;
use pvs_control::{Plane, Server, Store};
use pvs_dataplane::engine::{Engine, Handle};
use pvs_dataplane::slab::Backing;
use pvs_dpdk::{DpdkPort, Mbuf};
use pvs_linux::{Exchange, ExchangePort, Namespace, NeighbourKeeper, Watcher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

/// How long the first listing of addresses and routes may take.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// How often main looks, before pvsd is ready and after.
const LOOK_PERIODS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

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

/// What the threads tell each other.
#[derive(Default)]
struct Signs {
    /// All are to end.
    stop: AtomicBool,
    /// The workers have been told what Linux knows.
    mirrored: AtomicBool,
    /// Workers that poll.
    polling: AtomicUsize,
}

/// Ends all threads when its own does, by a panic too.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Starts the threads, keeps watch until the end, and ends them.
///
/// # Errors
/// A thread can't be started, or has failed.
pub fn run(
    args: &Args,
    config: &Config,
    log: &Log,
    signals: &mut Watch,
    parts: Parts<'_>,
) -> Result<()> {
    let Parts {
        server,
        mut store,
        ports,
        namespace,
        mut engine,
        cores,
    } = parts;
    let signs = Signs::default();
    let (tell_servers, servers) = channel::unbounded();
    let (news, heard) = channel::unbounded();
    let mut watchman = Watchman::new(&ports.open, &engine.handles, heard);
    let lanes = exchange_ports(ports, &engine.handles)?;
    let mut exchange = Exchange::new(lanes, Arc::clone(&engine.punt));
    let board = Arc::<Board>::default();
    let mut sampler = Sampler::new(
        &ports.open,
        &config.port,
        &engine.handles,
        Arc::clone(&board),
    );
    let inspector = Inspector {
        facts: facts(config, ports, &engine, &cores),
        handles: engine.handles.clone(),
        punt: engine.punt,
        exchange: exchange.counters(),
        board: Arc::clone(&board),
    };
    let reporter = Reporter::new(board, namespace.name());
    let netdevs = config.port.iter().map(|p| p.netdev().map(str::to_owned));
    let mirrors = Mirrors::new(
        namespace,
        &ports.open,
        netdevs.collect(),
        exchange.new_taps(),
        news.clone(),
    );
    let mut mirror = MirrorThread {
        watcher: Watcher::new(mirrors.namespace(), mirrors.bindings())?,
        keeper: NeighbourKeeper::new(mirrors.namespace())?,
        mirrors,
        fibs: engine.fibs,
        store: server.handle(),
        news,
        servers,
        resolve: Arc::clone(&engine.resolve),
        reporter,
    };
    let table_size = u64::from(config.table.connections);
    let (handles, snapshots) = (engine.handles, engine.snapshots);
    let mut plane = Dataplane::new(handles, snapshots, tell_servers, table_size, inspector);
    // The rules of the configuration are there from the workers' first turn.
    if let Some(snapshot) = store.take_snapshot() {
        plane.publish(snapshot);
    }
    let workers = engine.workers.len();
    let idle = config.workers.idle.into();
    scope(|scope| {
        let stop = EndsAll(&signs.stop);
        let signs = &signs;
        let mut started = Vec::new();
        for (number, (mut worker, core)) in engine.workers.drain(..).zip(cores).enumerate() {
            started.push(spawn(
                scope,
                &format!("pvs-worker-{number}"),
                signs,
                move || worker::drive(&mut worker, core, idle, &signs.polling, &signs.stop),
            )?);
        }
        spawn(scope, "pvs-exchange", signs, || {
            carry(&mut exchange, &signs.stop)
        })?;
        spawn(scope, "pvs-mirror", signs, || {
            mirror.run(&signs.mirrored, &signs.stop)
        })?;
        spawn(scope, "pvs-control", signs, || {
            server.run(store, &mut plane, &signs.stop)
        })?;
        let look = || {
            watchman.look();
            sampler.look();
        };
        let watched = keep_watch(signs, workers, look, || signals.end(args, config, log));
        // A notification is a courtesy: there may be nobody who wants it.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        drop(stop);
        let ended = started.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("a worker has crashed"),
        });
        ended.collect::<Result<()>>().and(watched)
    })
}

/// A thread with a name, whose end is everybody's.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    signs: &'scope Signs,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let work = move || {
        let _ends_all = EndsAll(&signs.stop);
        work()
    };
    let thread = Builder::new().name(name.to_owned());
    thread
        .spawn_scoped(scope, work)
        .with_context(|| format!("the thread {name} can't be started"))
}

/// Main's part: says when pvsd is ready, looks after what nobody else does, and returns at the end.
fn keep_watch(
    signs: &Signs,
    workers: usize,
    mut look: impl FnMut(),
    mut told_to_end: impl FnMut() -> bool,
) -> Result<()> {
    let until = Instant::now() + READY_TIME_MAX;
    let mut announced = false;
    let [before, after] = LOOK_PERIODS;
    while !told_to_end() && !signs.stop.load(Relaxed) {
        if !announced {
            announced = signs.mirrored.load(Relaxed) && signs.polling.load(Relaxed) == workers;
            if announced {
                let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
                println!("pvsd: ready");
            } else if Instant::now() >= until {
                let late = match signs.mirrored.load(Relaxed) {
                    true => "the workers do not poll",
                    false => "Linux did not list its addresses and routes",
                };
                bail!("{late} after {READY_TIME_MAX:?}");
            }
        }
        look();
        sleep(if announced { after } else { before });
    }
    Ok(())
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
            tap: open.tap(),
            inject: Arc::clone(&handle.inject),
            pool: ports.pool,
        });
    Ok(lanes.collect())
}
