//! The least loaded of many servers by what a worker keeps between its picks,
//! against a scan of all of them.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use proptest::prelude::*;
use pvs_proto::{Addr4, Endpoint, Ticks};
use pvs_sched::{
    AllCells, AsWorker, Cells, Flow, Load, Loads, Method, SchedulerName, ServerConfig, ServerIndex,
    ServerKey, Service, ServiceConfig, ServiceIndex, ServiceKey, Transport, Tunables,
};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

const WORKERS: usize = 3;

/// All that ask for the least of something.
const NAMES: [SchedulerName; 7] = [
    SchedulerName::Lc,
    SchedulerName::Wlc,
    SchedulerName::Sed,
    SchedulerName::Nq,
    SchedulerName::Lblc,
    SchedulerName::Lblcr,
    SchedulerName::Twos,
];

/// What happens. Workers and servers go by numbers.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Connections begin, inactive or active.
    Open(usize, u32, u8, bool),
    /// The worker's latest connections end.
    Close(usize, u8),
    /// A worker begins and ends so many that its journal comes round.
    Storm(usize, u32),
    /// The server that the next pick would be of gets a connection, and is at its threshold.
    Fill(usize),
    /// The server that was filled last has no threshold any more.
    Relieve,
    Weigh(u32, u32),
    Remove(u32),
    Pick(usize, u8),
}

fn server(n: u32, weight: u32) -> ServerConfig {
    let address = IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0000 + n));
    ServerConfig::plain(ServerKey { address, port: 80 }, Method::Route, weight)
}

fn service(scheduler: SchedulerName, weights: &[u32]) -> Service {
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
        port: 80,
    };
    let service = Service::new(ServiceIndex(0), ServiceConfig::plain(key, scheduler), true);
    let with = |service: Service, (n, weight): (u32, &u32)| {
        service.with_server(ServerIndex(n), server(n, *weight))
    };
    let mut service = (0..).zip(weights).fold(service, with);
    service.settle(WORKERS);
    service
}

/// For a client that wants one of some addresses.
fn flow(wanted: u8) -> Flow<Addr4> {
    let end = |addr| Endpoint {
        addr: Addr4(addr),
        port: 80,
    };
    Flow {
        client: end(0),
        virtual_: end(wanted.into()),
        now: Ticks::default(),
    }
}

/// Whom a scan finds.
fn peek(service: &Service, life: &Life, wanted: u8) -> Option<ServerIndex> {
    let found = service.peek(&flow(wanted), &Tunables::default(), &life.all);
    found.map(|server| server.index)
}

/// The workers' cells, and their connections.
struct Life {
    blocks: [Arc<Cells>; WORKERS],
    all: AllCells,
    open: [Vec<(ServerIndex, bool)>; WORKERS],
}

impl Life {
    fn new(servers: usize) -> Self {
        let blocks = [(); WORKERS].map(|()| Arc::new(Cells::new(servers)));
        let all = AllCells::new(blocks.iter().map(Arc::clone));
        Self {
            blocks,
            all,
            open: Default::default(),
        }
    }

    fn open(&mut self, worker: usize, server: ServerIndex, active: bool) {
        self.blocks[worker].open(server, false);
        if active {
            self.blocks[worker].turn(server, true);
        }
        self.open[worker].push((server, active));
    }

    fn close(&mut self, worker: usize) {
        if let Some((server, active)) = self.open[worker].pop() {
            self.blocks[worker].close(server, active);
        }
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let (worker, n) = (|| 0..WORKERS, || 0u32..300);
    let step = prop_oneof![
        6 => (worker(), n(), 1u8..4, any::<bool>()).prop_map(|(w, n, c, a)| Step::Open(w, n, c, a)),
        3 => (worker(), 1u8..4).prop_map(|(w, c)| Step::Close(w, c)),
        1 => (worker(), n()).prop_map(|(w, n)| Step::Storm(w, n)),
        2 => worker().prop_map(Step::Fill),
        1 => Just(Step::Relieve),
        1 => (n(), 0u32..5).prop_map(|(n, weight)| Step::Weigh(n, weight)),
        1 => n().prop_map(Step::Remove),
        12 => (worker(), 0u8..4).prop_map(|(w, wanted)| Step::Pick(w, wanted)),
    ];
    prop::collection::vec(step, 1..200)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// A peek without a worker scans; each worker's pick is of the same server,
    /// though it kept what it knew.
    #[test]
    fn a_worker_picks_what_a_scan_finds(
        weights in prop::collection::vec(prop_oneof![0u32..4, Just(1u32 << 20)], 130..300),
        steps in steps(),
    ) {
        for name in NAMES {
            let mut service = service(name, &weights);
            let (mut life, mut full) = (Life::new(weights.len()), Vec::new());
            let some = |n: u32| ServerIndex(n % weights.len() as u32);
            for (at, step) in steps.iter().enumerate() {
                match *step {
                    Step::Open(worker, n, count, active) => {
                        (0..count).for_each(|_| life.open(worker, some(n), active));
                    }
                    Step::Close(worker, count) => (0..count).for_each(|_| life.close(worker)),
                    Step::Storm(worker, n) => for by in 0..600 {
                        life.open(worker, some(n + by), by % 2 == 0);
                        life.close(worker);
                    },
                    Step::Fill(worker) => if let Some(server) = peek(&service, &life, 0) {
                        life.open(worker, server, true);
                        life.all.judge(server, 1, 0);
                        full.push(server);
                    },
                    Step::Relieve => if let Some(server) = full.pop() {
                        life.all.judge(server, 0, 0);
                    },
                    Step::Weigh(n, weight) => {
                        service = service.with_edited_server(server(some(n).0, weight));
                        service.settle(WORKERS);
                    }
                    Step::Remove(n) => {
                        service = service.without_server(server(some(n).0, 0).key);
                        service.settle(WORKERS);
                    }
                    Step::Pick(worker, wanted) => {
                        let found = peek(&service, &life, wanted);
                        let loads = life.all.as_worker(worker);
                        let picked = service.pick(&flow(wanted), &Tunables::default(), &loads);
                        prop_assert_eq!(picked.map(|s| s.index), found, "{} at step {}", name, at);
                        if let Some(server) = found {
                            life.open(worker, server, wanted % 2 == 0);
                        }
                    }
                }
            }
        }
    }
}

/// A worker that counts how often it is asked for a load.
struct Counting<'a> {
    worker: AsWorker<'a>,
    asked: Cell<usize>,
}

impl Loads for Counting<'_> {
    fn load(&self, server: ServerIndex) -> Load {
        self.asked.set(self.asked.get() + 1);
        self.worker.load(server)
    }

    fn as_worker(&self) -> Option<AsWorker<'_>> {
        Some(self.worker)
    }
}

/// Once it has begun, no pick looks at all servers, neither while they fill evenly nor as they
/// drain; a storm costs a scan.
#[test]
fn no_pick_among_many_is_a_scan() {
    const SERVERS: u32 = 1000;
    for name in [
        SchedulerName::Lc,
        SchedulerName::Wlc,
        SchedulerName::Sed,
        SchedulerName::Nq,
    ] {
        let service = service(name, &[1; SERVERS as usize]);
        let mut life = Life::new(SERVERS as usize);
        let pick = |life: &Life| {
            let counting = Counting {
                worker: life.all.as_worker(0),
                asked: Cell::new(0),
            };
            let picked = service.pick(&flow(0), &Tunables::default(), &counting);
            (picked.unwrap().index, counting.asked.get())
        };
        for n in 0..3 * SERVERS {
            let (server, asked) = pick(&life);
            assert_eq!(
                (server.0, asked),
                (SERVERS - 1 - n % SERVERS, 0),
                "{name}: pick {n}"
            );
            life.open(n as usize % WORKERS, server, true);
        }
        (0..500).for_each(|_| life.close(1));
        assert!(pick(&life).1 > 0, "{name}: too much has happened");
        (0..10).for_each(|_| life.close(2));
        assert_eq!(pick(&life).1, 0, "{name}: little has happened since");
    }
}

/// A list that was published for another number of workers than there are is scanned:
/// nobody's changes are missed.
#[test]
fn a_tree_for_fewer_workers_is_not_asked() {
    let mut service = service(SchedulerName::Lc, &[1; 100]);
    service.settle(WORKERS - 1);
    let mut life = Life::new(100);
    for n in 0..200 {
        let picked = service.pick(&flow(0), &Tunables::default(), &life.all.as_worker(0));
        let picked = picked.unwrap().index;
        assert_eq!(picked.0, 99 - n % 100);
        life.open(WORKERS - 1, picked, true);
    }
}
