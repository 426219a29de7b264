//! What the stages of a poll see and do not change.

use super::defence::Defence;
use super::waiting::ResolveRequest;
use crate::engine::Servers;
use crate::fib::{Fib, PortIndex};
use crate::stats::WorkerStats;
use crate::steering::{Steering, WorkerIndex};
use crossbeam::queue::ArrayQueue;
use pvs_proto::Ticks;
use pvs_proto::checksum::Sum;
use pvs_proto::state::Variant;
use pvs_sched::{Cells, Snapshot};

/// What a poll sees and does not change.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) arrived: Arrived,
    /// The port that the burst in hand came in by.
    pub(super) port: PortIndex,
    pub(super) config: &'a Snapshot,
    pub(super) fib: &'a Fib,
    pub(super) now: Ticks,
    pub(super) cells: &'a Cells,
    pub(super) servers: &'a Servers,
    pub(super) defence: &'a Defence,
    pub(super) variant: Variant,
    /// A mark rule drops: each packet is asked for.
    pub(super) marks_drop: bool,
    pub(super) stats: &'a WorkerStats,
    pub(super) resolve: &'a ArrayQueue<ResolveRequest>,
    pub(super) index: WorkerIndex,
    pub(super) steering: &'a Steering,
    pub(super) rehearse_failure: bool,
    pub(super) gathered: Gathered,
}

/// What is known of a packet that is decided in the name of all pieces of a datagram;
/// nothing of one that is whole.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Gathered {
    /// The length of the largest piece, its IP header included; 0 if there are none.
    pub(super) largest: u32,
    /// The sum of the data of all pieces but the first.
    pub(super) rest: Sum,
}

/// How a burst came to this worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrived {
    /// By its queue: some packets may be another worker's.
    FromPort,
    /// By its ring: all of them are its own.
    FromWorker,
}
