//! Every bound of this crate, and what it costs.

use std::time::Duration;

/// Bytes of a frame at most, in either direction. A request of this size restores some 200,000
/// servers; the memory is taken only as bytes arrive.
pub const FRAME_BYTES_MAX: usize = 32 << 20;

/// Clients served at the same time; a thread each. Further ones wait in the socket's backlog.
pub const CLIENTS_MAX: usize = 64;

/// How long a client may take for a whole frame, or be silent between two.
pub const FRAME_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a client may refuse to read.
pub const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// How long a reply waits for the workers to see an edit.
pub const SEEN_TIME_MAX: Duration = Duration::from_secs(1);

/// Published snapshots that a worker has not seen yet; further edits merge into the next.
pub const SNAPSHOTS_OUTSTANDING_MAX: usize = 8;

/// Entries (servers, connections or outcomes) in a frame of a reply.
pub const PAGE_ENTRIES: usize = 512;

/// The estimator's period, as the kernel's.
pub const ESTIMATE_PERIOD: Duration = Duration::from_secs(2);

/// Estimator periods for which a removed server without connections is remembered: 120 seconds, as
/// long as the kernel's trash.
pub const TRASH_PERIODS: u32 = 60;
