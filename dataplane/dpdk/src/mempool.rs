//! Pools of packet buffers.
//!
//! All buffers of a pool are made at once and never given back before the process ends, even when
//! the last handle is gone: a frame may be in a ring, a device or another thread at any time, and
//! pvs makes its pools at start.

#![allow(unsafe_code)]

use std::ffi::CString;
use std::ptr::NonNull;
use thiserror::Error;

use dpdk_sys::layout;
use pvs_dataplane::port::{HEADROOM, Pool};

use crate::mbuf::Mbuf;
use crate::{Eal, eal};

const _: () = assert!(dpdk_sys::RTE_PKTMBUF_HEADROOM as usize == HEADROOM);

/// Buffers that a thread may keep to itself (RTE_MEMPOOL_CACHE_MAX_SIZE).
const CACHE_MAX: u32 = dpdk_sys::RTE_MEMPOOL_CACHE_MAX_SIZE;
/// Bytes of a pool's name (RTE_MEMPOOL_NAMESIZE, less the final NUL).
const NAME_MAX: usize = 25;
/// SOCKET_ID_ANY.
const ANY_SOCKET: i32 = -1;

/// A handle on a pool of buffers, for any thread.
#[derive(Clone, Copy, Debug)]
pub struct Mempool {
    raw: NonNull<dpdk_sys::rte_mempool>,
    frame_max: u16,
}

// SAFETY: a pool made by rte_pktmbuf_pool_create with the default operations takes and gives from
// any number of threads at once; its caches are each used by the one thread that has the lcore id.
unsafe impl Send for Mempool {}
// SAFETY: as for Send.
unsafe impl Sync for Mempool {}

/// Why there is no pool.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MempoolError {
    /// What was asked for cannot be.
    #[error("pool {name}: {reason}")]
    Refused {
        /// The pool.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Memory does not suffice.
    #[error("pool {name}: {count} buffers need about {mib} MiB, and DPDK has not so much left")]
    Memory {
        /// The pool.
        name: String,
        /// The buffers asked for.
        count: u32,
        /// What they take.
        mib: u64,
    },
}

impl Mempool {
    /// Makes a pool of `count` buffers for frames of at most `frame_max` bytes, on a NUMA node or
    /// on any. Each registered thread keeps up to one and a half times `cache` free buffers to
    /// itself, so `count` has to exceed what threads and devices hold at a time.
    ///
    /// # Errors
    /// The name is taken or too long, a number is out of range, or memory does not suffice.
    pub fn new(
        _eal: &Eal,
        name: &str,
        count: u32,
        cache: u32,
        frame_max: u16,
        socket: Option<u16>,
    ) -> Result<Self, MempoolError> {
        let refused = |reason: &str| MempoolError::Refused {
            name: name.to_owned(),
            reason: reason.to_owned(),
        };
        if name.is_empty() || name.len() > NAME_MAX {
            return Err(refused("its name must have 1 to 25 bytes"));
        }
        if cache > CACHE_MAX || u64::from(cache) * 3 / 2 > u64::from(count) {
            return Err(refused(
                "a cache holds at most 512 buffers, and at most two thirds of the pool",
            ));
        }
        let c_name = CString::new(name).map_err(|_| refused("its name contains a NUL byte"))?;
        let headroom = u16::try_from(HEADROOM).unwrap_or(u16::MAX);
        let room = frame_max
            .checked_add(headroom)
            .ok_or_else(|| refused("frame and headroom exceed 65535 bytes"))?;
        let socket = socket.map_or(ANY_SOCKET, i32::from);
        // SAFETY: the EAL runs, as `_eal` shows; `c_name` lives over the call, DPDK copies it.
        let raw = unsafe {
            dpdk_sys::rte_pktmbuf_pool_create(c_name.as_ptr(), count, cache, 0, room, socket)
        };
        match NonNull::new(raw) {
            Some(raw) => Ok(Self { raw, frame_max }),
            None if [libc::ENOMEM, libc::ENOBUFS].contains(&eal::errno()) => {
                Err(MempoolError::Memory {
                    name: name.to_owned(),
                    count,
                    mib: (u64::from(count) * buffer_bytes(room)).div_ceil(1 << 20),
                })
            }
            None => Err(refused(
                &std::io::Error::from_raw_os_error(eal::errno()).to_string(),
            )),
        }
    }

    /// Largest frame that a fresh buffer takes.
    #[must_use]
    pub fn frame_max(&self) -> u16 {
        self.frame_max
    }

    /// Free buffers, those in threads' caches included. Walks all caches: not for every poll.
    #[must_use]
    pub fn available(&self) -> u32 {
        // SAFETY: the pool lives as long as the process.
        unsafe { dpdk_sys::rte_mempool_avail_count(self.raw.as_ptr()) }
    }

    pub(crate) fn as_ptr(&self) -> *mut dpdk_sys::rte_mempool {
        self.raw.as_ptr()
    }
}

impl Pool for Mempool {
    type Buf = Mbuf;

    #[inline]
    fn alloc(&self) -> Option<Mbuf> {
        // SAFETY: the pool lives as long as the process, and holds packet buffers.
        let raw = unsafe { dpdk_sys::shim_pktmbuf_alloc(self.raw.as_ptr()) };
        let raw = NonNull::new(raw)?;
        // SAFETY: a buffer fresh from its pool is one segment and nobody else's.
        Some(unsafe { Mbuf::from_raw(raw) })
    }
}

/// What a buffer takes: object header, mbuf, room, rounded to cache lines.
fn buffer_bytes(room: u16) -> u64 {
    let mbuf = size_of::<dpdk_sys::rte_mbuf>() as u64;
    let line = align_of::<layout::Mbuf>() as u64;
    (line + mbuf + u64::from(room)).next_multiple_of(line)
}
