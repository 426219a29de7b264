//! What main looks at once a second: the devices' figures, and what the workers did meanwhile.

use crate::board::{Board, Sample};
use crate::config::{PortConfig, Role};
use crate::ports::OpenPort;
use pvs_control::status::PortView;
use pvs_dataplane::engine::Handle;
use pvs_dataplane::stats::{Totals, WorkerStats};
use pvs_dpdk::Mbuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often it looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Main's sampler.
pub struct Sampler<'a> {
    ports: Vec<(&'a OpenPort, Role)>,
    workers: Vec<Arc<WorkerStats>>,
    before: Option<(Instant, Vec<Totals>)>,
    board: Arc<Board>,
}

impl<'a> Sampler<'a> {
    /// Over these ports, in the order of their configuration, and these workers.
    pub fn new(
        ports: &'a [OpenPort],
        config: &[PortConfig],
        workers: &[Handle<Mbuf>],
        board: Arc<Board>,
    ) -> Self {
        let roles = config.iter().map(|port| port.role);
        Self {
            ports: ports.iter().zip(roles).collect(),
            workers: workers
                .iter()
                .map(|worker| Arc::clone(&worker.stats))
                .collect(),
            before: None,
            board,
        }
    }

    /// Looks if it is time.
    pub fn look(&mut self) {
        let now = Instant::now();
        let interval = self.before.as_ref().map(|(at, _)| now.duration_since(*at));
        if interval.is_some_and(|interval| interval < PERIOD) {
            return;
        }
        let totals: Vec<_> = self.workers.iter().map(|worker| worker.totals()).collect();
        let before = self.before.iter().flat_map(|(_, before)| before);
        let sample = Sample {
            at: Some(now),
            interval: interval.unwrap_or_default(),
            ports: (0..)
                .zip(&self.ports)
                .map(|(at, (open, role))| port(at, open, *role))
                .collect(),
            workers: totals
                .iter()
                .zip(before)
                .map(|(now, before)| since(now, before))
                .collect(),
        };
        self.before = Some((now, totals));
        self.board.sample.put(sample);
    }
}

/// What was counted between two looks.
fn since(now: &Totals, before: &Totals) -> Totals {
    Totals {
        received: now.received.wrapping_sub(before.received),
        sent: now.sent.wrapping_sub(before.sent),
        polls: now.polls.wrapping_sub(before.polls),
        busy_polls: now.busy_polls.wrapping_sub(before.busy_polls),
        ..*now
    }
}

/// A port; what its driver can't say is left out.
fn port(at: u16, open: &OpenPort, role: Role) -> PortView {
    let device = &open.device;
    let link = device.link().ok();
    let stats = device.stats().unwrap_or_default();
    let caps = device.caps();
    PortView {
        port: at,
        device: device.name().to_owned(),
        driver: device.info().driver.clone(),
        mirror: open.tap().name().to_owned(),
        role: match role {
            Role::Client => "client",
            Role::Server => "server",
            Role::Both => "both",
        }
        .to_owned(),
        mac: device.mac().unwrap_or(caps.mac).to_string(),
        mtu: device.mtu().map_or(caps.mtu, u32::from),
        queues: caps.queues,
        link_up: link.map(|link| link.up),
        speed_mbps: link.and_then(|link| link.speed_mbps),
        rx_packets: stats.rx_frames,
        rx_bytes: stats.rx_bytes,
        rx_missed: stats.rx_missed,
        rx_errors: stats.rx_errors,
        rx_no_buffer: stats.rx_no_buffer,
        rx_chained: stats.rx_chained,
        tx_packets: stats.tx_frames,
        tx_bytes: stats.tx_bytes,
        tx_errors: stats.tx_errors,
    }
}
