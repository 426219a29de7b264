//! A worker's thread: pinned, known to DPDK, polling until the end.

use crate::config::IdleConfig;
use anyhow::{Context, Result};
use pvs_dataplane::worker::{Idle, MonotonicClock, Worker, run};
use pvs_dpdk::{DpdkPort, WorkerThread};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Empty turns before a nap: some hundred microseconds.
const TURNS_BEFORE_NAP: u32 = 2048;

/// A nap: short against any timeout, long against a turn. The kernel's timer slack adds some 50 us.
const NAP: Duration = Duration::from_micros(100);

impl From<IdleConfig> for Idle {
    fn from(config: IdleConfig) -> Self {
        match config {
            IdleConfig::Poll => Self::Poll,
            IdleConfig::Adaptive => Self::Nap {
                after: TURNS_BEFORE_NAP,
                nap: NAP,
            },
        }
    }
}

/// Polls on `core` until `stop`; counts itself in once it does.
///
/// # Errors
/// The thread can't be pinned or registered.
pub fn drive(
    worker: &mut Worker<DpdkPort>,
    core: usize,
    idle: Idle,
    polling: &AtomicUsize,
    stop: &AtomicBool,
) -> Result<()> {
    let id = core_affinity::CoreId { id: core };
    anyhow::ensure!(
        core_affinity::set_for_current(id),
        "the worker can't be pinned to core {core}: choose another by workers.cores"
    );
    let _registered = WorkerThread::register().context("the worker's thread")?;
    polling.fetch_add(1, Relaxed);
    run(worker, &MonotonicClock, idle, stop);
    Ok(())
}

/// The cores for `count` workers: those asked for, else the last of the machine.
///
/// # Errors
/// There are not as many, or a core does not exist.
pub fn cores(asked: &[usize], count: usize) -> Result<Vec<usize>> {
    let all = all_cores();
    for core in asked {
        anyhow::ensure!(
            all.contains(core),
            "workers.cores names core {core}: there are {all:?}"
        );
    }
    if !asked.is_empty() {
        return Ok(asked.to_vec());
    }
    anyhow::ensure!(
        all.len() >= count,
        "{count} workers on {} cores: one core for each is needed",
        all.len()
    );
    Ok(all.iter().rev().take(count).copied().collect())
}

/// Keeps the calling thread, and the threads that it will start, to these cores.
///
/// # Errors
/// The system refuses.
pub fn stay_on(cores: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for core in cores.iter().filter(|core| **core < CpuSet::MAX_CPU) {
        set.set(*core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("can't run on the cores {cores:?}"))
}

/// The cores that this process may use.
#[must_use]
pub fn all_cores() -> Vec<usize> {
    let all = core_affinity::get_core_ids().unwrap_or_default();
    all.iter().map(|core| core.id).collect()
}

/// The cores that no worker has, or all if there is none.
#[must_use]
pub fn other_cores(workers: &[usize]) -> Vec<usize> {
    let all = all_cores();
    let others: Vec<usize> = all
        .iter()
        .copied()
        .filter(|core| !workers.contains(core))
        .collect();
    if others.is_empty() { all } else { others }
}
