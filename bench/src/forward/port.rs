//! A port that makes its own traffic: a generator and a sink in one.
//!
//! Buffers go round in a deep FIFO. A frame is written afresh when its buffer comes back, and
//! received a whole round later, so that it is no hotter than a frame from a NIC. Which flow it
//! belongs to is random. Generation costs the same under every loop that drives the port, and
//! drops out of the differences.

use super::flows::{Flows, Verdict};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use pvs_dataplane::port::{Batch, Buf, Caps, HEADROOM, Pool, Port, RxChecks};
use std::collections::VecDeque;
use std::sync::Arc;

/// Bytes of a buffer: those of a DPDK mbuf's data room.
const ROOM: usize = 2048 + HEADROOM;

/// A frame with its place in the buffer.
struct Frame {
    start: usize,
    end: usize,
    flow: u32,
    room: [u8; ROOM],
}

/// An owned frame.
pub struct BenchBuf(Box<Frame>);

impl BenchBuf {
    fn new() -> Self {
        Self(Box::new(Frame {
            start: HEADROOM,
            end: HEADROOM,
            flow: 0,
            room: [0; ROOM],
        }))
    }
}

impl Buf for BenchBuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.0
            .room
            .get(self.0.start..self.0.end)
            .unwrap_or_default()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.0
            .room
            .get_mut(self.0.start..self.0.end)
            .unwrap_or_default()
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.0.start = self.0.start.checked_sub(n)?;
        self.0.room.get_mut(self.0.start..self.0.start + n)
    }

    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= self.0.end - self.0.start;
        if fits {
            self.0.start += n;
        }
        fits
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.0.end;
        let room = self.0.room.get_mut(start..start.checked_add(n)?)?;
        self.0.end = start + n;
        Some(room)
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        self.0.end = self.0.end.min(self.0.start + len);
    }

    #[inline]
    fn fill(&mut self, frame: &[u8]) -> bool {
        let Some(room) = self.0.room.get_mut(HEADROOM..HEADROOM + frame.len()) else {
            return false;
        };
        room.copy_from_slice(frame);
        self.0.start = HEADROOM;
        self.0.end = HEADROOM + frame.len();
        true
    }

    fn rx_checks(&self) -> RxChecks {
        RxChecks::default()
    }
}

/// Makes new buffers: the engine of a benchmark asks for none.
#[derive(Clone)]
pub struct BenchPool;

impl Pool for BenchPool {
    type Buf = BenchBuf;

    fn alloc(&self) -> Option<BenchBuf> {
        Some(BenchBuf::new())
    }
}

/// What the sink saw; read by whoever handed the port to an engine.
#[derive(Debug, Default)]
pub struct Tally {
    sent: AtomicU64,
    wrong: AtomicU64,
}

impl Tally {
    /// Frames that came out.
    pub fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Those that were not what they should be (with verification on).
    pub fn wrong(&self) -> u64 {
        self.wrong.load(Relaxed)
    }
}

/// The port.
pub struct BenchPort {
    fifo: VecDeque<BenchBuf>,
    flows: Flows,
    verify: bool,
    shuffle: Arc<AtomicBool>,
    tally: Arc<Tally>,
    caps: Caps,
}

impl BenchPort {
    /// A port with `depth` buffers under way.
    pub fn new(mut flows: Flows, depth: usize, verify: bool) -> Self {
        let mut fifo = VecDeque::with_capacity(depth + 1);
        for _ in 0..depth {
            let mut buf = BenchBuf::new();
            write(&mut flows, &mut buf);
            fifo.push_back(buf);
        }
        let caps = Caps {
            mac: super::flows::DIRECTOR_MAC,
            mtu: 1500,
            queues: 1,
            rx_ip_checksum: false,
            tx_ip_checksum: false,
            tx_l4_checksum: false,
        };
        Self {
            fifo,
            flows,
            verify,
            shuffle: Arc::default(),
            tally: Arc::default(),
            caps,
        }
    }

    /// What the sink sees.
    pub fn tally(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Set, it makes the order of the flows random from then on.
    pub fn order(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shuffle)
    }
}

#[inline]
fn write(flows: &mut Flows, buf: &mut BenchBuf) {
    let (flow, frame) = flows.next_frame();
    buf.0.flow = flow;
    buf.fill(frame);
}

impl Port for BenchPort {
    type Buf = BenchBuf;
    type Pool = BenchPool;

    #[inline]
    fn rx(&mut self, batch: &mut Batch<BenchBuf>) {
        while !batch.is_full() {
            let Some(buf) = self.fifo.pop_front() else {
                return;
            };
            if batch.try_push(buf).is_err() {
                return;
            }
        }
    }

    #[inline]
    fn tx(&mut self, batch: &mut Batch<BenchBuf>) -> u32 {
        let sent = self.tally.sent() + batch.len() as u64;
        self.tally.sent.store(sent, Relaxed);
        if self.shuffle.load(Relaxed) {
            self.flows.shuffle();
        }
        for mut buf in core::mem::take(batch) {
            if self.verify && self.flows.judge(buf.0.flow, buf.bytes()) == Verdict::Wrong {
                self.tally.wrong.store(self.tally.wrong() + 1, Relaxed);
            }
            write(&mut self.flows, &mut buf);
            self.fifo.push_back(buf);
        }
        0
    }

    fn alloc(&mut self) -> Option<BenchBuf> {
        BenchPool.alloc()
    }

    fn pool(&self) -> BenchPool {
        BenchPool
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }
}
