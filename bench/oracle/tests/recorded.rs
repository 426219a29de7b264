//! A replayer that saw no difference would prove nothing: altered recordings are told, for each
//! kind. That the recordings as they are come out the same is for `scripts/oracle`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use pvs_oracle::replay::{Altered, Suite, alter, folder, replay};
use std::collections::{BTreeMap, BTreeSet};

/// Alters a field in each of 20 lines; these are told, and no other line of their directors.
fn altered_fields_are_told(suite: &str, seed: u64) {
    let suite = Suite::named(suite).unwrap();
    let mut cases = suite.cases(&folder()).unwrap();
    let altered = alter(suite, &mut cases, seed).unwrap();
    assert!(!altered.is_empty());
    let chosen: BTreeSet<usize> = altered.iter().map(|a| a.case).collect();
    let chosen: Vec<usize> = chosen.into_iter().collect();
    let places: BTreeMap<(usize, usize), &Altered> =
        altered.iter().map(|a| ((a.case, a.line), a)).collect();
    let before: Vec<_> = suite.cases(&folder()).unwrap();
    let pick = |of: &[_]| {
        chosen
            .iter()
            .map(|at| Clone::clone(&of[*at]))
            .collect::<Vec<_>>()
    };
    let (before, after) = (replay(suite, &pick(&before)), replay(suite, &pick(&cases)));
    for ((case, before), after) in chosen.iter().zip(before).zip(after) {
        for (line, (before, after)) in before.iter().zip(after).enumerate() {
            let Some(altered) = places.get(&(*case, line)) else {
                assert_eq!(after.differences, before.differences);
                continue;
            };
            assert!(!after.differences.is_empty(), "{altered} is not told");
            for difference in &after.differences {
                assert!(altered.explains(difference), "{altered}: {difference}");
            }
        }
    }
}

/// Builds the program that sessions are played to, as these tests were built: of the whole
/// workspace, for alone it would have crates with other features.
fn build_pvsadm() {
    let folder = std::env::current_exe().unwrap();
    let folder = folder.ancestors().nth(2).unwrap().file_name().unwrap();
    let profile = match folder.to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let built = std::process::Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--workspace"])
        .args(["--bin", "pvsadm", "--profile", profile])
        .status();
    assert!(built.unwrap().success());
}

#[test]
fn altered_command_lines_are_told() {
    build_pvsadm();
    altered_fields_are_told("cli", 5);
}

#[test]
fn altered_scheduling_is_told() {
    altered_fields_are_told("sched", 1);
}

#[test]
fn altered_hashing_is_told() {
    altered_fields_are_told("hash", 4);
}

#[test]
fn altered_states_are_told() {
    altered_fields_are_told("states", 2);
}

#[test]
fn altered_packets_are_told() {
    altered_fields_are_told("packets", 3);
}
