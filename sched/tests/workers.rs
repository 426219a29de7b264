//! What several workers' connections come to, with the workers interleaved by a seed: rr and wrr
//! give them out in the order of one worker, even where a worker is overtaken in the middle of a
//! pick; and what is shared by true threads.
//!
//! The ideal of a window of connections is what one worker would have given: the kernel's sequence.
//! For rr that is the equal share to within one connection; wrr gives exact shares over a whole
//! cycle and, in the kernel as here, the heavier servers first within one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use proptest::prelude::*;
use pvs_proto::Addr4;
use pvs_sched::{
    Flow, Load, Loads, Method, SchedulerName, ServerConfig, ServerIndex, ServerKey, Service,
    ServiceConfig, ServiceIndex, ServiceKey, Transport, Tunables,
};
use std::cell::{Cell, RefCell};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Connections of a window.
const WINDOW: usize = 1000;

fn service(scheduler: SchedulerName, weights: &[u32]) -> Service {
    let config = ServiceConfig::plain(
        ServiceKey::Address {
            protocol: Transport::Tcp,
            address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
            port: 80,
        },
        scheduler,
    );
    let mut service = Service::new(ServiceIndex(0), config, true);
    for (n, weight) in (0u32..).zip(weights) {
        let server = ServerConfig::plain(
            ServerKey {
                address: IpAddr::V4(Ipv4Addr::from_bits(0xc0a8_0001 + n)),
                port: 80,
            },
            Method::Route,
            *weight,
        );
        service = service.with_server(ServerIndex(n), server);
    }
    service.settle(1);
    service
}

fn pick<L: Loads>(service: &Service, loads: &L) -> usize {
    let flow = Flow::<Addr4> {
        client: Default::default(),
        virtual_: Default::default(),
        now: Default::default(),
    };
    let server = service.pick(&flow, &Tunables::default(), loads).unwrap();
    server.index.0 as usize
}

/// Whoever asks about a server may be overtaken there by the other workers, each of which
/// may be overtaken in turn.
struct Overtaken<'a> {
    /// As each worker has it.
    services: &'a [Service],
    /// Workers in the middle of a pick.
    busy: RefCell<Vec<bool>>,
    random: Cell<u64>,
    picked: RefCell<Vec<usize>>,
    overtakings: Cell<usize>,
}

impl Overtaken<'_> {
    fn below(&self, n: usize) -> usize {
        let next = self.random.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.random.set(next);
        let z = (next ^ (next >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((z ^ (z >> 31)) % n as u64) as usize
    }

    /// A worker begins a connection.
    fn connect(&self, worker: usize) {
        self.busy.borrow_mut()[worker] = true;
        let picked = pick(&self.services[worker], self);
        self.picked.borrow_mut().push(picked);
        self.busy.borrow_mut()[worker] = false;
    }
}

impl Loads for Overtaken<'_> {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }

    fn overloaded(&self, _: ServerIndex) -> bool {
        let worker = self.below(self.services.len());
        let is_free = !self.busy.borrow()[worker];
        if is_free && self.below(3) == 0 {
            self.overtakings.set(self.overtakings.get() + 1);
            self.connect(worker);
        }
        false
    }
}

/// Picks of `workers` workers in the order in which they took effect.
fn interleaved(service: &Service, workers: usize, seed: u64, count: usize) -> (Vec<usize>, usize) {
    let services = vec![service.clone(); workers];
    let world = Overtaken {
        services: &services,
        busy: RefCell::new(vec![false; workers]),
        random: Cell::new(seed),
        picked: RefCell::default(),
        overtakings: Cell::default(),
    };
    while world.picked.borrow().len() < count {
        world.connect(world.below(workers));
    }
    (world.picked.into_inner(), world.overtakings.get())
}

/// The greatest difference from the ideal that a server has in any window; `ideal` of a
/// server and the window's begin.
fn deviation(picked: &[usize], servers: usize, ideal: impl Fn(usize, usize) -> f64) -> f64 {
    let mut counts = vec![0usize; servers];
    let mut greatest: f64 = 0.0;
    for (at, server) in picked.iter().enumerate() {
        counts[*server] += 1;
        if let Some(begin) = (at + 1).checked_sub(WINDOW) {
            for (server, count) in counts.iter().enumerate() {
                greatest = greatest.max((*count as f64 - ideal(server, begin)).abs());
            }
            counts[picked[begin]] -= 1;
        }
    }
    greatest
}

/// How often one worker, which picked these, gave a window to each server.
fn windows(picked: &[usize], servers: usize) -> Vec<Vec<f64>> {
    let count = |window: &[usize]| {
        let mut counts = vec![0.0; servers];
        window.iter().for_each(|server| counts[*server] += 1.0);
        counts
    };
    picked.windows(WINDOW).map(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn rr_of_several_workers_is_within_one_of_equal_shares(
        servers in 1usize..40,
        workers in prop::sample::select(vec![2usize, 4]),
        seed in any::<u64>(),
    ) {
        let weights = vec![1; servers];
        let (picked, overtakings) = interleaved(&service(SchedulerName::Rr, &weights), workers, seed, 3 * WINDOW);
        prop_assert!(overtakings > WINDOW / 10);
        let share = WINDOW as f64 / servers as f64;
        let found = deviation(&picked, servers, |_, _| share);
        prop_assert!(found <= 1.0, "{} of {}", found, share);
    }

    #[test]
    fn wrr_of_several_workers_is_that_of_one(
        weights in prop::collection::vec(0u32..60, 1..24),
        workers in prop::sample::select(vec![2usize, 4]),
        seed in any::<u64>(),
    ) {
        prop_assume!(weights.iter().any(|w| *w > 0));
        let (picked, overtakings) = interleaved(&service(SchedulerName::Wrr, &weights), workers, seed, 3 * WINDOW);
        prop_assert!(overtakings > WINDOW / 10);
        let alone = service(SchedulerName::Wrr, &weights);
        let (alone, _) = interleaved(&alone, 1, 0, picked.len());
        let ideal = windows(&alone, weights.len());
        let found = deviation(&picked, weights.len(), |server, begin| ideal[begin][server]);
        prop_assert!(found <= workers as f64, "{}", found);
        prop_assert_eq!(picked, alone, "and it is exact");
    }

    /// Where a cycle is a window, that is the share by weight.
    #[test]
    fn wrr_of_several_workers_gives_each_its_weight_over_a_cycle(
        (weights, workers, seed) in (prop::collection::vec(1u32..40, 2..20), 2usize..5, any::<u64>()),
    ) {
        let divisor = weights.iter().fold(0, |a, b| gcd(a, *b));
        let cycle: u32 = weights.iter().map(|w| w / divisor).sum();
        let (picked, _) = interleaved(&service(SchedulerName::Wrr, &weights), workers, seed, 3 * cycle as usize);
        for window in picked.windows(cycle as usize) {
            for (n, weight) in weights.iter().enumerate() {
                let count = window.iter().filter(|server| **server == n).count();
                prop_assert_eq!(count as u32, weight / divisor);
            }
        }
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Nobody has connections.
struct Idle;

impl Loads for Idle {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }
}

/// True threads: each draws a number when its pick is done, so that at most one connection of each
/// other worker is out of its order.
fn threads(service: &Service, workers: usize) -> Vec<usize> {
    let each = 20 * WINDOW / workers;
    let next = AtomicUsize::new(0);
    let mut picked = vec![0; each * workers];
    std::thread::scope(|scope| {
        let worker = || {
            let (service, next) = (service.clone(), &next);
            scope.spawn(move || {
                let one = |_| {
                    let server = pick(&service, &Idle);
                    (next.fetch_add(1, Relaxed), server)
                };
                (0..each).map(one).collect::<Vec<_>>()
            })
        };
        let workers: Vec<_> = (0..workers).map(|_| worker()).collect();
        for worker in workers {
            for (number, server) in worker.join().unwrap() {
                picked[number] = server;
            }
        }
    });
    picked
}

#[test]
fn threads_share_rr_and_wrr_to_within_their_number() {
    for workers in [2, 4] {
        let rr = threads(&service(SchedulerName::Rr, &[1; 8]), workers);
        let found = deviation(&rr, 8, |_, _| WINDOW as f64 / 8.0);
        // Cycles of 10 connections, of which a window has 100.
        let weights = [1, 2, 3, 4];
        let wrr = threads(&service(SchedulerName::Wrr, &weights), workers);
        let ideal = |server: usize, _| f64::from(weights[server]) * 100.0;
        let weighted = deviation(&wrr, 4, ideal);
        println!(
            "{workers} threads: rr is off by {found} connections in a window, wrr by {weighted}"
        );
        assert!(found <= workers as f64 && weighted <= workers as f64);
    }
}
