//! Loom models: every interleaving and every reordering that the memory model allows, within a
//! bound of preemptions. Run by `RUSTFLAGS="--cfg loom" cargo test -p pvs-epoch --release`.
//!
//! The value holds a cell that loom watches: reading it in one thread and writing it (as its
//! destructor does) in another is an error unless one is ordered before the other.
#![cfg(loom)]

use loom::cell::UnsafeCell;
use loom::model::Builder;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use pvs_epoch::{Publisher, Reader, channel};

struct Watched {
    cell: UnsafeCell<u64>,
    drops: Arc<AtomicUsize>,
}

// SAFETY: the cell is read by shared references and written by the destructor only; that this
// is enough is what the models show.
unsafe impl Sync for Watched {}

impl Watched {
    fn new(number: u64, drops: &Arc<AtomicUsize>) -> Self {
        Self {
            cell: UnsafeCell::new(number),
            drops: Arc::clone(drops),
        }
    }

    fn read(&self) -> u64 {
        // SAFETY: loom reports a writer at the same time; the value is plain data.
        self.cell.with(|number| unsafe { *number })
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // SAFETY: loom reports a reader at the same time.
        self.cell.with_mut(|number| unsafe { *number = u64::MAX });
        self.drops.fetch_add(1, Ordering::Relaxed);
    }
}

/// A new channel for each interleaving; `readers` run in threads of their own, `publish` in the
/// model's. At the end nothing may have leaked or been freed twice.
fn model(
    preemptions: usize,
    values: usize,
    readers: &'static [fn(Reader<Watched>)],
    publish: fn(Publisher<Watched>, &Arc<AtomicUsize>),
) {
    let mut builder = Builder::new();
    // LOOM_MAX_PREEMPTIONS can raise the bound.
    builder.preemption_bound = builder.preemption_bound.max(Some(preemptions));
    builder.check(move || {
        let drops = Arc::new(AtomicUsize::new(0));
        let (publisher, halves) = channel(Watched::new(1, &drops), readers.len());
        let threads: Vec<_> = halves
            .into_iter()
            .zip(readers)
            .map(|(half, run)| thread::spawn(move || run(half)))
            .collect();
        publish(publisher, &drops);
        for thread in threads {
            assert!(thread.join().is_ok());
        }
        assert_eq!(drops.load(Ordering::Relaxed), values);
    });
}

/// Two polls; the value does not change between two looks at it.
fn polls_twice(mut reader: Reader<Watched>) {
    let mut newest = 0;
    for _ in 0..2 {
        let value = reader.poll();
        let number = value.read();
        assert!(number != u64::MAX && number >= newest);
        newest = number;
        thread::yield_now();
        assert_eq!(value.read(), number);
    }
}

/// Comes online, goes offline, comes online.
fn sleeps_between(mut reader: Reader<Watched>) {
    let first = reader.poll().read();
    reader.offline();
    let second = reader.poll().read();
    assert!(second != u64::MAX && second >= first);
}

fn two_then_reclaim(mut publisher: Publisher<Watched>, drops: &Arc<AtomicUsize>) {
    assert_eq!(publisher.publish(Watched::new(2, drops)), 2);
    publisher.reclaim();
    assert_eq!(publisher.publish(Watched::new(3, drops)), 3);
    publisher.reclaim();
    assert!(publisher.current().read() == 3);
}

#[test]
fn a_value_in_use_is_never_freed() {
    model(4, 3, &[polls_twice], two_then_reclaim);
}

#[test]
fn nor_with_two_readers() {
    model(2, 3, &[polls_twice, sleeps_between], two_then_reclaim);
}

#[test]
fn coming_online_races_with_reclaiming() {
    model(4, 3, &[sleeps_between], two_then_reclaim);
}

#[test]
fn a_publisher_can_wait_until_nobody_lags() {
    model(3, 2, &[polls_then_sleeps], |mut publisher, drops| {
        let version = publisher.publish(Watched::new(2, drops));
        while publisher.laggard(version).is_some() {
            thread::yield_now();
        }
        // Nobody refers to the first value, nor ever will; a reader that is just coming online
        // can put its end off for a moment.
        while publisher.reclaim() == 0 {
            assert_eq!(publisher.outstanding(), 1);
            thread::yield_now();
        }
        assert_eq!(publisher.outstanding(), 0);
        assert_eq!(drops.load(Ordering::Relaxed), 1);
    });
}

fn polls_then_sleeps(mut reader: Reader<Watched>) {
    reader.poll().read();
    reader.offline();
}

#[test]
fn a_publisher_may_go_first() {
    model(4, 2, &[polls_twice], |mut publisher, drops| {
        publisher.publish(Watched::new(2, drops));
    });
}

#[test]
fn the_last_of_two_readers_frees_when_the_publisher_is_gone() {
    model(
        3,
        2,
        &[polls_then_sleeps, sleeps_between],
        |mut publisher, drops| {
            publisher.publish(Watched::new(2, drops));
        },
    );
}
