//! Notices workers that stand still, and says so once, and once when they are back.
//!
//! It asks no worker: a turn is counted by the worker itself, napping or not. It only speaks; edits
//! name a worker that lags by themselves, and a full ring is a counted loss.

use pvs_dataplane::stats::WorkerStats;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long a worker may take to begin another turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// Whoever has not looked for this long was asleep himself (a stopped process, a suspended
/// machine), and knows nothing of the workers.
const LOOK_TIME_MAX: Duration = Duration::from_millis(500);

/// What is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// A worker has begun no turn for so long.
    Stands {
        worker: usize,
        core: usize,
        time: Duration,
    },
    /// It turns again; it stood for so long.
    Turns {
        worker: usize,
        core: usize,
        time: Duration,
    },
}

impl Notice {
    /// Writes a line to the log.
    pub fn log(self) {
        match self {
            Self::Stands { worker, core, time } => tracing::warn!(
                "worker {worker} on core {core} has not begun a turn for {:.1} s: its connections stand still",
                time.as_secs_f64()
            ),
            Self::Turns { worker, core, time } => tracing::info!(
                "worker {worker} on core {core} polls again; it stood still for {:.1} s",
                time.as_secs_f64()
            ),
        }
    }
}

/// A worker that is watched.
struct Watched {
    core: usize,
    stats: Arc<WorkerStats>,
    polls: u64,
    /// When it was last known to begin a turn.
    seen: Instant,
    told: bool,
}

/// Watches all workers.
pub struct Watchdog {
    workers: Vec<Watched>,
    looked: Instant,
}

impl Watchdog {
    /// Over these workers with their cores.
    pub fn new(workers: impl Iterator<Item = (Arc<WorkerStats>, usize)>, now: Instant) -> Self {
        let watched = |(stats, core)| Watched {
            core,
            stats,
            polls: 0,
            seen: now,
            told: false,
        };
        Self {
            workers: workers.map(watched).collect(),
            looked: now,
        }
    }

    /// What there is to be told at this moment.
    pub fn look(&mut self, now: Instant) -> Vec<Notice> {
        let slept = now.saturating_duration_since(self.looked) > LOOK_TIME_MAX;
        self.looked = now;
        let watched = self.workers.iter_mut().enumerate();
        watched
            .filter_map(|(worker, watched)| watched.look(worker, now, slept))
            .collect()
    }
}

impl Watched {
    fn look(&mut self, worker: usize, now: Instant, slept: bool) -> Option<Notice> {
        let (core, polls) = (self.core, self.stats.totals().polls);
        let time = now.saturating_duration_since(self.seen);
        if polls != self.polls {
            self.polls = polls;
            self.seen = now;
            let told = std::mem::take(&mut self.told);
            return told.then_some(Notice::Turns { worker, core, time });
        }
        // One that was told stands still; who has not begun is the start's business.
        if !self.told && (slept || polls == 0) {
            self.seen = now;
            return None;
        }
        let stands = !self.told && time >= PATIENCE;
        self.told |= stands;
        stands.then_some(Notice::Stands { worker, core, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvs_dataplane::engine::{Engine, EngineConfig};
    use pvs_dataplane::memory::MemoryPort;
    use pvs_dataplane::steering::Steering;

    const TICK: Duration = Duration::from_millis(50);

    /// Two workers without ports, and a watchdog over them.
    fn watched(now: Instant) -> (Engine<MemoryPort>, Watchdog) {
        let engine = Engine::new(&EngineConfig::default(), Steering::ring(2), vec![]).unwrap();
        let stats = engine.handles.iter().map(|h| Arc::clone(&h.stats));
        let watchdog = Watchdog::new(stats.zip([7, 5]), now);
        (engine, watchdog)
    }

    #[test]
    fn a_worker_that_stands_still_is_told_once_and_once_when_it_is_back() {
        let mut now = Instant::now();
        let (mut engine, mut watchdog) = watched(now);
        let mut told = Vec::new();
        // The second one turns for a second, stands still for five, and turns again.
        for tick in 0..140 {
            now += TICK;
            engine.workers[0].poll(1);
            if !(20..120).contains(&tick) {
                engine.workers[1].poll(1);
            }
            told.extend(watchdog.look(now).into_iter().map(|notice| (tick, notice)));
        }
        let (worker, core) = (1, 5);
        let [stood, stands] = [101, 20].map(|ticks| ticks * TICK);
        assert_eq!(
            told,
            [
                (
                    39,
                    Notice::Stands {
                        worker,
                        core,
                        time: stands
                    }
                ),
                (
                    120,
                    Notice::Turns {
                        worker,
                        core,
                        time: stood
                    }
                ),
            ]
        );
    }

    #[test]
    fn nobody_is_told_of_before_he_has_begun_nor_by_one_who_slept_himself() {
        let mut now = Instant::now();
        let (mut engine, mut watchdog) = watched(now);
        for _ in 0..100 {
            now += TICK;
            assert_eq!(watchdog.look(now), []);
        }
        engine.workers.iter_mut().for_each(|worker| {
            worker.poll(1);
        });
        assert_eq!(watchdog.look(now + TICK), []);
        // The process was stopped for a minute, and its workers begin a little later than main.
        now += Duration::from_secs(60);
        assert_eq!(watchdog.look(now), []);
        assert_eq!(watchdog.look(now + TICK), []);
    }
}
