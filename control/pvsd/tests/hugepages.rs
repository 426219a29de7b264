//! Hugepages that were free when pvsd counted them and are gone when DPDK takes them: pvsd starts
//! all the same. A thief takes away what is free, again and again. Needs root; alone in its
//! program, for it changes what all processes of the machine share.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod common;

use common::{Daemon, Place};
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::scope;

const PAGES: &str = "/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages";

/// Ends the thief, also when the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

#[test]
fn those_that_others_take_are_done_without() {
    let before = fs::read_to_string(PAGES).unwrap();
    let place = Place::new("thief");
    let config = place.config("");
    let stop = AtomicBool::new(false);
    let mut fallen_back = 0;
    scope(|scope| {
        let ends = Ends(&stop);
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                fs::write(PAGES, "0").unwrap();
            }
        });
        for _ in 0..3 {
            // Ready, whatever was there at which moment.
            let daemon = Daemon::start(&config);
            let log = daemon.log();
            fallen_back += usize::from(log.contains("4 KiB pages"));
            assert!(!log.contains("panicked"), "{log}");
            daemon.signal("TERM");
            assert_eq!(daemon.end(), Some(0));
        }
        drop(ends);
    });
    fs::write(PAGES, before).unwrap();
    assert!(fallen_back > 0, "the thief came always too late");
}
