//! Pages that are counted, added and given back, in folders that look like the kernel's.

use super::{COUNTING_TIME_MAX, GIVE_BACK_TIME_MAX, Lock};
use super::{SMALL, Shortage, read_number, reserve_in};
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// A directory that looks like sysfs; the kernel's part (raising free with nr) is the test's.
fn sysfs(name: &str, nr: u64, free: u64) -> PathBuf {
    let root = std::env::temp_dir().join(format!("pvs-huge-{name}-{}", std::process::id()));
    let small = root.join(SMALL);
    fs::create_dir_all(&small).unwrap();
    for (file, value) in [
        ("nr_hugepages", nr),
        ("free_hugepages", free),
        ("resv_hugepages", 0),
        ("surplus_hugepages", 0),
    ] {
        fs::write(small.join(file), value.to_string()).unwrap();
    }
    root
}

#[test]
fn enough_free_pages_are_left_alone() {
    let root = sysfs("enough", 40, 32);
    let reservation = reserve_in(&root, &root.join("notes"), 64).unwrap().taken();
    drop(reservation);
    assert_eq!(
        read_number(&root.join(SMALL).join("nr_hugepages")).unwrap(),
        40
    );
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn missing_pages_are_added_and_given_back() {
    let root = sysfs("added", 10, 2);
    let nr = root.join(SMALL).join("nr_hugepages");
    let reservation = reserve_in(&root, &root.join("notes"), 65).unwrap().taken();
    // 65 MiB less 4 free: 61 MiB, 31 pages.
    assert_eq!(read_number(&nr).unwrap(), 41);
    fs::write(&nr, "50").unwrap();
    drop(reservation);
    assert_eq!(
        read_number(&nr).unwrap(),
        19,
        "what others changed meanwhile stays"
    );
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn what_nobody_takes_is_given_back_at_once() {
    let root = sysfs("untaken", 10, 2);
    let nr = root.join(SMALL).join("nr_hugepages");
    let reserved = reserve_in(&root, &root.join("notes"), 65).unwrap();
    assert_eq!(read_number(&nr).unwrap(), 41);
    let began = Instant::now();
    drop(reserved);
    assert_eq!(read_number(&nr).unwrap(), 10);
    let took = began.elapsed();
    assert!(
        took < GIVE_BACK_TIME_MAX / 2,
        "it waits for itself: {took:?}"
    );
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn a_lock_that_is_not_given_back_is_told_of() {
    let root = sysfs("busy", 10, 2);
    let (small, notes) = (root.join(SMALL), root.join("notes"));
    let held = Lock::take(&notes, &small, COUNTING_TIME_MAX).unwrap();
    let patience = Duration::from_millis(50);
    let busy = Lock::take(&notes, &small, patience).unwrap_err();
    assert!(busy.to_string().contains("another process"), "{busy}");
    drop(held);
    Lock::take(&notes, &small, patience).unwrap();
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn surplus_pages_are_not_counted_twice() {
    let root = sysfs("surplus", 32, 0);
    let small = root.join(SMALL);
    fs::write(small.join("surplus_hugepages"), "32").unwrap();
    let reservation = reserve_in(&root, &root.join("notes"), 64).unwrap().taken();
    // The 32 in use are counted in, and 32 more are new.
    assert_eq!(read_number(&small.join("nr_hugepages")).unwrap(), 64);
    fs::write(small.join("surplus_hugepages"), "0").unwrap();
    drop(reservation);
    fs::remove_dir_all(root).unwrap();
}

#[test]
fn no_control_file_is_absent() {
    let root = std::env::temp_dir().join("pvs-huge-none");
    let reserved = reserve_in(&root, &root.join("notes"), 2);
    assert!(matches!(reserved, Err(Shortage::Absent(_))));
}

#[test]
fn processes_that_see_different_control_files_share_a_lock() {
    let (one, other) = (sysfs("one", 40, 32), sysfs("other", 40, 32));
    let notes = one.join("notes");
    let reserved = reserve_in(&one, &notes, 64).unwrap();
    let theirs = File::open(notes.join("lock")).unwrap();
    // SAFETY: the descriptor belongs to `theirs`, which is open.
    let try_lock = || unsafe { libc::flock(theirs.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    assert_ne!(try_lock(), 0, "held until it is released");
    drop(reserved.taken());
    let _reserved = reserve_in(&other, &notes, 64).unwrap();
    assert_ne!(try_lock(), 0);
    for root in [one, other] {
        fs::remove_dir_all(root).unwrap();
    }
}

#[test]
fn what_a_killed_process_added_is_given_back_by_the_next() {
    let root = sysfs("killed", 40, 32);
    let nr = root.join(SMALL).join("nr_hugepages");
    let notes = root.join("notes");
    fs::create_dir(&notes).unwrap();
    // Above the kernel's largest pid (2^22), so never alive.
    fs::write(notes.join("4194999-17.0"), "30").unwrap();
    for killed_too in [true, false] {
        let reservation = reserve_in(&root, &notes, 64).unwrap().taken();
        assert_eq!(read_number(&nr).unwrap(), 40, "they are used again");
        if killed_too {
            std::mem::forget(reservation);
            let mut left = fs::read_dir(&notes).unwrap().flatten();
            let note = left.find(|note| note.file_name() != "lock").unwrap();
            fs::rename(note.path(), notes.join("4194999-18.0")).unwrap();
        }
    }
    assert_eq!(read_number(&nr).unwrap(), 10);
    let left: Vec<_> = fs::read_dir(&notes).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "the lock only: {left:?}");
    fs::remove_dir_all(root).unwrap();
}
