//! What threads of pvsd tell of themselves, for whoever asks for its status: each writes on its own
//! slot at its own pace, and nobody waits for anybody.

use pvs_control::status::{LinuxView, PortView};
use pvs_dataplane::stats::Totals;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The newest report of one thread. Its lock is held for as long as it takes to copy a pointer.
#[derive(Debug, Default)]
pub struct Slot<T>(Mutex<Arc<T>>);

impl<T> Slot<T> {
    /// Replaces the report.
    pub fn put(&self, report: T) {
        let report = Arc::new(report);
        let old = std::mem::replace(
            &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner),
            report,
        );
        drop(old);
    }

    /// The report.
    pub fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Main's report: the devices, which only it may ask, and what the workers did since its last look.
#[derive(Debug, Default)]
pub struct Sample {
    /// When it looked; `None` before it has.
    pub at: Option<Instant>,
    /// The time between the last two looks; zero before the second one.
    pub interval: Duration,
    /// The ports.
    pub ports: Vec<PortView>,
    /// What each worker counted in the interval.
    pub workers: Vec<Totals>,
}

/// The mirror's report.
#[derive(Debug, Default)]
pub struct MirrorReport {
    /// When it was made; `None` before the first one.
    pub at: Option<Instant>,
    /// What Linux knows.
    pub linux: LinuxView,
    /// The version of the forwarding information that each worker uses.
    pub seen: Vec<Option<u64>>,
}

/// All slots.
#[derive(Debug, Default)]
pub struct Board {
    /// Main's.
    pub sample: Slot<Sample>,
    /// The mirror's.
    pub mirror: Slot<MirrorReport>,
}
