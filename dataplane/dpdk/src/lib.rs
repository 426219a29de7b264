//! A safe wrapper over DPDK, and the dataplane's [`Port`](pvs_dataplane::port::Port) on it.
//!
//! An [`Eal`] is started once, a [`Mempool`] made, and a [`Device`] opened by name, which
//! yields one [`DpdkPort`] for each queue pair. A worker registers its thread
//! ([`WorkerThread`]) and polls its port; frames are owned [`Mbuf`]s.
//!
//! What makes it safe: memory that frames live in is never given back before the process ends,
//! so an `Mbuf` may outlive everything; a device stops only when its last port is gone; control
//! calls on one device cannot overlap, since [`Device`] is not `Sync`.
//!
//! The crate knows nothing of packets' contents. It offers no chained buffers, no secondary
//! processes and no rte_flow.

#![deny(unsafe_code)]

mod affinity;
mod config;
mod debts;
mod devargs;
mod device;
mod eal;
mod ethdev;
pub mod hugepages;
mod log;
mod mbuf;
mod mempool;
mod port;
mod process;
mod rss;
mod rundir;
mod stats;
mod thread;

pub use config::{DeviceConfig, DeviceError, DeviceInfo};
pub use device::Device;
pub use eal::{Eal, EalConfig, EalError, HugepageUse};
pub use mbuf::Mbuf;
pub use mempool::{Mempool, MempoolError};
pub use port::DpdkPort;
pub use rss::{RssConfig, RssFields, RssState};
pub use stats::{Link, Stats, Xstat};
pub use thread::{ThreadError, WorkerThread};
