//! The way to Linux and back: bounded rings of frames beside the ports.
//!
//! What is not load balancing is punted. Each class has a ring of its own, so that a flood in one
//! starves no other; a full ring drops and counts, and no worker ever waits. Frames that Linux
//! sends come back through the owning worker's injection ring and leave by its queue.

use crate::fib::PortIndex;
use crate::port::Buf;
use crate::steering::{Mode, Steering, WorkerIndex};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use crossbeam::queue::ArrayQueue;
use pvs_proto::parse::Quote;
use pvs_proto::wire::icmp;
use pvs_proto::{Checks, Fragment, Meta, Packet, Parse, Protocol, parse};
use std::sync::Arc;

/// Frames that wait in one punt ring at most.
pub const PUNT_RING_MAX: usize = 1024;

/// Places of a punt ring that stay free, more than there can be workers: whoever pushes never
/// comes to the place that is being emptied, and so waits for nobody, even if the thread that
/// empties it is stopped within that.
const PUNT_RING_SPARE: usize = 128;

/// Frames that wait in a worker's injection ring at most.
pub const INJECT_RING_MAX: usize = 2048;

/// Why a frame goes to Linux.
///
/// What everything else depends on is kept apart from what anybody can send: the first
/// two classes hold only what comes from the same link, as ARP must and as a hop limit of
/// 255 proves of the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum PuntClass {
    /// ARP, and neighbour discovery (RFC 4861).
    Neighbour,
    /// Routing and redundancy protocols on the link: VRRP, single-hop BFD, OSPF, IGMP.
    Control,
    /// Routing protocols that may come from afar: BGP, multihop BFD.
    Session,
    /// To a local address, without a service or connection; and what carries no IP.
    Local,
    /// To be forwarded by Linux: masquerade, routing.
    Forwarded,
    /// To be refused by Linux: a service's address and port without a connection.
    Refused,
}

impl PuntClass {
    /// Every class, in the order of the discriminants.
    pub const ALL: [Self; 6] = [
        Self::Neighbour,
        Self::Control,
        Self::Session,
        Self::Local,
        Self::Forwarded,
        Self::Refused,
    ];

    /// The class's name, as operators see it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Neighbour => "neighbour",
            Self::Control => "control",
            Self::Session => "session",
            Self::Local => "local",
            Self::Forwarded => "forwarded",
            Self::Refused => "refused",
        }
    }
}

/// A frame on its way to Linux, as it was received; translated, if it is for a server
/// that is the director itself.
#[derive(Debug)]
pub struct Punted<B> {
    /// The frame.
    pub buf: B,
    /// The port that it came in by.
    pub port: PortIndex,
}

/// A frame on its way from Linux.
#[derive(Debug)]
pub struct Injected<B> {
    /// The frame.
    pub buf: B,
    /// The port that it shall leave by.
    pub port: PortIndex,
}

/// One class's ring with its counters.
#[derive(Debug)]
struct Lane<B> {
    ring: ArrayQueue<Punted<B>>,
    capacity: usize,
    passed: AtomicU64,
    dropped: AtomicU64,
}

/// The punt rings, shared by the workers and the thread that feeds the taps.
#[derive(Debug)]
pub struct PuntRings<B>([Lane<B>; PuntClass::ALL.len()]);

impl<B> Default for PuntRings<B> {
    fn default() -> Self {
        Self::new(PUNT_RING_MAX)
    }
}

impl<B> PuntRings<B> {
    /// Rings of `capacity` frames each.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self(PuntClass::ALL.map(|_| Lane {
            ring: ArrayQueue::new(capacity.max(1) + PUNT_RING_SPARE),
            capacity: capacity.max(1),
            passed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }))
    }

    fn lane(&self, class: PuntClass) -> &Lane<B> {
        let [neighbour, control, session, local, forwarded, refused] = &self.0;
        match class {
            PuntClass::Neighbour => neighbour,
            PuntClass::Session => session,
            PuntClass::Control => control,
            PuntClass::Local => local,
            PuntClass::Forwarded => forwarded,
            PuntClass::Refused => refused,
        }
    }

    /// Hands a frame to Linux; false if the ring is full and the frame was freed.
    pub fn push(&self, class: PuntClass, frame: Punted<B>) -> bool {
        let lane = self.lane(class);
        let fits = lane.ring.len() < lane.capacity && lane.ring.push(frame).is_ok();
        if fits { &lane.passed } else { &lane.dropped }.fetch_add(1, Relaxed);
        fits
    }

    /// The oldest frame of a class.
    pub fn pop(&self, class: PuntClass) -> Option<Punted<B>> {
        self.lane(class).ring.pop()
    }

    /// True if this class has no frame.
    pub fn is_empty_of(&self, class: PuntClass) -> bool {
        self.lane(class).ring.is_empty()
    }

    /// True if no class has a frame.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|lane| lane.ring.is_empty())
    }

    /// Frames of a class that went to Linux, and those that found its ring full.
    pub fn counts(&self, class: PuntClass) -> (u64, u64) {
        let lane = self.lane(class);
        (lane.passed.load(Relaxed), lane.dropped.load(Relaxed))
    }

    /// Frames of a class that wait at this moment.
    pub fn waiting(&self, class: PuntClass) -> usize {
        self.lane(class).ring.len()
    }
}

/// A worker's injection ring.
pub type InjectRing<B> = ArrayQueue<Injected<B>>;

/// The way from Linux: a frame goes to the worker that would own its connection if Linux were the
/// server, since it may be a reply of one that is the director itself; a piece to the worker that
/// collects its datagram's, and one without ports to the first worker.
#[derive(Debug)]
pub struct Injector<B> {
    rings: Box<[Arc<InjectRing<B>>]>,
    steering: Steering,
}

impl<B> Clone for Injector<B> {
    fn clone(&self) -> Self {
        Self {
            rings: self.rings.clone(),
            steering: self.steering.clone(),
        }
    }
}

impl<B: Buf> Injector<B> {
    /// Into these rings, in the order of the workers.
    pub fn new(rings: impl IntoIterator<Item = Arc<InjectRing<B>>>, steering: Steering) -> Self {
        Self {
            rings: rings.into_iter().collect(),
            steering,
        }
    }

    /// Gives a frame to its worker; false if the ring is full and the frame was freed.
    pub fn push(&self, frame: Injected<B>) -> bool {
        let owner = self.owner(frame.buf.bytes()).unwrap_or_default();
        self.rings
            .get(usize::from(owner.0))
            .is_some_and(|ring| ring.push(frame).is_ok())
    }

    /// Linux is the server here, so the client is the destination.
    fn owner(&self, frame: &[u8]) -> Option<WorkerIndex> {
        if matches!(self.steering.mode(), Mode::Alone | Mode::Rxq) {
            return None;
        }
        match parse(frame, Checks { ip_good: true }).ok()?.1 {
            Packet::V4(meta) => self.owner_of(frame, &meta),
            Packet::V6(meta) => self.owner_of(frame, &meta),
            Packet::Other(_) => None,
        }
    }

    fn owner_of<F: Parse>(&self, frame: &[u8], meta: &Meta<F>) -> Option<WorkerIndex> {
        if matches!(meta.protocol, Protocol::ICMP | Protocol::ICMPV6) {
            // An error of Linux's: the client is who sent what it quotes.
            let quote = meta.l4.checked_add(icmp::Header::LEN as u16)?;
            let Quote(quote) = F::quote_at(frame, quote).ok()?;
            let has_ports = quote.protocol.has_ports() && quote.fragment != Fragment::Later;
            return has_ports.then(|| self.steering.owner(quote.src)).flatten();
        }
        if !meta.protocol.has_ports() {
            return None;
        }
        match meta.fragment {
            Fragment::None => self.steering.owner(meta.dst),
            _ => {
                let (src, dst) = (meta.src.addr, meta.dst.addr);
                self.steering.collector(src, dst, meta.fragment_id)
            }
        }
    }
}
