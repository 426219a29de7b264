//! What pvsd tells of itself, gathered when it is asked for: no worker is asked, and none notices.

use crate::board::{Board, MirrorReport, Sample};
use crate::config::IdleConfig;
use crate::losses;
use pvs_control::status::{
    EndsView, ExchangeView, IcmpErrorsView, LinuxView, LossView, PuntView, ServicesView,
    StatusView, TableView, VersionView, WorkerState, WorkerView,
};
use pvs_dataplane::engine::Handle;
use pvs_dataplane::punt::{PUNT_RING_MAX, PuntClass, PuntRings};
use pvs_dataplane::stats::Totals;
use pvs_dataplane::steering::Mode;
use pvs_dpdk::Mbuf;
use pvs_epoch::Publisher;
use pvs_linux::ExchangeCounters;
use pvs_sched::Snapshot;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What stays as it is while pvsd runs.
#[derive(Clone, Debug)]
pub struct Facts {
    /// When it started.
    pub started: Instant,
    /// DPDK's version.
    pub dpdk: String,
    /// How packets find their worker.
    pub steering: Mode,
    /// The workers' cores.
    pub cores: Vec<usize>,
    /// What workers do when nothing comes.
    pub idle: IdleConfig,
    /// Connections that fit, of IPv4 and of IPv6.
    pub capacity: [u64; 2],
    /// The tables are on huge pages.
    pub table_huge_pages: bool,
    /// The buffers are.
    pub buffer_huge_pages: bool,
}

/// Reads what others count.
pub struct Inspector {
    /// What does not change.
    pub facts: Facts,
    /// The workers' counters.
    pub handles: Vec<Handle<Mbuf>>,
    /// The way to Linux.
    pub punt: Arc<PuntRings<Mbuf>>,
    /// What is carried between rings and taps.
    pub exchange: Arc<ExchangeCounters>,
    /// What the other threads tell.
    pub board: Arc<Board>,
}

impl Inspector {
    /// Every reason for which a packet can be lost.
    pub fn losses(&self) -> Vec<LossView> {
        let mut all = losses::of_workers(self.handles.iter().map(|handle| &*handle.stats));
        all.extend(losses::of_punts(&self.punt));
        all.extend(losses::of_exchange(&self.exchange));
        all.extend(losses::of_devices(&self.board.sample.get().ports));
        all
    }

    /// The state of all but the services.
    pub fn status(&self, snapshots: &Publisher<Snapshot>) -> StatusView {
        let (sample, mirror) = (self.board.sample.get(), self.board.mirror.get());
        let totals: Vec<_> = self
            .handles
            .iter()
            .map(|handle| handle.stats.totals())
            .collect();
        let sum = |figure: fn(&Totals) -> u64| totals.iter().map(figure).sum();
        let facts = &self.facts;
        let age_ms = |at: Option<Instant>| millis(at.unwrap_or(facts.started).elapsed());
        let linux = LinuxView {
            age_ms: age_ms(mirror.at),
            ..mirror.linux.clone()
        };
        StatusView {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            dpdk: facts.dpdk.clone(),
            uptime_secs: facts.started.elapsed().as_secs(),
            interval_ms: millis(sample.interval),
            sample_age_ms: age_ms(sample.at),
            steering: facts.steering.label().to_owned(),
            ports: sample.ports.clone(),
            workers: self.workers(&totals, &sample, &mirror, snapshots),
            tables: tables(
                facts.capacity,
                sum(|t| t.connections),
                sum(|t| t.connections_v6),
            ),
            ends: EndsView {
                expired: sum(|t| t.expired),
                evicted: sum(|t| t.evicted),
            },
            table_huge_pages: facts.table_huge_pages,
            buffer_huge_pages: facts.buffer_huge_pages,
            config: VersionView {
                published: snapshots.version(),
                outstanding: snapshots.outstanding() as u64,
            },
            services: ServicesView::default(),
            linux,
            punts: PuntClass::ALL.map(|class| self.punts(class)).into(),
            exchange: exchange(&self.exchange),
            icmp_errors: Some(IcmpErrorsView {
                sent: sum(|t| t.icmp_sent),
                limited: sum(|t| t.icmp_limited),
            }),
            drops: self
                .losses()
                .into_iter()
                .filter(|loss| loss.packets > 0)
                .collect(),
        }
    }

    fn workers(
        &self,
        totals: &[Totals],
        sample: &Sample,
        mirror: &MirrorReport,
        snapshots: &Publisher<Snapshot>,
    ) -> Vec<WorkerView> {
        let seen: Vec<_> = snapshots.seen().collect();
        let millis = sample.interval.as_millis().max(1);
        let a_second =
            |count: u64| u64::try_from(u128::from(count) * 1000 / millis).unwrap_or(u64::MAX);
        let cores = self.facts.cores.iter();
        let view = |(at, (now, core)): (usize, (&Totals, &usize))| {
            let lately = sample.workers.get(at).copied();
            let state = match (lately, self.facts.idle) {
                (None, _) => WorkerState::Starting,
                (Some(lately), _) if lately.polls == 0 => WorkerState::Stuck,
                (Some(_), IdleConfig::Poll) => WorkerState::Polling,
                (Some(_), IdleConfig::Adaptive) => WorkerState::Napping,
            };
            let lately = lately.unwrap_or_default();
            WorkerView {
                worker: at as u64,
                core: *core as u64,
                state,
                polls: lately.polls,
                busy_polls: lately.busy_polls,
                rx_per_sec: a_second(lately.received),
                tx_per_sec: a_second(lately.sent),
                received: now.received,
                sent: now.sent,
                injected: now.injected,
                handed_over: now.handed_over,
                relayed: now.relayed,
                taken_over: now.taken_over,
                connections: now.connections,
                config_seen: seen.get(at).copied().flatten(),
                forwarding_seen: mirror.seen.get(at).copied().flatten(),
            }
        };
        totals.iter().zip(cores).enumerate().map(view).collect()
    }

    fn punts(&self, class: PuntClass) -> PuntView {
        let (passed, dropped) = self.punt.counts(class);
        PuntView {
            class: class.label().to_owned(),
            passed,
            dropped,
            waiting: self.punt.waiting(class) as u64,
            limit: PUNT_RING_MAX as u64,
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn tables([v4, v6]: [u64; 2], connections: u64, connections_v6: u64) -> Vec<TableView> {
    let view = |family: &str, used, capacity| TableView {
        family: family.to_owned(),
        used,
        capacity,
    };
    let connections_v4 = connections.saturating_sub(connections_v6);
    vec![
        view("ipv4", connections_v4, v4),
        view("ipv6", connections_v6, v6),
    ]
}

fn exchange(counters: &ExchangeCounters) -> ExchangeView {
    let read = |counter: &AtomicU64| counter.load(Relaxed);
    ExchangeView {
        to_linux: read(&counters.to_linux),
        refused_by_linux: read(&counters.refused_by_linux),
        no_tap: read(&counters.no_tap),
        from_linux: read(&counters.from_linux),
        inject_full: read(&counters.inject_full),
        pool_empty: read(&counters.pool_empty),
        too_long: read(&counters.too_long),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use pvs_control::status::attention;

    /// Of workers that made so many turns in the last interval.
    pub(crate) fn inspector(polls: &[u64]) -> Inspector {
        let handle = || Handle {
            cells: Arc::new(pvs_sched::Cells::new(1)),
            stats: Arc::default(),
            inject: Arc::new(crossbeam::queue::ArrayQueue::new(1)),
            mailbox: Arc::default(),
        };
        let facts = Facts {
            started: Instant::now(),
            dpdk: "DPDK".into(),
            steering: Mode::Ring,
            cores: (0..polls.len()).collect(),
            idle: IdleConfig::Poll,
            capacity: [1024; 2],
            table_huge_pages: false,
            buffer_huge_pages: false,
        };
        let inspector = Inspector {
            facts,
            handles: polls.iter().map(|_| handle()).collect(),
            punt: Arc::default(),
            exchange: Arc::default(),
            board: Arc::default(),
        };
        let lately = |polls: &u64| Totals {
            polls: *polls,
            received: 3,
            ..Totals::default()
        };
        inspector.board.sample.put(Sample {
            at: Some(Instant::now()),
            interval: Duration::from_millis(1500),
            ports: vec![],
            workers: polls.iter().map(lately).collect(),
        });
        inspector
    }

    #[test]
    fn a_worker_that_does_not_poll_and_lags_is_told() {
        let (mut snapshots, mut readers) = pvs_epoch::channel(Snapshot::default(), 2);
        for reader in &mut readers {
            reader.poll();
        }
        let version = snapshots.publish(Snapshot::default());
        readers[0].poll();
        let status = inspector(&[1000, 0]).status(&snapshots);
        let seen: Vec<_> = status
            .workers
            .iter()
            .map(|w| (w.state, w.config_seen))
            .collect();
        let polling = (WorkerState::Polling, Some(version));
        assert_eq!(seen, [polling, (WorkerState::Stuck, Some(version - 1))]);
        assert_eq!(
            (status.config.published, status.config.outstanding),
            (version, 1)
        );
        assert_eq!(status.workers[0].rx_per_sec, 2);
        let told = attention(&status);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(
            told[0].starts_with("worker 1 does not poll: it uses version 1 "),
            "{told:?}"
        );
    }

    #[test]
    fn before_anybody_has_looked_workers_are_starting() {
        let (snapshots, _) = pvs_epoch::channel(Snapshot::default(), 1);
        let inspector = inspector(&[5]);
        inspector.board.sample.put(Sample::default());
        let status = inspector.status(&snapshots);
        assert_eq!(status.workers[0].state, WorkerState::Starting);
        assert_eq!((status.interval_ms, attention(&status).len()), (0, 0));
    }
}
