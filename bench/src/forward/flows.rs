//! The traffic of a benchmark: frames of 64 bytes (60 without the FCS) from
//! many clients to one service.

use super::Mode;
use pvs_dataplane::steering::{Steering, WorkerIndex};
use pvs_proto::checksum::{self, Delta, Offload, Sum};
use pvs_proto::wire::{IpHeader, Network, Ports, ethernet, ipv4};
use pvs_proto::{Addr4, Endpoint, MacAddr, Protocol, V4};
use zerocopy::{FromBytes, IntoBytes};

/// The director's hardware address.
pub const DIRECTOR_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);
/// The director's own address, where tunnels begin.
pub const DIRECTOR: Addr4 = Addr4(0xc0a8_01fe);
/// The clients' router.
pub const ROUTER_MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 0xc1]);
/// The service.
pub const VIP: Endpoint<Addr4> = Endpoint {
    addr: Addr4(0x0a00_0064),
    port: 80,
};
/// Servers behind it.
pub const SERVERS: u8 = 4;
/// The servers' port under NAT; DR and tunnels keep the service's.
pub const SERVER_PORT: u16 = 8080;

const FRAME_LEN: usize = 60;
const L3: usize = 14;
const L4: usize = 34;

/// Server `n`, from 1.
#[must_use]
pub fn server(n: u8) -> Addr4 {
    Addr4(0xc0a8_0100 + u32::from(n))
}

/// Server `n`'s hardware address.
#[must_use]
pub fn server_mac(n: u8) -> MacAddr {
    MacAddr([2, 0, 0, 0, 1, n])
}

/// What the sink thinks of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Right,
    /// Not.
    Wrong,
}

/// The flows.
pub struct Flows {
    mode: Mode,
    count: u32,
    next: u32,
    random: Option<u64>,
    template: [u8; FRAME_LEN],
    template_source: Endpoint<Addr4>,
    /// Of several workers: which of the clients that a flow may have belongs to this one.
    mine: Box<[u8]>,
}

/// The client of a flow: 10.128.0.0/9 by 16,384 ports from 1024.
#[must_use]
pub fn client(flow: u32) -> Endpoint<Addr4> {
    Endpoint {
        addr: Addr4(0x0a80_0000 + (flow >> 14)),
        port: 1024 + (flow & 0x3fff) as u16,
    }
}

/// One of the clients that a flow may have if not all clients are its worker's.
fn candidate(flow: u32, n: u8) -> Endpoint<Addr4> {
    let at = u64::from(flow) << 8 | u64::from(n);
    Endpoint {
        addr: Addr4(0x0a80_0000 + (at >> 14) as u32),
        port: 1024 + (at & 0x3fff) as u16,
    }
}

impl Flows {
    /// `count` flows, one after the other until [`shuffle`](Self::shuffle).
    #[must_use]
    pub fn new(mode: Mode, count: u32) -> Self {
        let first = client(0);
        let template = template(mode.protocol(), first);
        Self {
            mode,
            count: count.max(1),
            next: 0,
            random: None,
            template,
            template_source: first,
            mine: Box::default(),
        }
    }

    /// `count` flows of the clients that are a worker's; `None` if there are not as many.
    #[must_use]
    pub fn of_worker(
        mode: Mode,
        count: u32,
        steering: &Steering,
        worker: WorkerIndex,
    ) -> Option<Self> {
        // Where nobody owns clients, each worker is brought others.
        let stranger = |n: u8| u16::from(n).checked_rem(steering.workers()) == Some(worker.0);
        let is_mine = |flow: u32, n: u8| match steering.owner(candidate(flow, n)) {
            Some(owner) => owner == worker,
            None => stranger(n),
        };
        let choose = |flow| (0..=u8::MAX).find(|n| is_mine(flow, *n));
        let mine = (0..count.max(1)).map(choose).collect::<Option<_>>()?;
        Some(Self {
            mine,
            ..Self::new(mode, count)
        })
    }

    #[inline]
    fn client(&self, flow: u32) -> Endpoint<Addr4> {
        match self.mine.get(flow as usize) {
            Some(n) => candidate(flow, *n),
            None => client(flow),
        }
    }

    /// Random order from now on.
    pub fn shuffle(&mut self) {
        self.random.get_or_insert(0x9e37_79b9_7f4a_7c15);
    }

    #[inline]
    fn next_flow(&mut self) -> u32 {
        if let Some(state) = &mut self.random {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            return ((*state >> 32).wrapping_mul(self.count.into()) >> 32) as u32;
        }
        self.next = if self.next + 1 < self.count {
            self.next + 1
        } else {
            0
        };
        self.next
    }

    /// The next frame: the last one with another source.
    #[inline]
    pub fn next_frame(&mut self) -> (u32, &[u8]) {
        let flow = self.next_flow();
        let source = self.client(flow);
        let old = core::mem::replace(&mut self.template_source, source);
        let delta = match V4::header_mut(&mut self.template, L3 as u16) {
            Some(header) => header.set_src(source.addr),
            None => Delta::NONE,
        };
        if let Some(segment) = self.template.get_mut(L4..) {
            if let Ok((ports, _)) = Ports::mut_from_prefix(segment) {
                ports.src.set(source.port);
            }
            let delta = delta.word(old.port, source.port);
            let _ = checksum::update(self.mode.protocol(), segment, delta);
        }
        (flow, &self.template)
    }

    /// Was this flow's frame forwarded as it should be?
    pub fn judge(&self, flow: u32, frame: &[u8]) -> Verdict {
        match self.right(flow, frame) {
            Some(true) => Verdict::Right,
            _ => Verdict::Wrong,
        }
    }

    fn right(&self, flow: u32, frame: &[u8]) -> Option<bool> {
        let (link, packet) = ethernet::Header::ref_from_prefix(frame).ok()?;
        let [.., n] = link.dst.0;
        let linked = link.dst == server_mac(n)
            && (1..=SERVERS).contains(&n)
            && link.src == DIRECTOR_MAC
            && link.ethertype.get() == ethernet::IPV4;
        let inner = match self.mode {
            Mode::TunUdp => unwrapped(packet, server(n))?,
            _ => packet,
        };
        Some(linked && self.is_right(flow, inner, n)?)
    }

    /// Was this flow's packet forwarded to server `n` as it should be?
    fn is_right(&self, flow: u32, packet: &[u8], n: u8) -> Option<bool> {
        let (ip, _) = ipv4::Header::ref_from_prefix(packet).ok()?;
        let segment = packet.get(ipv4::Header::LEN..usize::from(ip.total_len.get()))?;
        let (ports, _) = Ports::ref_from_prefix(segment).ok()?;
        let source = self.client(flow);
        let sums = Sum::of(ip.as_bytes()).finish() == 0
            && checksum::is_right(ip.src(), ip.dst(), self.mode.protocol(), segment) == Ok(true);
        let to = match self.mode {
            Mode::DrUdp | Mode::DrTcp | Mode::TunUdp => VIP,
            Mode::NatUdp | Mode::NatTcp => Endpoint {
                addr: server(n),
                port: SERVER_PORT,
            },
        };
        Some(
            sums && ip.ttl() == 63
                && (ip.src(), ports.src.get()) == (source.addr, source.port)
                && (ip.dst(), ports.dst.get()) == (to.addr, to.port),
        )
    }
}

/// What is in the tunnel to a server.
fn unwrapped(packet: &[u8], server: Addr4) -> Option<&[u8]> {
    let (outer, inner) = ipv4::Header::ref_from_prefix(packet).ok()?;
    let right = Sum::of(outer.as_bytes()).finish() == 0
        && (outer.src(), outer.dst()) == (DIRECTOR, server)
        && (outer.next(), outer.ttl()) == (Protocol::IPIP, 63)
        && usize::from(outer.total_len.get()) == packet.len();
    right.then_some(inner)
}

fn template(protocol: Protocol, source: Endpoint<Addr4>) -> [u8; FRAME_LEN] {
    let mut frame = [0u8; FRAME_LEN];
    let link = ethernet::Header {
        dst: DIRECTOR_MAC,
        src: ROUTER_MAC,
        ethertype: ethernet::IPV4.into(),
    };
    let mut ip = ipv4::Header {
        version_ihl: ipv4::Header::PLAIN,
        tos: 0,
        total_len: ((FRAME_LEN - L3) as u16).into(),
        id: 0.into(),
        fragment: ipv4::DONT_FRAGMENT.into(),
        ttl: 64,
        protocol: protocol.0,
        checksum: 0.into(),
        src: source.addr.to_wire(),
        dst: VIP.addr.to_wire(),
    };
    ip.fill_checksum();
    let mut segment = [0u8; FRAME_LEN - L4];
    if let Ok((ports, rest)) = Ports::mut_from_prefix(&mut segment) {
        ports.src.set(source.port);
        ports.dst.set(VIP.port);
        // UDP: the length. TCP: data offset and SYN, a retransmission without an end: the
        // connection stays in one state, and every packet asks the state table.
        let (at, value) = match protocol {
            Protocol::TCP => (8, [0x50, 0x02]),
            _ => (0, ((FRAME_LEN - L4) as u16).to_be_bytes()),
        };
        if let Some(field) = rest.get_mut(at..at + 2) {
            field.copy_from_slice(&value);
        }
    }
    let _ = checksum::fill(
        source.addr,
        VIP.addr,
        protocol,
        &mut segment,
        Offload::Software,
    );
    let parts = [link.as_bytes(), ip.as_bytes(), &segment];
    let mut at = 0;
    for part in parts {
        if let Some(room) = frame.get_mut(at..at + part.len()) {
            room.copy_from_slice(part);
        }
        at += part.len();
    }
    frame
}
