//! The seam between the engine and whatever carries frames: [`Port`], [`Buf`], [`Batch`].
//!
//! The engine is generic over `Port` and never knows which one it drives: DPDK (crate pvs-dpdk),
//! the memory port of tests and benchmarks ([`crate::memory`]). Static dispatch throughout.
//!
//! A buffer is an owned value. It is moved, never cloned, and ends in a tx batch, in a punt ring,
//! or is given back to its pool by `Drop`; there is no other way out.

use arrayvec::ArrayVec;
use pvs_proto::MacAddr;

/// Packets that a worker takes, carries through the stages and sends at a time.
pub const BURST: usize = 32;

/// Free bytes before the frame in every fresh buffer: room for an outer header.
pub const HEADROOM: usize = 128;

/// Buffers on their way together; at most [`BURST`].
pub type Batch<B> = ArrayVec<B, BURST>;

/// One frame in contiguous bytes, with room before it.
pub trait Buf: Sized + Send + 'static {
    /// The frame.
    fn bytes(&self) -> &[u8];
    /// The frame, to be rewritten in place.
    fn bytes_mut(&mut self) -> &mut [u8];
    /// Grows the frame by `n` bytes at its front; `None`, and nothing changed, if there is no room.
    /// The new bytes hold anything.
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]>;
    /// Cuts `n` bytes off the front; false, and nothing changed, if the frame is shorter.
    fn trim_front(&mut self, n: usize) -> bool;
    /// Grows the frame by `n` bytes at its end; `None`, and nothing changed, if there is no room.
    /// The new bytes hold anything.
    fn append(&mut self, n: usize) -> Option<&mut [u8]>;
    /// Cuts the frame down to `len` bytes; a longer `len` changes nothing.
    fn truncate(&mut self, len: usize);
    /// Replaces the frame; false, and nothing changed, if it does not fit behind the headroom.
    fn fill(&mut self, frame: &[u8]) -> bool;
    /// What the port already verified about this frame's checksums.
    fn rx_checks(&self) -> RxChecks;
}

/// A port's word on the checksums of a received frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RxChecks {
    /// The IPv4 header checksum was verified and is right.
    pub ip_good: bool,
}

/// Where fresh buffers come from; one handle for each thread that needs them.
pub trait Pool: Clone + Send + 'static {
    /// The buffers it hands out.
    type Buf: Buf;
    /// An empty buffer with [`HEADROOM`] before it; `None` if the pool is exhausted.
    fn alloc(&self) -> Option<Self::Buf>;
}

/// One receive and one transmit queue of an interface, as one worker owns them.
pub trait Port: Send + 'static {
    /// Its buffers.
    type Buf: Buf;
    /// Its pool.
    type Pool: Pool<Buf = Self::Buf>;
    /// Appends received frames to `batch`, as many as it has room for.
    fn rx(&mut self, batch: &mut Batch<Self::Buf>);
    /// Takes all of `batch`. Returns how many of its frames the device refused; these are freed.
    fn tx(&mut self, batch: &mut Batch<Self::Buf>) -> u32;
    /// An empty buffer for a frame of the engine's own.
    fn alloc(&mut self) -> Option<Self::Buf>;
    /// A handle on the pool, for the thread that injects frames.
    fn pool(&self) -> Self::Pool;
    /// What the interface is and can do.
    fn caps(&self) -> &Caps;
}

/// An interface's properties, fixed while the port is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caps {
    /// Its hardware address.
    pub mac: MacAddr,
    /// Largest IP packet it can send, in bytes.
    pub mtu: u32,
    /// Receive (and transmit) queues in use.
    pub queues: u16,
    /// It verifies IPv4 header checksums of what it receives.
    pub rx_ip_checksum: bool,
    /// It completes IPv4 header checksums of what it sends.
    pub tx_ip_checksum: bool,
    /// It completes TCP and UDP checksums of what it sends.
    pub tx_l4_checksum: bool,
}
