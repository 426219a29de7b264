//! One transmit queue, and one receive queue or several in turn: the dataplane's [`Port`] on DPDK.
//!
//! A burst goes through DPDK's exported table of burst functions, as DPDK's own inline
//! functions do, straight into and out of the batch. DPDK's receive and transmit callbacks are
//! not run, so tools that hang on them (dpdk-pdump) see nothing.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use pvs_dataplane::port::{Batch, Caps, Pool, Port};

use crate::ethdev::Ethdev;
use crate::mbuf::Mbuf;
use crate::mempool::Mempool;

/// Times that a full transmit queue is tried before the rest of a batch is dropped.
const TX_TRIES: u32 = 4;

/// A queue pair of a [`Device`](crate::Device), for one worker; or several.
#[derive(Debug)]
pub struct DpdkPort {
    functions: *const dpdk_sys::rte_eth_fp_ops,
    /// Its own queue, by which it sends.
    queue: usize,
    /// The queue to receive by next.
    rx_next: usize,
    /// From one queue to receive by to the next.
    rx_stride: usize,
    /// No queue to receive by from here on.
    rx_end: usize,
    pool: Mempool,
    caps: Caps,
    device: Arc<Ethdev>,
}

// SAFETY: the table entry is written while its device starts and stops, neither of which happens
// while a port holds the device; each queue has one user, since ports are not cloned.
unsafe impl Send for DpdkPort {}

impl DpdkPort {
    /// The port of queue `queue`, which has been set up on the started `device`.
    pub(crate) fn new(device: Arc<Ethdev>, queue: u16, pool: Mempool, caps: Caps) -> Self {
        let functions = device.burst_functions();
        let queue = usize::from(queue);
        Self {
            functions,
            queue,
            rx_next: queue,
            rx_stride: 1,
            rx_end: queue + 1,
            pool,
            caps,
            device,
        }
    }

    /// The ports for so many workers, of all those of a device: where there are more, each worker
    /// receives by several queues in turn, and sends by the first of them.
    #[must_use]
    pub fn shared(mut all: Vec<Self>, workers: usize) -> Vec<Self> {
        let queues = all.len();
        all.truncate(workers.max(1));
        if queues > all.len() {
            for port in &mut all {
                port.rx_stride = workers.max(1);
                port.rx_end = queues;
            }
        }
        all
    }

    #[inline]
    fn functions(&self) -> &dpdk_sys::rte_eth_fp_ops {
        // SAFETY: the entry is static, and not written while the device runs.
        unsafe { &*self.functions }
    }

    /// The driver's object for one of this port's queues.
    #[inline]
    fn queue_of(queues: dpdk_sys::rte_ethdev_qdata, queue: usize) -> *mut c_void {
        // SAFETY: a started device has an element for each queue that was set
        // up, as this port's were.
        unsafe { *queues.data.wrapping_add(queue) }
    }

    /// The queue to receive by now.
    #[inline]
    fn rx_turn(&mut self) -> usize {
        let now = self.rx_next;
        let next = now + self.rx_stride;
        self.rx_next = if next < self.rx_end { next } else { self.queue };
        now
    }

    /// Drops frames that are chained, which no configured device delivers.
    #[cold]
    fn drop_chained(&self, batch: &mut Batch<Mbuf>) {
        let before = batch.len();
        batch.retain(|mbuf| !mbuf.is_chained());
        let dropped = before.abs_diff(batch.len()) as u64;
        self.device.chained.fetch_add(dropped, Ordering::Relaxed);
    }
}

impl Port for DpdkPort {
    type Buf = Mbuf;
    type Pool = Mempool;

    // Not inlined, here and in `tx`: once a burst it costs nothing, and the calls through the
    // driver's pointers stay in functions of a known name for the check of the poll loop.
    #[inline(never)]
    fn rx(&mut self, batch: &mut Batch<Mbuf>) {
        let queue = self.rx_turn();
        let functions = self.functions();
        let held = batch.len();
        let room = batch.remaining_capacity() as u16;
        let Some(burst) = functions.rx_pkt_burst.filter(|_| room > 0) else {
            return;
        };
        let queue = Self::queue_of(functions.rxq, queue);
        let spare = batch
            .as_mut_ptr()
            .wrapping_add(held)
            .cast::<*mut dpdk_sys::rte_mbuf>();
        // SAFETY: `queue` is the driver's, used by this port only; `spare` has room for `room`
        // pointers, and an Mbuf is one.
        let received = unsafe { burst(queue, spare, room) };
        // SAFETY: the driver has written `received` <= `room` buffers, and gave them away.
        unsafe { batch.set_len(held + usize::from(received)) };
        if batch.iter().skip(held).any(Mbuf::is_chained) {
            self.drop_chained(batch);
        }
    }

    #[inline(never)]
    fn tx(&mut self, batch: &mut Batch<Mbuf>) -> u32 {
        if batch.is_empty() {
            return 0;
        }
        let functions = self.functions();
        let Some(burst) = functions.tx_pkt_burst else {
            return drop_from(batch, 0);
        };
        let queue = Self::queue_of(functions.txq, self.queue);
        let frames = batch.as_mut_ptr().cast::<*mut dpdk_sys::rte_mbuf>();
        let mut sent = 0;
        for _ in 0..TX_TRIES {
            let first = frames.wrapping_add(sent);
            let left = (batch.len() - sent) as u16;
            // SAFETY: `queue` is the driver's, used by this port only; from `first` on there are
            // `left` buffers that have not been given away.
            sent += usize::from(unsafe { burst(queue, first, left) });
            if sent >= batch.len() {
                break;
            }
            std::hint::spin_loop();
        }
        if sent < batch.len() {
            return drop_from(batch, sent);
        }
        // SAFETY: the driver owns all of the batch's buffers; none is dropped.
        unsafe { batch.set_len(0) };
        0
    }

    #[inline]
    fn alloc(&mut self) -> Option<Mbuf> {
        self.pool.alloc()
    }

    fn pool(&self) -> Mempool {
        self.pool
    }

    fn caps(&self) -> &Caps {
        &self.caps
    }
}

/// Empties a batch whose first `sent` buffers are the driver's; returns how many were dropped.
#[cold]
fn drop_from(batch: &mut Batch<Mbuf>, sent: usize) -> u32 {
    let refused = batch.len() - sent;
    batch.drain(..).take(sent).for_each(mem::forget);
    refused as u32
}
