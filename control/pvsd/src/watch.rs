//! What main looks after while the others work: the links of the ports, what Linux does to their
//! mirrors, and whether the workers turn, and what they lose.
//!
//! Control calls to devices are made here only, by one thread.

use crate::follow::Follower;
use crate::ports::OpenPort;
use crate::watchdog::Watchdog;
use crossbeam::channel::Receiver;
use pvs_dataplane::engine::Handle;
use pvs_dataplane::fib::PortIndex;
use pvs_dataplane::reason::Loss;
use pvs_dataplane::stats::WorkerStats;
use pvs_dpdk::Mbuf;
use pvs_linux::{InterfaceState, MirrorTap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the links are looked at.
const LINK_PERIOD: Duration = Duration::from_secs(1);

/// How often losses are told, at most.
const LOSS_PERIOD: Duration = Duration::from_secs(10);

/// What the mirror's thread has for main.
pub enum News {
    /// The interfaces are otherwise than before.
    Interfaces(Vec<InterfaceState>),
    /// A tap in place of one that was deleted.
    Tap(PortIndex, Arc<MirrorTap>),
}

/// A port that is looked after.
struct Link<'a> {
    port: &'a OpenPort,
    was_up: Option<bool>,
    follower: Follower,
}

/// Main's view.
pub struct Watchman<'a> {
    links: Vec<Link<'a>>,
    news: Receiver<News>,
    links_due: Instant,
    stats: Vec<Arc<WorkerStats>>,
    told: Vec<(Loss, u64)>,
    losses_due: Instant,
    watchdog: Watchdog,
}

impl<'a> Watchman<'a> {
    /// Over these ports and workers.
    pub fn new(
        ports: &'a [OpenPort],
        workers: &[Handle<Mbuf>],
        cores: &[usize],
        news: Receiver<News>,
    ) -> Self {
        let now = Instant::now();
        let stats = workers.iter().map(|worker| Arc::clone(&worker.stats));
        let link = |port: &'a OpenPort| Link {
            port,
            was_up: None,
            follower: Follower::new(port.device.name(), &port.device),
        };
        Self {
            links: ports.iter().map(link).collect(),
            news,
            links_due: now,
            stats: workers
                .iter()
                .map(|worker| Arc::clone(&worker.stats))
                .collect(),
            told: Loss::all().map(|loss| (loss, 0)).collect(),
            losses_due: now + LOSS_PERIOD,
            watchdog: Watchdog::new(stats.zip(cores.iter().copied()), now),
        }
    }

    /// Does what is due.
    pub fn look(&mut self) {
        let now = Instant::now();
        for notice in self.watchdog.look(now) {
            notice.log();
        }
        self.hear();
        if now >= self.links_due {
            self.links_due = now + LINK_PERIOD;
            for link in &mut self.links {
                follow_link(link.port, &mut link.was_up);
            }
        }
        if now >= self.losses_due {
            self.losses_due = now + LOSS_PERIOD;
            self.tell_losses();
        }
    }

    /// What the mirror's thread has found.
    fn hear(&mut self) {
        let mut latest = None;
        for news in self.news.try_iter() {
            match news {
                News::Interfaces(interfaces) => latest = Some(interfaces),
                News::Tap(port, tap) => {
                    if let Some(link) = self.links.get_mut(usize::from(port.0)) {
                        link.port.set_tap(tap);
                        // It has a carrier until it is told otherwise.
                        link.was_up = None;
                        self.links_due = Instant::now();
                    }
                }
            }
        }
        let Some(interfaces) = latest else { return };
        for (link, port) in self.links.iter_mut().zip(0u16..) {
            let on: Vec<_> = interfaces.iter().filter(|i| i.port.0 == port).collect();
            let tap = link.port.tap();
            link.follower.follow(&link.port.device, &*tap, &on);
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
    let tap = port.tap();
    match tap.set_carrier(link.up) {
        Ok(()) => {
            let state = if link.up { "up" } else { "down" };
            tracing::info!(
                "{}: the link of {} is {state}",
                tap.name(),
                port.device.name()
            );
        }
        Err(error) => tracing::warn!("{}: {error}", tap.name()),
    }
}
