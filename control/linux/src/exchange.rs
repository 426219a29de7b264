//! Frames between the workers' rings and the taps: one thread's loop.
//!
//! Punted frames are written to the tap of the port that they came in by, class by class and a
//! bounded number of each per turn, so that a flood in one class delays the others by one turn at
//! most; and a bounded number per second, so that no flood takes the whole core and Linux with it
//! (`budget.rs`). Frames that Linux sends go to the injection ring of the worker that they are for;
//! if that is full, or the pool is empty, they are dropped and counted. Nothing here waits for a
//! worker, and no worker waits for it.

use crate::budget::Budget;
use crate::{Error, MirrorTap};
use pvs_dataplane::fib::PortIndex;
use pvs_dataplane::port::{Buf, Pool};
use pvs_dataplane::punt::{Injected, Injector, PuntClass, PuntRings};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// Frames of a class that one turn takes at most, in the order of [`PuntClass::ALL`].
const PER_TURN: [usize; PuntClass::ALL.len()] = [128, 128, 64, 64, 64, 16];

/// Frames that one turn takes from a tap at most.
const TAP_PER_TURN: usize = 64;

/// The pause after a turn that moved something, and the longest one.
const PAUSE_BUSY: Duration = Duration::from_micros(50);
const PAUSE_IDLE: Duration = Duration::from_millis(1);

/// No frame of a tap is larger: 65,535 bytes of MTU, the Ethernet header and a tag.
const FRAME_MAX: usize = 65_553;

/// What the exchange has done, readable from any thread.
#[derive(Debug, Default)]
pub struct ExchangeCounters {
    /// Frames that Linux took.
    pub to_linux: AtomicU64,
    /// Frames that Linux did not take, as while the tap is down.
    pub refused_by_linux: AtomicU64,
    /// Frames of a port that has no tap at the moment.
    pub no_tap: AtomicU64,
    /// Frames that went to a worker.
    pub from_linux: AtomicU64,
    /// Frames of Linux that found the worker's injection ring full.
    pub inject_full: AtomicU64,
    /// Frames of Linux that found the pool empty.
    pub pool_empty: AtomicU64,
    /// Frames of Linux that do not fit into a buffer.
    pub too_long: AtomicU64,
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// A port as the exchange serves it.
pub struct ExchangePort<P: Pool> {
    /// The port.
    pub port: PortIndex,
    /// Its tap.
    pub tap: Arc<MirrorTap>,
    /// The way to the workers.
    pub inject: Injector<P::Buf>,
    /// Where its buffers come from.
    pub pool: P,
}

struct Lane<P: Pool> {
    port: PortIndex,
    /// `None` after it was deleted.
    tap: Option<Arc<MirrorTap>>,
    inject: Injector<P::Buf>,
    pool: P,
}

/// The loop's state.
pub struct Exchange<P: Pool> {
    lanes: Vec<Lane<P>>,
    punts: Arc<PuntRings<P::Buf>>,
    counters: Arc<ExchangeCounters>,
    frame: Box<[u8]>,
    budget: Budget,
    new_taps: Option<Receiver<NewTap>>,
}

/// A tap in place of one that was deleted.
pub type NewTap = (PortIndex, Arc<MirrorTap>);

impl<P: Pool> Exchange<P> {
    /// Between these rings and these taps.
    #[must_use]
    pub fn new(ports: Vec<ExchangePort<P>>, punts: Arc<PuntRings<P::Buf>>) -> Self {
        let lane = |p: ExchangePort<P>| Lane {
            port: p.port,
            tap: Some(p.tap),
            inject: p.inject,
            pool: p.pool,
        };
        Self {
            lanes: ports.into_iter().map(lane).collect(),
            punts,
            counters: Arc::default(),
            frame: vec![0; FRAME_MAX].into_boxed_slice(),
            budget: Budget::new(Instant::now()),
            new_taps: None,
        }
    }

    /// By this, other threads hand over taps in place of those that were deleted.
    pub fn new_taps(&mut self) -> Sender<NewTap> {
        let (sender, receiver) = channel();
        self.new_taps = Some(receiver);
        sender
    }

    /// What it has done.
    #[must_use]
    pub fn counters(&self) -> Arc<ExchangeCounters> {
        Arc::clone(&self.counters)
    }

    /// Another tap for a port whose tap was deleted.
    pub fn replace_tap(&mut self, port: PortIndex, tap: Arc<MirrorTap>) {
        if let Some(lane) = self.lanes.iter_mut().find(|lane| lane.port == port) {
            lane.tap = Some(tap);
        }
    }

    /// Turns until `stop` is set.
    ///
    /// # Errors
    /// [`Error::TapGone`], told once; the others are served on if `run` is called again.
    pub fn run(&mut self, stop: &AtomicBool) -> Result<(), Error> {
        let mut pause = PAUSE_BUSY;
        while !stop.load(Relaxed) {
            let moved = self.turn()?;
            pause = if moved > 0 {
                PAUSE_BUSY
            } else {
                (pause * 2).min(PAUSE_IDLE)
            };
            self.wait(pause);
        }
        Ok(())
    }

    /// One turn: a bounded number of frames each way. Returns how many were moved.
    ///
    /// # Errors
    /// [`Error::TapGone`], told once.
    pub fn turn(&mut self) -> Result<usize, Error> {
        let mut moved = 0;
        while let Some((port, tap)) = self.new_taps.as_ref().and_then(|new| new.try_recv().ok()) {
            self.replace_tap(port, tap);
        }
        self.budget.fill(Instant::now());
        for (class, limit) in PuntClass::ALL.into_iter().zip(PER_TURN) {
            for _ in 0..limit {
                if self.punts.is_empty_of(class) || !self.budget.take(class) {
                    break;
                }
                let Some(punted) = self.punts.pop(class) else {
                    break;
                };
                moved += 1;
                self.punt(punted.port, punted.buf.bytes())?;
            }
        }
        for lane in &mut self.lanes {
            let taken = lane.inject(&mut self.frame, &self.counters);
            moved += taken.inspect_err(|_| lane.tap = None)?;
        }
        Ok(moved)
    }

    fn punt(&mut self, port: PortIndex, frame: &[u8]) -> Result<(), Error> {
        let lane = self.lanes.iter_mut().find(|lane| lane.port == port);
        let Some((lane, tap)) = lane.and_then(|lane| lane.tap.clone().map(|tap| (lane, tap)))
        else {
            count(&self.counters.no_tap);
            return Ok(());
        };
        let taken = tap.write(frame).inspect_err(|_| {
            lane.tap = None;
            count(&self.counters.no_tap);
        })?;
        count(if taken {
            &self.counters.to_linux
        } else {
            &self.counters.refused_by_linux
        });
        Ok(())
    }

    /// Until a tap has a frame, or the pause is over. The rings cannot be waited for.
    fn wait(&self, pause: Duration) {
        let taps = self.lanes.iter().filter_map(|lane| lane.tap.as_deref());
        let mut fds: Vec<_> = taps.map(|tap| PollFd::new(tap, PollFlags::IN)).collect();
        let limit = Timespec::try_from(pause).ok();
        // A signal ends the pause, which does no harm; nothing else can fail here.
        let _ = poll(&mut fds, limit.as_ref());
    }
}

impl<P: Pool> Lane<P> {
    fn inject(&self, frame: &mut [u8], counters: &ExchangeCounters) -> Result<usize, Error> {
        let Some(tap) = &self.tap else { return Ok(0) };
        for taken in 0..TAP_PER_TURN {
            let Some(bytes) = tap.read(frame)? else {
                return Ok(taken);
            };
            let Some(mut buf) = self.pool.alloc() else {
                count(&counters.pool_empty);
                continue;
            };
            if !buf.fill(bytes) {
                count(&counters.too_long);
                continue;
            }
            let injected = Injected {
                buf,
                port: self.port,
            };
            count(if self.inject.push(injected) {
                &counters.from_linux
            } else {
                &counters.inject_full
            });
        }
        Ok(TAP_PER_TURN)
    }
}
