//! What several workers give each server, with connections that begin at workers in an order drawn
//! by a seed and are handed over to their owners: rr and wrr as one worker would, and the
//! schedulers by load with every worker's connections, as they are at that instant.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::pieces::Random;
use common::{VIP, seen, service, snapshot};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::steering::Steering;
use pvs_oracle::frames::{from_client, tcp};
use pvs_oracle::scenario::at;
use pvs_oracle::{Director, Side};
use pvs_proto::wire::tcp::{ACK, FIN, SYN};
use pvs_proto::{Addr4, Endpoint, Ticks};
use pvs_sched::{
    Cells, Flow, Load, Method, SchedulerName, ServerIndex, Service, Transport, Tunables,
};
use std::net::SocketAddr;

const WINDOW: usize = 1000;
const CONNECTIONS: usize = 2600;

/// A service of these weights; server n of cell n.
fn weighted(scheduler: SchedulerName, weights: &[u32]) -> Service {
    let names: Vec<String> = (1..=weights.len())
        .map(|n| format!("192.168.1.{n}:8080"))
        .collect();
    let servers: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), Method::Masquerade))
        .collect();
    let mut made = service(Transport::Tcp, VIP, &servers);
    let mut config = made.config.clone();
    config.scheduler = scheduler;
    made = made.edited(config);
    for (server, weight) in made.servers().to_vec().iter().rev().zip(weights) {
        let mut config = server.config;
        config.weight = *weight;
        made = made.with_edited_server(config);
    }
    made
}

fn client(n: usize) -> SocketAddr {
    let host = n % 7 * 30 + 1;
    at(&format!("10.9.{}.{host}:{}", n % 5, 2000 + n))
}

/// Directors of several workers, each with a queue of its own.
struct Crew {
    director: Director,
    workers: usize,
    random: Random,
}

/// What leaves for a server: its cell, and whether a connection begins.
struct Left {
    cell: usize,
    client: SocketAddr,
    begins: bool,
}

impl Crew {
    fn new(service: &Service, workers: usize, seed: u64) -> Self {
        let config = EngineConfig::default();
        let steering = Steering::ring(workers as u16);
        let mut director = Director::several(config, &[], 2048, steering, workers).unwrap();
        director.configure(snapshot(1, Some(service.clone())));
        let random = Random(seed);
        Self {
            director,
            workers,
            random,
        }
    }

    /// A packet of a client's waits at any queue.
    fn arrive(&mut self, client: SocketAddr, signal: u8) {
        let queue = self.random.below(self.workers);
        let cable = self.director.cable_of(Side::Client, queue).unwrap();
        assert!(cable.send(&from_client(&tcp(client, at(VIP), signal, b""))));
    }

    /// One turn of any worker; what it sends, in its order.
    fn turn(&mut self) -> Vec<Left> {
        let worker = self.random.below(self.workers);
        self.director.poll_one(worker);
        let cable = self.director.cable_of(Side::Server, worker).unwrap();
        let frames = core::iter::from_fn(|| cable.receive_bytes());
        let left = |frame: Vec<u8>| {
            let packet = seen(&frame);
            let SocketAddr::V4(server) = packet.dst else {
                unreachable!()
            };
            Left {
                cell: server.ip().octets()[3].into(),
                client: packet.src,
                begins: frame[14 + 20 + 13] == SYN,
            }
        };
        frames.map(left).collect()
    }

    fn ends_in_order(&self) {
        assert_eq!(self.director.losses(), vec![]);
        let handles = self.director.handles().iter();
        let owned: Vec<u64> = handles.map(|h| h.stats.totals().connections).collect();
        let least = (CONNECTIONS / self.workers / 2) as u64;
        assert!(owned.iter().all(|n| *n > least), "{owned:?}");
    }
}

/// The cells of the servers that connections were given, in the order of the packets that left.
fn given(service: &Service, workers: usize, seed: u64) -> Vec<usize> {
    let mut crew = Crew::new(service, workers, seed);
    let (mut sent, mut given) = (0, Vec::new());
    while given.len() < CONNECTIONS {
        for _ in 0..crew.random.below(40) {
            if sent < CONNECTIONS {
                crew.arrive(client(sent), SYN);
                sent += 1;
            }
        }
        given.extend(crew.turn().iter().map(|left| left.cell));
    }
    crew.ends_in_order();
    given
}

/// What one worker would have given.
fn alone(service: &Service) -> Vec<usize> {
    let mut service = service.clone();
    service.settle(1);
    let nobody = Endpoint {
        addr: Addr4(0),
        port: 0,
    };
    let flow = Flow {
        client: nobody,
        virtual_: nobody,
        now: Ticks::default(),
    };
    let (tunables, idle) = (Tunables::default(), Cells::new(0));
    let pick = |_| service.pick(&flow, &tunables, &idle).unwrap();
    (0..CONNECTIONS)
        .map(pick)
        .map(|server| server.index.0 as usize)
        .collect()
}

fn count(window: &[usize], cell: usize) -> usize {
    window.iter().filter(|given| **given == cell).count()
}

/// The greatest difference in any window.
fn difference(given: &[usize], ideal: &[usize], servers: usize) -> usize {
    let windows = given.windows(WINDOW).zip(ideal.windows(WINDOW)).step_by(7);
    let of_window = |(given, ideal)| {
        let cells = 1..=servers;
        cells.map(move |cell| count(given, cell).abs_diff(count(ideal, cell)))
    };
    windows.flat_map(of_window).max().unwrap()
}

#[test]
fn rr_and_wrr_of_several_workers_are_within_their_number_in_any_thousand() {
    let mut random = Random(41);
    for seed in 0..12u64 {
        let workers = [2, 4][seed as usize % 2];
        let servers = 2 + random.below(14);
        for scheduler in [SchedulerName::Rr, SchedulerName::Wrr] {
            let weights: Vec<u32> = (0..servers).map(|_| 1 + random.below(20) as u32).collect();
            let service = weighted(scheduler, &weights);
            // A state of its own: what the workers pick moves only theirs.
            let ideal = alone(&weighted(scheduler, &weights));
            let given = given(&service, workers, seed);
            let off = difference(&given, &ideal, servers);
            println!("{workers} workers, {servers} servers, {scheduler}: off by {off} at most");
            assert!(off <= workers, "{scheduler} {weights:?}: {off}");
            if scheduler == SchedulerName::Rr {
                for (window, cell) in given.windows(WINDOW).step_by(7).zip((1..=servers).cycle()) {
                    let off = count(window, cell).abs_diff(WINDOW / servers);
                    assert!(off <= workers, "{off}");
                }
            }
        }
    }
}

/// The kernel's rule over the connections of all workers; the first of the
/// list is the one added last.
fn least(scheduler: SchedulerName, weights: &[u32], loads: &[Load]) -> usize {
    let cost = |cell: usize| {
        let (active, inactive) = (
            u64::from(loads[cell].active),
            u64::from(loads[cell].inactive),
        );
        match scheduler {
            SchedulerName::Sed | SchedulerName::Nq => active + 1,
            _ => active * 257 + inactive,
        }
    };
    let weight = |cell: usize| match scheduler {
        SchedulerName::Lc => 1,
        _ => u64::from(weights[cell - 1]),
    };
    let mut listed = (1..=weights.len()).rev();
    let idle = listed.clone().find(|cell| loads[*cell].active == 0);
    if let (SchedulerName::Nq, Some(idle)) = (scheduler, idle) {
        return idle;
    }
    let first = listed.next().unwrap();
    listed.fold(first, |least, cell| {
        let is_less = cost(cell) * weight(least) < cost(least) * weight(cell);
        if is_less { cell } else { least }
    })
}

#[test]
fn schedulers_by_load_see_every_workers_connections_as_they_are() {
    let mut random = Random(43);
    let by_load = [
        SchedulerName::Wlc,
        SchedulerName::Lc,
        SchedulerName::Sed,
        SchedulerName::Nq,
    ];
    for (seed, scheduler) in (0..16u64).zip(by_load.into_iter().cycle()) {
        let workers = [2, 4][seed as usize / 4 % 2];
        let servers = 2 + random.below(14);
        let weights: Vec<u32> = (0..servers).map(|_| 1 + random.below(20) as u32).collect();
        let mut crew = Crew::new(&weighted(scheduler, &weights), workers, seed);
        let began = crew.director.nanos();
        let mut loads = vec![Load::default(); servers + 1];
        let (mut sent, mut begun, mut ended) = (0, Vec::new(), 0);
        while begun.len() < CONNECTIONS {
            for _ in 0..crew.random.below(40) {
                if sent < CONNECTIONS {
                    crew.arrive(client(sent), SYN);
                    sent += 1;
                }
                // Half of those that have begun become inactive, in their order.
                if ended < begun.len() && crew.random.below(2) > 0 {
                    crew.arrive(begun[ended], FIN | ACK);
                    ended += 1;
                }
            }
            for left in crew.turn() {
                if left.begins {
                    let expected = least(scheduler, &weights, &loads);
                    assert_eq!(left.cell, expected, "{scheduler} {weights:?} {loads:?}");
                    loads[left.cell].active += 1;
                    begun.push(left.client);
                } else {
                    loads[left.cell].active -= 1;
                    loads[left.cell].inactive += 1;
                }
            }
        }
        // No time has passed: nothing that a scheduler saw was older.
        assert_eq!(crew.director.nanos(), began);
        crew.ends_in_order();
        for (cell, load) in (1u32..).zip(&loads[1..]) {
            assert_eq!(crew.director.load(ServerIndex(cell)), *load);
        }
        let inactive: u32 = loads.iter().map(|load| load.inactive).sum();
        println!(
            "{workers} workers, {servers} servers, {scheduler}: {CONNECTIONS} picks, {inactive} inactive"
        );
        assert!(inactive as usize > CONNECTIONS / 4);
    }
}
