//! Real threads, bounded in count: a value that a reader looks at is never a freed one, and all
//! are freed in the end. Miri runs it too, with fewer rounds.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use pvs_epoch::{Reader, channel};

const ROUNDS: u64 = if cfg!(miri) { 50 } else { 20_000 };
const OUTSTANDING_MAX: usize = 8;
const ALIVE: u64 = 0xa11e_a11e_a11e_a11e;

/// A value that shows whether it was freed, whole and of one piece.
struct Value {
    number: u64,
    mark: u64,
    copies: [u64; 16],
    drops: Arc<AtomicUsize>,
}

impl Value {
    fn new(number: u64, drops: &Arc<AtomicUsize>) -> Self {
        Self {
            number,
            mark: ALIVE,
            copies: [number; 16],
            drops: Arc::clone(drops),
        }
    }

    fn check(&self) {
        assert_eq!(self.mark, ALIVE, "a reader looks at a freed value");
        assert!(self.copies.iter().all(|&copy| copy == self.number));
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        self.check();
        self.mark = 0;
        self.copies = [u64::MAX; 16];
        self.drops.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls until told to stop; every so often, at its own rhythm, goes offline.
fn read(mut reader: Reader<Value>, rhythm: u64, stop: &AtomicBool) -> u64 {
    let (mut polls, mut newest) = (0u64, 0);
    while !stop.load(Ordering::Acquire) {
        let value = reader.poll();
        value.check();
        assert!(value.number >= newest, "versions went back");
        newest = value.number;
        polls += 1;
        if polls % rhythm == 0 {
            reader.offline();
            thread::yield_now();
        } else if polls % 64 == 0 || cfg!(miri) {
            thread::yield_now();
        }
    }
    polls
}

#[test]
fn readers_never_see_a_freed_value_and_nothing_leaks() {
    let drops = Arc::new(AtomicUsize::new(0));
    let stop = AtomicBool::new(false);
    let (mut publisher, readers) = channel(Value::new(0, &drops), 3);
    thread::scope(|scope| {
        for (reader, rhythm) in readers.into_iter().zip([u64::MAX, 7, 1]) {
            let stop = &stop;
            scope.spawn(move || {
                assert!(read(reader, rhythm, stop) > 0 || stop.load(Ordering::Acquire))
            });
        }
        let mut published = 0;
        for number in 1..=ROUNDS {
            let mut waits = 0u32;
            while publisher.outstanding() >= OUTSTANDING_MAX && publisher.reclaim() == 0 {
                waits += 1;
                assert!(waits < 10_000_000, "a reader never passed");
                thread::yield_now();
            }
            let version = publisher.publish(Value::new(number, &drops));
            published += 1;
            assert_eq!(version, number + 1);
            assert!(publisher.outstanding() <= OUTSTANDING_MAX);
        }
        assert_eq!(published, ROUNDS);
        stop.store(true, Ordering::Release);
    });
    publisher.reclaim();
    assert_eq!(publisher.outstanding(), 0);
    drop(publisher);
    assert_eq!(drops.load(Ordering::SeqCst) as u64, ROUNDS + 1);
}
