//! The director that a recorded session is played to: engine, control server
//! and time in this process.
//!
//! The server has a thread and a socket of its own, as in pvsd; what it does every two seconds it
//! does when the stage says that they have passed.

use crate::replay::plane::{InProcess, Shared};
use crate::{Director, Side, frames};
use anyhow::{Result, ensure};
use pvs_control::cli::Link;
use pvs_control::client::Client;
use pvs_control::command::Command;
use pvs_control::limits::ESTIMATE_PERIOD;
use pvs_control::reply::Outcome;
use pvs_control::{Capabilities, Clock, Locality, Server, SocketConfig, Store};
use pvs_dataplane::engine::EngineConfig;
use pvs_dataplane::fib::{
    Fib, FibBuilder, Interface, InterfaceIndex, Neighbour, OwnAddress, Target,
};
use pvs_dataplane::memory::FRAME_MAX;
use pvs_proto::wire::tcp::SYN;
use pvs_proto::{Addr4, Addr6, Protocol, V4, V6, VlanId};
use pvs_sched::marks::{self, MarkRule, PortRange, Prefix};
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// When a SYN that nobody answers is repeated, in milliseconds after the first one.
const REPEATS_MS: [u64; 6] = [1000, 3000, 7000, 15_000, 31_000, 63_000];

/// Frames that are sent in at once.
const BURST: u64 = 32;

/// Room for a frame where the device's MTU is an ordinary one.
const FRAME_LEN: usize = 4096;

/// The recorder's addresses on its device.
const DUMMY_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
const DUMMY_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);

const DUMMY_BROADCAST: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 255);

/// The director's own addresses there.
const OWN_V4: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 254);
const OWN_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 0xfe);

/// Options of a SYN as Linux sends it: segment size, selective acknowledgements,
/// timestamps, window scale.
const SYN_OPTIONS: [u8; 20] = [
    2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
];

/// What happens between two commands.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(super) enum Action {
    /// Datagrams of a client.
    Udp {
        src: SocketAddr,
        dst: SocketAddr,
        mark: u32,
        n: u64,
        size: usize,
        ip_len: usize,
    },
    /// A client's connection, which nobody answers.
    Tcp {
        src: SocketAddr,
        dst: SocketAddr,
        mark: u32,
        ip_len: usize,
    },
    /// Time passes.
    Sleep { s: f64 },
}

impl Action {
    const fn ends(&self) -> Option<(IpAddr, IpAddr)> {
        match self {
            Self::Udp { src, dst, .. } | Self::Tcp { src, dst, .. } => Some((src.ip(), dst.ip())),
            Self::Sleep { .. } => None,
        }
    }
}

/// A frame that is sent again.
struct Repeat {
    at_ms: u64,
    frame: Vec<u8>,
}

/// The stage's time, in milliseconds.
#[derive(Clone, Default)]
struct Moment(Arc<AtomicU64>);

impl Clock for Moment {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Relaxed))
    }
}

/// The devices that the recorder had, and what is local.
struct Recorder {
    fib: Fib,
    mtu: Option<u32>,
}

impl Locality for Recorder {
    fn is_local(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(a) => self.fib.is_local::<V4>(a.into()),
            IpAddr::V6(a) => self.fib.is_local::<V6>(a.into()),
        }
    }

    fn is_broadcast(&self, address: IpAddr) -> bool {
        let of_lo = address == IpAddr::V4(Ipv4Addr::new(127, 255, 255, 255));
        of_lo || (self.mtu.is_some() && address == IpAddr::V4(DUMMY_BROADCAST))
    }

    fn device_mtu(&self, name: &str) -> Option<u32> {
        match name {
            "lo" => Some(65_536),
            "dummy0" => self.mtu,
            _ => None,
        }
    }
}

/// A director and its control server.
pub(super) struct Stage {
    plane: Shared,
    moment: Moment,
    now_ms: u64,
    next_tick_ms: u64,
    repeats: Vec<Repeat>,
    /// There are rules that mark.
    marked: bool,
    client: Client,
    socket: PathBuf,
    stop: Arc<AtomicBool>,
    /// Goes away last.
    _folder: tempfile::TempDir,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The server notices within a moment, which the next session need not wait for.
        self.stop.store(true, Relaxed);
    }
}

impl Stage {
    /// A director without services, at time 0, with a device of this MTU, if with any. What
    /// `actions` send to is local, what they send from is on the link.
    pub(super) fn new<'a>(
        mtu: Option<u32>,
        actions: impl Iterator<Item = &'a Action> + Clone,
    ) -> Result<Self> {
        let frame_len = if mtu > Some(1500) {
            FRAME_MAX
        } else {
            FRAME_LEN
        };
        let mut director = Director::with(EngineConfig::default(), &[], frame_len)?;
        let fib = || forwarding(mtu, actions.clone());
        director.route(fib());
        let plane = Shared::new(InProcess { director });
        let mut store = Store::new(Capabilities::ALL);
        store.set_locality(Arc::new(Recorder { fib: fib(), mtu }));
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("pvsd.sock");
        let (stop, moment) = (Arc::new(AtomicBool::new(false)), Moment::default());
        let server = Server::bind(&SocketConfig {
            path: socket.clone(),
            ..SocketConfig::default()
        })?;
        let ends = (plane.clone(), moment.clone(), Arc::clone(&stop));
        std::thread::spawn(move || {
            let (mut plane, moment, stop) = ends;
            server.run_by(&moment, store, &mut plane, &stop);
        });
        Ok(Self {
            plane,
            moment,
            now_ms: 0,
            next_tick_ms: period_ms(),
            repeats: Vec::new(),
            marked: false,
            client: Client::new(&socket),
            socket,
            stop,
            _folder: folder,
        })
    }

    /// The control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Does what happened between two commands.
    pub(super) fn play(&mut self, action: &Action) -> Result<()> {
        match *action {
            Action::Sleep { s } => self.until(self.now_ms + (s * 1000.0).round() as u64),
            Action::Udp {
                src,
                dst,
                mark,
                n,
                size,
                ip_len,
            } => {
                self.mark(Protocol::UDP, src, dst, mark)?;
                let packet = frames::udp(src, dst, &vec![b'x'; size]);
                self.send(&packet, ip_len, n).map(|_| ())
            }
            Action::Tcp {
                src,
                dst,
                mark,
                ip_len,
            } => {
                self.mark(Protocol::TCP, src, dst, mark)?;
                let frame = self.send(&syn(src, dst), ip_len, 1)?;
                let repeat = |after| Repeat {
                    at_ms: self.now_ms + after,
                    frame: frame.clone(),
                };
                self.repeats.extend(REPEATS_MS.map(repeat));
                Ok(())
            }
        }
    }

    /// Has packets of a client's socket marked as the recorder marked the socket.
    fn mark(
        &mut self,
        protocol: Protocol,
        src: SocketAddr,
        dst: SocketAddr,
        mark: u32,
    ) -> Result<()> {
        if mark == 0 && !self.marked {
            return Ok(());
        }
        self.marked = true;
        let port = |end: SocketAddr| PortRange {
            first: end.port(),
            last: end.port(),
        };
        let rule = MarkRule {
            protocol: Some(protocol.0),
            source: Some(whole(src.ip())),
            destination: Some(whole(dst.ip())),
            source_ports: vec![port(src)],
            destination_ports: vec![port(dst)],
            interface: None,
            action: marks::Action::Mark {
                value: mark,
                mask: u32::MAX,
            },
        };
        let mut refused = None;
        let command = Command::AddMark { at: None, rule };
        self.client.ask(&[command], &mut |outcome| {
            refused = (outcome != Outcome::Done).then_some(outcome);
            Ok(())
        })?;
        ensure!(refused.is_none(), "the mark is refused: {refused:?}");
        Ok(())
    }

    fn send(&self, packet: &[u8], ip_len: usize, n: u64) -> Result<Vec<u8>> {
        ensure!(
            packet.len() == ip_len,
            "the packet has {} bytes, not {ip_len}",
            packet.len()
        );
        let frame = frames::from_client(packet);
        self.inject(&frame, n)?;
        Ok(frame)
    }

    fn inject(&self, frame: &[u8], n: u64) -> Result<()> {
        self.plane.with(|plane| {
            let director = &mut plane.director;
            for first in (0..n).step_by(BURST as usize) {
                for _ in first..n.min(first + BURST) {
                    ensure!(
                        director.cable(Side::Client).send(frame),
                        "the cable is full"
                    );
                }
                director.settle();
                director.drain();
            }
            Ok(())
        })
    }

    /// Lets time pass until `ms`, with all that is due on the way.
    fn until(&mut self, ms: u64) -> Result<()> {
        loop {
            let repeat = self.repeats.iter().map(|r| r.at_ms).min();
            let next = repeat.unwrap_or(ms).min(self.next_tick_ms).min(ms);
            self.pass(next);
            let (due, later) = std::mem::take(&mut self.repeats)
                .into_iter()
                .partition(|repeat| repeat.at_ms <= next);
            self.repeats = later;
            for repeat in due {
                self.inject(&repeat.frame, 1)?;
            }
            if self.next_tick_ms <= next {
                // The server looks at its clock before it looks at a request.
                self.client.ask(&[], &mut |_| Ok(()))?;
                self.next_tick_ms += period_ms();
            }
            if next == ms {
                return Ok(());
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        let span = ms.saturating_sub(self.now_ms);
        if span > 0 {
            self.plane.with(|plane| plane.director.sleep_ms(span));
        }
        self.now_ms = ms;
        self.moment.0.store(ms, Relaxed);
    }
}

/// An address alone.
const fn whole(address: IpAddr) -> Prefix {
    let length = if address.is_ipv4() { 32 } else { 128 };
    Prefix { address, length }
}

/// A SYN with Linux's options.
fn syn(src: SocketAddr, dst: SocketAddr) -> Vec<u8> {
    let mut segment = frames::tcp_segment(src.port(), dst.port(), 1000, 0, SYN, b"");
    if let Some(offset) = segment.get_mut(12) {
        *offset = 10 << 4;
    }
    segment.extend(SYN_OPTIONS);
    frames::ip(src.ip(), dst.ip(), Protocol::TCP, segment)
}

/// The loopback, the device if there is one, and the local addresses.
fn forwarding<'a>(mtu: Option<u32>, actions: impl Iterator<Item = &'a Action>) -> Fib {
    let mut b = FibBuilder::new();
    b.route::<V4>(Addr4::from(Ipv4Addr::new(127, 0, 0, 0)), 8, Target::Local);
    local(&mut b, IpAddr::V6(Ipv6Addr::LOCALHOST));
    let side = |b: &mut FibBuilder, side: Side, mac, mtu| {
        b.interface(Interface {
            port: side.port(),
            vlan: VlanId::NONE,
            mac,
            other_macs: vec![],
            mtu,
        })
    };
    let dummy = side(
        &mut b,
        Side::Client,
        frames::DIRECTOR_CLIENT_MAC,
        mtu.unwrap_or(1500),
    );
    side(&mut b, Side::Server, frames::DIRECTOR_SERVER_MAC, 1500);
    if mtu.is_none() {
        return b.build(1);
    }
    device(&mut b, dummy);
    let mut clients = Vec::new();
    for (src, dst) in actions.filter_map(Action::ends) {
        clients.push(src);
        local(&mut b, dst);
    }
    let own = DUMMY_V4.map(IpAddr::V4).into_iter();
    let own = own.chain([DUMMY_V6.into(), OWN_V4.into(), OWN_V6.into()]);
    for address in own.filter(|address| !clients.contains(address)) {
        local(&mut b, address);
    }
    b.build(1)
}

fn local(b: &mut FibBuilder, address: IpAddr) {
    match address {
        IpAddr::V4(a) => b.route::<V4>(a.into(), 32, Target::Local),
        IpAddr::V6(a) => b.route::<V6>(a.into(), 128, Target::Local),
    };
}

/// The link of the device: it needs no neighbour discovery, and takes everything.
fn device(b: &mut FibBuilder, dummy: InterfaceIndex) {
    let v6 = |bits: u128| Addr6::from(Ipv6Addr::from_bits(bits));
    let (net_v4, net_v6) = (OWN_V4.to_bits() & !0xff, OWN_V6.to_bits() & !0xff);
    b.route::<V4>(Addr4(net_v4), 24, Target::OnLink(dummy));
    b.route::<V6>(v6(net_v6), 64, Target::OnLink(dummy));
    b.own_address::<V4>(OwnAddress::plain(dummy, OWN_V4.into(), 24));
    b.own_address::<V6>(OwnAddress::plain(dummy, OWN_V6.into(), 64));
    for n in 1..=254u8 {
        let mac = Neighbour::Resolved(frames::server_mac(n));
        b.neighbour::<V4>(dummy, Addr4(net_v4 | u32::from(n)), mac);
        b.neighbour::<V6>(dummy, v6(net_v6 | u128::from(n)), mac);
    }
}

const fn period_ms() -> u64 {
    ESTIMATE_PERIOD.as_millis() as u64
}
