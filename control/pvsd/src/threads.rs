//! The threads: which there are, when pvsd is ready, how all of them end.
//!
//! The workers poll, one thread carries frames to and from Linux, one mirrors what Linux knows, one
//! owns the store; main keeps watch. Any of them that ends early ends all.

use crate::args::Args;
use crate::config::Config;
use crate::crew::{Crew, Parts};
use crate::linux::carry;
use crate::logging::Log;
use crate::signals::Watch;
use crate::worker;
use anyhow::{Context, Result, bail};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread::{Builder, Scope, ScopedJoinHandle, scope, sleep};
use std::time::{Duration, Instant};

/// How long the first listing of addresses and routes may take.
const READY_TIME_MAX: Duration = Duration::from_secs(10);

/// How long the workers may take to end.
const WORKERS_END_MAX: Duration = Duration::from_secs(5);

/// How long all threads may: the mirror lets go of each neighbour.
const THREADS_END_MAX: Duration = Duration::from_secs(30);

/// How often main looks, before pvsd is ready and after.
const LOOK_PERIODS: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// What the threads tell each other.
#[derive(Default)]
struct Signs {
    /// All are to end.
    stop: AtomicBool,
    /// The workers have been told what Linux knows.
    mirrored: AtomicBool,
    /// Workers that poll.
    polling: AtomicUsize,
}

/// Ends all threads when its own does, by a panic too.
struct EndsAll<'a>(&'a AtomicBool);

impl Drop for EndsAll<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Starts the threads, keeps watch until the end, and ends them. If one of them does not end, as a
/// worker whose device does not let go of it, `give_up` is called and the process exits.
///
/// # Errors
/// A thread can't be started, or has failed.
pub fn run(
    args: &Args,
    config: &Config,
    log: &Log,
    signals: &mut Watch,
    parts: Parts<'_>,
    give_up: impl FnOnce(),
) -> Result<()> {
    let Crew {
        server,
        store,
        workers,
        mut plane,
        mut exchange,
        mut mirror,
        mut watchman,
        mut sampler,
    } = Crew::assemble(config, parts)?;
    let signs = Signs::default();
    let count = workers.len();
    let idle = config.workers.idle.into();
    scope(|scope| {
        let stop = EndsAll(&signs.stop);
        let signs = &signs;
        let mut started = Vec::new();
        for (number, (mut worker, core)) in workers.into_iter().enumerate() {
            started.push(spawn(
                scope,
                &format!("pvs-worker-{number}"),
                signs,
                move || worker::drive(&mut worker, core, idle, &signs.polling, &signs.stop),
            )?);
        }
        let others = [
            spawn(scope, "pvs-exchange", signs, || {
                carry(&mut exchange, &signs.stop)
            })?,
            spawn(scope, "pvs-mirror", signs, || {
                mirror.run(&signs.mirrored, &signs.stop)
            })?,
            spawn(scope, "pvs-control", signs, || {
                server.run(store, &mut plane, &signs.stop)
            })?,
        ];
        let look = || {
            watchman.look();
            sampler.look();
        };
        let watched = keep_watch(signs, count, look, || signals.end(args, config, log));
        // A notification is a courtesy: there may be nobody who wants it.
        let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Stopping]);
        drop(stop);
        if let Some(thread) = first_to_stay(&started, &others) {
            give_up();
            eprintln!("pvsd: the thread {thread} stands still, and ends with the process");
            std::process::exit(1);
        }
        let ended = started.into_iter().map(|thread| match thread.join() {
            Ok(ended) => ended,
            Err(_) => bail!("a worker has crashed"),
        });
        ended.collect::<Result<()>>().and(watched)
    })
}

/// Waits for all threads to end; the name of one that does not.
fn first_to_stay<W, O>(
    workers: &[ScopedJoinHandle<'_, W>],
    others: &[ScopedJoinHandle<'_, O>],
) -> Option<String> {
    fn stays<T>(all: &[ScopedJoinHandle<'_, T>]) -> Option<String> {
        let stays = all.iter().find(|handle| !handle.is_finished())?;
        Some(stays.thread().name().unwrap_or_default().to_owned())
    }
    let (start, [pause, _]) = (Instant::now(), LOOK_PERIODS);
    loop {
        let (worker, other) = (stays(workers), stays(others));
        let took = start.elapsed();
        let late = (worker.is_some() && took >= WORKERS_END_MAX) || took >= THREADS_END_MAX;
        if late || (worker.is_none() && other.is_none()) {
            return worker.or(other);
        }
        sleep(pause);
    }
}

/// A thread with a name, whose end is everybody's.
fn spawn<'scope, T: Send + 'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    signs: &'scope Signs,
    work: impl FnOnce() -> T + Send + 'scope,
) -> Result<ScopedJoinHandle<'scope, T>> {
    let work = move || {
        let _ends_all = EndsAll(&signs.stop);
        work()
    };
    let thread = Builder::new().name(name.to_owned());
    thread
        .spawn_scoped(scope, work)
        .with_context(|| format!("the thread {name} can't be started"))
}

/// Main's part: says when pvsd is ready, looks after what nobody else does, and returns at the end.
fn keep_watch(
    signs: &Signs,
    workers: usize,
    mut look: impl FnMut(),
    mut told_to_end: impl FnMut() -> bool,
) -> Result<()> {
    let until = Instant::now() + READY_TIME_MAX;
    let mut announced = false;
    let [before, after] = LOOK_PERIODS;
    while !told_to_end() && !signs.stop.load(Relaxed) {
        if !announced {
            announced = signs.mirrored.load(Relaxed) && signs.polling.load(Relaxed) == workers;
            if announced {
                let _ = sd_notify::notify(false, &[sd_notify::NotifyState::Ready]);
                println!("pvsd: ready");
            } else if Instant::now() >= until {
                let late = match signs.mirrored.load(Relaxed) {
                    true => "the workers do not poll",
                    false => "Linux did not list its addresses and routes",
                };
                bail!("{late} after {READY_TIME_MAX:?}");
            }
        }
        look();
        sleep(if announced { after } else { before });
    }
    Ok(())
}
