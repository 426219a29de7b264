//! The corpus of frames against the parser, and what can be said of any frame of it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod corpus;

use corpus::{cases, describe};
use pvs_proto::{Checks, Family, Malformed, Meta, Packet, parse};
use std::collections::BTreeSet;

const UNCHECKED: Checks = Checks { ip_good: false };
const CHECKED: Checks = Checks { ip_good: true };

#[test]
fn every_frame_has_its_verdict() {
    for case in cases() {
        let parsed = parse(&case.frame, UNCHECKED);
        assert_eq!(describe(&parsed), case.verdict, "{}", case.name);
    }
}

#[test]
fn the_corpus_has_every_reason() {
    let verdicts: BTreeSet<&str> = cases().iter().map(|case| case.verdict).collect();
    for reason in Malformed::ALL {
        let verdict = format!("malformed {}", reason.label());
        assert!(verdicts.contains(verdict.as_str()), "no frame is {verdict}");
    }
}

#[test]
fn a_checksum_that_the_port_has_verified_is_not_summed() {
    for case in cases() {
        let (unchecked, checked) = (parse(&case.frame, UNCHECKED), parse(&case.frame, CHECKED));
        if unchecked == Err(Malformed::IpChecksum) {
            assert_ne!(checked, unchecked, "{}", case.name);
        } else {
            assert_eq!(checked, unchecked, "{}", case.name);
        }
    }
}

/// A frame that is cut anywhere is malformed, unless only padding is lost.
#[test]
fn no_frame_survives_being_cut() {
    for case in cases().iter().filter(|case| case.frame.len() < 200) {
        let Ok((_, packet)) = parse(&case.frame, UNCHECKED) else {
            continue;
        };
        let used = match &packet {
            Packet::V4(meta) => end(meta),
            Packet::V6(meta) => end(meta),
            Packet::Other(_) => continue,
        };
        for len in 0..case.frame.len() {
            let parsed = parse(&case.frame[..len], UNCHECKED);
            if len < used {
                assert!(parsed.is_err(), "{} cut at {len}", case.name);
            } else {
                assert_eq!(parsed.unwrap().1, packet, "{} cut at {len}", case.name);
            }
        }
    }
}

/// Where a packet ends in its frame.
fn end<F: Family>(meta: &Meta<F>) -> usize {
    usize::from(meta.l3) + usize::try_from(meta.ip_len).unwrap()
}
