//! `pvs-bench forward --workers N`: how much more several workers do than one.
//!
//! Each worker is a thread on a core of its own, with a port that brings it its own flows. Windows
//! come in four kinds that take turns: one worker alone and all together, each with a MAC swap and
//! with the shipped poll function. What counts is a worker's own processor time for a packet,
//! together against alone: whoever else uses the cores does not enter it. A window in which they
//! did not run at the same time, or in which a worker lost its core, says nothing about what they
//! do to each other, and is left out. The MAC swap says what the machine itself allows.

use super::port::BenchPort;
use super::report::{Scaling, Share};
use super::subject::Subject;
use super::{Args, Flows, loops};
use crate::tsc;
use anyhow::{Context, Result, ensure};
use pvs_dataplane::port::BURST;
use pvs_dataplane::steering::{Steering, Toeplitz, WorkerIndex};
use pvs_dataplane::worker::MonotonicClock;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Instant;

/// Of the time from the first worker's start to the last one's end, all must have run for this
/// part, and each must have had a processor for this part of its own time.
const QUIET_MIN: f64 = 0.9;

/// Queues of the NIC that is played.
const INDIRECTION: u16 = 128;

/// How several workers know whose a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// By the NIC's hash, asked for packets without a connection.
    Nic,
    /// By arrival.
    Rxq,
    /// By a hash of pvs's own, asked for every packet.
    Ring,
}

/// A worker and its two ports.
struct Seat {
    core: Option<core_affinity::CoreId>,
    subject: Subject,
    swap: BenchPort,
}

/// One worker's part of a window.
#[derive(Clone, Copy, Debug, Default)]
struct Part {
    /// Of its processor time, for each packet; 0 if it slept.
    nanos: f64,
    /// The part of the time for which it had a processor.
    ran: f64,
    start: u64,
    end: u64,
}

/// A kind of window: what runs, and whether it runs alone.
const KINDS: [(bool, bool); 4] = [(false, true), (false, false), (true, true), (true, false)];

/// Runs the benchmark and prints its report.
pub fn run(args: &Args) -> Result<()> {
    let cores = cores(args.workers);
    let mut seats = seats(args, &cores)?;
    establish(args, &mut seats)?;
    let parts = measure(args, &mut seats);
    for seat in &seats {
        seat.subject.check(args)?;
    }
    let scaling = |kinds: [usize; 2]| share(args, &parts, kinds);
    Scaling {
        mode: args.mode,
        steering: args.steering,
        flows: args.flows,
        verified: args.verify,
        huge_pages: seats.iter().all(|seat| seat.subject.huge_pages()),
        packets_per_window: u64::from(args.bursts) * BURST as u64,
        windows: args.windows,
        cores: cores.iter().map(|core| core.map_or(0, |c| c.id)).collect(),
        mac_swap: scaling([0, 1])?,
        engine: scaling([2, 3])?,
    }
    .print(args.json)
}

/// The last cores of the machine, as pvsd takes them; none where there are too few.
fn cores(workers: u16) -> Vec<Option<core_affinity::CoreId>> {
    let all = core_affinity::get_core_ids().unwrap_or_default();
    if all.len() < workers.into() {
        eprintln!(
            "pvs-bench: {workers} workers on {} cores: the figures say nothing of cores of their own",
            all.len()
        );
    }
    let mut last = all.into_iter().rev();
    (0..workers).map(|_| last.next()).collect()
}

fn pin(core: Option<core_affinity::CoreId>) {
    if !core.is_some_and(core_affinity::set_for_current) {
        eprintln!("pvs-bench: a worker is not pinned to a core");
    }
}

fn steering(args: &Args) -> Result<Steering> {
    Ok(match args.steering {
        By::Rxq => Steering::rxq(args.workers),
        By::Ring => Steering::ring(args.workers),
        By::Nic => {
            let key: Vec<u8> = (0..40u8).map(|n| n.wrapping_mul(151) ^ 0x6d).collect();
            let queues = (0..INDIRECTION)
                .map(|n| n.checked_rem(args.workers).unwrap_or(0))
                .collect();
            let hash = Toeplitz::new(&key, queues).context("a key of 40 bytes")?;
            Steering::nic(args.workers, hash)
        }
    })
}

fn seats(args: &Args, cores: &[Option<core_affinity::CoreId>]) -> Result<Vec<Seat>> {
    let steering = steering(args)?;
    let flows = |worker| {
        Flows::of_worker(args.mode, args.flows, &steering, WorkerIndex(worker))
            .context("a worker has too few clients: take fewer workers or flows")
    };
    let all = (0..args.workers).map(flows).collect::<Result<Vec<_>>>()?;
    let settle = |worker: WorkerIndex| pin(cores.get(usize::from(worker.0)).copied().flatten());
    let crew = Subject::crew(args, steering.clone(), all, settle)?;
    let seat = |((subject, core), worker): ((_, &Option<_>), _)| {
        let mut flows = flows(worker)?;
        flows.shuffle();
        Ok(Seat {
            core: *core,
            subject,
            swap: BenchPort::new(flows, args.depth as usize, false),
        })
    };
    crew.into_iter().zip(cores).zip(0u16..).map(seat).collect()
}

/// All workers' flows, each by its own thread.
fn establish(args: &Args, seats: &mut [Seat]) -> Result<()> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = seats
            .iter_mut()
            .map(|seat| {
                scope.spawn(|| {
                    pin(seat.core);
                    seat.subject.establish(args)
                })
            })
            .collect();
        let mut ended = threads.into_iter().map(|thread| thread.join());
        ended.try_for_each(|thread| thread.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// What each worker took in each window: for each kind, for each round, for each worker.
type Parts = [Vec<Vec<Part>>; 4];

fn measure(args: &Args, seats: &mut [Seat]) -> Parts {
    let workers = seats.len();
    let turn = Barrier::new(workers);
    let rounds = args.windows as usize;
    // In the order of the windows.
    let meetings: Vec<Meeting> = (0..rounds * KINDS.len())
        .map(|_| Meeting::default())
        .collect();
    let mut parts: Parts = core::array::from_fn(|_| vec![vec![Part::default(); workers]; rounds]);
    let columns = std::thread::scope(|scope| {
        let (turn, meetings) = (&turn, &meetings);
        let threads: Vec<_> = (0..workers)
            .zip(seats.iter_mut())
            .map(|(me, seat)| scope.spawn(move || windows(args, me, workers, seat, turn, meetings)))
            .collect();
        let joined = threads.into_iter().map(|thread| thread.join());
        joined
            .map(|column| column.unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect::<Vec<_>>()
    });
    for (worker, column) in columns.into_iter().enumerate() {
        let mut column = column.into_iter();
        for round in 0..rounds {
            for kind in &mut parts {
                let slot = kind.get_mut(round).and_then(|row| row.get_mut(worker));
                if let (Some(slot), Some(part)) = (slot, column.next()) {
                    *slot = part;
                }
            }
        }
    }
    parts
}

/// One worker's parts, window by window. Those alone are each worker's in turn; the others sleep.
fn windows(
    args: &Args,
    me: usize,
    workers: usize,
    seat: &mut Seat,
    turn: &Barrier,
    meetings: &[Meeting],
) -> Vec<Part> {
    pin(seat.core);
    let mut parts = Vec::with_capacity(meetings.len());
    for (at, meeting) in meetings.iter().enumerate() {
        let (engine, alone) = KINDS.get(at % KINDS.len()).copied().unwrap_or_default();
        let whose = (at / KINDS.len()).checked_rem(workers);
        turn.wait();
        if alone && whose != Some(me) {
            parts.push(Part::default());
            continue;
        }
        let expected = if alone { 1 } else { workers };
        parts.push(part(args, seat, engine, meeting, expected));
    }
    parts
}

/// Where the workers of a window wait for each other: how many have come.
#[derive(Debug, Default)]
struct Meeting {
    /// When they wake up.
    awake: AtomicUsize,
    /// When their caches are warm.
    warm: AtomicUsize,
}

fn wait_for_all(come: &AtomicUsize, expected: usize) {
    come.fetch_add(1, SeqCst);
    while come.load(SeqCst) < expected {
        core::hint::spin_loop();
    }
}

fn part(args: &Args, seat: &mut Seat, engine: bool, meeting: &Meeting, expected: usize) -> Part {
    let mut turn = |bursts| {
        if engine {
            seat.subject.turn(bursts, &MonotonicClock);
        } else {
            loops::mac_swap(&mut seat.swap, bursts);
        }
    };
    // Who is woken later is waited for.
    wait_for_all(&meeting.awake, expected);
    // The window before has left its own things in the caches.
    turn(args.bursts / 2);
    // Who is slower is waited for.
    wait_for_all(&meeting.warm, expected);
    let (wall, start, before) = (Instant::now(), tsc::now(), thread_nanos());
    turn(args.bursts);
    let nanos = thread_nanos() - before;
    Part {
        nanos: nanos / (f64::from(args.bursts) * BURST as f64),
        ran: nanos / wall.elapsed().as_nanos() as f64,
        start,
        end: tsc::now(),
    }
}

/// The processor time of this thread.
fn thread_nanos() -> f64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    now.tv_sec as f64 * 1e9 + now.tv_nsec as f64
}

/// Did all that were to run do so at the same time, and all the time?
fn undisturbed(row: &[Part]) -> bool {
    let all = || row.iter().filter(|part| part.nanos > 0.0);
    let first = all().map(|part| part.start).min().unwrap_or(0);
    let last = all().map(|part| part.end).max().unwrap_or(0);
    let from = all().map(|part| part.start).max().unwrap_or(0);
    let to = all().map(|part| part.end).min().unwrap_or(0);
    let common = to.saturating_sub(from) as f64;
    common >= QUIET_MIN * last.saturating_sub(first) as f64 && all().all(|p| p.ran >= QUIET_MIN)
}

/// What a loop takes alone and together, of each worker.
fn share(args: &Args, parts: &Parts, [alone, together]: [usize; 2]) -> Result<Share> {
    let rows = |kind: usize| {
        let rows = parts.get(kind).map(Vec::as_slice).unwrap_or_default();
        rows.iter()
            .filter(|row| undisturbed(row))
            .collect::<Vec<_>>()
    };
    let (alone, together) = (rows(alone), rows(together));
    ensure!(
        alone.len().min(together.len()) >= 3 || args.verify,
        "undisturbed were {} windows alone and {} together: too much else runs on this machine",
        alone.len(),
        together.len()
    );
    let worker = |n: usize| {
        let mine = |rows: &[&Vec<Part>]| -> Vec<f64> {
            let parts = rows.iter().filter_map(|row| row.get(n));
            parts
                .map(|part| part.nanos)
                .filter(|nanos| *nanos > 0.0)
                .collect()
        };
        [mine(&alone), mine(&together)]
    };
    Ok(Share::new(
        together.len(),
        (0..usize::from(args.workers)).map(worker),
    ))
}
