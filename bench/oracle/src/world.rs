//! A director among clients, servers and an operator that do anything at any time, all of it
//! decided by one row of choices: numbers of a seed, or the bytes of a fuzzer. The same
//! choices make the same run.
//!
//! What must hold afterwards is asserted here: no connection lost or doubled, counters that add up,
//! every buffer returned, every snapshot freed.
#![allow(clippy::expect_used)] // it is a test, wherever it runs

use crate::director::{Director, Side};
use crate::frames::{self, from_client, from_server};
use crate::laboratory_with;
use crate::scenario::{self, at};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::fib::Neighbour;
use pvs_dataplane::steering::Steering;
use pvs_dataplane::table::HashKeys;
use pvs_proto::wire::tcp::{ACK, FIN, PSH, RST, SYN};
use pvs_proto::{Addr4, Checks, Fragment, MacAddr, Packet, Protocol, V4, parse};
use pvs_sched::{
    Method, Persistence, SchedulerName, ServerConfig, ServerIndex, Service, Snapshot, Transport,
};
use std::net::SocketAddr;

mod checks;
mod choices;
pub mod hostile;

pub use choices::{Bytes, Choices, Seeded};

const CLIENTS: usize = 24;
const SERVERS: usize = 5;
/// Frames that may be repeated, quoted or spoilt later.
const RECENT: usize = 16;
/// Longer than any timer of a connection or template.
const FOR_EVER_MS: u64 = 2_000_000;
/// Polls in which the timers of any run have caught up with the clock.
const CATCH_UP_POLLS: usize = 8192;
/// The three services: plain TCP and UDP, and a persistent one.
const SERVICES: [(Transport, &str); 3] = [
    (Transport::Tcp, "10.0.0.100:80"),
    (Transport::Udp, "10.0.0.100:53"),
    (Transport::Tcp, "10.0.0.101:80"),
];

/// The director and what is around it.
pub struct World<C> {
    director: Director,
    choices: C,
    queues: usize,
    snapshot: Snapshot,
    routes: u32,
    /// Frames under way: where they go in.
    wire: Vec<(Side, Vec<u8>)>,
    recent: Vec<(Side, Vec<u8>)>,
    sent: u64,
    buffers: usize,
}

impl<C: Choices> World<C> {
    /// Plays until the choices are over, and checks what must hold; how many
    /// connections there were then.
    ///
    /// # Panics
    /// If it does not hold.
    pub fn run(choices: C) -> usize {
        let mut world = Self::new(choices);
        while !world.choices.is_over() {
            world.turn();
        }
        world.calm();
        let connections = world.check_connections();
        world.check_end();
        connections
    }

    fn new(mut choices: C) -> Self {
        let queues = 1 + choices.below(4);
        let config = EngineConfig {
            connections_v4: 4096,
            connections_v6: 1024,
            servers: 64,
            templates: 256,
            keys: HashKeys::seeded(7),
            ..EngineConfig::default()
        };
        let steering = match queues {
            1 => Steering::ALONE,
            n => Steering::ring(n as u16),
        };
        let director = Director::several(config, &[], 2048, steering, queues);
        let director = director.expect("the engine's memory");
        let buffers = director.free_buffers();
        let mut world = Self {
            director,
            choices,
            queues,
            snapshot: Snapshot::default(),
            routes: 1,
            wire: Vec::new(),
            recent: Vec::new(),
            sent: 0,
            buffers,
        };
        for (index, (transport, vip)) in (0..).zip(SERVICES) {
            let mut service = scenario::service(index, transport, at(vip), true);
            if index == 2 {
                service.config.persistence = Some(Persistence {
                    timeout_secs: 30,
                    netmask: u32::MAX,
                });
            }
            world.snapshot.put(with_all(service, index));
        }
        world.publish();
        world
    }

    fn turn(&mut self) {
        match self.choices.below(16) {
            0..7 => self.client(),
            7 => self.again(false),
            8 => self.again(true),
            9 => self.edit(),
            10 => self.pass(),
            11 => self.icmp(),
            12 => self.reroute(),
            _ => self.deliver(),
        }
    }

    /// A client says something.
    fn client(&mut self) {
        let (n, service) = (self.choices.below(CLIENTS), self.choices.below(3));
        let Some((transport, vip)) = SERVICES.get(service) else {
            return;
        };
        let (client, vip) = (client(n), at(vip));
        let packet = match transport {
            Transport::Tcp => {
                let signals = [SYN, SYN, ACK, PSH | ACK, ACK, FIN | ACK, RST, 0];
                let which = self.choices.below(signals.len());
                let signal = signals.get(which).copied().unwrap_or(SYN);
                frames::tcp(client, vip, signal, b"")
            }
            _ => frames::udp(client, vip, &[b'x'; 64]),
        };
        if self.choices.below(8) == 0 {
            let (first, later) = in_two(&packet);
            self.wire.push((Side::Client, from_client(&later)));
            self.wire.push((Side::Client, from_client(&first)));
        } else {
            self.wire.push((Side::Client, from_client(&packet)));
        }
    }

    /// A frame comes once more, as it was or spoilt.
    fn again(&mut self, spoilt: bool) {
        let which = self.choices.below(self.recent.len());
        if let Some((side, mut frame)) = self.recent.get(which).cloned() {
            let (place, value) = (self.choices.below(frame.len()), self.choices.below(256));
            if let Some(byte) = frame.get_mut(place).filter(|_| spoilt) {
                *byte ^= value as u8;
            }
            self.wire.push((side, frame));
        }
    }

    /// Somebody on the servers' side, or a client, complains about a frame.
    fn icmp(&mut self) {
        const KINDS: [(u8, u8); 5] = [(3, 1), (3, 3), (3, 4), (11, 0), (5, 1)];
        let (which, kind) = (self.choices.below(self.recent.len()), self.choices.below(5));
        let Some((_, about)) = self.recent.get(which).cloned() else {
            return;
        };
        let (Some(packet), Some((kind, code))) = (about.get(14..), KINDS.get(kind)) else {
            return;
        };
        let quoted = packet.get(..packet.len().min(28)).unwrap_or(packet);
        let message = [&[*kind, *code, 0, 0, 0, 0, 5, 0][..], quoted].concat();
        let (side, src, dst) = match self.choices.below(2) {
            0 => (Side::Server, at("192.168.1.1:0"), client(0)),
            _ => (Side::Client, client(1), at("10.0.0.100:0")),
        };
        let packet = frames::ip(src.ip(), dst.ip(), Protocol::ICMP, message);
        let frame = match side {
            Side::Client => from_client(&packet),
            Side::Server => from_server(1, &packet),
        };
        self.wire.push((side, frame));
    }

    /// The operator changes a service or a server.
    fn edit(&mut self) {
        let (index, n) = (self.choices.below(3), 1 + self.choices.below(SERVERS));
        let service = self.snapshot.services().nth(index).cloned();
        let Some(service) = service else { return };
        let mut config = server(index as u32, n);
        let next = match self.choices.below(4) {
            0 => {
                let which = self.choices.below(SchedulerName::ALL.len());
                let mut config = service.config.clone();
                config.scheduler = SchedulerName::ALL
                    .get(which)
                    .copied()
                    .unwrap_or(config.scheduler);
                service.edited(config)
            }
            1 if service.server(config.key).is_some() => {
                config.weight = self.choices.below(4) as u32;
                service.with_edited_server(config)
            }
            _ if service.server(config.key).is_none() => {
                service.with_server(cell(index as u32, n), config)
            }
            _ => service.without_server(config.key),
        };
        self.snapshot.put(next);
        self.publish();
    }

    fn publish(&mut self) {
        self.snapshot.version += 1;
        self.director.configure(self.snapshot.clone());
    }

    /// A server can't be reached, or all of them can.
    fn reroute(&mut self) {
        let lost = self.choices.below(SERVERS + 1) as u8;
        self.routes += 1;
        let fib = laboratory_with(&[], 1500, self.routes, |b, [_, servers]| {
            if lost > 0 {
                let lost = Addr4::from_wire([192, 168, 1, lost]);
                b.neighbour::<V4>(servers, lost, Neighbour::Failed);
            }
        });
        self.director.route(fib.expect("the laboratory"));
    }

    fn pass(&mut self) {
        const SPANS_MS: [u64; 6] = [1, 50, 1000, 5000, 61_000, 130_000];
        let which = self.choices.below(SPANS_MS.len());
        self.director
            .pass_ms(SPANS_MS.get(which).copied().unwrap_or(1));
        self.director.poll_one(which % self.queues);
    }

    /// One of the frames under way arrives, or is lost.
    fn deliver(&mut self) {
        let which = self.choices.below(self.wire.len());
        if which >= self.wire.len() {
            return;
        }
        let (side, frame) = self.wire.swap_remove(which);
        if self.choices.below(16) == 0 {
            return;
        }
        if self.recent.len() == RECENT {
            self.recent.remove(0);
        }
        self.recent.push((side, frame.clone()));
        for (side, out) in self.put(side, &frame) {
            self.arrived(side, &out);
        }
    }

    fn put(&mut self, side: Side, frame: &[u8]) -> Vec<(Side, Vec<u8>)> {
        let queue = self.choices.below(self.queues);
        self.sent += 1;
        let out = self.director.send_by(side, queue, frame).expect("room");
        let _ = self.director.punted();
        out
    }

    /// What a server or client does with a frame: some servers answer.
    fn arrived(&mut self, side: Side, frame: &[u8]) {
        let Ok((link, Packet::V4(meta))) = parse(frame, Checks { ip_good: true }) else {
            return;
        };
        let answers = side == Side::Server
            && meta.fragment == Fragment::None
            && meta.protocol.has_ports()
            && self.choices.below(2) == 0;
        if !answers {
            return;
        }
        let end = |e: pvs_proto::Endpoint<Addr4>| SocketAddr::new(e.addr.into(), e.port);
        let (src, dst, MacAddr([.., n])) = (end(meta.dst), end(meta.src), link.dst);
        let answer = match meta.protocol {
            Protocol::TCP if meta.signal & SYN != 0 => frames::tcp(src, dst, SYN | ACK, b""),
            Protocol::TCP => frames::tcp(src, dst, meta.signal & FIN | ACK, b""),
            _ => frames::udp(src, dst, b"answer"),
        };
        self.wire.push((Side::Server, from_server(n, &answer)));
    }

    /// Everything arrives, every server is there, and every way is open.
    fn calm(&mut self) {
        for index in 0..SERVICES.len() as u32 {
            let service = self.snapshot.services().nth(index as usize).cloned();
            let service = service.expect("a service");
            self.snapshot.put(with_all(service, index));
        }
        self.publish();
        self.routes += 1;
        let fib = laboratory_with(&[], 1500, self.routes, |_, _| {});
        self.director.route(fib.expect("the laboratory"));
        for (side, frame) in std::mem::take(&mut self.wire) {
            self.put(side, &frame);
        }
        // What is over by now goes before anything is counted: a poll ends a
        // bounded number of connections.
        for _ in 0..CATCH_UP_POLLS {
            self.director.poll();
        }
    }
}

fn client(n: usize) -> SocketAddr {
    at(&format!("10.9.0.{}:{}", 1 + n % 8, 4000 + n))
}

/// The cell of a service's server.
const fn cell(service: u32, n: usize) -> ServerIndex {
    ServerIndex(1 + service * SERVERS as u32 + n as u32)
}

/// Server `n` of a service: two are masqueraded, two routed to, one behind a tunnel.
fn server(service: u32, n: usize) -> ServerConfig {
    let port = if service == 1 { 53 } else { 80 };
    let (method, port) = match n {
        1 | 2 => (Method::Masquerade, 8000 + service as u16),
        3 | 4 => (Method::Route, port),
        _ => (Method::Tunnel, port),
    };
    scenario::server(at(&format!("192.168.1.{n}:{port}")), method)
}

/// The service with all its servers, each of weight 1 if it was not there.
fn with_all(mut service: Service, index: u32) -> Service {
    for n in 1..=SERVERS {
        let config = server(index, n);
        if service.server(config.key).is_none() {
            service = service.with_server(cell(index, n), config);
        }
    }
    service
}

/// A packet in two pieces.
fn in_two(packet: &[u8]) -> (Vec<u8>, Vec<u8>) {
    const CUT: usize = 28;
    let piece = |from: usize, to: usize, fragment: u16| {
        let payload = packet.get(from..to).unwrap_or(&[]);
        let mut piece = packet.get(..20).unwrap_or(&[]).to_vec();
        piece.extend(payload);
        let len = (piece.len() as u16).to_be_bytes();
        for (at, bytes) in [
            (2, len),
            (4, [0x12, 0x34]),
            (6, fragment.to_be_bytes()),
            (10, [0, 0]),
        ] {
            frames::set(&mut piece, at, bytes);
        }
        let sum = piece.get(..20).map(pvs_proto::checksum::Sum::of);
        frames::set(
            &mut piece,
            10,
            sum.unwrap_or_default().finish().to_be_bytes(),
        );
        piece
    };
    (piece(20, CUT, 0x2000), piece(CUT, packet.len(), 1))
}
