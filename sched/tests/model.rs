//! Loom models of what schedulers share: two workers pick and control settles an edit, in every
//! interleaving within a bound of preemptions. Run by `RUSTFLAGS="--cfg loom" cargo test -p
//! pvs-sched --release --test model`.
#![cfg(loom)]
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicBool, Ordering};
use loom::thread;
use pvs_proto::{Addr4, Protocol, Ticks};
use pvs_sched::persistence::TemplateKey;
use pvs_sched::templates::{EngineData, Hand, TemplateRef, Templates};
use pvs_sched::{
    AllCells, Cells, Flow, Load, Loads, Method, SchedulerName, ServerConfig, ServerIndex,
    ServerKey, Service, ServiceConfig, ServiceIndex, ServiceKey, Transport, Tunables,
};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Preemptions of an interleaving, unless LOOM_MAX_PREEMPTIONS says otherwise.
const PREEMPTIONS: usize = 4;

/// rr and wrr ask nobody for connections.
struct Nothing;

impl Loads for Nothing {
    fn load(&self, _: ServerIndex) -> Load {
        Load::default()
    }
}

/// How often each server was picked.
type Picks = BTreeMap<u32, u32>;

fn name(n: u8) -> ServerKey {
    ServerKey {
        address: IpAddr::V4(Ipv4Addr::new(192, 168, 1, n)),
        port: 80,
    }
}

fn server(n: u8, weight: u32) -> ServerConfig {
    ServerConfig::plain(name(n), Method::Route, weight)
}

/// A service whose servers are numbered from 1 and have these weights.
fn service(scheduler: SchedulerName, weights: &[u32]) -> Service {
    let key = ServiceKey::Address {
        protocol: Transport::Tcp,
        address: IpAddr::V4(Ipv4Addr::new(10, 0, 0, 100)),
        port: 80,
    };
    let config = ServiceConfig::plain(key, scheduler);
    let mut service = Service::new(ServiceIndex(0), config, true);
    for (n, weight) in (1u8..).zip(weights) {
        service = service.with_server(ServerIndex(n.into()), server(n, *weight));
    }
    service.settle(2);
    service
}

fn pick(service: &Service) -> u32 {
    pick_by(service, &Nothing)
}

fn pick_by(service: &Service, loads: &impl Loads) -> u32 {
    let flow = Flow::<Addr4> {
        client: Default::default(),
        virtual_: Default::default(),
        now: Default::default(),
    };
    let server = service
        .pick(&flow, &Tunables::default(), loads)
        .expect("there are servers");
    assert!(server.config.weight > 0);
    server.index.0
}

fn picks(service: &Service, count: u32) -> Picks {
    let mut picks = Picks::new();
    for _ in 0..count {
        *picks.entry(pick(service)).or_default() += 1;
    }
    picks
}

fn together(a: Picks, b: Picks) -> Picks {
    let mut sum = a;
    for (server, count) in b {
        *sum.entry(server).or_default() += count;
    }
    sum
}

/// Every interleaving; there must be some. What loom knows of a word is who touched it last: it
/// overlooks a thread that reads between another's load and its store, so what is shared here is
/// written by one operation.
fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound.get_or_insert(PREEMPTIONS);
    let count = std::sync::Arc::new(AtomicUsize::new(0));
    let counted = std::sync::Arc::clone(&count);
    builder.check(move || {
        model();
        counted.fetch_add(1, Relaxed);
    });
    let count = count.load(Relaxed);
    assert!(count > 1, "{count} interleaving");
}

/// Two workers, with as many picks each, make whole rounds of the list.
fn share_exactly(scheduler: SchedulerName, weights: &'static [u32], each: [u32; 2]) {
    let round: u32 = weights.iter().sum();
    let rounds = (each[0] + each[1]) / round;
    assert_eq!(
        rounds * round,
        each[0] + each[1],
        "the model wants whole rounds"
    );
    explore(move || {
        let service = service(scheduler, weights);
        let other = service.clone();
        let worker = thread::spawn(move || picks(&other, each[1]));
        let mine = picks(&service, each[0]);
        let shares: Picks = (1u32..).zip(weights.iter().map(|w| w * rounds)).collect();
        assert_eq!(together(mine, worker.join().unwrap()), shares);
    });
}

#[test]
fn two_workers_share_the_position_of_rr() {
    share_exactly(SchedulerName::Rr, &[1, 1, 1], [2, 1]);
    share_exactly(SchedulerName::Rr, &[1, 1], [3, 3]);
}

#[test]
fn two_workers_share_the_position_of_wrr() {
    share_exactly(SchedulerName::Wrr, &[2, 1], [2, 1]);
    share_exactly(SchedulerName::Wrr, &[3, 1, 2], [3, 3]);
}

/// Two workers pick, each by the newest list that it has heard of, while control edits the list.
/// Whatever they left behind, one round later at most every server has its share of each round.
fn edit_between(scheduler: SchedulerName, weights: &'static [u32], edit: fn(&Service) -> Service) {
    explore(move || {
        let old = service(scheduler, weights);
        // Somewhere within the list.
        pick(&old);
        let mut new = edit(&old);
        let published = Arc::new(AtomicBool::new(false));
        let worker = |count: u32| {
            let (old, new, published) = (old.clone(), new.clone(), Arc::clone(&published));
            thread::spawn(move || {
                for _ in 0..count {
                    let heard = published.load(Ordering::Acquire);
                    pick(if heard { &new } else { &old });
                }
            })
        };
        let workers = [worker(2), worker(1)];
        new.settle(1);
        published.store(true, Ordering::Release);
        for worker in workers {
            worker.join().unwrap();
        }
        let shares: Picks = new
            .servers()
            .iter()
            .map(|s| (s.index.0, s.config.weight))
            .collect();
        let round = shares.values().sum();
        picks(&new, round);
        assert_eq!(picks(&new, round), shares);
    });
}

#[test]
fn a_server_goes_while_two_workers_pick_by_rr() {
    edit_between(SchedulerName::Rr, &[1, 1, 1], |s| s.without_server(name(2)));
}

#[test]
fn a_server_comes_while_two_workers_pick_by_rr() {
    edit_between(SchedulerName::Rr, &[1, 1], |s| {
        s.with_server(ServerIndex(9), server(9, 1))
    });
}

#[test]
fn a_server_goes_while_two_workers_pick_by_wrr() {
    edit_between(SchedulerName::Wrr, &[1, 3, 2], |s| {
        s.without_server(name(2))
    });
}

#[test]
fn a_weight_changes_while_two_workers_pick_by_wrr() {
    edit_between(SchedulerName::Wrr, &[4, 3], |s| {
        s.with_edited_server(server(2, 2))
    });
}

/// A client's template.
const KEY: TemplateKey<Addr4> = TemplateKey {
    protocol: Protocol::TCP,
    client: Addr4(0x0a09_0001),
    virtual_: Addr4(0x0a00_0064),
    port: 80,
};

const TIMEOUT: Ticks = Ticks::from_secs(4);

/// What a worker does at a client's first packet, as if its scheduler picked this server: the
/// template's server, and a connection of it.
fn connect(templates: &Templates<Addr4>, picked: u32, now: Ticks) -> (ServerIndex, TemplateRef) {
    loop {
        // Who gets no hold of it drops the packet, and the client sends it again.
        let Some(mut held) = templates.hold(1) else {
            thread::yield_now();
            continue;
        };
        let (place, server) = held.find(&KEY, &EngineData::NONE, now).unwrap_or_else(|| {
            let server = ServerIndex(picked);
            let key = (KEY, &EngineData::NONE);
            let place = held.insert(key, (server, 80), TIMEOUT, now).unwrap();
            (place, server)
        });
        held.refresh(place, now);
        return (server, held.adopt(place));
    }
}

#[test]
fn two_first_packets_of_a_client_get_one_server() {
    explore(|| {
        let templates = Arc::new(Templates::<Addr4>::new(2, 3));
        let others = Arc::clone(&templates);
        let worker = thread::spawn(move || connect(&others, 1, Ticks(0)));
        let (mine, template) = connect(&templates, 2, Ticks(0));
        let (theirs, same) = worker.join().unwrap();
        assert_eq!((mine, template), (theirs, same));
        assert_eq!(templates.of_server(mine), 1);
        assert!(
            !templates.release(template) && templates.release(same),
            "the last one"
        );
    });
}

#[test]
fn a_template_that_is_due_stays_while_it_has_connections() {
    explore(|| {
        let templates = Arc::new(Templates::<Addr4>::new(2, 3));
        let (server, template) = connect(&templates, 1, Ticks(0));
        let due = TIMEOUT.after(Ticks::from_secs(1));
        let sweeper = {
            let templates = Arc::clone(&templates);
            thread::spawn(move || templates.sweep(due, &mut Hand::default()))
        };
        // Another worker begins a connection while the only one there was ends, and time passes.
        let other = {
            let templates = Arc::clone(&templates);
            thread::spawn(move || connect(&templates, 2, due))
        };
        templates.release(template);
        sweeper.join().unwrap();
        let (theirs, held) = other.join().unwrap();
        assert_eq!(templates.of_server(theirs), 1);
        assert!(theirs == server || templates.of_server(server) == 0);
        let much_later = due.after(Ticks::from_secs(200));
        templates.sweep(much_later, &mut Hand::default());
        assert_eq!(templates.of_server(theirs), 1, "it has a connection");
        templates.release(held);
        templates.sweep(
            much_later.after(Ticks::from_secs(200)),
            &mut Hand::default(),
        );
        assert_eq!(templates.of_server(theirs), 0);
    });
}

/// A worker picks while connections begin on the other one: what it picks afterwards is the least
/// loaded server, by its tournament as by a scan.
fn picks_what_is_least(opened: &'static [u32]) {
    explore(move || {
        let service = service(SchedulerName::Lc, &[1, 1, 1]);
        let blocks = [4, 4].map(|servers| std::sync::Arc::new(Cells::new(servers)));
        let all = AllCells::new(blocks.iter().map(std::sync::Arc::clone));
        let [mine, others] = blocks;
        mine.open(ServerIndex(3), false);
        mine.open(ServerIndex(2), false);
        let by_tournament = || pick_by(&service, &all.as_worker(0));
        by_tournament();
        by_tournament();
        let other = thread::spawn(move || {
            for server in opened {
                others.open(ServerIndex(*server), false);
            }
        });
        by_tournament();
        other.join().unwrap();
        assert_eq!(by_tournament(), pick_by(&service, &all));
    });
}

#[test]
fn what_another_worker_does_during_a_pick_is_seen_by_the_next() {
    picks_what_is_least(&[1]);
    picks_what_is_least(&[1, 3]);
}

#[test]
fn a_journal_is_read_while_it_comes_round() {
    picks_what_is_least(&[1, 2, 2]);
}

#[test]
fn a_server_without_connections_is_not_at_its_threshold() {
    for thresholds in [(2, 1), (1, 1)] {
        two_last_connections_end(thresholds);
    }
}

/// Of an overloaded server, at once.
fn two_last_connections_end((upper, lower): (u32, u32)) {
    const SERVER: ServerIndex = ServerIndex(0);
    explore(move || {
        let blocks = [1, 1].map(|servers| std::sync::Arc::new(Cells::new(servers)));
        let all = AllCells::new(blocks.iter().map(std::sync::Arc::clone));
        for block in &blocks {
            block.open(SERVER, false);
        }
        all.judge(SERVER, upper, lower);
        assert!(all.overloaded(SERVER));
        let [mine, others] = blocks;
        let also = all.clone();
        let other = thread::spawn(move || {
            others.close(SERVER, false);
            also.judge(SERVER, upper, lower);
        });
        mine.close(SERVER, false);
        all.judge(SERVER, upper, lower);
        other.join().unwrap();
        assert!(!all.overloaded(SERVER));
    });
}
