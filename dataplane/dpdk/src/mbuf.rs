//! A packet buffer, owned.
//!
//! The value is the pointer: an array of `Mbuf` is what DPDK's burst functions take. Dropping it
//! gives the buffer back to its pool. Bytes are reached by reading the mbuf's fields, without a
//! call into C. Chained buffers do not exist here: the port drops them.

#![allow(unsafe_code)]

use std::ptr::NonNull;
use std::slice;

use dpdk_sys::layout;
use pvs_dataplane::port::{Buf, HEADROOM, RxChecks};

/// One frame in one DPDK buffer.
#[repr(transparent)]
#[derive(Debug)]
pub struct Mbuf(NonNull<dpdk_sys::rte_mbuf>);

const _: () = assert!(size_of::<Option<Mbuf>>() == size_of::<*mut dpdk_sys::rte_mbuf>());

const HEADROOM_U16: u16 = HEADROOM as u16;
const IP_CHECKED: u64 = dpdk_sys::RTE_MBUF_F_RX_IP_CKSUM_MASK as u64;
const IP_GOOD: u64 = dpdk_sys::RTE_MBUF_F_RX_IP_CKSUM_GOOD as u64;

// SAFETY: an Mbuf is the only owner of its buffer, and a pool takes buffers back from any thread.
unsafe impl Send for Mbuf {}

impl Mbuf {
    /// Takes ownership of a buffer.
    ///
    /// # Safety
    /// `raw` came from a [`Mempool`](crate::Mempool), is owned by the caller alone, and is one
    /// segment whose fields describe bytes within its buffer.
    #[inline]
    pub(crate) unsafe fn from_raw(raw: NonNull<dpdk_sys::rte_mbuf>) -> Self {
        Self(raw)
    }

    /// True if the frame goes on in another buffer.
    #[inline]
    pub(crate) fn is_chained(&self) -> bool {
        self.head().nb_segs != 1
    }

    #[inline]
    fn head(&self) -> &layout::Mbuf {
        // SAFETY: the buffer is ours while `self` is; layout.rs proves that this is its head.
        unsafe { self.0.cast::<layout::Mbuf>().as_ref() }
    }

    #[inline]
    fn head_mut(&mut self) -> &mut layout::Mbuf {
        // SAFETY: as in `head`, and `self` is borrowed exclusively.
        unsafe { self.0.cast::<layout::Mbuf>().as_mut() }
    }

    /// Where the frame begins.
    #[inline]
    fn start(&self) -> *mut u8 {
        let head = self.head();
        head.buf_addr
            .cast::<u8>()
            .wrapping_add(usize::from(head.data_off))
    }
}

impl Buf for Mbuf {
    #[inline]
    fn bytes(&self) -> &[u8] {
        let len = usize::from(self.head().data_len);
        // SAFETY: the frame's `len` bytes lie in the buffer, which is ours while `self` is.
        unsafe { slice::from_raw_parts(self.start(), len) }
    }

    #[inline]
    fn bytes_mut(&mut self) -> &mut [u8] {
        let len = usize::from(self.head().data_len);
        // SAFETY: as in `bytes`, and `self` is borrowed exclusively.
        unsafe { slice::from_raw_parts_mut(self.start(), len) }
    }

    #[inline]
    fn prepend(&mut self, n: usize) -> Option<&mut [u8]> {
        let grow = u16::try_from(n).ok()?;
        let head = self.head_mut();
        let offset = head.data_off.checked_sub(grow)?;
        let len = head.data_len.checked_add(grow)?;
        head.data_off = offset;
        head.data_len = len;
        head.pkt_len = u32::from(len);
        // SAFETY: the `n` bytes before the old start lie in the buffer, since `data_off` was at
        // least `n`; `self` is borrowed exclusively.
        Some(unsafe { slice::from_raw_parts_mut(self.start(), n) })
    }

    #[inline]
    fn trim_front(&mut self, n: usize) -> bool {
        let head = self.head_mut();
        let Some((cut, len)) = u16::try_from(n)
            .ok()
            .and_then(|cut| Some((cut, head.data_len.checked_sub(cut)?)))
        else {
            return false;
        };
        head.data_off += cut;
        head.data_len = len;
        head.pkt_len = u32::from(len);
        true
    }

    fn append(&mut self, n: usize) -> Option<&mut [u8]> {
        let grow = u16::try_from(n).ok()?;
        let head = self.head_mut();
        let before = head.data_len;
        let len = before.checked_add(grow)?;
        let end = head.data_off.checked_add(len)?;
        if end > head.buf_len {
            return None;
        }
        head.data_len = len;
        head.pkt_len = u32::from(len);
        self.bytes_mut().get_mut(usize::from(before)..)
    }

    #[inline]
    fn truncate(&mut self, len: usize) {
        let head = self.head_mut();
        if let Some(len) = u16::try_from(len).ok().filter(|&len| len < head.data_len) {
            head.data_len = len;
            head.pkt_len = u32::from(len);
        }
    }

    fn fill(&mut self, frame: &[u8]) -> bool {
        let head = self.head_mut();
        let room = head.buf_len.checked_sub(HEADROOM_U16);
        let len = u16::try_from(frame.len())
            .ok()
            .filter(|&len| Some(len) <= room);
        let Some(len) = len else { return false };
        head.data_off = HEADROOM_U16;
        head.data_len = len;
        head.pkt_len = u32::from(len);
        head.ol_flags &= !IP_CHECKED;
        self.bytes_mut().copy_from_slice(frame);
        true
    }

    #[inline]
    fn rx_checks(&self) -> RxChecks {
        RxChecks {
            ip_good: self.head().ol_flags & IP_CHECKED == IP_GOOD,
        }
    }
}

impl Drop for Mbuf {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: the buffer is ours alone and is not used after this.
        unsafe { dpdk_sys::shim_pktmbuf_free(self.0.as_ptr()) }
    }
}
