//! The templates' table under four threads that begin and end connections while time passes.
#![cfg(not(loom))]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_proto::{Addr4, Protocol, Ticks};
use pvs_sched::ServerIndex;
use pvs_sched::persistence::TemplateKey;
use pvs_sched::templates::{EngineData, Hand, TemplateRef, Templates};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

const WORKERS: u64 = 4;
const CLIENTS: usize = 300;
const SERVERS: u32 = 8;
const STEPS: u64 = 60_000;
/// Connections that a worker has at a time.
const HELD: usize = 64;

struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

fn key(client: usize) -> TemplateKey<Addr4> {
    TemplateKey {
        protocol: Protocol::TCP,
        client: Addr4(client as u32),
        virtual_: Addr4(7),
        port: 80,
    }
}

const fn hash(client: usize) -> u64 {
    (client as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The server of a client's live connections, and how many there are: all have the same one.
struct Live(AtomicU64);

impl Live {
    fn enter(&self, server: u32) {
        let entered = self.0.fetch_update(SeqCst, SeqCst, |word| {
            let (known, count) = ((word >> 32) as u32, word as u32);
            assert!(count == 0 || known == server, "a client has two servers");
            Some(u64::from(server) << 32 | u64::from(count + 1))
        });
        entered.unwrap();
    }

    fn leave(&self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

struct Table {
    templates: Templates<Addr4>,
    live: Vec<Live>,
    clock: AtomicU32,
}

impl Table {
    fn begin(&self, client: usize, picked: u32) -> Option<TemplateRef> {
        let now = Ticks(self.clock.load(SeqCst));
        let mut held = self.templates.hold(hash(client))?;
        let data = EngineData::NONE;
        let (place, server) = match held.find(&key(client), &data, now) {
            Some(known) => known,
            None => {
                let server = ServerIndex(picked);
                let timeout = Ticks::from_secs(2);
                (
                    held.insert((key(client), &data), (server, 80), timeout, now)?,
                    server,
                )
            }
        };
        held.refresh(place, now);
        let template = held.adopt(place);
        drop(held);
        self.live[client].enter(server.0);
        Some(template)
    }

    fn work(&self, worker: u64) {
        let mut random = Random(worker * 7919 + 1);
        let mut mine: Vec<(usize, TemplateRef)> = Vec::new();
        let mut hand = Hand::of(worker as usize, WORKERS as usize);
        for step in 0..STEPS {
            if mine.len() == HELD || (random.below(3) == 0 && !mine.is_empty()) {
                let (client, template) = mine.swap_remove(random.below(mine.len() as u64) as usize);
                self.live[client].leave();
                self.templates.release(template);
            } else {
                let client = random.below(CLIENTS as u64) as usize;
                let picked = random.below(SERVERS.into()) as u32;
                mine.extend(
                    self.begin(client, picked)
                        .map(|template| (client, template)),
                );
            }
            let now = match step % 16 {
                0 => self.clock.fetch_add(25, SeqCst),
                _ => self.clock.load(SeqCst),
            };
            self.templates.sweep(Ticks(now), &mut hand);
        }
        for (client, template) in mine {
            self.live[client].leave();
            self.templates.release(template);
        }
    }
}

#[test]
fn a_client_has_one_server_at_a_time_and_every_template_ends() {
    let table = Table {
        templates: Templates::new(2048, SERVERS as usize),
        live: (0..CLIENTS).map(|_| Live(AtomicU64::new(0))).collect(),
        clock: AtomicU32::new(u32::MAX - 1000),
    };
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let table = &table;
            scope.spawn(move || table.work(worker));
        }
    });
    let in_all = |t: &Templates<Addr4>| {
        (0..SERVERS)
            .map(|s| t.of_server(ServerIndex(s)))
            .sum::<u32>()
    };
    assert!(in_all(&table.templates) > 0, "some have not expired");
    let later = Ticks(table.clock.load(SeqCst)).after(Ticks::from_secs(200));
    let mut hand = Hand::default();
    for _ in 0..64 {
        table.templates.sweep(later, &mut hand);
    }
    assert_eq!(in_all(&table.templates), 0);
    let mut listed = 0;
    table.templates.list(0, u32::MAX, later, |_| {
        listed += 1;
        true
    });
    assert_eq!(listed, 0);
}

/// Enters a client's template for that long, of a connection that was established and has ended.
fn visit(templates: &Templates<Addr4>, client: usize, secs: u32, now: Ticks) -> bool {
    let mut held = templates.hold(hash(client)).unwrap();
    let entry = (key(client), &EngineData::NONE);
    let span = Ticks::from_secs(secs);
    let Some(place) = held.insert(entry, (ServerIndex(0), 80), span, now) else {
        return false;
    };
    let template = held.adopt(place);
    drop(held);
    templates.assure(template);
    !templates.release(template)
}

/// Half as many clients as there is room for, all the time, each with another deadline: one worker
/// takes them out as fast as they come.
#[test]
fn one_worker_keeps_up_with_many_templates() {
    const ROOM: usize = 65_536;
    const SECS: u32 = 30;
    let templates = Templates::new(ROOM, 1);
    let (mut hand, mut client) = (Hand::default(), 0);
    let per_tick = ROOM / 2 / Ticks::from_secs(SECS).0 as usize;
    for tick in 0..Ticks::from_secs(4 * SECS).0 {
        for _ in 0..per_tick {
            client += 1;
            assert!(visit(&templates, client, SECS, Ticks(tick)), "{tick}");
        }
        templates.sweep(Ticks(tick), &mut hand);
    }
    let live = per_tick as u32 * Ticks::from_secs(SECS).0;
    let there = templates.of_server(ServerIndex(0));
    assert!(
        (live..live + live / 10).contains(&there),
        "{there}, {live} are not due"
    );
}

/// Nobody sweeps: who has no connection and is due gives way, who is not due does not.
#[test]
fn a_full_table_lets_new_clients_in_once_old_ones_are_due() {
    let templates = Templates::new(512, 1);
    let (start, due) = (Ticks(0), Ticks::from_secs(31));
    let mut client = 0;
    while templates.of_server(ServerIndex(0)) < 512 {
        client += 1;
        visit(&templates, client, 30, start);
    }
    assert!((1..1000).all(|other| !visit(&templates, client + other, 30, start)));
    client += 1000;
    assert!((1..200).all(|other| visit(&templates, client + other, 30, due)));
}

#[test]
fn dropping_takes_what_no_connection_made_sure_of_but_what_is_kept() {
    let templates = Templates::new(512, 1);
    for client in 0..30 {
        let mut held = templates.hold(hash(client)).unwrap();
        let entry = (key(client), &EngineData::NONE);
        let span = Ticks::from_secs(60);
        let place = held.insert(entry, (ServerIndex(0), 80), span, Ticks(0));
        if client % 3 == 0 {
            held.keep(place.unwrap());
        }
        let template = held.adopt(place.unwrap());
        drop(held);
        if client % 3 == 1 {
            templates.assure(template);
        }
        templates.release(template);
    }
    let mut at = 0;
    while at < templates.extent() {
        at = templates.drop_unsure(at, 32);
    }
    assert_eq!(templates.of_server(ServerIndex(0)), 20);
}
