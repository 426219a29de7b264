//! `pvs-bench sched`: what a pick costs, for each scheduler and number of servers; and how long
//! control takes to fill the table of mh.
//!
//! Each pick is timed alone; then the connection is entered in the worker's cells and becomes
//! active, mostly, while an older one turns inactive and ends: loads move as they do in life,
//! and no pick is like the last one. Other workers begin and end as many meanwhile. Weights are
//! 1 to 10, no server is quiesced or full. A figure is of bursts of 32 picks, so that the
//! clock's grain does not matter.

use crate::tsc;
use anyhow::{Context, Result};
use pvs_proto::{Addr4, Endpoint, Ticks};
use pvs_sched::{
    AllCells, Cells, Flow, Loads, Method, MhSlots, SchedulerName, ServerConfig, ServerIndex,
    ServerKey, Service, ServiceConfig, ServiceIndex, ServiceKey, Transport, Tunables,
};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Instant;

/// Picks that are timed together: a burst.
const BURST: usize = 32;

/// Connections of a worker to each server, on average.
const CONNECTIONS: usize = 20;

/// Slots of the tables that are filled.
const SLOTS: [u32; 3] = [4093, 65_537, 131_071];

/// Times that each is filled.
const FILLS: usize = 9;

/// Arguments of `pvs-bench sched`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Numbers of servers.
    #[arg(long, value_delimiter = ',', default_values_t = [2, 10, 100, 1000],
        value_parser = clap::value_parser!(u32).range(1..=100_000))]
    servers: Vec<u32>,
    /// Workers whose connections count.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    workers: u8,
    /// Bursts of 32 picks for each figure, which is their median.
    #[arg(long, default_value_t = 2001, value_parser = clap::value_parser!(u32).range(3..=1_000_000))]
    bursts: u32,
    /// The core to run on; the last one if not given.
    #[arg(long)]
    core: Option<usize>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What was measured, for each number of servers.
struct Measured {
    /// Cycles of a pick.
    rows: Vec<(SchedulerName, Vec<f64>)>,
    /// Microseconds to fill a table of this number of slots.
    tables: Vec<(u32, Vec<u64>)>,
}

/// Runs it.
///
/// # Errors
/// If a scheduler picks nobody.
pub fn run(args: &Args) -> Result<()> {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let core = match args.core {
        Some(wanted) => cores.iter().find(|core| core.id == wanted),
        None => cores.last(),
    };
    let pinned = core.is_some_and(|core| core_affinity::set_for_current(*core));
    let calibration = tsc::Calibration::start();
    let mut rows = Vec::new();
    for name in SchedulerName::ALL {
        if *name == SchedulerName::None {
            continue;
        }
        let cycles: Vec<f64> = args
            .servers
            .iter()
            .map(|servers| cycles(args, *name, *servers))
            .collect::<Result<_>>()?;
        rows.push((*name, cycles));
    }
    let tables = fills(&args.servers)?;
    print(
        args,
        pinned,
        &Measured { rows, tables },
        calibration.cycles_per_nano(),
    )
}

fn print(
    args: &Args,
    pinned: bool,
    Measured { rows, tables }: &Measured,
    cycles_per_nano: f64,
) -> Result<()> {
    let nanos = |cycles: &f64| cycles / cycles_per_nano;
    if args.json {
        let picks: serde_json::Map<String, Value> = rows
            .iter()
            .map(|(name, cycles)| {
                let row: Vec<f64> = cycles.iter().map(nanos).collect();
                (name.to_string(), json!(row))
            })
            .collect();
        let tables: serde_json::Map<String, Value> = tables
            .iter()
            .map(|(slots, micros)| (slots.to_string(), json!(micros)))
            .collect();
        let report = json!({
            "servers": args.servers, "workers": args.workers, "bursts": args.bursts, "pinned": pinned,
            "ns_per_pick": picks, "us_per_mh_table": tables,
        });
        println!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(());
    }
    let (workers, bursts) = (args.workers, args.bursts);
    let held = if pinned { "pinned" } else { "not pinned" };
    println!("ns per pick, median of {bursts} bursts of {BURST}, {workers} worker(s), {held}");
    let heading: String = args.servers.iter().map(|n| format!("{n:>10}")).collect();
    println!("{:<10}{heading}", "servers");
    for (name, cycles) in rows {
        let figures: String = cycles
            .iter()
            .map(|c| format!("{:>10.1}", nanos(c)))
            .collect();
        println!("{name:<10}{figures}");
    }
    println!("\nus to fill mh's table on control's thread, median of {FILLS}");
    println!("{:<10}{heading}", "slots");
    for (slots, micros) in tables {
        let figures: String = micros.iter().map(|us| format!("{us:>10}")).collect();
        println!("{slots:<10}{figures}");
    }
    Ok(())
}

/// The median number of cycles of a pick.
fn cycles(args: &Args, scheduler: SchedulerName, servers: u32) -> Result<f64> {
    let mut random = Random(7);
    let mut service = service(scheduler, servers, &mut random);
    service.settle(args.workers.into());
    let blocks: Vec<Arc<Cells>> = (0..args.workers)
        .map(|_| Arc::new(Cells::new(servers as usize + 1)))
        .collect();
    let all = AllCells::new(blocks.iter().map(Arc::clone));
    let mut lives: Vec<Life> = blocks.into_iter().map(Life::new).collect();
    for life in &mut lives {
        for _ in 0..servers as usize * CONNECTIONS {
            life.begin(ServerIndex(1 + random.below(servers)));
        }
    }
    let tunables = Tunables::default();
    let reading = reading();
    let mut each = Vec::new();
    for burst in 0..args.bursts {
        let now = Ticks(burst / 16);
        let mut taken = 0;
        for _ in 0..BURST {
            let flow = random.flow(now);
            let start = tsc::when_done();
            let picked = service.pick(black_box(&flow), &tunables, &all.as_worker(0));
            let picked = black_box(picked.map(|s| s.index));
            taken += tsc::when_done().wrapping_sub(start).saturating_sub(reading);
            let server = picked.context("nobody was picked")?;
            // Others get as many, of servers that this one would not pick.
            for (n, life) in lives.iter_mut().enumerate() {
                life.begin(match n {
                    0 => server,
                    _ => ServerIndex(1 + random.below(servers)),
                });
                life.end_oldest();
            }
        }
        each.push(taken as f64 / BURST as f64);
    }
    each.sort_by(f64::total_cmp);
    each.get(each.len() / 2).copied().context("a burst")
}

/// Cycles between two readings of the clock with nothing between them.
fn reading() -> u64 {
    let mut each: Vec<u64> = (0..1001)
        .map(|_| {
            let start = tsc::when_done();
            tsc::when_done().wrapping_sub(start)
        })
        .collect();
    each.sort_unstable();
    each.get(each.len() / 2).copied().unwrap_or_default()
}

/// Microseconds to fill a table after one server's weight has changed, for each
/// size and number of servers.
fn fills(servers: &[u32]) -> Result<Vec<(u32, Vec<u64>)>> {
    let fill = |slots: u32, servers: u32| -> Result<u64> {
        let mut random = Random(7);
        let slots = MhSlots::new(slots)?;
        let mut service = service(SchedulerName::Mh, servers, &mut random).with_slots(slots);
        let mut micros = Vec::new();
        for weight in 1..=FILLS as u32 {
            let server = service.servers().first().context("a server")?.config;
            let weight = 100 * weight;
            service = service.with_edited_server(ServerConfig { weight, ..server });
            let start = Instant::now();
            service.settle(1);
            micros.push(start.elapsed().as_micros() as u64);
        }
        micros.sort_unstable();
        micros.get(FILLS / 2).copied().context("a fill")
    };
    let row = |slots| {
        let row: Result<Vec<u64>> = servers.iter().map(|n| fill(slots, *n)).collect();
        Ok((slots, row?))
    };
    SLOTS.into_iter().map(row).collect()
}

/// A worker's connections, the oldest first, and whether they are active.
struct Life {
    cells: Arc<Cells>,
    connections: VecDeque<(ServerIndex, bool)>,
}

impl Life {
    const fn new(cells: Arc<Cells>) -> Self {
        let connections = VecDeque::new();
        Self { cells, connections }
    }

    /// A connection begins; three in four are established.
    fn begin(&mut self, server: ServerIndex) {
        let load = self.cells.load(server);
        let active = load.active <= 3 * load.inactive;
        self.cells.open(server, false);
        if active {
            self.cells.turn(server, true);
        }
        self.connections.push_back((server, active));
    }

    fn end_oldest(&mut self) {
        if let Some((server, active)) = self.connections.pop_front() {
            if active {
                self.cells.turn(server, false);
            }
            self.cells.close(server, false);
        }
    }
}

fn service(scheduler: SchedulerName, servers: u32, random: &mut Random) -> Service {
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
        port: 80,
    };
    let config = ServiceConfig::plain(key, scheduler);
    let mut service = Service::new(ServiceIndex(0), config, true);
    for n in 1..=servers {
        let address = IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0000 + n));
        // ovf picks nobody when all have more connections than their weight.
        let unit = if scheduler == SchedulerName::Ovf {
            1000
        } else {
            1
        };
        let weight = (1 + random.below(10)) * unit;
        let server = ServerConfig::plain(ServerKey { address, port: 80 }, Method::Route, weight);
        service = service.with_server(ServerIndex(n), server);
    }
    service.settle(1);
    service
}

/// Steele, Lea and Flood's SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u32) -> u32 {
        ((u64::from(self.next() as u32) * u64::from(n)) >> 32) as u32
    }

    /// Of any client, to one of a thousand addresses.
    fn flow(&mut self, now: Ticks) -> Flow<Addr4> {
        let addr = Addr4(self.next() as u32);
        let port = self.next() as u16;
        let virtual_ = Endpoint {
            addr: Addr4(0x0a32_0000 + self.below(1000)),
            port: 80,
        };
        Flow {
            client: Endpoint { addr, port },
            virtual_,
            now,
        }
    }
}
