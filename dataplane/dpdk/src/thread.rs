//! Registering a worker's thread with DPDK.
//!
//! A mempool keeps a cache of buffers for each lcore. A thread that DPDK does not know has no lcore
//! and so no cache: every allocation goes to the pool's shared ring. Threads are ours, started and
//! pinned by pvsd; this only gives one an lcore id for as long as the guard lives.

#![allow(unsafe_code)]

use std::marker::PhantomData;
use thiserror::Error;

/// LCORE_ID_ANY of rte_lcore.h: a thread that DPDK does not know.
const UNKNOWN: u32 = u32::MAX;

/// The calling thread, known to DPDK. Not `Send`: it ends on the thread that it is about.
#[derive(Debug)]
pub struct WorkerThread {
    lcore: u32,
    on_this_thread: PhantomData<*const ()>,
}

/// Why a thread was not registered.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ThreadError {
    /// It has an lcore id: it is registered, or it is the thread that started the EAL.
    #[error("this thread is already known to DPDK (lcore {lcore})")]
    AlreadyKnown {
        /// Its lcore id.
        lcore: u32,
    },
    /// DPDK refused: not started, or all its lcore ids are taken.
    #[error("DPDK does not take this thread: {reason}")]
    Refused {
        /// DPDK's reason.
        reason: String,
    },
}

impl WorkerThread {
    /// Registers the calling thread. Pin it first: DPDK takes its NUMA node from its affinity.
    ///
    /// # Errors
    /// The thread has an lcore id, the EAL has not been started, or no lcore id is free.
    pub fn register() -> Result<Self, ThreadError> {
        let lcore = current();
        if lcore != UNKNOWN {
            return Err(ThreadError::AlreadyKnown { lcore });
        }
        // SAFETY: no precondition; it refuses before the EAL has been started, and the thread is
        // not registered twice, which was just checked.
        let rc = unsafe { dpdk_sys::rte_thread_register() };
        if rc != 0 {
            let reason = std::io::Error::from_raw_os_error(crate::eal::errno()).to_string();
            return Err(ThreadError::Refused { reason });
        }
        Ok(Self {
            lcore: current(),
            on_this_thread: PhantomData,
        })
    }

    /// The lcore id that the thread has been given.
    #[must_use]
    pub fn lcore(&self) -> u32 {
        self.lcore
    }
}

impl Drop for WorkerThread {
    fn drop(&mut self) {
        // SAFETY: this thread was registered by `register`, and the guard cannot leave it.
        unsafe { dpdk_sys::rte_thread_unregister() }
    }
}

fn current() -> u32 {
    // SAFETY: reads a thread-local variable of librte_eal.
    unsafe { dpdk_sys::shim_lcore_id() }
}
