//! Buffers: where they come from, how they grow and shrink, and that none is lost.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{eal, filled, frame};
use pvs_dataplane::port::{Buf, HEADROOM, Pool, RxChecks};
use pvs_dpdk::{Eal, HugepageUse, Mbuf, Mempool, MempoolError, ThreadError, WorkerThread};
use std::thread;

const COUNT: u32 = 1023;
const FRAME_MAX: u16 = 2048;

#[test]
fn buffers_in_ordinary_memory() {
    assert!(
        matches!(WorkerThread::register(), Err(ThreadError::Refused { .. })),
        "not started"
    );
    let eal = eal(&[], HugepageUse::Never);
    assert!(!eal.has_hugepages());
    let pool = Mempool::new(&eal, "pool", COUNT, 128, FRAME_MAX, None).unwrap();
    assert_eq!((pool.available(), pool.frame_max()), (COUNT, FRAME_MAX));
    wrong_pools_are_refused(&eal);
    a_frame_grows_and_shrinks(&pool);
    limits_change_nothing(&pool);
    an_empty_pool_gives_none(&pool);
    a_registered_thread_has_a_cache(&pool);
    a_thread_is_registered_once();
    assert_eq!(pool.available(), COUNT);
}

fn wrong_pools_are_refused(eal: &Eal) {
    let refused = |name: &str, count, cache, frame_max| {
        matches!(
            Mempool::new(eal, name, count, cache, frame_max, None),
            Err(MempoolError::Refused { .. })
        )
    };
    assert!(refused("pool", COUNT, 0, FRAME_MAX), "the name is taken");
    assert!(refused("", COUNT, 0, FRAME_MAX));
    assert!(refused(
        "a name that is longer than 25",
        COUNT,
        0,
        FRAME_MAX
    ));
    assert!(refused("nul\0", COUNT, 0, FRAME_MAX));
    assert!(refused("cache", COUNT, 513, FRAME_MAX));
    assert!(refused("cache", 100, 80, FRAME_MAX));
    assert!(refused("frame", COUNT, 0, 65_500));
    let error = Mempool::new(eal, "huge", 1 << 20, 0, FRAME_MAX, None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "pool huge: 1048576 buffers need about 2368 MiB, and DPDK has not so much left"
    );
}

fn a_frame_grows_and_shrinks(pool: &Mempool) {
    let payload = frame(3, 1000);
    let mut mbuf = filled(pool, &payload);
    assert_eq!(mbuf.bytes(), payload);
    mbuf.prepend(20).unwrap().fill(0xaa);
    assert_eq!(mbuf.bytes()[..20], [0xaa; 20]);
    assert_eq!(mbuf.bytes()[20..], payload);
    assert!(mbuf.trim_front(25));
    assert_eq!(mbuf.bytes(), &payload[5..]);
    mbuf.truncate(10);
    mbuf.truncate(11);
    assert_eq!(mbuf.bytes(), &payload[5..15]);
    mbuf.bytes_mut()[0] = 1;
    assert_eq!(mbuf.bytes()[..2], [1, payload[6]]);
    assert!(mbuf.trim_front(10));
    assert_eq!(mbuf.bytes(), b"");
    assert!(mbuf.fill(&payload), "the headroom is back");
    assert_eq!(mbuf.prepend(HEADROOM).map(|new| new.len()), Some(HEADROOM));
    assert_eq!(mbuf.bytes().len(), HEADROOM + payload.len());
    assert_eq!(mbuf.rx_checks(), RxChecks { ip_good: false });
}

fn limits_change_nothing(pool: &Mempool) {
    let largest = frame(5, usize::from(FRAME_MAX));
    let mut mbuf = filled(pool, &largest);
    assert!(!mbuf.fill(&frame(6, usize::from(FRAME_MAX) + 1)));
    assert!(!mbuf.fill(&frame(6, 70_000)));
    for n in [HEADROOM + 1, usize::from(u16::MAX), 65_536 + 4, usize::MAX] {
        assert!(mbuf.prepend(n).is_none());
        assert!(!mbuf.trim_front(n.max(largest.len() + 1)));
    }
    mbuf.truncate(65_536 + 4);
    assert_eq!(mbuf.bytes(), largest);
    assert!(mbuf.prepend(0).is_some_and(|new| new.is_empty()));
    assert!(mbuf.trim_front(0));
    assert_eq!(mbuf.bytes(), largest);
}

fn an_empty_pool_gives_none(pool: &Mempool) {
    let mut all: Vec<Mbuf> = std::iter::from_fn(|| pool.alloc()).collect();
    assert_eq!((all.len() as u32, pool.available()), (COUNT, 0));
    assert!(pool.alloc().is_none());
    let one = all.pop();
    thread::spawn(move || drop(one)).join().unwrap();
    assert_eq!(pool.available(), 1, "given back from another thread");
    drop(all);
    assert_eq!(pool.available(), COUNT);
}

/// Buffers in a thread's cache are out of other threads' reach.
fn a_registered_thread_has_a_cache(pool: &Mempool) {
    // The thread that started DPDK has a cache too, and filled it in the checks before.
    let take_all = |pool: Mempool| {
        move || {
            std::iter::from_fn(|| pool.alloc())
                .collect::<Vec<_>>()
                .len()
        }
    };
    let before = thread::spawn(take_all(*pool)).join().unwrap();
    thread::spawn({
        let pool = *pool;
        move || drop(pool.alloc().unwrap())
    })
    .join()
    .unwrap();
    assert_eq!(
        thread::spawn(take_all(*pool)).join().unwrap(),
        before,
        "unknown threads keep none"
    );
    thread::spawn({
        let pool = *pool;
        move || {
            let worker = WorkerThread::register().unwrap();
            assert!(worker.lcore() > 0);
            drop(pool.alloc().unwrap());
        }
    })
    .join()
    .unwrap();
    let after = thread::spawn(take_all(*pool)).join().unwrap();
    assert!(after <= before - 128, "{after} of {before} are left");
    assert_eq!(pool.available(), COUNT, "those in caches are free");
}

fn a_thread_is_registered_once() {
    assert_eq!(
        WorkerThread::register().unwrap_err(),
        ThreadError::AlreadyKnown { lcore: 0 }
    );
    thread::spawn(|| {
        let worker = WorkerThread::register().unwrap();
        let lcore = worker.lcore();
        assert_eq!(
            WorkerThread::register().unwrap_err(),
            ThreadError::AlreadyKnown { lcore }
        );
        drop(worker);
        assert_eq!(
            WorkerThread::register().unwrap().lcore(),
            lcore,
            "the id is free again"
        );
    })
    .join()
    .unwrap();
}
