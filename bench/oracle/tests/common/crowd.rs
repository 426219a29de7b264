//! A crowd around a director of four workers: clients and servers on its
//! wires, and somebody who edits.

use super::common::{VIP, seen};
use pvs_dataplane::engine::{Engine, EngineConfig, Handle};
use pvs_dataplane::fib::{Fib, Neighbour};
use pvs_dataplane::memory::{Cable, MemoryBuf, MemoryPool, MemoryPort};
use pvs_dataplane::port::{Buf, Caps};
use pvs_dataplane::punt::{PuntClass, PuntRings};
use pvs_dataplane::steering::Steering;
use pvs_dataplane::worker::{Clock, MonotonicClock, Worker};
use pvs_epoch::Publisher;
use pvs_oracle::frames::{from_client, from_server, tcp};
use pvs_oracle::scenario::{self, at};
use pvs_oracle::{frames, laboratory_with};
use pvs_proto::wire::tcp::{ACK, SYN};
use pvs_proto::{Addr4, MacAddr, V4};
use pvs_sched::{Method, SchedulerName, ServerIndex, Service, Snapshot, Transport};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

pub const WORKERS: usize = 4;
pub const BUFFERS: usize = 8192;

/// Servers 1 to 3 are masqueraded, 4 to 6 are routed to.
pub const SERVERS: u32 = 6;

const CLIENTS: u64 = 3000;
const PACKETS: u64 = 1_000_000;

/// Between two edits.
const EDIT_PERIOD: Duration = Duration::from_micros(500);

/// Tells the seed if the test fails.
pub struct Seed(pub u64);

impl Seed {
    pub fn new() -> Self {
        let given = std::env::var("PVS_SEED").ok().and_then(|s| s.parse().ok());
        let clock = || MonotonicClock.nanos() ^ u64::from(std::process::id()) << 40;
        Self(given.unwrap_or_else(clock).max(1))
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("PVS_SEED={}", self.0);
        }
    }
}

/// Numbers that look random (xorshift64*).
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % n
    }
}

fn client(n: u64) -> SocketAddr {
    at(&format!("10.9.{}.{}:{}", n % 7, 1 + n % 250, 2000 + n))
}

fn endpoint(server: u32) -> SocketAddr {
    at(&match method(server) {
        Method::Masquerade => format!("192.168.1.{server}:8080"),
        _ => format!("192.168.1.{server}:80"),
    })
}

const fn method(server: u32) -> Method {
    if server <= 3 {
        Method::Masquerade
    } else {
        Method::Route
    }
}

/// The wires of a director: what clients and servers send and receive.
pub struct Wires {
    pub client: Vec<Cable>,
    pub server: Vec<Cable>,
    pub pool: MemoryPool,
    pub punt: Arc<PuntRings<MemoryBuf>>,
    random: Random,
    pub sent: u64,
    /// The server that each client was led to.
    pub led: HashMap<SocketAddr, MacAddr>,
    pub requests: u64,
    pub answers: u64,
}

impl Wires {
    /// A frame by a queue at random, as steering that does nothing would bring it.
    pub fn send(&mut self, by_servers: bool, frame: &[u8]) {
        let queue = self.random.below(WORKERS as u64) as usize;
        let cables = if by_servers {
            &self.server
        } else {
            &self.client
        };
        self.sent += u64::from(cables[queue].send(frame));
    }

    /// Takes what came out, and lets masqueraded servers answer.
    pub fn receive(&mut self) {
        for queue in 0..WORKERS {
            while let Some(frame) = self.server[queue].receive() {
                let request = seen(frame.bytes());
                self.requests += 1;
                let led = *self.led.entry(request.src).or_insert(request.macs.0);
                assert_eq!(
                    led, request.macs.0,
                    "{} was led to two servers",
                    request.src
                );
                let answers = request.dst != at(VIP) && self.random.below(2) == 0;
                let MacAddr([.., n]) = request.macs.0;
                drop(frame);
                if answers {
                    let answer = tcp(request.dst, request.src, ACK, b"");
                    self.send(true, &from_server(n, &answer));
                }
            }
            while let Some(frame) = self.client[queue].receive() {
                // ICMP errors come out here too.
                if frame.bytes().get(23) == Some(&6) {
                    let answer = seen(frame.bytes());
                    assert_eq!(answer.src, at(VIP));
                    assert!(self.led.contains_key(&answer.dst), "an answer to nobody");
                    self.answers += 1;
                }
            }
        }
        for class in PuntClass::ALL {
            while self.punt.pop(class).is_some() {}
        }
    }

    pub fn generate(&mut self, until: Instant) {
        while self.sent < PACKETS && Instant::now() < until {
            for _ in 0..16 {
                let who = client(self.random.below(CLIENTS));
                let signal = if self.random.below(3) == 0 { SYN } else { ACK };
                self.send(false, &from_client(&tcp(who, at(VIP), signal, b"")));
            }
            self.receive();
            // So that a machine with few cores carries packets, not refusals.
            if self.pool.free() < BUFFERS / 2 {
                thread::yield_now();
            }
        }
    }
}

fn port(pool: &MemoryPool, mac: MacAddr) -> (Vec<MemoryPort>, Vec<Cable>) {
    let caps = Caps {
        mac,
        mtu: 1500,
        queues: WORKERS as u16,
        rx_ip_checksum: false,
        tx_ip_checksum: false,
        tx_l4_checksum: false,
    };
    (0..WORKERS)
        .map(|_| MemoryPort::new(caps.clone(), pool.clone(), 2048))
        .unzip()
}

/// The laboratory, in which one server may not be reached.
fn routes(version: u32, unreachable: Option<u8>) -> Fib {
    laboratory_with(&[], 1500, version, |b, [_, servers]| {
        if let Some(n) = unreachable {
            let addr = Addr4::from_wire([192, 168, 1, n]);
            b.neighbour::<V4>(servers, addr, Neighbour::Failed);
        }
    })
    .unwrap()
}

/// Somebody edits.
pub struct Editor {
    pub snapshots: Publisher<Snapshot>,
    pub fibs: Publisher<Fib>,
    pub current: Snapshot,
    routes: u32,
    random: Random,
}

impl Editor {
    fn service(&self) -> Service {
        self.current.services().next().unwrap().clone()
    }

    fn publish(&mut self, service: Service) {
        let mut next = self.current.clone();
        next.version += 1;
        next.put(service);
        next.settle();
        self.current = next.clone();
        self.snapshots.publish(next);
        self.snapshots.reclaim();
    }

    /// One edit of the service, of its servers, or of the routes.
    fn edit(&mut self) {
        let service = self.service();
        let n = 1 + self.random.below(SERVERS.into()) as u32;
        let mut config = scenario::server(endpoint(n), method(n));
        let next = match self.random.below(4) {
            0 => {
                let unreachable = Some(n as u8).filter(|n| n % 2 == 0);
                self.routes += 1;
                self.fibs.publish(routes(self.routes, unreachable));
                self.fibs.reclaim();
                return;
            }
            1 => {
                let mut config = service.config.clone();
                let all = SchedulerName::ALL;
                config.scheduler = all[self.random.below(all.len() as u64) as usize];
                service.edited(config)
            }
            2 => {
                config.weight = 1 + self.random.below(5) as u32;
                service.with_edited_server(config)
            }
            _ if service.server(config.key).is_none() => {
                service.with_server(ServerIndex(n), config)
            }
            _ if service.servers().len() > 1 => service.without_server(config.key),
            _ => service,
        };
        self.publish(next);
    }

    pub fn edit_until(&mut self, stop: &AtomicBool) {
        while !stop.load(Relaxed) {
            // As control does: no more than eight that somebody may still use.
            if self.snapshots.outstanding() < 8 && self.fibs.outstanding() < 8 {
                self.edit();
            }
            self.snapshots.reclaim();
            self.fibs.reclaim();
            thread::sleep(EDIT_PERIOD);
        }
    }

    /// All servers, and all of them reachable.
    pub fn make_whole(&mut self) {
        let mut service = self.service();
        for n in 1..=SERVERS {
            let config = scenario::server(endpoint(n), method(n));
            if service.server(config.key).is_none() {
                service = service.with_server(ServerIndex(n), config);
            }
        }
        self.publish(service);
        self.routes += 1;
        self.fibs.publish(routes(self.routes, None));
    }
}

/// A director with its crowd.
pub fn director(
    steering: Steering,
    seed: u64,
) -> (
    Vec<Worker<MemoryPort>>,
    Vec<Handle<MemoryBuf>>,
    Editor,
    Wires,
) {
    let pool = MemoryPool::new(BUFFERS, 256);
    let (clients, client) = port(&pool, frames::DIRECTOR_CLIENT_MAC);
    let (servers, server) = port(&pool, frames::DIRECTOR_SERVER_MAC);
    let engine = Engine::new(&EngineConfig::default(), steering, vec![clients, servers]).unwrap();
    let mut editor = Editor {
        snapshots: engine.snapshots,
        fibs: engine.fibs,
        current: Snapshot::default(),
        routes: 1,
        random: Random(seed),
    };
    editor.fibs.publish(routes(1, None));
    let all = (1..=SERVERS).fold(
        scenario::service(0, Transport::Tcp, at(VIP), true),
        |s, n| s.with_server(ServerIndex(n), scenario::server(endpoint(n), method(n))),
    );
    editor.publish(all);
    let wires = Wires {
        client,
        server,
        pool,
        punt: engine.punt,
        random: Random(seed.rotate_left(32) | 1),
        sent: 0,
        led: HashMap::new(),
        requests: 0,
        answers: 0,
    };
    (engine.workers, engine.handles, editor, wires)
}
