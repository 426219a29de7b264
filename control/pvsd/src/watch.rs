//! What main looks after while the others work: the links of the ports, and what the workers lose.

use crate::ports::OpenPort;
use pvs_dataplane::engine::Handle;
use pvs_dataplane::reason::Loss;
use pvs_dataplane::stats::WorkerStats;
use pvs_dpdk::Mbuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the links are looked at.
const LINK_PERIOD: Duration = Duration::from_secs(1);

/// How often losses are told, at most.
const LOSS_PERIOD: Duration = Duration::from_secs(10);

/// Main's view.
pub struct Watchman<'a> {
    links: Vec<(&'a OpenPort, Option<bool>)>,
    links_due: Instant,
    stats: Vec<Arc<WorkerStats>>,
    told: Vec<(Loss, u64)>,
    losses_due: Instant,
}

impl<'a> Watchman<'a> {
    /// Over these ports and workers.
    pub fn new(ports: &'a [OpenPort], workers: &[Handle<Mbuf>]) -> Self {
        let now = Instant::now();
        Self {
            links: ports.iter().map(|port| (port, None)).collect(),
            links_due: now,
            stats: workers
                .iter()
                .map(|worker| Arc::clone(&worker.stats))
                .collect(),
            told: Loss::all().map(|loss| (loss, 0)).collect(),
            losses_due: now + LOSS_PERIOD,
        }
    }

    /// Does what is due.
    pub fn look(&mut self) {
        let now = Instant::now();
        if now >= self.links_due {
            self.links_due = now + LINK_PERIOD;
            for (port, was_up) in &mut self.links {
                follow_link(port, was_up);
            }
        }
        if now >= self.losses_due {
            self.losses_due = now + LOSS_PERIOD;
            self.tell_losses();
        }
    }

    /// What was lost since it was last told, in a line.
    fn tell_losses(&mut self) {
        let mut news = Vec::new();
        for (loss, told) in &mut self.told {
            let lost: u64 = self.stats.iter().map(|stats| stats.lost(*loss)).sum();
            if lost != *told {
                news.push(format!("{} {}", loss.label(), lost - *told));
                *told = lost;
            }
        }
        if !news.is_empty() {
            tracing::info!("packets lost, by reason: {}", news.join(", "));
        }
    }
}

/// Lets the tap's carrier follow the port's link, so that Linux knows.
fn follow_link(port: &OpenPort, was_up: &mut Option<bool>) {
    // Some drivers can't say: their taps stay up.
    let Ok(link) = port.device.link() else {
        return;
    };
    if *was_up == Some(link.up) {
        return;
    }
    // Told once, also if it can't be done: the tap is gone then, which others tell.
    *was_up = Some(link.up);
    match port.tap.set_carrier(link.up) {
        Ok(()) => {
            let state = if link.up { "up" } else { "down" };
            tracing::info!(
                "{}: the link of {} is {state}",
                port.tap.name(),
                port.device.name()
            );
        }
        Err(error) => tracing::warn!("{}: {error}", port.tap.name()),
    }
}
