//! What pvsd tells of itself, gathered when it is asked for: no worker is asked, and none notices.

use crate::losses;
use pvs_control::status::LossView;
use pvs_dataplane::engine::Handle;
use pvs_dataplane::punt::PuntRings;
use pvs_dpdk::Mbuf;
use pvs_linux::ExchangeCounters;
use std::sync::Arc;

/// Reads what others count.
pub struct Inspector {
    /// The workers' counters.
    pub handles: Vec<Handle<Mbuf>>,
    /// The way to Linux.
    pub punt: Arc<PuntRings<Mbuf>>,
    /// What is carried between rings and taps.
    pub exchange: Arc<ExchangeCounters>,
}

impl Inspector {
    /// Every reason for which a packet can be lost.
    pub fn losses(&self) -> Vec<LossView> {
        let mut all = losses::of_workers(self.handles.iter().map(|handle| &*handle.stats));
        all.extend(losses::of_punts(&self.punt));
        all.extend(losses::of_exchange(&self.exchange));
        all
    }
}
