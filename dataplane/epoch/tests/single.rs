//! What the scheme promises, seen from one thread.
#![cfg(not(loom))]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pvs_epoch::channel;

/// Counts how many of its kind are alive.
struct Counted(u32, Arc<AtomicUsize>);

impl Counted {
    fn new(value: u32, alive: &Arc<AtomicUsize>) -> Self {
        alive.fetch_add(1, Ordering::SeqCst);
        Self(value, Arc::clone(alive))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

#[test]
fn poll_returns_the_newest_value_and_its_version() {
    let (mut publisher, mut readers) = channel(10, 1);
    let reader = &mut readers[0];
    assert_eq!((publisher.version(), *publisher.current()), (1, 10));
    assert_eq!(reader.version(), 0);
    assert_eq!((*reader.poll(), reader.version()), (10, 1));
    assert_eq!(publisher.publish(20), 2);
    assert_eq!(publisher.publish(30), 3);
    assert_eq!(reader.version(), 1);
    assert_eq!((*reader.poll(), reader.version()), (30, 3));
    assert_eq!((publisher.version(), *publisher.current()), (3, 30));
}

#[test]
fn a_value_is_freed_once_every_online_reader_has_passed_it() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut publisher, mut readers) = channel(Counted::new(1, &alive), 3);
    readers[0].poll();
    readers[1].poll();
    publisher.publish(Counted::new(2, &alive));
    assert_eq!((publisher.reclaim(), publisher.outstanding()), (0, 1));
    assert_eq!(publisher.laggard(2), Some(0));
    let seen: Vec<_> = publisher.seen().collect();
    assert_eq!(seen, [Some(1), Some(1), None]);
    readers[0].poll();
    assert_eq!(publisher.laggard(2), Some(1));
    assert_eq!((publisher.reclaim(), publisher.outstanding()), (0, 1));
    assert_eq!(readers[1].poll().0, 2);
    // The third reader never came online.
    assert_eq!(publisher.laggard(2), None);
    assert_eq!((publisher.reclaim(), publisher.outstanding()), (1, 0));
    assert_eq!(alive.load(Ordering::SeqCst), 1);
}

#[test]
fn a_reader_offline_holds_nothing_up_and_returns_to_the_newest() {
    let (mut publisher, mut readers) = channel(1, 1);
    readers[0].poll();
    readers[0].offline();
    assert_eq!(readers[0].version(), 0);
    publisher.publish(2);
    publisher.publish(3);
    assert_eq!(publisher.laggard(3), None);
    assert_eq!((publisher.reclaim(), publisher.outstanding()), (2, 0));
    assert_eq!(*readers[0].poll(), 3);
    publisher.publish(4);
    assert_eq!((publisher.reclaim(), publisher.laggard(4)), (0, Some(0)));
}

#[test]
fn only_values_below_the_slowest_reader_go() {
    let (mut publisher, mut readers) = channel(1, 2);
    readers[0].poll();
    publisher.publish(2);
    readers[1].poll();
    publisher.publish(3);
    readers[0].poll();
    assert_eq!((publisher.reclaim(), publisher.outstanding()), (1, 1));
    assert_eq!(
        (publisher.laggard(2), publisher.laggard(3)),
        (None, Some(1))
    );
}

#[test]
fn without_readers_a_replaced_value_goes_at_once() {
    let (mut publisher, readers) = channel(String::from("a"), 0);
    assert!(readers.is_empty());
    publisher.publish(String::from("b"));
    assert_eq!((publisher.reclaim(), publisher.laggard(2)), (1, None));
}

#[test]
fn a_dropped_reader_is_offline_for_ever() {
    let (mut publisher, mut readers) = channel(1, 2);
    readers[0].poll();
    readers[1].poll();
    publisher.publish(2);
    drop(readers.remove(0));
    assert_eq!(publisher.laggard(2), Some(1));
    drop(readers);
    assert_eq!((publisher.laggard(2), publisher.reclaim()), (None, 1));
}

#[test]
fn a_dropped_publisher_leaves_what_a_reader_uses_to_the_last_reader() {
    let alive = Arc::new(AtomicUsize::new(0));
    let (mut publisher, mut readers) = channel(Counted::new(1, &alive), 2);
    let mut late = readers.remove(1);
    let held = late.poll();
    publisher.publish(Counted::new(2, &alive));
    publisher.publish(Counted::new(3, &alive));
    drop(publisher);
    assert_eq!((held.0, alive.load(Ordering::SeqCst)), (1, 3));
    assert_eq!((late.poll().0, late.version()), (3, 3));
    drop(readers);
    assert_eq!(alive.load(Ordering::SeqCst), 3);
    drop(late);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn halves_can_move_to_other_threads() {
    fn moves<T: Send>(_: &T) {}
    let (publisher, readers) = channel(vec![1], 1);
    moves(&publisher);
    moves(&readers);
}
