//! The port of tests, scenarios and benchmarks: frames in memory, buffers recycled through a pool.
//!
//! After start it neither allocates nor frees, so that an allocation count of the engine over it is
//! the engine's own.

use crate::port::{Batch, Buf, Caps, HEADROOM, Pool, Port, RxChecks};
use crossbeam::queue::ArrayQueue;
use std::sync::Arc;

/// Largest frame: Ethernet, a VLAN tag, and the largest IPv6 packet without a jumbogram option.
pub const FRAME_MAX: usize = 65_575 + 18;

type Storage = Box<[u8]>;

/// A frame in memory. Its storage goes back to its pool when it is dropped.
#[derive(Debug)]
pub struct MemoryBuf {
    storage: Storage,
    start: usize,
    end: usize,
    home: Arc<ArrayQueue<Storage>>,
}

impl Drop for MemoryBuf {
    fn drop(&mut self) {
        // An empty box owns no memory. The pool has room for every buffer that it made.
        let _ = self.home.push(core::mem::take(&mut self.storage));
    }
}

impl Buf for MemoryBuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        self.storage.get(self.start..self.end).unwrap_or_default()
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        self.storage
            .get_mut(self.start..self.end)
            .unwrap_or_default()
    }

    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        self.start = self.start.checked_sub(n)?;
        self.storage.get_mut(self.start..self.start + n)
    }

    fn trim_front(&mut self, n: usize) -> bool {
        let fits = n <= self.end - self.start;
        if fits {
            self.start += n;
        }
        fits
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let start = self.end;
        let room = self.storage.get_mut(start..start.checked_add(n)?)?;
        self.end = start + n;
        Some(room)
    }

    fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    fn fill(&mut self, frame: &[u8]) -> bool {
        let end = HEADROOM + frame.len();
        let Some(room) = self.storage.get_mut(HEADROOM..end) else {
            return false;
        };
        room.copy_from_slice(frame);
        self.start = HEADROOM;
        self.end = end;
        true
    }

    fn rx_checks(&self) -> RxChecks {
        RxChecks::default()
    }
}

/// Where the buffers of a memory port come from.
#[derive(Clone, Debug)]
pub struct MemoryPool(Arc<ArrayQueue<Storage>>);

impl MemoryPool {
    /// `buffers` buffers for frames of `frame_len` bytes at most.
    #[must_use]
    pub fn new(buffers: usize, frame_len: usize) -> Self {
        let free = ArrayQueue::new(buffers.max(1));
        for _ in 0..buffers {
            // Fits: as many as there is room for.
            let _ = free.push(vec![0; HEADROOM + frame_len].into_boxed_slice());
        }
        Self(Arc::new(free))
    }

    /// Buffers that nobody has.
    #[must_use]
    pub fn free(&self) -> usize {
        self.0.len()
    }
}

impl Pool for MemoryPool {
    type Buf = MemoryBuf;

    fn alloc(&self) -> Option<MemoryBuf> {
        let storage = self.0.pop()?;
        Some(MemoryBuf {
            storage,
            start: HEADROOM,
            end: HEADROOM,
            home: Arc::clone(&self.0),
        })
    }
}

/// The engine's side.
#[derive(Debug)]
pub struct MemoryPort {
    received: Arc<ArrayQueue<MemoryBuf>>,
    sent: Arc<ArrayQueue<MemoryBuf>>,
    pool: MemoryPool,
    caps: Caps,
}

/// The other end of the cable.
#[derive(Clone, Debug)]
pub struct Cable {
    to_port: Arc<ArrayQueue<MemoryBuf>>,
    from_port: Arc<ArrayQueue<MemoryBuf>>,
    pool: MemoryPool,
}

impl MemoryPort {
    /// A port with a cable that holds `depth` frames each way; a full cable refuses frames.
    #[must_use]
    pub fn new(caps: Caps, pool: MemoryPool, depth: usize) -> (Self, Cable) {
        let (received, sent) = (
            Arc::new(ArrayQueue::new(depth.max(1))),
            Arc::new(ArrayQueue::new(depth.max(1))),
        );
        let cable = Cable {
            to_port: Arc::clone(&received),
            from_port: Arc::clone(&sent),
            pool: pool.clone(),
        };
        (
            Self {
                received,
                sent,
                pool,
                caps,
            },
            cable,
        )
    }
}

impl Port for MemoryPort {
    type Buf = MemoryBuf;
    type Pool = MemoryPool;

    fn rx(&mut self, batch: &mut Batch<MemoryBuf>) {
        while !batch.is_full() {
            let Some(buf) = self.received.pop() else {
                return;
            };
            if batch.try_push(buf).is_err() {
                return;
            }
        }
    }

    fn tx(&mut self, batch: &mut Batch<MemoryBuf>) -> u32 {
        let frames = core::mem::take(batch).into_iter();
        frames
            .map(|buf| u32::from(self.sent.push(buf).is_err()))
            .sum()
    }

    fn alloc(&mut self) -> Option<MemoryBuf> {
        self.pool.alloc()
    }

    fn pool(&self) -> MemoryPool {
        self.pool.clone()
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }
}

impl Cable {
    /// Puts a frame on the cable; false if the cable or the pool is
    /// exhausted or the frame too long.
    pub fn send(&self, frame: &[u8]) -> bool {
        let Some(mut buf) = self.pool.alloc() else {
            return false;
        };
        buf.fill(frame) && self.to_port.push(buf).is_ok()
    }

    /// The next frame that the port sent.
    pub fn receive(&self) -> Option<MemoryBuf> {
        self.from_port.pop()
    }

    /// The next frame that the port sent, as bytes.
    #[must_use]
    pub fn receive_bytes(&self) -> Option<Vec<u8>> {
        self.receive().map(|buf| buf.bytes().to_vec())
    }
}
