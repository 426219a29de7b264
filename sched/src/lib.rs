//! Services, real servers, the configuration snapshot and the schedulers: the pure middle of pvs.
//!
//! Control builds an immutable [`Snapshot`] out of [`config`] and publishes it; a worker looks a
//! service up in it and lets its scheduler pick a server. What must outlive an edit is not in the
//! snapshot: statistics and connection counts are in long-lived [`cells`], named by index, and a
//! scheduler's position is in a state that the old and the new snapshot share.
#![forbid(unsafe_code)]

mod callers;
pub mod cells;
pub mod config;
pub mod limits;
pub mod marks;
pub mod persistence;
pub mod real;
pub mod scheduler;
pub mod service;
pub mod slots;
pub mod snapshot;
mod sync;
pub mod templates;
pub mod tunables;

pub use cells::{AllCells, AsWorker, Cells, Counters, Load, Loads};
pub use config::{
    AddressFamily, Method, Persistence, SchedulerName, ServerConfig, ServerKey, ServiceConfig,
    ServiceFlags, ServiceKey, Transport, Tunnel, TunnelKind,
};
pub use real::Real;
pub use scheduler::Flow;
pub use service::{Server, ServerIndex, Service, ServiceIndex};
pub use slots::MhSlots;
pub use snapshot::{Snapshot, SnapshotFamily};
pub use tunables::Tunables;
