//! A director of one to four workers among clients, servers and an operator, under seeds. A failing
//! seed is printed; `PVS_SEED` repeats it, event for event. And what fuzzing found, again.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_oracle::world::{Bytes, Seeded, World, hostile};
use std::time::{SystemTime, UNIX_EPOCH};

/// Runs of a test, and choices of a run.
const RUNS: u64 = 12;
const CHOICES: usize = 20_000;

/// Tells the seed if the test fails.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("PVS_SEED={}", self.0);
        }
    }
}

#[test]
fn whatever_happens_nothing_is_lost_or_doubled() {
    let given = std::env::var("PVS_SEED").ok().and_then(|s| s.parse().ok());
    let (first, runs) = match given {
        Some(seed) => (seed, 1),
        None => (
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64,
            RUNS,
        ),
    };
    let mut connections = 0;
    for seed in (first..).take(runs as usize) {
        let _told = Told(seed);
        connections += World::run(Seeded::new(seed, CHOICES));
    }
    // Else nothing was shown.
    assert!(connections as u64 > runs, "{connections} connections");
}

/// The inputs of a fuzz target that are kept.
fn kept(target: &str) -> impl Iterator<Item = Vec<u8>> {
    let folder = format!("{}/tests/fuzzed/{target}", env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = std::fs::read_dir(&folder).unwrap().collect();
    assert!(!files.is_empty(), "{folder} is empty");
    files
        .into_iter()
        .map(|file| std::fs::read(file.unwrap().path()).unwrap())
}

#[test]
fn what_fuzzing_found_does_no_harm() {
    for input in kept("poll") {
        World::run(Bytes(&input));
    }
    kept("quoted").for_each(|input| hostile::quoted(&input));
    kept("pieces").for_each(|input| hostile::pieces(&input));
}
