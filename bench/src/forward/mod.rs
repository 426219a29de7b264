//! `pvs-bench forward`: what the director adds to a packet.
//!
//! Three loops take turns on ports of the same make, window by window, so that whatever disturbs
//! the machine disturbs all three: a MAC swap, the floor (bucket, entry, rewrite and nothing else),
//! and the shipped poll function with parser, owner check, counters, state, expiry and punt checks
//! on. What counts is the difference of the medians.

mod flows;
mod loops;
mod port;
mod report;
mod several;
mod subject;

use crate::tsc;
use anyhow::Result;
use flows::Flows;
use loops::Floor;
use port::BenchPort;
use pvs_dataplane::port::BURST;
use pvs_dataplane::slab::Backing;
use pvs_dataplane::table::{Entry, HashKeys, Table, Tuple};
use pvs_dataplane::worker::{Clock, MonotonicClock};
use pvs_proto::{Protocol, Ticks, V4};
use pvs_sched::{Method, ServerIndex, ServiceIndex, Transport};
use report::{Measured, Report};
use subject::Subject;

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
    /// Connections among which each packet is chosen at random; of each
    /// worker, if there are several.
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
    /// Workers, each on a core of its own: how much more they do together than one.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    workers: u16,
    /// How several workers know whose a connection is; each is brought its own packets.
    #[arg(long, value_enum, default_value = "nic")]
    steering: several::By,
}

impl Args {
    fn backing(&self) -> Backing {
        match self.no_huge {
            true => Backing::Ordinary,
            false => Backing::Huge,
        }
    }
}

/// Runs the benchmark and prints its report.
pub fn run(args: &Args) -> Result<()> {
    if args.workers > 1 {
        return several::run(args);
    }
    pin(args.core);
    let calibration = tsc::Calibration::start();
    let mut subject = Subject::alone(args)?;
    let mut floor = Floor::new(filled(args)?, args.mode.protocol());
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
        huge_pages: subject.huge_pages(),
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

/// A table that holds all flows, for the floor.
fn filled(args: &Args) -> Result<Table<V4>> {
    let mut table = Table::new(
        args.flows.saturating_add(1024),
        HashKeys::random(),
        args.backing(),
    )?;
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
