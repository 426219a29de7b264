//! `pvs-bench forward`: what the director adds to a packet.
//!
//! Three loops take turns on ports of the same make, window by window, so that whatever disturbs the
//! machine disturbs all three: a MAC swap, the floor (bucket, entry, rewrite and nothing else), and the
//! shipped poll function with parser, owner check, counters, state, expiry and punt checks on. What
//! counts is the difference of the medians.

mod flows;
mod loops;
mod port;
mod report;

use crate::tsc;
use anyhow::{Context, Result, ensure};
use flows::Flows;
use loops::Floor;
use port::BenchPort;
use pvs_dataplane::engine::{Engine, EngineConfig};
use pvs_dataplane::fib::{Fib, FibBuilder, Interface, Neighbour, OwnAddress, PortIndex, Target};
use pvs_dataplane::port::BURST;
use pvs_dataplane::slab::Backing;
use pvs_dataplane::steering::Steering;
use pvs_dataplane::table::{Entry, HashKeys, Table, Tuple};
use pvs_dataplane::worker::{Clock, MonotonicClock, Worker};
use pvs_proto::{Addr4, Protocol, Ticks, V4, VlanId};
use pvs_sched::{
    Method, SchedulerName, ServerConfig, ServerIndex, ServerKey, Service, ServiceConfig,
    ServiceFlags, ServiceIndex, ServiceKey, Snapshot, Transport, Tunnel,
};
use report::{Measured, Report};

/// Method and protocol of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Direct routing, UDP.
    DrUdp,
    /// Direct routing, TCP.
    DrTcp,
    /// Address translation, UDP.
    NatUdp,
    /// Address translation, TCP.
    NatTcp,
    /// IP-in-IP tunnel, UDP.
    TunUdp,
}

impl Mode {
    fn protocol(self) -> Protocol {
        self.transport().protocol()
    }

    fn transport(self) -> Transport {
        match self {
            Self::DrUdp | Self::NatUdp | Self::TunUdp => Transport::Udp,
            Self::DrTcp | Self::NatTcp => Transport::Tcp,
        }
    }

    fn method(self) -> Method {
        match self {
            Self::DrUdp | Self::DrTcp => Method::Route,
            Self::NatUdp | Self::NatTcp => Method::Masquerade,
            Self::TunUdp => Method::Tunnel,
        }
    }
}

/// Arguments of `pvs-bench forward`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Method and protocol.
    #[arg(long, value_enum, default_value = "dr-udp")]
    mode: Mode,
    /// Connections among which each packet is chosen at random.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=16_000_000))]
    flows: u32,
    /// Windows of each loop.
    #[arg(long, default_value_t = 61, value_parser = clap::value_parser!(u32).range(3..=10_000))]
    windows: u32,
    /// Bursts of 32 packets in a window.
    #[arg(long, default_value_t = 2048, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    bursts: u32,
    /// Buffers under way.
    #[arg(long, default_value_t = 4096, value_parser = clap::value_parser!(u32).range(64..=1_000_000))]
    depth: u32,
    /// Checks every packet that comes out; the figures then include the checking.
    #[arg(long)]
    verify: bool,
    /// Keeps the tables on ordinary pages.
    #[arg(long)]
    no_huge: bool,
    /// The core to run on; the last one if not given.
    #[arg(long)]
    core: Option<usize>,
    /// Prints one JSON object.
    #[arg(long)]
    json: bool,
}

/// Runs the benchmark and prints its report.
pub fn run(args: &Args) -> Result<()> {
    pin(args.core);
    let calibration = tsc::Calibration::start();
    let backing = if args.no_huge {
        Backing::Ordinary
    } else {
        Backing::Huge
    };
    let mut subject = Subject::new(args, backing)?;
    let mut floor = Floor::new(filled(args, backing)?, args.mode.protocol());
    let mut floor_port = port(args);
    let mut swap_port = BenchPort::new(shuffled(args), args.depth as usize, false);
    let clock = MonotonicClock;
    let (mut swap_cycles, mut floor_cycles, mut engine_cycles) = (vec![], vec![], vec![]);
    for _ in 0..args.windows {
        swap_cycles.push(window(args, || {
            loops::mac_swap(&mut swap_port, args.bursts)
        }));
        let now = Ticks::at_nanos(clock.nanos());
        floor_cycles.push(window(args, || {
            floor.run(&mut floor_port, args.bursts, now)
        }));
        engine_cycles.push(window(args, || subject.turn(args.bursts, &clock)));
    }
    subject.check(args)?;
    let per_nano = calibration.cycles_per_nano();
    let measured = |cycles: Vec<f64>| Measured::new(cycles, per_nano);
    Report {
        mode: args.mode,
        flows: args.flows,
        verified: args.verify,
        huge_pages: subject.huge,
        packets_per_window: u64::from(args.bursts) * BURST as u64,
        windows: args.windows,
        mac_swap: measured(swap_cycles),
        floor: measured(floor_cycles),
        engine: measured(engine_cycles),
    }
    .print(args.json)
}

/// Cycles for each packet of a window.
fn window(args: &Args, work: impl FnOnce()) -> f64 {
    let start = tsc::now();
    work();
    let cycles = tsc::now().wrapping_sub(start);
    cycles as f64 / (f64::from(args.bursts) * BURST as f64)
}

fn pin(core: Option<usize>) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let wanted = match core {
        Some(id) => cores.iter().find(|c| c.id == id),
        None => cores.last(),
    };
    if !wanted.is_some_and(|c| core_affinity::set_for_current(*c)) {
        eprintln!("pvs-bench: not pinned to a core: the figures will be less steady");
    }
}

fn shuffled(args: &Args) -> Flows {
    let mut flows = Flows::new(args.mode, args.flows);
    flows.shuffle();
    flows
}

fn port(args: &Args) -> BenchPort {
    BenchPort::new(shuffled(args), args.depth as usize, false)
}

/// The shipped engine with all flows established.
struct Subject {
    worker: Worker<BenchPort>,
    packets: u64,
    stats: std::sync::Arc<pvs_dataplane::stats::WorkerStats>,
    seen: std::sync::Arc<port::Tally>,
    huge: bool,
}

impl Subject {
    fn new(args: &Args, backing: Backing) -> Result<Self> {
        let flows = Flows::new(args.mode, args.flows);
        let port = BenchPort::new(flows, args.depth as usize, args.verify);
        let (seen, order) = (port.tally(), port.order());
        let config = EngineConfig {
            connections_v4: args.flows.saturating_add(1024),
            connections_v6: 1024,
            servers: 64,
            backing,
            keys: HashKeys::random(),
            rehearse_failure: false,
        };
        let mut engine = Engine::new(&config, Steering::ALONE, vec![vec![port]])?;
        engine.snapshots.publish(snapshot(args.mode));
        engine.fibs.publish(fib());
        let worker = engine.workers.pop().context("an engine has a worker")?;
        let stats = engine
            .handles
            .pop()
            .context("an engine has a handle")?
            .stats;
        let huge = backing == Backing::Huge && worker.backing() == Backing::Huge;
        let mut subject = Self {
            worker,
            packets: 0,
            stats,
            seen,
            huge,
        };
        // Every flow once, in order, and a round more for what is under way; then at random.
        let rounds = u64::from(args.flows) + 2 * u64::from(args.depth);
        subject.turn(
            u32::try_from(rounds.div_ceil(BURST as u64))?,
            &MonotonicClock,
        );
        let connections = u64::from(args.flows);
        ensure!(
            subject.stats.totals().connections == connections,
            "not all flows are established"
        );
        order.store(true, std::sync::atomic::Ordering::Relaxed);
        subject.turn(args.depth.div_ceil(BURST as u32), &MonotonicClock);
        Ok(subject)
    }

    fn turn(&mut self, bursts: u32, clock: &MonotonicClock) {
        for _ in 0..bursts {
            self.packets += self.worker.poll(clock.nanos()) as u64;
        }
    }

    /// Nothing was lost, and with verification nothing was wrong.
    fn check(&self, args: &Args) -> Result<()> {
        let lost: Vec<_> = self
            .stats
            .losses()
            .map(|(l, n)| format!("{} {n}", l.label()))
            .collect();
        ensure!(lost.is_empty(), "packets were lost: {}", lost.join(", "));
        let sent = self.seen.sent();
        ensure!(
            sent == self.packets,
            "{} packets in, {sent} out",
            self.packets
        );
        ensure!(
            self.seen.wrong() == 0,
            "{} packets came out wrong",
            self.seen.wrong()
        );
        if args.verify && !args.json {
            println!("verified: {sent} packets came out right");
        }
        Ok(())
    }
}

/// A table that holds all flows, for the floor.
fn filled(args: &Args, backing: Backing) -> Result<Table<V4>> {
    let mut table = Table::new(args.flows.saturating_add(1024), HashKeys::random(), backing)?;
    let now = Ticks::at_nanos(MonotonicClock.nanos());
    for flow in 0..args.flows {
        let request = Tuple {
            protocol: args.mode.protocol(),
            src: flows::client(flow),
            dst: flows::VIP,
        };
        let n = 1 + (flow % u32::from(flows::SERVERS)) as u8;
        let server = pvs_proto::Endpoint {
            addr: flows::server(n),
            port: flows::VIP.port,
        };
        let index = ServerIndex(n.into());
        let life = Ticks::from_secs(300);
        let entry = Entry::new(
            &request,
            server,
            Method::Route,
            index,
            ServiceIndex(0),
            life,
        );
        table
            .insert(entry, now)
            .map_err(|e| anyhow::anyhow!("the floor's table: {e:?}"))?;
    }
    Ok(table)
}

fn snapshot(mode: Mode) -> Snapshot {
    let key = ServiceKey::Address {
        protocol: mode.transport(),
        address: flows::VIP.addr.into(),
        port: flows::VIP.port,
    };
    let config = ServiceConfig {
        key,
        scheduler: SchedulerName::Rr,
        flags: ServiceFlags::default(),
        persistence: None,
        engine: None,
    };
    let mut service = Service::new(ServiceIndex(0), config, true);
    for n in 1..=flows::SERVERS {
        let port = match mode.method() {
            Method::Masquerade => flows::SERVER_PORT,
            _ => flows::VIP.port,
        };
        let server = ServerConfig {
            key: ServerKey {
                address: flows::server(n).into(),
                port,
            },
            method: mode.method(),
            weight: 1,
            upper_threshold: 0,
            lower_threshold: 0,
            tunnel: Tunnel::default(),
        };
        service = service.with_server(ServerIndex(n.into()), server);
    }
    let mut snapshot = Snapshot::default();
    snapshot.put(service);
    snapshot.settle();
    snapshot
}

fn fib() -> Fib {
    let mut b = FibBuilder::new();
    let wire = b.interface(Interface {
        port: PortIndex(0),
        vlan: VlanId::NONE,
        mac: flows::DIRECTOR_MAC,
        other_macs: vec![],
        mtu: 1500,
    });
    b.route::<V4>(Addr4(0), 0, Target::OnLink(wire));
    b.route::<V4>(flows::VIP.addr, 32, Target::Local);
    b.own_address::<V4>(OwnAddress::plain(wire, flows::DIRECTOR, 24));
    for n in 1..=flows::SERVERS {
        b.neighbour::<V4>(
            wire,
            flows::server(n),
            Neighbour::Resolved(flows::server_mac(n)),
        );
    }
    b.build(1)
}
